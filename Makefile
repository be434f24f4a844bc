# make run   opens the window          make run ARGS="render clip.mp4 -o out.mp4 --annotator scribble --prompt gold"
# make test  the default test suite    make test ARGS="tests/core -k store"
#                                      two at a time; one: ARGS="-n 0 ..."
# make lint  style, types, layers
# make bench-gpu  the speed table of a graphics card, within ten minutes
# Each first makes .venv and installs what is missing (.ci/setup); PYTHON=/path/to/python3 chooses the interpreter.
ARGS ?=
PYTHON ?=
# A second busy process makes spinning OpenMP threads ten times slower; waiting ones are not.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: run test lint bench-gpu setup

run: setup
	.venv/bin/cuelight $(ARGS)

test: setup
	QT_QPA_PLATFORM=offscreen .venv/bin/python -m pytest -n 2 --dist worksteal $(ARGS)

lint: setup
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench-gpu: setup
	.venv/bin/cuelight bench --gpu $(ARGS)

setup:
	@PYTHON="$(PYTHON)" ./.ci/setup

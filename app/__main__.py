"""`cuelight` and `python -m app`: the window, or a sub-command without one.

Sub-commands go to engine.cli and never import Qt, so they run on machines without a display.
"""

import os
import sys
from collections.abc import Sequence
from multiprocessing import freeze_support

NO_DISPLAY = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (by default the process's); returns its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Before torch is imported: OpenMP threads that spin are ten times slower beside a busy program.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if arguments and (arguments[0] == "--version" or not arguments[0].startswith("-")):
        from engine.cli import main as run_command

        return run_command(arguments)
    from app.display import display_problem
    from app.options import parse

    options = parse(arguments)
    problem = display_problem(os.environ, sys.platform)
    if problem is not None:
        print(f"cuelight: {problem.what}\n     fix: {problem.fix}", file=sys.stderr)
        return NO_DISPLAY
    from app.start import run

    return run(options)


if __name__ == "__main__":
    freeze_support()  # a frozen program that measures in several processes starts itself again for each
    sys.exit(main())

"""The page of modes: every sheet is there and small, and every command on it says what the program knows."""

import itertools
import re
import shlex
from pathlib import Path

import pytest

from engine.adherence.modes import MODES
from engine.cli.values import parse_settings
from engine.core.parameters import TABLE
from engine.render import settings

FOLDER = Path(__file__).parents[1] / "docs"
PAGE = (FOLDER / "modes.md").read_text()
COMMANDS = re.findall(r"`cuelight render (.+)`", PAGE)


def options(words: list[str], name: str) -> list[str]:
    return [after for option, after in itertools.pairwise(words) if option == name]


def test_every_picture_is_there_and_none_is_large() -> None:
    named = re.findall(r"!\[[^]]*\]\((modes/[^)]+)\)", PAGE)
    assert len(named) >= 10 and all((FOLDER / name).is_file() for name in named)
    assert all((FOLDER / name).stat().st_size <= 150_000 for name in named)
    assert {path.name for path in (FOLDER / "modes").iterdir()} <= {
        *(Path(name).name for name in named), "make.py", "oval.png", "__pycache__",
    }  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_names_what_there_is(command: str) -> None:
    words = shlex.split(command)
    told = parse_settings(options(words, "--set"))
    [annotator] = options(words, "--annotator")
    assert annotator in TABLE["annotator.name"].choices
    settings({**told, "annotator.name": annotator, "prompt.text": options(words, "--prompt")[0]})
    for key in (key for key in told if key.endswith((".file", ".first", ".last"))):
        assert (FOLDER / "modes" / str(told[key])).is_file()


def test_every_group_of_modes_is_measured_on_it() -> None:
    assert f"--modes {','.join(MODES)} " in PAGE


def test_every_sheet_says_its_commands_and_the_lamp() -> None:
    sheets = re.findall(r"<!-- sheet (\w+) -->\n(.*?)<!-- end -->", PAGE, re.S)
    assert len(sheets) >= 10
    for name, block in sheets:
        assert f"modes/{name}.jpg" in block and "cuelight render" in block and "lamp: *" in block, name

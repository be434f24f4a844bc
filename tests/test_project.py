"""What README and the project's files promise is so."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import engine
from controllers.osc import OscServer
from engine.cli import COMMANDS, command_parser
from engine.core import commands
from engine.core.parameters import TABLE
from engine.core.paths import assets_dir, presets_dir
from engine.core.presets import list_looks, read_look

ROOT = Path(engine.__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TEXTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "BENCHMARKS.md", "NOTICE"]


def code_lines(text: str) -> list[str]:
    """The lines of all fenced code blocks."""
    return [line for block in re.findall(r"```\w*\n(.*?)```", text, re.S) for line in block.splitlines()]


def test_there_are_exactly_two_commands_to_set_up_and_do() -> None:
    makes = [line for line in code_lines(README) if line.startswith("make")]
    assert makes == ["make run", "make test"]
    targets = re.findall(r"^(\w+): setup$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert targets == ["run", "test", "lint"]


def test_the_build_server_runs_the_readmes_test_command() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "make test" in script.splitlines() and "make test" in code_lines(README)
    assert (ROOT / ".ci/run").stat().st_mode & 0o111 and (ROOT / ".ci/setup").stat().st_mode & 0o111


@pytest.mark.parametrize("script", [".ci/run", ".ci/setup"])
@pytest.mark.skipif(sys.platform == "win32", reason="no POSIX shell")
def test_the_scripts_are_plain_posix_shell(script: str) -> None:
    assert (ROOT / script).read_text(encoding="utf-8").startswith("#!/bin/sh\n")
    done = subprocess.run(["sh", "-n", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_link_leads_somewhere() -> None:
    for name in TEXTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("http") or (ROOT / target).exists(), f"{name}: {target}"


def test_six_files_to_read_first() -> None:
    part = README.partition("## Six files to read first")[2].partition("\n[CONTRIBUTING")[0]
    files = re.findall(r"^\d\. \[(.+?)\]\(\1\)", part, re.M)
    assert len(files) == 6 and all((ROOT / file).is_file() for file in files)


@pytest.mark.parametrize("line", [line for line in code_lines(README) if line.startswith("cuelight ")])
def test_every_example_of_the_command_line_is_understood(line: str) -> None:
    options = command_parser().parse_args(shlex.split(line)[1:])
    assert options.command in COMMANDS


def test_every_command_has_an_example() -> None:
    shown = {line.split()[1] for line in code_lines(README) if line.startswith("cuelight ")}
    assert shown == {command.name for command in COMMANDS}


@pytest.mark.parametrize("line", [line for line in code_lines(README) if line.startswith("oscsend ")])
def test_every_osc_example_names_a_command_or_a_parameter_and_an_allowed_value(line: str) -> None:
    _, host, port, address, *said = shlex.split(line)
    default = OscServer.__init__.__defaults__
    assert host == "localhost" and default is not None and int(port) in default
    key = address.removeprefix("/cuelight/").removesuffix("/norm").replace("/", ".")
    if key.startswith("command."):
        assert key.removeprefix("command.") in commands.COMMANDS and not said
        return
    row, (tag, *value) = TABLE[key], said
    if tag == "f" and address.endswith("/norm"):
        assert 0 <= float(value[0]) <= 1
    elif tag == "f":
        row.check(float(value[0]))
    elif tag == "s":
        row.check(value[0])
    else:
        assert (tag, row.kind) == ("T", "bool")


def test_bundled_looks_are_valid_and_use_known_keys() -> None:
    looks = list_looks(presets_dir() / "looks")
    assert len(looks) >= 3
    for path in looks:
        look = read_look(path)
        assert look.values and not look.unknown, path


def test_everything_the_program_opens_lies_in_the_wheel() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["packages"]) == {"app", "engine", "controllers"}
    # engine.core.paths looks for both beside the engine package.
    assert wheel["force-include"] == {"assets": "assets", "presets": "presets"}
    assert assets_dir().parent == presets_dir().parent == ROOT


def test_the_embedded_model_is_small() -> None:
    size = sum(path.stat().st_size for path in (assets_dir() / "pocket").rglob("*") if path.is_file())
    assert 0 < size < 64 * 2**20


def test_the_script_starts_the_app() -> None:
    assert PROJECT["project"]["name"] == "cuelight"
    assert PROJECT["project"]["scripts"] == {"cuelight": "app.__main__:main"}
    assert PROJECT["project"]["requires-python"] == ">=3.11"


def test_pytest_turns_warnings_into_errors() -> None:
    filters = PROJECT["tool"]["pytest"]["ini_options"]["filterwarnings"]
    assert filters[0] == "error"
    # Whatever is let through names the module it comes from or its exact message.
    assert all(re.match(r"ignore:.{10,}", line) for line in filters[1:])


def test_the_licence_is_apache_and_the_notice_says_what_a_bundle_means() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for name in ("pyvirtualcam", "GPL-2.0", "x264", "LGPL-3.0", "mediapipe", "frozen bundle"):
        assert name in notice

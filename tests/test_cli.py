"""The command line: quick, clear about mistakes, and runnable without window, camera or model libraries."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import engine.cli
from engine.cli import COMMANDS, command_parser, main
from engine.cli.command import FAILED, MISUSED, OK, STOPPED, Command
from engine.cli.files import write_json
from engine.cli.values import given_values, parse_settings
from engine.core.commands import COMMANDS as COMMAND_HELP
from engine.core.errors import CuelightError, ParameterError
from engine.core.parameters import TABLE
from engine.core.paths import assets_dir
from engine.parameter_page import parameter_page

ROOT = Path(engine.cli.__file__).parents[2]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "engine.cli", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    script = (
        "import sys; from engine.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'torch', 'cv2', 'av', 'mediapipe', 'PySide6', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(f"\n    {command.name}" in done.stdout for command in COMMANDS)


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == MISUSED
    assert "render" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_explains_itself(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command.name, "--help"])
    assert stop.value.code == 0
    assert command.help in " ".join(capsys.readouterr().out.split())


def test_settings_take_their_rows_types() -> None:
    pairs = [
        "vace.context_scale=0.5",
        "engine.steps=2",
        "source.mirror=on",
        "prompt.text=a=b",
        "mask.invert=false",
    ]
    assert parse_settings(pairs) == {
        "vace.context_scale": 0.5,
        "engine.steps": 2,
        "source.mirror": True,
        "prompt.text": "a=b",
        "mask.invert": False,
    }


@pytest.mark.parametrize("key", [key for key, row in TABLE.items() if row.kind != "text"])
def test_every_rows_default_survives_the_way_through_words(key: str) -> None:
    assert parse_settings([f"{key}={TABLE[key].default}"]) == {key: TABLE[key].default}


@pytest.mark.parametrize(
    ("pair", "named"),
    [
        ("vace.context_scale=nan", "vace.context_scale"),
        ("vace.context_scale=2.5", "from 0 to 2"),
        ("vace.context_scale=", "vace.context_scale"),
        ("engine.steps=1.5", "engine.steps"),
        ("annotator.name=sketch", "scribble"),
        ("vace.contextscale=1", "vace.context_scale"),
        ("prompt.text=" + "x" * 10_000, "10000 characters"),
        ("novalue", "key=value"),
    ],
)
def test_a_bad_setting_is_named_with_its_fix(pair: str, named: str) -> None:
    with pytest.raises(CuelightError) as error:
        parse_settings([pair])
    assert named in str(error.value) and error.value.fix


def test_an_error_is_two_plain_lines_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "nowhere.mp4", "-o", "out.mp4", "--set", "vace.scale=1"]) == MISUSED
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[0] == "cuelight: there is no parameter 'vace.scale'"
    assert "vace.context_scale" in said.err.splitlines()[1] and "fix: " in said.err


@pytest.mark.parametrize(
    "words",
    [
        ["render", "in.mp4"],
        ["render", "in.mp4", "-o", "out.mp4", "--seconds", "0"],
        ["render", "in.mp4", "-o", "out.mp4", "--seconds", "nan"],
        ["render", "in.mp4", "-o", "out.mp4", "--seconds", "long"],
        ["adherence", "--scales", "0,3"],
        ["adherence", "--scales", "low"],
        ["paint"],
        ["parity"],
    ],
    ids=" ".join,
)
def test_a_misused_option_is_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == MISUSED
    assert "usage: cuelight" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("missing.mp4", "missing.mp4"),
        (".", "folder"),
        ("camera:nobody", "nobody"),
        ("broken.mp4", "broken.mp4"),
    ],
)
def test_an_unusable_input_is_told_and_leaves_nothing(
    source: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.mp4").write_bytes(b"\0" * 4096)
    assert main(["render", source, "-o", "out.mp4", "--seconds", "1"]) == MISUSED
    error = capsys.readouterr().err
    assert said in error and "fix: " in error and "Traceback" not in error
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == ["broken.mp4"]


def test_a_look_comes_before_the_other_options(tmp_path: Path) -> None:
    def given(*words: str) -> dict[str, object]:
        options = command_parser().parse_args(["render", "in.mp4", "-o", "out.mp4", *words])
        return dict(given_values(options))

    path = tmp_path / "mine.toml"
    path.write_text(
        'format = "cuelight-look"\nformat_version = 1\n[prompt]\ntext = "ice"\n[engine]\nsteps = 2\n'
        "[output]\nblackout = true\n"
    )
    assert given("--look", str(path)) == {"prompt.text": "ice", "engine.steps": 2}
    assert given("--look", str(path), "--prompt", "lava", "--set", "engine.steps=1") == {
        "prompt.text": "lava",
        "engine.steps": 1,
    }
    assert given("--look", "neon CITY")["annotator.name"] == "edges"
    with pytest.raises(CuelightError, match="no look 'rust'") as error:
        given("--look", "rust")
    assert "Neon city" in error.value.fix


def test_a_stopped_command_is_status_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped() -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.parameter_page.parameter_page", stopped)
    assert main(["parameters"]) == STOPPED
    assert "stopped" in capsys.readouterr().err


def test_parity_needs_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parity", str(tmp_path / "none")]) == MISUSED
    assert "is not a folder" in capsys.readouterr().err


def test_numbers_are_not_written_into_a_folder_that_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = tmp_path / "none" / "stats.json"
    assert main(["render", "demo", "-o", str(tmp_path / "o.mp4"), "--json", str(numbers)]) == MISUSED
    assert "stats.json" in capsys.readouterr().err
    assert list(tmp_path.glob("*.mp4")) == []


def test_the_parameter_page_is_fresh() -> None:
    done = run("parameters")
    assert done.returncode == OK and done.stdout == parameter_page()
    written = (assets_dir() / "parameters.md").read_text(encoding="utf-8")
    assert written == parameter_page(), "run: cuelight parameters > assets/parameters.md"


def test_the_parameter_page_has_a_row_for_every_parameter() -> None:
    page = parameter_page()
    assert all(
        f"| `command.{name}` | `/cuelight/command/{name}` | {COMMAND_HELP[name]} |" in page
        for name in COMMAND_HELP
    )
    for key, row in TABLE.items():
        line = next(line for line in page.splitlines() if line.startswith(f"| `{key}` |"))
        assert row.osc_address in line and row.help in line and row.allowed in line
        assert line.replace("\\|", "").count("|") == 7


def test_exit_statuses_are_apart() -> None:
    assert len({OK, FAILED, MISUSED, STOPPED}) == 4


def test_unknown_keys_name_the_closest() -> None:
    with pytest.raises(ParameterError, match="did you mean"):
        parse_settings(["annotator.nam=edges"])


def test_json_of_numbers_is_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "n.json", {"rows": [{"value": 0.5}]})
    assert json.loads((tmp_path / "n.json").read_text()) == {"rows": [{"value": 0.5}]}

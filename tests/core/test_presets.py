"""Look files: every value round trips, bad files are refused with a reason."""

import os
from pathlib import Path

import pytest

from engine.core.errors import PresetError
from engine.core.parameters import TABLE, Parameter, Value
from engine.core.presets import MAX_BYTES, list_looks, load_look, read_look, save_look
from engine.core.store import Store

HEADER = 'format = "cuelight-look"\nformat_version = 1\n'


def other_values(parameter: Parameter) -> list[Value]:
    if parameter.kind == "bool":
        return [not parameter.default]
    if parameter.kind == "choice":
        return [choice for choice in parameter.choices if choice != parameter.default]
    if parameter.kind == "text":
        texts = [
            "",
            'a "quoted" \\ text',
            "new\nline\ttab\x7f",
            "Zürich 東京 🎛",
            "# no comment",
            "=" * parameter.max_length,
        ]
        return [text for text in texts if text != parameter.default]
    assert parameter.low is not None and parameter.high is not None
    if parameter.kind == "int":
        spread = [int(parameter.low), int(parameter.low) + 1, int(parameter.high) - 1]
        return [number for number in spread if number != parameter.default]
    third = parameter.low + (parameter.high - parameter.low) / 3
    return [parameter.low + 0.1, parameter.high - 1e-9, third]


@pytest.mark.parametrize("parameter", TABLE.values(), ids=lambda parameter: parameter.key)
def test_every_parameter_round_trips(parameter: Parameter, tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    for value in other_values(parameter):
        store = Store()
        store.set(parameter.key, value, "test")
        save_look(path, store)
        assert load_look(path) == {parameter.key: value}


def test_only_what_differs_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "look.toml"
    store = Store()
    save_look(path, store)
    assert path.read_text() == HEADER
    assert load_look(path) == {}
    store.set_many({"vace.context_scale": 1.5, "prompt.text": "ice"}, "gui")
    save_look(path, store)
    assert path.read_text() == HEADER + '\n[prompt]\ntext = "ice"\n\n[vace]\ncontext_scale = 1.5\n'
    save_look(path, store, keys=["prompt.text"])
    assert load_look(path) == {"prompt.text": "ice"}


def test_unknown_keys_survive(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, copy = tmp_path / "look.toml", tmp_path / "copy.toml"
    path.write_text(HEADER + "[scene.9]\nlength = 0.5\n[vace]\ncontext_scale = 0.5\n")
    look = read_look(path)
    assert look.values == {"vace.context_scale": 0.5}
    assert look.unknown == {"scene.9.length": 0.5}
    assert load_look(path) == {"vace.context_scale": 0.5}
    assert "scene.9.length" in caplog.text
    store = Store()
    store.set_many(look.values, "preset")
    save_look(copy, store, unknown=look.unknown)
    assert read_look(copy) == look


def test_numbered_keys_may_be_written_as_tables_or_as_dotted_keys(tmp_path: Path) -> None:
    path = tmp_path / "look.toml"
    expected = {"lora.1.strength": 0.5, "lora.2.file": "ink.safetensors"}
    for text in (
        '[lora.1]\nstrength = 0.5\n[lora.2]\nfile = "ink.safetensors"\n',
        '[lora]\n1.strength = 0.5\n2.file = "ink.safetensors"\n',
        '[lora]\n"1.strength" = 0.5\n"2.file" = "ink.safetensors"\n',
    ):
        path.write_text(HEADER + text)
        assert load_look(path) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a look"),
        ('format = "cuelight-mapping"\nformat_version = 1\n', "not a look"),
        ('format = "cuelight-look"\n', "not a look"),
        ('format = "cuelight-look"\nformat_version = 2\n', "newer version"),
        ("not toml at all", "not readable as TOML"),
        (HEADER + "[vace]\ncontext_scale = nan\n", "vace.context_scale cannot be nan"),
        (HEADER + "[vace]\ncontext_scale = 7\n[engine]\nsteps = 9\n", "engine.steps cannot be 9"),
        (HEADER + '[prompt]\ntext = ["a"]\n', "not a plain value"),
        (HEADER + "loose = 1\n", "outside a table"),
        (
            HEADER + "[output]\ndim = 1" + "0" * 400 + "\n",
            "output.dim cannot be a number of hundreds of digits",
        ),
        (HEADER + "[engine]\nseed = 0x" + "f" * 5000 + "\n", "engine.seed cannot be a number of hundreds"),
        (HEADER + "[output]\ndim = " + "9" * 5000 + "\n", "not readable as TOML"),
    ],
)
def test_bad_files_are_refused_with_a_reason(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(PresetError, match=reason) as caught:
        load_look(path)
    assert str(path) in caught.value.what and caught.value.fix


def test_unreadable_places_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.toml", tmp_path / ("x" * 300)):
        with pytest.raises(PresetError, match="cannot read"):
            load_look(path)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PresetError, match="not readable"):
        load_look(binary)
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(PresetError, match="larger than 256 KiB"):
        load_look(huge)
    with pytest.raises(PresetError, match="cannot write"):
        save_look(binary / "x.toml", Store())
    with pytest.raises(PresetError, match="larger than"):
        save_look(tmp_path / "x.toml", Store(), unknown={"later.text": "x" * MAX_BYTES})
    assert sorted(path.name for path in tmp_path.glob("*.toml")) == ["binary.toml", "huge.toml"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(PresetError, match="not a file"):
        load_look(tmp_path / "pipe.toml")


def test_looks_are_listed_by_name(tmp_path: Path) -> None:
    for name in ("b.toml", "A.toml", "c.txt"):
        (tmp_path / name).write_text(HEADER)
    assert [path.name for path in list_looks(tmp_path, tmp_path / "missing")] == ["A.toml", "b.toml"]

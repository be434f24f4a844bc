"""Mapping files: round trips, the bundled one, and files that want harm."""

import os
from pathlib import Path

import pytest

from controllers.binding import Binding
from controllers.mapping import (
    MAX_BYTES,
    ControlMapping,
    format_mapping,
    generic_path,
    load_mapping,
    save_mapping,
    user_path,
)
from engine.core.errors import ControllerError
from engine.core.parameters import TABLE

HEADER = 'format = "cuelight-mapping"\nformat_version = 1\n'
BINDING = '[[binding]]\nkey = "vace.context_scale"\ntype = "cc"\nnumber = 21\n'

FULL = Binding(
    key="vace.context_scale", type="cc_relative", number=7, channel=16, device='Pad "A" \\ é\x7f', min=1.75,
    max=0.25, invert=True, curve="s", takeover="scaling", button="trigger", threshold=10, encoding="offset",
    enabled=False,
)  # fmt: skip


def test_every_field_survives(tmp_path: Path) -> None:
    path = tmp_path / "maps" / "mine.toml"
    mapping = ControlMapping(
        "Mine",
        (FULL, Binding(key="prompt.text", type="note", number=36, max="red\nfigure", button="trigger")),
    )
    save_mapping(path, mapping)
    assert load_mapping(path) == mapping
    assert [entry.name for entry in path.parent.iterdir()] == ["mine.toml"]


def test_only_what_differs_is_written() -> None:
    text = format_mapping(ControlMapping("", (Binding(key="output.dim", type="cc", number=24),)))
    assert text.endswith('[[binding]]\nkey = "output.dim"\ntype = "cc"\nnumber = 24\n')


def test_unknown_keys_and_parameters_survive(tmp_path: Path) -> None:
    path = tmp_path / "newer.toml"
    path.write_text(
        HEADER
        + 'made = 2026-11-21T10:00:00Z\nleds = {ring = [1, 2.5, true], "odd name" = "x"}\n'
        + BINDING
        + 'smoothing_ms = 20\nbank = ["A", {b = 1}]\n'
        + '[[binding]]\nkey = "lora.7.strength"\ntype = "cc"\nmax = 9\n'
    )
    first = load_mapping(path)
    assert first.unknown == ("lora.7.strength",)
    assert first.bindings[0].extra == {"smoothing_ms": 20, "bank": ["A", {"b": 1}]}
    assert set(first.extra) == {"made", "leds"}
    again = tmp_path / "again.toml"
    save_mapping(again, first)
    second = load_mapping(again)
    assert second == first
    assert [binding.extra for binding in second.bindings] == [binding.extra for binding in first.bindings]


def test_any_channel_and_device_in_words(tmp_path: Path) -> None:
    path = tmp_path / "any.toml"
    path.write_text(HEADER + BINDING + 'channel = "any"\ndevice = "any"\n')
    (binding,) = load_mapping(path).bindings
    assert (binding.channel, binding.device) == (0, "")


def test_the_bundled_mapping_follows_the_table() -> None:
    macros = [key for key, row in TABLE.items() if row.macro]
    assert load_mapping(generic_path()).bindings == (
        Binding(key="vace.context_scale", type="cc", number=1, takeover="none"),
        *(Binding(key=key, type="cc", number=21 + index) for index, key in enumerate(macros)),
    )


def test_the_users_mapping_lies_in_his_own_folder() -> None:
    assert os.environ["CUELIGHT_HOME"] in str(user_path())


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "is not a mapping"),
        ('format = "cuelight-look"\nformat_version = 1\n', "is not a mapping"),
        ('format = "cuelight-mapping"\nformat_version = "1"\n', "is not a mapping"),
        ('format = "cuelight-mapping"\nformat_version = 99\n', "newer"),
        (HEADER + "name = 3\n", "name"),
        (HEADER + "binding = 3\n", "binding"),
        (HEADER + "binding = [1]\n", "binding"),
        (HEADER + "[[binding]]\n", "binding 1: key is missing"),
        (HEADER + '[[binding]]\nkey = "output.dim"\n', "binding 1: type is missing"),
        (HEADER + '[[binding]]\nkey = 1\ntype = "cc"\n', "binding 1: key"),
        (HEADER + '[[binding]]\nkey = "output.dim"\ntype = "knob"\n', "binding 1: type"),
        (HEADER + BINDING + BINDING.replace("21", "true"), "binding 2: number"),
        (HEADER + BINDING.replace("21", "21.0"), "binding 1: number"),
        (HEADER + BINDING.replace("21", "9999999999999999999999"), "binding 1: number"),
        (HEADER + BINDING.replace("21", "0x1" + "0" * 5000), "binding 1: number"),
        (HEADER + BINDING + "channel = 17\n", "binding 1: channel"),
        (HEADER + BINDING + 'channel = "1"\n', "binding 1: channel"),
        (HEADER + BINDING + "min = nan\n", "binding 1: min"),
        (HEADER + BINDING + "max = inf\n", "binding 1: max"),
        (HEADER + BINDING + "max = [1]\n", "binding 1: max"),
        (HEADER + BINDING + "max = 1" + "0" * 400 + "\n", "binding 1: max"),
        (HEADER + BINDING + "invert = 1\n", "binding 1: invert"),
        (HEADER + BINDING + 'enabled = "yes"\n', "binding 1: enabled"),
        (HEADER + BINDING + 'curve = "wild"\n', "binding 1: curve"),
        (HEADER + BINDING + 'takeover = ["pickup"]\n', "binding 1: takeover"),
        (HEADER + BINDING + f'device = "{"x" * 3000}"\n', "binding 1: device"),
        (HEADER + BINDING * 1001, "1001 bindings"),
        (HEADER + "x = " + "[" * 50000, "TOML"),
        (HEADER + "x = " + "9" * 5000 + "\n", "TOML"),
        (HEADER + "x = [1, 2\n", "TOML"),
    ],
)
def test_hostile_files_are_refused_by_file_and_field(text: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "evil.toml"
    path.write_text(text)
    with pytest.raises(ControllerError) as refused:
        load_mapping(path)
    assert "evil.toml" in refused.value.what
    assert named in refused.value.what
    assert refused.value.fix
    assert len(refused.value.what) < 400


def test_files_that_are_no_text_files(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    for path, named in (
        (binary, "TOML"),
        (large, "256 KiB"),
        (tmp_path, "not a file"),
        (tmp_path / "no", "read"),
    ):
        with pytest.raises(ControllerError, match=named):
            load_mapping(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ControllerError, match="not a file"):
        load_mapping(tmp_path / "pipe")


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    save_mapping(path, ControlMapping("old"))
    many = tuple(
        Binding(key="prompt.text", type="note", number=index % 128, max="x" * 2000) for index in range(200)
    )
    with pytest.raises(ControllerError, match="larger"):
        save_mapping(path, ControlMapping("new", many))
    with pytest.raises(ControllerError, match="cannot write"):
        save_mapping(path / "below", ControlMapping("new"))
    assert load_mapping(path).name == "old"

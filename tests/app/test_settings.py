"""The settings file: what comes back, what never does, and what becomes of a file that cannot be read."""

import pytest

from app.notices import Notices
from app.settings import NOT_REMEMBERED, REMEMBERED, WindowMemory, restore, settings_path
from engine.core.errors import PresetError
from engine.core.parameters import TABLE
from engine.core.store import Store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config" / "settings.toml"


def test_the_file_lies_in_the_users_folder(tmp_path) -> None:
    assert settings_path() == tmp_path / "cuelight-home" / "config" / "settings.toml"


def test_the_first_start_has_no_file_and_nothing_to_say(path, store, notices) -> None:
    settings = restore(path, store, notices)
    assert settings.window == WindowMemory()
    assert notices.take() == []
    assert store.snapshot().version == 0


def test_values_and_window_come_back(path, store, notices) -> None:
    store.set_many(
        {"vace.context_scale": 1.4, "prompt.text": 'ice "and" fire\n', "annotator.name": "pose"}, "gui"
    )
    settings = restore(path, Store(), notices)
    settings.window = WindowMemory("AbC=", True, "HDMI-1|EPSON|1234", "LoRA", True)
    settings.save(store)

    again = Store()
    back = restore(path, again, notices)
    assert again.snapshot().values == store.snapshot().values
    assert again.snapshot().source_of("prompt.text") == "settings"
    assert back.window == settings.window
    assert notices.take() == []


def test_a_show_never_starts_black_frozen_or_recording(path, store, notices) -> None:
    store.set_many(dict.fromkeys(NOT_REMEMBERED, True), "gui")
    restore(path, Store(), notices).save(store)
    path.write_text(path.read_text() + "\n[output]\nrecord = true\nblackout = true\n")
    again = Store()
    restore(path, again, notices)
    assert again.snapshot().values == Store().snapshot().values
    assert set(REMEMBERED) | NOT_REMEMBERED == set(TABLE)


@pytest.mark.parametrize(("last", "next_evening"), [(0.0, 1.0), (0.04, 1.0), (0.05, 0.05), (0.7, 0.7)])
def test_a_show_that_faded_out_is_followed_by_a_bright_one(last, next_evening, path, store, notices) -> None:
    store.set("output.dim", last, "midi")
    restore(path, Store(), notices).save(store)
    again = Store()
    restore(path, again, notices)
    assert again.get("output.dim") == next_evening


@pytest.mark.parametrize(
    "damage",
    [b"", b"\x00\xff\xfe", b"format = ", b'format = "something else"', b"[vace]\ncontext_scale = 99\n" * 2,
     b'format = "cuelight-look"\nformat_version = 1\n[vace]\ncontext_scale = 99.0\n', b"x" * 300_000],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_kept_aside_and_told(damage, path, store, notices) -> None:
    path.parent.mkdir()
    path.write_bytes(damage)
    settings = restore(path, store, notices)
    assert store.snapshot().version == 0
    (told,) = notices.take()
    assert "defaults" in told.what
    (kept,) = path.parent.iterdir()
    assert kept.read_bytes() == damage
    assert kept.name in told.fix
    settings.save(store)
    assert restore(path, Store(), Notices()).window == WindowMemory()


def test_keys_of_a_newer_version_survive(path, store, notices) -> None:
    path.parent.mkdir()
    path.write_text(
        'format = "cuelight-look"\nformat_version = 1\n[lora]\nslot = 3\n[window]\ndisplay = 7\nfuture = 1\n'
    )
    settings = restore(path, store, notices)
    assert settings.window == WindowMemory()  # a display that is no text counts as absent
    settings.save(store)
    assert "slot = 3" in path.read_text()


def test_a_folder_in_the_way_is_told_when_saving(path, store, notices) -> None:
    settings = restore(path, store, notices)
    path.mkdir(parents=True)
    (path / "x").write_text("in the way")
    with pytest.raises(PresetError, match="cannot write"):
        settings.save(store)

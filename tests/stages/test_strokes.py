"""Strokes of the brush pile up; what a look, a mapping, the settings or this show names is never lost."""

import os
from pathlib import Path

import numpy as np
import pytest

from engine.core.paths import config_dir
from engine.core.presets import load_look, save_look
from engine.core.store import Store
from engine.stages.pictures import keep_mask, keep_picture, picture_path
from engine.stages.strokes import KEPT_S, forget_strokes

NOW = 2_000_000_000.0


def drawn(level: int, age: float = KEPT_S + 1) -> str:
    name = keep_mask(np.full((8, 8), level, np.uint8))
    os.utime(picture_path(name), (NOW - age, NOW - age))
    return name


def there(*names: str) -> list[bool]:
    return [picture_path(name).is_file() for name in names]


def test_old_strokes_that_nobody_names_go_and_all_others_stay() -> None:
    forgotten, looked, mapped, shown, young = (drawn(level) for level in (1, 2, 3, 4, 5))
    os.utime(picture_path(young), (NOW - KEPT_S + 60, NOW - KEPT_S + 60))
    store = Store()
    store.set("mask.file", looked, "test")
    save_look(config_dir() / "looks" / "Face.toml", store)
    (config_dir() / "mappings").mkdir()
    (config_dir() / "mappings" / "user.toml").write_text(
        f'[[binding]]\nkey = "mask.file"\nmax = "{mapped}"\n'
    )
    picture = keep_picture(np.zeros((8, 8, 3), np.uint8))
    os.utime(picture_path(picture), (0, 0))
    assert forget_strokes([shown], NOW) == 1
    assert there(forgotten, looked, mapped, shown, young, picture) == [False, True, True, True, True, True]
    assert load_look(config_dir() / "looks" / "Face.toml")["mask.file"] == looked
    assert forget_strokes([shown], NOW) == 0


def test_settings_that_were_put_aside_still_count() -> None:
    name = drawn(7)
    config_dir().mkdir(parents=True, exist_ok=True)
    (config_dir() / "settings.unreadable-17.toml").write_bytes(b"\xff\xfe mask.file = " + name.encode())
    assert forget_strokes([], NOW) == 0 and there(name) == [True]


def test_where_a_file_cannot_be_read_nothing_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    name = drawn(9)
    look = config_dir() / "looks" / "Locked.toml"
    look.parent.mkdir(parents=True)
    look.write_text("mask")
    whole = Path.read_text

    def locked(path: Path, *given: str | None, **named: str | None) -> str:
        if path == look:
            raise PermissionError(13, "Permission denied")
        return whole(path, *given, **named)

    monkeypatch.setattr(Path, "read_text", locked)
    assert forget_strokes([], NOW) == 0 and there(name) == [True]


def test_without_any_there_is_nothing_to_do() -> None:
    assert forget_strokes([]) == 0

"""Folders of the bundle and of the user, safe names, whole files or none."""

import errno
import os
import sys
from pathlib import Path

import pytest

from engine.core import paths
from engine.core.errors import CuelightError


def test_bundle_is_the_checkout() -> None:
    assert (paths.assets_dir().parent / "engine" / "core" / "paths.py").is_file()
    assert paths.presets_dir().parent == paths.assets_dir().parent


def test_bundle_of_a_frozen_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path), raising=False)
    assert paths.assets_dir() == tmp_path / "assets"
    assert paths.presets_dir() == tmp_path / "presets"


def test_one_variable_moves_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUELIGHT_HOME", str(tmp_path))
    folders = [paths.config_dir(), paths.cache_dir(), paths.recordings_dir()]
    assert folders == [tmp_path / "config", tmp_path / "cache", tmp_path / "recordings"]
    assert not any(folder.exists() for folder in folders), "asking creates nothing"


LINUX = (".config/cuelight", ".cache/cuelight", "Videos/Cuelight")
MAC = ("Library/Application Support/Cuelight", "Library/Caches/Cuelight", "Movies/Cuelight")


@pytest.mark.parametrize(
    ("platform", "environment", "folders"),
    [
        ("linux", {}, LINUX),
        ("linux", {"XDG_CONFIG_HOME": "relative"}, LINUX),
        (
            "linux",
            {"XDG_CONFIG_HOME": "/x/c", "XDG_CACHE_HOME": "/x/k"},
            ("/x/c/cuelight", "/x/k/cuelight", LINUX[2]),
        ),
        ("darwin", {}, MAC),
        (
            "win32",
            {"APPDATA": "/x/r", "LOCALAPPDATA": "/x/l"},
            ("/x/r/Cuelight", "/x/l/Cuelight/Cache", "Videos/Cuelight"),
        ),
    ],
)
def test_each_system_has_its_rules(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    platform: str,
    environment: dict[str, str],
    folders: tuple[str, str, str],
) -> None:
    for variable in ("CUELIGHT_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    found = (paths.config_dir(), paths.cache_dir(), paths.recordings_dir())
    assert found == tuple(tmp_path / folder for folder in folders)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Friday show", "Friday show"),
        ("  ../../etc/passwd ", "etc passwd"),
        ('a/b\\c:d*e?f"g<h>i|j', "a b c d e f g h i j"),
        ("", "untitled"),
        ("...", "untitled"),
        ("con", "_con"),
        ("COM1.txt", "_COM1.txt"),
        ("Zürich – Nacht", "Zürich Nacht"),
        ("line\nbreak\0nul", "line break nul"),
        ("x" * 200, "x" * 80),
    ],
)
def test_safe_names(text: str, name: str) -> None:
    assert paths.safe_name(text) == name


def test_inside_refuses_escapes(tmp_path: Path) -> None:
    base = tmp_path / "looks"
    base.mkdir()
    assert paths.inside(base, "a/b.toml") == base.resolve() / "a/b.toml"
    (base / "link").symlink_to(tmp_path)
    for escape in ("../x", "/etc/passwd", "a/../../x", "link/x"):
        with pytest.raises(CuelightError, match="outside"):
            paths.inside(base, escape)


def test_write_atomic_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.toml"
    paths.write_atomic(path, b"one")
    paths.write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["file.toml"]


def test_write_atomic_leaves_nothing_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.toml"
    paths.write_atomic(path, b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        paths.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.toml"]

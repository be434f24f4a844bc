"""Older versions of a file: the newest ten, each once, and never an error."""

from pathlib import Path

from engine.core.backups import FOLDER, KEPT, back_up
from tests.fakes import FakeClock


def kept(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted((folder / FOLDER).iterdir())]


def test_the_newest_ten_stay_and_one_that_did_not_change_is_not_copied(tmp_path: Path) -> None:
    path, clock = tmp_path / "mapping.toml", FakeClock(1_700_000_000.0)
    for number in range(KEPT + 3):
        path.write_text(f"version {number}")
        for _ in range(2):
            clock.advance(0.5)
            back_up(path, clock)
    assert kept(tmp_path) == [f"version {number}" for number in range(3, KEPT + 3)]
    assert path.read_text() == f"version {KEPT + 2}"


def test_each_file_has_its_own(tmp_path: Path) -> None:
    clock = FakeClock(1_700_000_000.0)
    for name in ("pad.toml", "pad-2.toml", "[x].toml"):
        for text in ("old", "new"):
            (tmp_path / name).write_text(text)
            clock.advance(0.01)
            back_up(tmp_path / name, clock)
    names = sorted(path.name for path in (tmp_path / FOLDER).iterdir())
    assert len(names) == 6
    assert [sum(name.startswith(f"{stem}-20") for name in names) for stem in ("pad", "pad-2", "[x]")] == [
        2
    ] * 3


def test_what_cannot_be_copied_is_let_be(tmp_path: Path) -> None:
    back_up(tmp_path / "none.toml")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    (tmp_path / "mapping.toml").write_text("mine")
    back_up(tmp_path / "mapping.toml")
    assert (tmp_path / "mapping.toml").read_text() == "mine"

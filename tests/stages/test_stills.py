"""Stills: taken at once, written elsewhere, named by the row they were meant for."""

from pathlib import Path

import numpy as np
import pytest

from engine.core.channels import Closed, Latest
from engine.core.commands import COMMANDS, TAKES
from engine.core.parameters import TABLE
from engine.core.paths import recordings_dir
from engine.core.store import Store
from engine.core.types import OutputFrame
from engine.stages.pictures import PICTURE_KEYS, picture_path
from engine.stages.reports import Reports
from engine.stages.stills import SETTER, STILLS, Stills
from engine.video.still import read_still
from tests.fakes import flat


class Rig:
    def __init__(self) -> None:
        self.store, self.reports = Store(), Reports(lambda: 0.0)
        self.program: Latest[OutputFrame] = Latest()
        self.stills = Stills(self.store, self.program, self.reports)

    def show(self, level: int) -> None:
        self.program.put(OutputFrame(flat(level), "generated", "", None, 0, 0.0, 0))


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setenv("CUELIGHT_HOME", str(tmp_path))
    return Rig()


@pytest.mark.parametrize("command", TAKES)
def test_the_row_names_the_picture_of_the_moment_it_was_asked_for(command: str, rig: Rig) -> None:
    rig.show(90)
    rig.stills.take(command)
    rig.show(30)
    key = TAKES[command]
    assert rig.store.get(key) == "", "nobody waits"
    rig.stills.tick()
    snapshot = rig.store.snapshot()
    assert (read_still(picture_path(snapshot.text(key))).image == 90).all()
    assert snapshot.source_of(key) == SETTER


def test_a_snapshot_lies_beside_the_recordings(rig: Rig) -> None:
    rig.show(120)
    rig.stills.take("snapshot")
    rig.stills.tick()
    (made,) = recordings_dir().glob("*.png")
    assert (read_still(made).image == 120).all()
    assert rig.store.snapshot().version == 0, "no value was changed"


def test_what_cannot_be_done_is_said(rig: Rig, tmp_path: Path) -> None:
    rig.stills.take("take_first")
    assert "no picture to take yet" in rig.reports.recent()[-1].text
    (tmp_path / "recordings").write_text("a file in the way")
    rig.show(5)
    rig.stills.take("snapshot")
    rig.stills.tick()
    assert "cannot be written" in rig.reports.recent()[-1].text
    for _ in range(9):
        rig.stills.take("take_last")
    assert "too many pictures" in rig.reports.recent()[-1].text
    rig.stills.tick()
    assert rig.store.get("extension.last") != "", "and the next one is taken as before"


def test_what_was_asked_for_is_written_before_the_end(rig: Rig) -> None:
    rig.show(7)
    rig.stills.take("take_last")
    rig.stills.shut()
    rig.stills.take("take_first")
    rig.stills.tick()
    assert rig.store.get("extension.last") != ""
    with pytest.raises(Closed):
        rig.stills.tick()
    assert rig.store.get("extension.first") == ""


def test_every_row_of_a_picture_can_be_filled_and_every_command_is_explained() -> None:
    assert set(TAKES.values()) == set(PICTURE_KEYS) <= TABLE.keys()
    assert set(STILLS) < COMMANDS.keys()
    assert all(text.endswith(".") for text in COMMANDS.values())
    assert np.unique(list(COMMANDS.values())).size == len(COMMANDS)

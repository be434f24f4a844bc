"""The page of pictures: files by dialog, drop and of this moment, what is idle, and what is wrong."""

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QDropEvent

from engine.stages.pictures import picture_path
from engine.video.still import read_still
from tests.app.fakes import RUNNING, flat


def choose(slot, text: str) -> None:
    next(action for action in slot.picker.menu.actions() if action.text() == text).trigger()


def test_the_dialog_is_not_modal_and_fills_the_row_that_asked(window, store) -> None:
    window.deck.open("Image")
    panel = window.pictures
    for key in ("reference.2.file", "mask.file"):
        choose(panel.slots[key], "File…")
        assert panel.dialog.isVisible() and not panel.dialog.isModal()
        panel.dialog.fileSelected.emit(f"/pictures/{key}.png")
        panel.dialog.close()
    assert store.get("reference.2.file") == "/pictures/reference.2.file.png"
    assert store.get("mask.file") == "/pictures/mask.file.png"
    assert store.get("reference.1.file") == ""


@pytest.mark.parametrize(("name", "welcome"), [("a.PNG", True), ("a.txt", False)])
def test_only_a_picture_can_be_dropped(name, welcome, window, store) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(f"/pictures/{name}")])
    copy, button = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    drop = QDropEvent(QPoint(5, 5), copy, data, button, Qt.KeyboardModifier.NoModifier)
    window.pictures.slots["extension.first"].dropEvent(drop)
    assert (store.get("extension.first") != "") is welcome


@pytest.mark.parametrize(("entry", "level"), [("Output as it is now", 90), ("Camera as it is now", 30)])
def test_the_picture_of_this_moment_can_be_taken(
    entry, level, window, bridge, runtime, store, qtbot, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("CUELIGHT_HOME", str(tmp_path))
    slot = window.pictures.slots["extension.last"]
    choose(slot, entry)
    assert store.get("extension.last") == "", "there was none yet"
    runtime.show(flat(30, 8, 70), None, flat(90, 8, 70))
    choose(slot, entry)

    def taken() -> bool:
        bridge.pull()
        return store.get("extension.last") != ""

    qtbot.waitUntil(taken, timeout=10_000)
    assert (read_still(picture_path(store.get("extension.last"))).image == (level, 8, 70)).all()


def test_the_same_key_frame_again_has_another_turn(window, store) -> None:
    slot = window.pictures.slots["extension.first"]
    slot.choose_file("/a.png")
    before = store.snapshot().version_of("extension.first")
    slot.choose_file("/a.png")
    assert store.snapshot().version_of("extension.first") > before


def test_what_changes_nothing_is_hatched(window, bridge, store) -> None:
    panel = window.pictures
    assert (panel.fit.idle, panel.chunks.idle, panel.feather.idle) == (True, True, True)
    store.set_many({"reference.3.file": "a", "extension.last": "b", "mask.file": "c"}, "osc")
    bridge.pull()
    assert (panel.fit.idle, panel.chunks.idle, panel.feather.idle) == (False, False, False)
    store.set("mask.composite", False, "osc")
    bridge.pull()
    assert panel.feather.idle
    store.set_many({"mask.composite": True, "mask.file": "", "annotator.name": "segmentation"}, "osc")
    bridge.pull()
    assert not panel.feather.idle


def test_what_is_wrong_with_a_picture_is_said(window, bridge, runtime) -> None:
    window.deck.open("Image")
    runtime.now = replace(RUNNING, pictures={"mask.file": "m.png is an empty file  Fix: choose another"})
    for _ in range(3):
        bridge.pull()
    panel = window.pictures
    assert panel.slots["mask.file"].sign.text() == "△ Mask"
    assert panel.slots["reference.1.file"].sign.text() == "Ref 1"
    assert panel.note.isVisible() and "Fix: choose another" in panel.note.toolTip()
    runtime.now = RUNNING
    for _ in range(3):
        bridge.pull()
    assert not panel.note.isVisible() and panel.slots["mask.file"].sign.text() == "Mask"

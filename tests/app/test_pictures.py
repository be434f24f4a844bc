"""The page of pictures: files by dialog, drop and of this moment, what is idle, and what is wrong."""

from dataclasses import replace

import pytest
from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QDropEvent

from engine.core.commands import TAKES
from engine.stages.pictures import picture_path
from engine.video.still import read_still
from tests.app.fakes import RUNNING, flat


def choose(slot, text: str) -> None:
    next(action for action in slot.picker.menu.actions() if action.text() == text).trigger()


def test_the_dialog_is_not_modal_and_fills_the_row_that_asked(window, store) -> None:
    for page, slots, key in (
        ("Image", window.pictures.slots, "reference.2.file"),
        ("Image", window.pictures.slots, "extension.last"),
        ("Mask", window.masks.slots, "mask.file"),
    ):
        window.deck.open(page)
        choose(slots.by_key[key], "File…")
        assert slots.dialog.isVisible() and not slots.dialog.isModal()
        slots.dialog.fileSelected.emit(f"/pictures/{key}.png")
        slots.dialog.close()
    assert store.get("reference.2.file") == "/pictures/reference.2.file.png"
    assert store.get("mask.file") == "/pictures/mask.file.png"
    assert store.get("reference.1.file") == ""


@pytest.mark.parametrize(("name", "welcome"), [("a.PNG", True), ("a.txt", False)])
def test_only_a_picture_can_be_dropped(name, welcome, window, store) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(f"/pictures/{name}")])
    copy, button = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    drop = QDropEvent(QPoint(5, 5), copy, data, button, Qt.KeyboardModifier.NoModifier)
    window.pictures.slots.by_key["extension.first"].dropEvent(drop)
    assert (store.get("extension.first") != "") is welcome


def test_the_output_as_it_is_now_is_taken_as_by_a_pad(window, runtime) -> None:
    slots = {**window.pictures.slots.by_key, **window.masks.slots.by_key}
    for command, key in TAKES.items():
        choose(slots[key], "Output as it is now")
        assert runtime.commands[-1] == command


def test_the_camera_as_it_is_now_can_be_taken(window, bridge, runtime, store, qtbot) -> None:
    slot, entry = window.pictures.slots.by_key["extension.last"], "Camera as it is now"
    choose(slot, entry)
    assert store.get("extension.last") == "", "there was none yet"
    runtime.show(flat(30, 8, 70), None, flat(90, 8, 70))
    choose(slot, entry)

    def taken() -> bool:
        bridge.pull()
        return store.get("extension.last") != ""

    qtbot.waitUntil(taken, timeout=10_000)
    assert (read_still(picture_path(store.get("extension.last"))).image == (30, 8, 70)).all()


def test_the_same_key_frame_again_has_another_turn(window, store) -> None:
    slot = window.pictures.slots.by_key["extension.first"]
    slot.choose_file("/a.png")
    before = store.snapshot().version_of("extension.first")
    slot.choose_file("/a.png")
    assert store.snapshot().version_of("extension.first") > before


def test_what_changes_nothing_is_hatched(window, bridge, store) -> None:
    page = window.pictures
    assert (page.fit.idle, page.chunks.idle) == (True, True)
    store.set_many({"reference.3.file": "a", "extension.last": "b"}, "osc")
    bridge.pull()
    assert (page.fit.idle, page.chunks.idle) == (False, False)


def test_what_is_wrong_with_a_picture_is_said(window, bridge, runtime) -> None:
    window.deck.open("Mask")
    runtime.now = replace(RUNNING, pictures={"mask.file": "m.png is an empty file  Fix: choose another"})
    for _ in range(3):
        bridge.pull()
    slots = window.masks.slots
    assert slots.by_key["mask.file"].sign.text() == "△ File"
    assert window.pictures.slots.note.text() == "", "only where it belongs"
    assert slots.note.isVisible() and "Fix: choose another" in slots.note.toolTip()
    runtime.now = RUNNING
    for _ in range(3):
        bridge.pull()
    assert not slots.note.isVisible() and slots.by_key["mask.file"].sign.text() == "File"

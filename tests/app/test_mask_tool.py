"""Drawing a mask with the mouse: on either picture, mirrored or moved, to the file that the engine reads."""

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent

from engine.core.types import Image
from engine.stages.pictures import keep_picture, picture_path
from engine.video.still import read_still
from tests.app.fakes import flat

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton


@pytest.fixture
def drawn(window, bridge, runtime, tmp_path: Path, monkeypatch):
    """The window while a mask is drawn over a camera of 4:3; a call waits for what was drawn to be named."""
    monkeypatch.setenv("CUELIGHT_HOME", str(tmp_path))
    runtime.show(flat(30, 8, 70, 48, 64), None, flat(90, 8, 70, 36, 64))
    window.deck.open("Mask")
    window.masks.draw.edited.emit(True)
    bridge.pull()
    window.grab()
    return window


@pytest.fixture
def settled(bridge, store, errands, qtbot):
    """Waits until the newest stroke is the mask in use; returns that mask."""

    def wait(before: str = "") -> Image:
        def named() -> bool:
            bridge.pull()
            return store.get("mask.file") != before

        qtbot.waitUntil(named, timeout=10_000)
        return read_still(picture_path(str(store.get("mask.file")))).image[..., 0]

    return wait


def at(preview, x: float, y: float) -> QPoint:
    """The place of the widget where the shown picture has the point x, y (parts of it, as it is seen)."""
    shown = preview._shown
    return QPointF(shown.left() + x * shown.width(), shown.top() + y * shown.height()).toPoint()


def middle_of(mask: Image) -> tuple[float, float]:
    ys, xs = np.nonzero(mask > 127)
    return (xs.mean() + 0.5) / mask.shape[1], (ys.mean() + 0.5) / mask.shape[0]


def test_a_stroke_on_the_program_becomes_the_mask_file(drawn, settled, store, qtbot) -> None:
    assert store.get("mask.file") == "", "nothing changes before the first stroke"
    qtbot.mousePress(drawn.program, LEFT, pos=at(drawn.program, 0.25, 0.75))
    assert store.get("mask.file") == ""
    qtbot.mouseRelease(drawn.program, LEFT, pos=at(drawn.program, 0.25, 0.75))
    mask = settled()
    assert set(np.unique(mask)) == {0, 255}
    assert middle_of(mask) == pytest.approx((0.25, 0.75), abs=0.02)


@pytest.mark.parametrize("button", ["right", "shift"])
def test_the_eraser(button, drawn, settled, store, qtbot) -> None:
    drawn.masks.fill.click()
    assert (settled() == 255).all()
    before = str(store.get("mask.file"))
    place = at(drawn.program, 0.5, 0.5)
    if button == "right":
        qtbot.mouseClick(drawn.program, RIGHT, pos=place)
    else:
        qtbot.mouseClick(drawn.program, LEFT, Qt.KeyboardModifier.ShiftModifier, pos=place)
    assert middle_of(255 - settled(before)) == pytest.approx((0.5, 0.5), abs=0.02)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # The camera's 4:3 is cropped to the engine's 7:4: its y = 0.5 is the middle, its 0.25 lies higher.
        ({}, (0.25, 0.5 + (0.25 - 0.5) * (7 / 4) / (4 / 3))),
        ({"canvas.zoom": 2.0, "canvas.x": 1.0, "canvas.y": -1.0}, (0.625, 0.086)),
        ({"canvas.fit": "whole"}, (0.118 + 0.25 * 0.763, 0.25)),
    ],
)
def test_on_the_source_it_lies_where_the_camera_lies(
    mirrored, values, expected, drawn, settled, store, qtbot
) -> None:
    store.set_many(values, "osc")
    drawn.source.preview.mirror(mirrored)
    seen = at(drawn.source.preview, 0.75 if mirrored else 0.25, 0.25)
    qtbot.mouseClick(drawn.source.preview, LEFT, pos=seen)
    assert middle_of(settled()) == pytest.approx(expected, abs=0.025)


def test_the_wheel_resizes_the_brush_and_the_row_is_the_brush(drawn, store, settled, qtbot) -> None:
    before = store.get("mask.brush")
    place = QPointF(at(drawn.program, 0.5, 0.5))
    none, phase = Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase
    event = QWheelEvent(place, place, QPoint(), QPoint(0, 240), Qt.MouseButton.NoButton, none, phase, False)
    drawn.program.wheelEvent(event)
    assert store.get("mask.brush") == pytest.approx(before * 1.15**2)
    store.set("mask.brush", 0.3, "midi")
    qtbot.mouseClick(drawn.program, LEFT, pos=at(drawn.program, 0.5, 0.5))
    mask = settled()
    assert np.count_nonzero(mask) / mask.size == pytest.approx(np.pi * 0.09 * 4 / 7, rel=0.05)


def test_undo_names_the_mask_before_and_looks_keep_theirs(drawn, settled, store, bridge, qtbot) -> None:
    names = [""]
    for x in (0.2, 0.8):
        qtbot.mouseClick(drawn.program, LEFT, pos=at(drawn.program, x, 0.5))
        settled(names[-1])
        names.append(str(store.get("mask.file")))
    qtbot.keyClick(drawn, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert middle_of(settled(names[2])) == pytest.approx((0.2, 0.5), abs=0.02)
    assert store.get("mask.file") == names[1], "the same mask has the same name"
    assert picture_path(names[2]).is_file(), "a look may name it"
    drawn.masks.undo.click()
    qtbot.waitUntil(lambda: bridge.pull() or store.get("mask.file") == "", timeout=10_000)
    assert not drawn.masks.undo.isEnabled(), "without a mask, as it began"


def test_buttons_clear_fill_invert(drawn, settled, store, qtbot) -> None:
    page, before = drawn.masks, ""
    for button, level in ((page.fill, 255), (page.clear, 0), (page.invert, 255)):
        button.click()
        assert (settled(before) == level).all()
        before = str(store.get("mask.file"))
    for _ in range(3):
        assert page.undo.isEnabled()
        page.undo.click()
    assert not page.undo.isEnabled()


def test_it_goes_on_from_the_mask_in_use_whoever_chose_it(drawn, settled, store, bridge, qtbot) -> None:
    half = np.zeros((50, 100, 3), np.uint8)
    half[:, :50] = 255
    store.set("mask.file", keep_picture(half), "osc")

    def read() -> bool:
        bridge.pull()
        return bool(drawn.mask_tool.drawing.mask.any())

    qtbot.waitUntil(read, timeout=10_000)
    before = str(store.get("mask.file"))
    qtbot.mouseClick(drawn.program, LEFT, pos=at(drawn.program, 0.9, 0.5))
    mask = settled(before)
    height, width = mask.shape
    assert (mask[:, : width // 2 - 2] == 255).all() and mask[height // 2, round(0.9 * width)] == 255


def test_a_mask_that_keeps_nothing_has_no_border(drawn, store, bridge) -> None:
    page = drawn.masks
    store.set("mask.source", "person", "osc")
    bridge.pull()
    assert (page.inpaint.shown(), page.feather.idle) == (True, False)
    page.inpaint.edited.emit(False)
    bridge.pull()
    assert store.get("mask.inpaint") is False and page.feather.idle
    store.set("canvas.zoom", 2.0, "osc")
    bridge.pull()
    assert not page.feather.idle, "the canvas still keeps the camera"


def test_while_nothing_is_drawn_the_mouse_does_what_it_did(drawn, store, qtbot) -> None:
    qtbot.keyClick(drawn, Qt.Key.Key_Escape)
    assert drawn.program.pen is None and drawn.source.preview.pen is None and not drawn.masks.draw.shown()
    qtbot.mouseClick(drawn.program, LEFT, pos=at(drawn.program, 0.5, 0.5))
    qtbot.mouseDClick(drawn.program, LEFT, pos=at(drawn.program, 0.5, 0.5))
    assert store.get("mask.file") == "" and drawn.output_window.isVisible()
    drawn.output_window.hide()
    for button in (drawn.masks.undo, drawn.masks.clear, drawn.masks.fill, drawn.masks.invert):
        assert not button.isEnabled()


def test_a_double_click_draws_twice_and_opens_nothing(drawn, qtbot) -> None:
    qtbot.mouseDClick(drawn.program, LEFT, pos=at(drawn.program, 0.5, 0.5))
    assert not drawn.output_window.isVisible() and drawn.mask_tool.drawing.mask.any()


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_veil_lies_over_what_is_painted(mirrored, drawn, bridge, qtbot) -> None:
    preview = drawn.source.preview
    preview.mirror(mirrored)
    place = at(preview, 0.3, 0.5)
    qtbot.mousePress(preview, LEFT, pos=place)
    image = preview.grab().toImage()
    ratio = image.width() / preview.width()
    painted = image.pixelColor(round(place.x() * ratio), round(place.y() * ratio))
    other = at(preview, 0.7, 0.5)
    clear = image.pixelColor(round(other.x() * ratio), round(other.y() * ratio))
    assert (clear.red(), clear.green(), clear.blue()) == (30, 8, 70)
    assert painted.blue() > 110 and painted.red() > 60
    qtbot.mouseRelease(preview, LEFT, pos=place)


def test_another_size_of_the_engine_takes_the_mask_along(drawn, settled, store, bridge, qtbot) -> None:
    qtbot.mouseClick(drawn.program, LEFT, pos=at(drawn.program, 0.5, 0.5))
    settled()
    store.set("engine.resolution", "512x512", "osc")
    bridge.pull()
    assert drawn.mask_tool.drawing.mask.shape == (512, 512)

    def read() -> bool:
        bridge.pull()
        return bool(drawn.mask_tool.drawing.mask.any())

    qtbot.waitUntil(read, timeout=10_000)
    assert middle_of(drawn.mask_tool.drawing.mask) == pytest.approx((0.5, 0.5), abs=0.02)


def test_a_disk_that_is_full_is_said_and_the_show_goes_on(drawn, bridge, store, qtbot, tmp_path) -> None:
    (tmp_path / "config").write_text("no folder")
    qtbot.mouseClick(drawn.program, LEFT, pos=at(drawn.program, 0.5, 0.5))
    heard: list[str] = []

    def said() -> bool:
        bridge.pull()
        heard.append(drawn.messages.text.text())
        return "cannot be written" in heard[-1]

    qtbot.waitUntil(said, timeout=10_000)
    assert store.get("mask.file") == "" and drawn.mask_tool.drawing.mask.any()

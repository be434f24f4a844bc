"""Dragging the layout's box with the mouse, on either picture, and its page."""

import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor

from app import theme
from app.box_tool import KEYS
from engine.video.layout import RADIUS
from tests.app.fakes import flat

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def dragged(window, bridge, runtime, store):
    """The window while the box is dragged: a camera of 7:4, as the engine's picture is."""
    runtime.show(flat(30, 8, 70, 32, 56), None, flat(90, 8, 70, 32, 56))
    store.set_many({"annotator.name": "layout", "layout.width": 0.4, "layout.height": 0.4}, "osc")
    window.deck.open("Layout")
    window.layout_page.drag.edited.emit(True)
    bridge.pull()
    window.grab()
    return window


def at(preview, x: float, y: float):
    shown = preview._shown
    return QPointF(shown.left() + x * shown.width(), shown.top() + y * shown.height()).toPoint()


def drag(qtbot, preview, start, end) -> None:
    qtbot.mousePress(preview, LEFT, pos=at(preview, *start))
    qtbot.mouseMove(preview, at(preview, *end))
    qtbot.mouseRelease(preview, LEFT, pos=at(preview, *end))


def box(store) -> tuple[float, ...]:
    return tuple(float(store.get(key)) for key in KEYS)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ((0.55, 0.45), (0.75, 0.55), (0.7, 0.6, 0.4, 0.4)),  # from inside: it moves
        ((0.3, 0.3), (0.1, 0.2), (0.4, 0.45, 0.6, 0.5)),  # at a corner: the other one stays
        ((0.1, 0.1), (0.2, 0.3), (0.15, 0.2, 0.1, 0.2)),  # elsewhere: a new one
        ((0.55, 0.45), (3.0, -3.0), (1.0, 0.0, 0.4, 0.4)),  # never out of sight
    ],
)
def test_the_mouse_on_the_program(start, end, expected, dragged, store, qtbot) -> None:
    drag(qtbot, dragged.program, start, end)
    assert box(store) == pytest.approx(expected, abs=0.02)
    qtbot.mouseMove(dragged.program, at(dragged.program, 0.9, 0.9))
    assert box(store) == pytest.approx(expected, abs=0.02), "it was let go"


def test_a_point_goes_where_the_mouse_is(dragged, store, bridge, qtbot) -> None:
    page = dragged.layout_page
    next(action for action in page.shape.menu.actions() if action.text() == "Point").trigger()
    bridge.pull()
    assert store.get("layout.shape") == "point" and page.wide.idle and not page.across.idle
    qtbot.mousePress(dragged.program, LEFT, pos=at(dragged.program, 0.15, 0.2))
    assert box(store) == pytest.approx((0.15, 0.2, 0.4, 0.4), abs=0.02), "at once, from anywhere"
    way = []
    for x in (0.3, 0.5, 0.7):
        qtbot.mouseMove(dragged.program, at(dragged.program, x, 0.6))
        way.append(box(store)[:2])
    assert way == [pytest.approx((x, 0.6), abs=0.02) for x in (0.3, 0.5, 0.7)], "a trajectory"
    qtbot.mouseRelease(dragged.program, LEFT, pos=at(dragged.program, 0.7, 0.6))
    dragged.box_tool.scale(2.0)
    assert box(store)[2:] == (0.4, 0.4), "it has no size"
    image, height = dragged.program.grab().toImage(), dragged.program._shown.height()
    ring = at(dragged.program, *box(store)[:2])
    assert image.pixelColor(ring.x(), ring.y() + round(RADIUS * height)) == QColor(theme.VIOLET)
    assert image.pixelColor(ring) == QColor(90, 8, 70)


@pytest.mark.parametrize("mirrored", [False, True])
def test_on_the_source_also_mirrored_and_moved_on_the_canvas(mirrored, dragged, store, qtbot) -> None:
    store.set_many({"canvas.zoom": 2.0, "canvas.x": -1.0}, "osc")
    dragged.source.preview.mirror(mirrored)
    ends = ((0.5, 0.5), (0.3, 0.6))
    drag(qtbot, dragged.source.preview, *(((1 - x, y) if mirrored else (x, y)) for x, y in ends))
    assert box(store) == pytest.approx((0.3, 0.6, 0.4, 0.4), abs=0.03)


def test_on_the_program_it_lies_where_the_canvas_lies(dragged, store, qtbot) -> None:
    """The camera's picture takes the left upper quarter: its middle is at a quarter of the program."""
    store.set_many({"canvas.zoom": 2.0, "canvas.x": -1.0, "canvas.y": -1.0}, "osc")
    drag(qtbot, dragged.program, (0.25, 0.25), (0.4, 0.25))
    assert box(store)[:2] == pytest.approx((0.8, 0.5), abs=0.03)


def test_the_box_is_shown(dragged, store) -> None:
    image = dragged.program.grab().toImage()
    corner = at(dragged.program, 0.3, 0.3)
    assert image.pixelColor(corner) == QColor(theme.VIOLET)
    assert image.pixelColor(at(dragged.program, 0.5, 0.5)) == QColor(90, 8, 70)


def test_one_tool_at_a_time(dragged, store, qtbot) -> None:
    dragged.masks.draw.edited.emit(True)
    assert dragged.mask_tool.on and not dragged.box_tool.on and not dragged.layout_page.drag.shown()
    before = box(store)
    drag(qtbot, dragged.program, (0.5, 0.5), (0.7, 0.5))
    assert box(store) == before and dragged.mask_tool.drawing.mask.any()
    dragged.layout_page.drag.edited.emit(True)
    assert dragged.box_tool.on and not dragged.mask_tool.on
    drag(qtbot, dragged.program, (0.5, 0.5), (0.7, 0.5))
    assert box(store) != before
    qtbot.keyClick(dragged, Qt.Key.Key_Escape)
    assert not dragged.box_tool.on and dragged.program.pen is None


@pytest.mark.parametrize(
    ("values", "idle", "words"),
    [
        ({"annotator.name": "scribble"}, (True, True, True), "Choose the annotator Layout first"),
        ({"annotator.name": "scribble", "annotator.second": "layout"}, (False, False, False), "It stays put"),
        ({"layout.follow": "left hand"}, (False, True, False), "The left hand carries it"),
    ],
)
def test_the_page_says_what_counts(values, idle, words, dragged, bridge, store) -> None:
    store.set_many(values, "osc")
    bridge.pull()
    page = dragged.layout_page
    assert (page.follow.idle, page.across.idle, page.wide.idle) == idle
    assert page.about.toolTip() == words

"""Dragging the layout's box: inside it moves, at a corner it resizes, elsewhere a new one begins.

A point has no size: it goes wherever the mouse is.
"""

from collections.abc import Callable

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from app import theme
from app.mouse_tool import MouseTool
from app.pen import Point
from app.ways import Way, within
from engine.core.parameters import row
from engine.stages.annotate import layout_box
from engine.video.layout import POINT, RADIUS, Box

X, Y, WIDTH, HEIGHT = KEYS = ("layout.x", "layout.y", "layout.width", "layout.height")
_NEAR = 0.04  # a corner is taken from so far away, in parts of the picture
_PER_NOTCH = 1.08


class BoxTool(MouseTool):
    """The box, dragged with the mouse."""

    @property
    def box(self) -> Box:
        """The box as the rows have it."""
        return layout_box(self._bridge.snapshot())

    def move(self, x: float, y: float) -> None:
        """Put the box's middle here."""
        self._set({X: x, Y: y})

    def span(self, one: Point, other: Point) -> None:
        """Let the box reach from one point to another."""
        (left, right), (top, bottom) = (sorted(pair) for pair in zip(one, other, strict=True))
        self._set({X: (left + right) / 2, Y: (top + bottom) / 2, WIDTH: right - left, HEIGHT: bottom - top})

    def scale(self, factor: float) -> None:
        """Make the box so many times as large; a point has no size."""
        if self.box.shape == POINT:
            return
        self._set({WIDTH: self.box.width * factor, HEIGHT: self.box.height * factor})

    def _set(self, values: dict[str, float]) -> None:
        self._bridge.set_many({key: row(key).clamp(value)[0] for key, value in values.items()})


class BoxPen:
    """The tool in a preview's hand. `place` tells the way to what annotators see of the camera."""

    def __init__(self, tool: BoxTool, place: Callable[[], Way | None]) -> None:
        self._tool = tool
        self._place = place
        self._drag: Callable[[Point], None] | None = None

    def press(self, at: Point, erases: bool) -> None:
        """Take the box, one of its corners, or begin a new one; have the point come here."""
        way = self._place()
        if way is None:
            return
        point, box = way.there(at), self._tool.box
        if box.shape == POINT:
            self._drag = lambda to: self._tool.move(*to)
            self._drag(point)
        elif (opposite := _corner_opposite(box, point)) is not None:
            self._drag = lambda to: self._tool.span(opposite, to)
        elif _holds(box, point):
            apart = (box.x - point[0], box.y - point[1])
            self._drag = lambda to: self._tool.move(to[0] + apart[0], to[1] + apart[1])
        else:
            self._drag = lambda to: self._tool.span(point, to)

    def hover(self, at: Point) -> None:
        """Drag what was taken."""
        way = self._place()
        if way is not None and self._drag is not None:
            self._drag(way.there(at))

    def lift(self) -> None:
        """Let it go."""
        self._drag = None

    def leave(self) -> None:
        """Nothing is shown under the mouse."""

    def turn(self, notches: float) -> None:
        """A larger or a smaller box."""
        self._tool.scale(_PER_NOTCH**notches)

    def paint(self, painter: QPainter, frame: QRectF) -> None:
        """The box with its corners, or the point as a ring."""
        way = self._place()
        if way is None:
            return
        box = self._tool.box
        if box.shape == POINT:
            _paint_ring(painter, within(frame, way.back((box.x, box.y)), way.back((box.x, box.y + RADIUS))))
            return
        first, last = _corners(box)[0], _corners(box)[3]
        shown = within(frame, way.back(first), way.back(last))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for ink, width in ((theme.STAGE, 4.0), (theme.VIOLET, 2.0)):
            painter.setPen(QPen(QColor(ink), width))
            painter.drawRect(shown)
        painter.setBrush(QColor(theme.VIOLET))
        for corner in (shown.topLeft(), shown.topRight(), shown.bottomLeft(), shown.bottomRight()):
            painter.drawRect(QRectF(corner - QPointF(3, 3), corner + QPointF(3, 3)))


def _paint_ring(painter: QPainter, radius: QRectF) -> None:
    """A ring around the one end of `radius`, an upright line, through its other end."""
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for ink, width in ((theme.STAGE, 4.0), (theme.VIOLET, 2.0)):
        painter.setPen(QPen(QColor(ink), width))
        painter.drawEllipse(radius.topLeft(), abs(radius.height()), abs(radius.height()))


def _corners(box: Box) -> tuple[Point, Point, Point, Point]:
    """Top left, top right, bottom left, bottom right."""
    left, right = box.x - box.width / 2, box.x + box.width / 2
    top, bottom = box.y - box.height / 2, box.y + box.height / 2
    return (left, top), (right, top), (left, bottom), (right, bottom)


def _corner_opposite(box: Box, point: Point) -> Point | None:
    """The corner that stays when the one at `point` is dragged; None where none is near."""
    corners = _corners(box)
    for index, corner in enumerate(corners):
        if abs(corner[0] - point[0]) < _NEAR and abs(corner[1] - point[1]) < _NEAR:
            return corners[3 - index]
    return None


def _holds(box: Box, point: Point) -> bool:
    return abs(point[0] - box.x) <= box.width / 2 and abs(point[1] - box.y) <= box.height / 2

"""The big knob of a macro: drag up and down, wheel, double-click for the default, Shift for fine.

Knows its row (name, range, unit) and what it is told to show; it does not know the store.
"""

import math

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QRadialGradient,
    QWheelEvent,
)

from app import theme
from app.controls.ranged import Ranged
from app.map_dot import MapDot
from app.painting import draw_badge
from app.wording import value_text
from engine.core.parameters import Parameter

FULL_TURN_PX = 220.0  # pixels of drag from low to high
WHEEL_STEP = 1 / 50  # of the range per notch
FINE = 0.1
_START, _SWEEP = 225.0, 270.0  # degrees, counter-clockwise from three o'clock
_DRAWN_DIGITS = 4
_MARK_PX = 24  # the badge left of the name, and as much for the map dot at its right


class Knob(Ranged):
    """One macro knob with name, value, latency badge, map dot and the ghost of the hardware's position."""

    edited = Signal(object)

    def __init__(self, row: Parameter, label: str = "") -> None:
        super().__init__(row)
        self._label = label or row.label
        self.dot = MapDot(self)
        self._dragged_from: float | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.SizeVerCursor)
        self.setMinimumSize(68, 124)

    def sizeHint(self) -> QSize:  # noqa: D102
        return QSize(112, 148)

    def nudge(self, distance: float) -> None:
        """Turn by `distance` of the whole range."""
        self._norm = min(max(self._norm + distance, 0.0), 1.0)
        value = self._row.native(self._norm)
        if isinstance(value, float):
            value = self._row.check(round(value, _DRAWN_DIGITS))
        if value != self._value:
            self._value = value
            self.edited.emit(value)
            self.update()

    # --- gestures ---------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        if event.button() == Qt.MouseButton.LeftButton:
            self._dragged_from = event.position().y()
            self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        if self._dragged_from is None:
            return
        y = event.position().y()
        distance = (self._dragged_from - y) / FULL_TURN_PX
        self._dragged_from = y
        self.nudge(distance * _fineness(event.modifiers()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        self._dragged_from = None
        self.update()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        if event.button() == Qt.MouseButton.LeftButton:
            self._dragged_from = None
            self.edited.emit(self._row.default)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: D102
        turned = event.angleDelta()
        # Some systems turn a wheel with Shift sideways.
        notches = (turned.y() or turned.x()) / 120.0
        self.nudge(notches * WHEEL_STEP * _fineness(event.modifiers()))
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        steps = {
            Qt.Key.Key_Up: 1.0, Qt.Key.Key_Right: 1.0, Qt.Key.Key_Down: -1.0, Qt.Key.Key_Left: -1.0,
            Qt.Key.Key_PageUp: 5.0, Qt.Key.Key_PageDown: -5.0,
        }  # fmt: skip
        key = Qt.Key(event.key())
        if key in steps:
            self.nudge(steps[key] * WHEEL_STEP * _fineness(event.modifiers()))
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: D102
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: D102
        self.update()

    # --- looks ------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        face = self._face()
        self._paint_heading(painter)
        self._paint_track(painter, face)
        self._paint_body(painter, face)
        if self.idle:
            hatch = QBrush(theme.colour(theme.SECONDARY, 0.55), Qt.BrushStyle.BDiagPattern)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(hatch)
            painter.drawEllipse(face.adjusted(11, 11, -11, -11))
        if self.dot.lamp.ghost is not None:
            self._paint_ghost(painter, face, self.dot.lamp.ghost)
        self._paint_value(painter)
        painter.end()

    def _face(self) -> QRectF:
        """The square that the track runs in."""
        side = min(self.width() - 16.0, self.height() - 52.0, 132.0)
        room = self.height() - 52.0
        return QRectF((self.width() - side) / 2, 24 + (room - side) / 2, side, side).adjusted(3, 3, -3, -3)

    def _paint_heading(self, painter: QPainter) -> None:
        painter.setFont(theme.font(13))
        painter.setPen(QColor(theme.TEXT))
        box = QRectF(0, 0, self.width(), 20)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, self._label)
        beside = painter.fontMetrics().horizontalAdvance(self._label) + 2 * _MARK_PX <= self.width()
        y = 10 if beside else 31  # a narrow knob is round: its corners are free
        draw_badge(painter, QPointF(12, y), self._row.effect)
        self.dot.draw(painter, QPointF(self.width() - 12, y))

    def _paint_track(self, painter: QPainter, face: QRectF) -> None:
        lit = self._dragged_from is not None or self.hasFocus()
        _arc(painter, face, 0.0, 1.0, theme.mixed(theme.CONTROL, theme.HAIRLINE, 0.8), 5.0)
        if self._norm > 0.002:
            live = QColor(theme.LIVE) if lit else theme.mixed(theme.LIVE, theme.PANEL, 0.14)
            live = theme.mixed(theme.LIVE, theme.PANEL, 0.65) if self.idle else live
            _arc(painter, face, 0.0, self._norm, live, 5.0)
        if self.dot.lamp.listening:
            ring = theme.colour(theme.BLUE, 0.4 + 0.6 * theme.pulse(self.dot.clock))
            _arc(painter, face.adjusted(-5, -5, 5, 5), 0.0, 1.0, ring, 2.5)
        default = _at(face.adjusted(-6, -6, 6, 6), self._row.normalized(self._row.default))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.SECONDARY))
        painter.drawEllipse(default, 1.4, 1.4)

    def _paint_body(self, painter: QPainter, face: QRectF) -> None:
        body = face.adjusted(11, 11, -11, -11)
        light = QRadialGradient(body.center() - QPointF(0, body.height() * 0.35), body.height())
        light.setColorAt(0.0, QColor("#353A41"))
        light.setColorAt(0.75, QColor(theme.CONTROL))
        light.setColorAt(1.0, QColor("#1B1E21"))
        painter.setPen(QPen(QColor("#3C4149") if self.hasFocus() else QColor("#2B2F34"), 1.0))
        painter.setBrush(light)
        painter.drawEllipse(body)
        tip, root = _at(body.adjusted(4, 4, -4, -4), self._norm), _at(body, self._norm)
        inner = body.center() + (root - body.center()) * 0.42
        painter.setPen(QPen(QColor(theme.LIVE), 2.6, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        painter.drawLine(inner, tip)

    def _paint_ghost(self, painter: QPainter, face: QRectF, ghost: float) -> None:
        """The hardware has not reached the value yet: a hollow mark where it is, dots on the way."""
        dotted = QPen(theme.colour(theme.AMBER, 0.8), 2.0, Qt.PenStyle.DotLine, Qt.PenCapStyle.RoundCap)
        low, high = sorted((ghost, self._norm))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(dotted)
        painter.drawArc(face, round(_degrees(high) * 16), round((high - low) * _SWEEP * 16))
        painter.setPen(QPen(QColor(theme.AMBER), 2.0))
        painter.setBrush(QColor(theme.PANEL))
        painter.drawEllipse(_at(face, ghost), 5.0, 5.0)

    def _paint_value(self, painter: QPainter) -> None:
        painter.setFont(theme.font(theme.LIVE_PX + 1))
        painter.setPen(QColor(theme.LIVE))
        box = QRectF(0, self.height() - 26, self.width(), 24)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, value_text(self._row, self._value))


def _fineness(modifiers: Qt.KeyboardModifier) -> float:
    return FINE if modifiers & Qt.KeyboardModifier.ShiftModifier else 1.0


def _degrees(norm: float) -> float:
    return _START - _SWEEP * norm


def _at(circle: QRectF, norm: float) -> QPointF:
    angle = math.radians(_degrees(norm))
    radius = circle.width() / 2
    return circle.center() + QPointF(math.cos(angle) * radius, -math.sin(angle) * radius)


def _arc(painter: QPainter, circle: QRectF, low: float, high: float, ink: QColor, width: float) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(ink, width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
    painter.drawArc(circle, round(_degrees(high) * 16), round((high - low) * _SWEEP * 16))

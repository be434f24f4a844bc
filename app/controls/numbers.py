"""Numbers that are no macro: a slider, a few side by side, or typed."""

from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QSpinBox, QWidget

from app import theme
from app.controls.hatched import Hatched
from app.controls.ranged import Ranged
from app.map_dot import MapDot
from app.painting import draw_hatch
from app.wording import value_text
from engine.core.parameters import Parameter, Value


class Slider(Ranged):
    """A number with a range: press or drag anywhere, wheel, arrows; double-click for the default."""

    edited = Signal(object)

    def __init__(self, row: Parameter) -> None:
        super().__init__(row)
        self.dot: MapDot | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setMinimumSize(84, 34)

    def show_ghost_of(self, dot: MapDot) -> None:
        """Mark on the track where the control of `dot` stands while it has not reached the value."""
        self.dot = dot
        dot.also(self)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        if event.button() == Qt.MouseButton.LeftButton:
            self._move_to(event.position().x() / max(1, self.width()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._move_to(event.position().x() / max(1, self.width()))

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        self.edited.emit(self._row.default)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: D102
        self._step(event.angleDelta().y() / 120.0)
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        if event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Right):
            self._step(1.0)
        elif event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Left):
            self._step(-1.0)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = _draw_field(painter, self)
        if self.idle:
            draw_hatch(painter, box)
        painter.setPen(Qt.PenStyle.NoPen)
        track = QRectF(box.left() + 6, box.bottom() - 5, box.width() - 12, 2.5)
        painter.setBrush(QColor(theme.HAIRLINE))
        painter.drawRoundedRect(track, 1, 1)
        whole = track.width()
        track.setWidth(max(2.5, whole * self._norm))
        painter.setBrush(QColor(theme.LIVE))
        painter.drawRoundedRect(track, 1, 1)
        if self.dot is not None and self.dot.lamp.ghost is not None:
            painter.setPen(QPen(QColor(theme.AMBER), 1.5))
            painter.setBrush(QColor(theme.PANEL))
            painter.drawEllipse(
                QPointF(track.left() + whole * self.dot.lamp.ghost, track.center().y()), 3.5, 3.5
            )
        painter.setPen(QColor(theme.SECONDARY if self.idle else theme.LIVE))
        painter.setFont(theme.font(15))
        inner = box.adjusted(10, 0, -10, -3)
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter, value_text(self._row, self._value))
        painter.end()

    def _step(self, notches: float) -> None:
        if self._row.kind == "int":
            self._say(self._row.clamp(float(self._value) + notches)[0])
        else:
            self._move_to(self._norm + notches / 50)

    def _move_to(self, norm: float) -> None:
        self._norm = min(max(norm, 0.0), 1.0)
        value = self._row.native(self._norm)
        self._say(round(value, 4) if isinstance(value, float) else value)

    def _say(self, value: Value) -> None:
        if value != self._value:
            self._value = value
            self._norm = self._row.normalized(value)
            self.edited.emit(value)
            self.update()


class Segments(Hatched):
    """A few whole numbers side by side."""

    edited = Signal(object)

    def __init__(self, row: Parameter) -> None:
        super().__init__()
        assert row.low is not None and row.high is not None
        self._values = list(range(int(row.low), int(row.high) + 1))
        self._words = {number: str(number) for number in self._values} | ({0: row.zero} if row.zero else {})
        self._value: Value = row.default
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setMinimumSize(24 * len(self._values), 34)

    def shown(self) -> Value:
        """The value on display."""
        return self._value

    def show_value(self, value: Value) -> None:
        """Show one of the numbers as chosen."""
        self._value = value
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        if event.button() == Qt.MouseButton.LeftButton:
            index = int(event.position().x() / self.width() * len(self._values))
            self._choose(index)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        if event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Down):
            self._choose(self._values.index(int(self._value)) - 1)
        elif event.key() in (Qt.Key.Key_Right, Qt.Key.Key_Up):
            self._choose(self._values.index(int(self._value)) + 1)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = _draw_field(painter, self)
        if self.idle:
            draw_hatch(painter, box)
        width = box.width() / len(self._values)
        painter.setFont(theme.font(15))
        for index, number in enumerate(self._values):
            cell = QRectF(box.left() + index * width, box.top(), width, box.height())
            chosen = number == self._value
            if chosen:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(QColor("#3F4142"))
                painter.drawRoundedRect(cell.adjusted(3, 3, -3, -3), 4, 4)
            painter.setPen(QColor(theme.LIVE if chosen and not self.idle else theme.SECONDARY))
            painter.drawText(cell, Qt.AlignmentFlag.AlignCenter, self._words[number])
        painter.end()

    def _choose(self, index: int) -> None:
        index = min(max(index, 0), len(self._values) - 1)
        if self._values[index] != self._value:
            self._value = self._values[index]
            self.edited.emit(self._value)
            self.update()


class NumberField(QSpinBox):
    """A whole number too large to turn: typed, wheel or arrows."""

    edited = Signal(object)

    def __init__(self, row: Parameter) -> None:
        super().__init__()
        assert row.low is not None and row.high is not None
        self.setRange(int(row.low), int(row.high))
        self.setMinimumWidth(84)  # seeds that one can read out; a longer one scrolls
        self.setKeyboardTracking(False)
        self.setAccelerated(True)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.valueChanged.connect(self.edited.emit)
        self.lineEdit().setTextMargins(6, 0, 0, 0)
        self.lineEdit().returnPressed.connect(self.clearFocus)

    def shown(self) -> Value:
        """The value on display."""
        return self.value()

    def show_value(self, value: Value) -> None:
        """Show `value` without saying that it was edited."""
        self.blockSignals(True)
        self.setValue(int(value))
        self.blockSignals(False)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        if event.key() == Qt.Key.Key_Escape:
            self.lineEdit().setText(self.textFromValue(self.value()))  # what was half typed is not sent
            self.clearFocus()  # the keys are the stage's again
        else:
            super().keyPressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: D102
        if self.hasFocus():  # passing over it must not change it
            super().wheelEvent(event)
        else:
            event.ignore()


def _draw_field(painter: QPainter, widget: QWidget) -> QRectF:
    """What `widget` draws its numbers on; returns the box of that."""
    box = QRectF(widget.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
    painter.setPen(QPen(QColor("#566070") if widget.hasFocus() else QColor(theme.HAIRLINE), 1))
    painter.setBrush(QColor("#1D2024"))
    painter.drawRoundedRect(box, 6, 6)
    return box

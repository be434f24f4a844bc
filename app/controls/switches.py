"""Two faces of a bool: the switch on a rail, and the chip, one small word that is lit."""

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from app import theme
from app.hands import Lamp
from app.painting import draw_map_dot
from engine.core.parameters import Value


class _OnOff(QWidget):
    """What both faces share: the value, and that a click, space or return asks for the other one."""

    edited = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._on = False
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def shown(self) -> Value:
        """The value on display."""
        return self._on

    def show_value(self, value: Value) -> None:
        """Show on or off."""
        self._on = value is True
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self.edited.emit(not self._on)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Space, Qt.Key.Key_Return):
            self.edited.emit(not self._on)
        else:
            super().keyPressEvent(event)


class Switch(_OnOff):
    """A bool: a small rail with a knob on it; its label stands elsewhere."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setFixedSize(44, 28)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rail = QRectF(4, self.height() / 2 - 10, 36, 20)
        border = QColor("#6C7787") if self.hasFocus() else QColor(theme.HAIRLINE)
        painter.setPen(QPen(border, 1))
        painter.setBrush(QColor("#4A4A44") if self._on else QColor(theme.CONTROL))
        painter.drawRoundedRect(rail, 10, 10)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.LIVE) if self._on else QColor("#767C85"))
        x = rail.right() - 10 if self._on else rail.left() + 10
        painter.drawEllipse(QPointF(x, rail.center().y()), 6.5, 6.5)
        painter.end()


class Chip(_OnOff):
    """A bool as one small word that is lit when on."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self._word = word
        self._lamp, self._clock = Lamp(), 0.0
        self.setFont(theme.font(theme.SMALL_PX))

    def sizeHint(self) -> QSize:  # noqa: D102
        return QSize(self.fontMetrics().horizontalAdvance(self._word) + 22, 28)

    def minimumSizeHint(self) -> QSize:  # noqa: D102
        return self.sizeHint()

    def show_lamp(self, lamp: Lamp, clock: float) -> None:
        """Show what the hands do with it."""
        if lamp != self._lamp or lamp.listening:
            self._lamp, self._clock = lamp, clock
            self.update()

    def changeEvent(self, event: QEvent) -> None:  # noqa: D102
        if event.type() == QEvent.Type.EnabledChange:
            self.update()
        super().changeEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        on = self._on and self.isEnabled()
        painter.setPen(QPen(QColor("#6C7787") if self.hasFocus() else QColor(theme.HAIRLINE), 1))
        painter.setBrush(QColor("#3F4142") if on else Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(box, 6, 6)
        painter.setFont(self.font())
        ink = theme.LIVE if on else theme.SECONDARY if self.isEnabled() else "#5F656D"
        painter.setPen(QColor(ink))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, self._word)
        draw_map_dot(painter, box.topRight() + QPointF(-6, 6), self._lamp, self._clock)
        painter.end()

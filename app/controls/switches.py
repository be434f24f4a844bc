"""Two faces of a bool: the switch on a rail, and the chip, one small word that is lit.

A chip of several words is a choice: what is pressed is the next one.
"""

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen

from app import theme
from app.controls.hatched import Hatched
from app.map_dot import MapDot
from app.painting import draw_hatch
from engine.core.parameters import Value


class OnOff(Hatched):
    """A bool on display; each face of it says with `edited` which value it asks for."""

    edited = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._on = False
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def shown(self) -> Value:
        """The value on display."""
        return self._on

    def show_value(self, value: Value) -> None:
        """Show on or off."""
        self._on = value is True
        self.update()


class _Clicked(OnOff):
    """What both faces here share: a click, space or return asks for the other value."""

    def __init__(self) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self.edited.emit(self._next())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Space, Qt.Key.Key_Return):
            self.edited.emit(self._next())
        else:
            super().keyPressEvent(event)

    def _next(self) -> Value:
        """What a press asks for."""
        return not self._on


class Switch(_Clicked):
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


class Chip(_Clicked):
    """A bool as one small word that is lit when on."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self._word = word
        self.dot = MapDot(self)
        self.setFont(theme.font(theme.SMALL_PX))

    def sizeHint(self) -> QSize:  # noqa: D102
        return QSize(self.fontMetrics().horizontalAdvance(self._word) + 22, 28)

    def minimumSizeHint(self) -> QSize:  # noqa: D102
        return self.sizeHint()

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
        if self.idle:
            draw_hatch(painter, box)
        painter.setFont(self.font())
        ink = theme.LIVE if on else theme.SECONDARY if self.isEnabled() else "#5F656D"
        painter.setPen(QColor(ink))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, self._word)
        self.dot.draw(painter, box.topRight() + QPointF(-6, 6))
        painter.end()


class TurnChip(Chip):
    """One of a few choices as one small word, lit unless it is the first; a press goes on to the next."""

    def __init__(self, choices: Sequence[tuple[str, str]]) -> None:
        """`choices`: values and their words."""
        super().__init__(choices[0][1])
        self._choices = list(choices)
        self._value: Value = choices[0][0]

    def shown(self) -> Value:
        """The value on display."""
        return self._value

    @property
    def text(self) -> str:
        """The word on display."""
        return self._word

    def show_value(self, value: Value) -> None:
        """Show `value` as chosen."""
        self._value = value
        self._word = dict(self._choices).get(str(value), str(value))
        super().show_value(value != self._choices[0][0])

    def sizeHint(self) -> QSize:  # noqa: D102
        widest = max(self.fontMetrics().horizontalAdvance(word) for _, word in self._choices)
        return QSize(widest + 22, 28)

    def _next(self) -> Value:
        values = [value for value, _ in self._choices]
        place = values.index(self._value) if self._value in values else -1
        return values[(place + 1) % len(values)]

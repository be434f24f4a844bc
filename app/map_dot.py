"""What the hands do with the key of a widget, as the widget shows it: the map dot."""

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen
from PySide6.QtWidgets import QWidget

from app import theme
from app.hands import Lamp

_INSET_PX = 7


class MapDot:
    """The lamp of one key, as a dot on `widget`, which draws it: `draw` in what it paints, or `paint` after.

    `clock` (seconds) drives the slow pulse while listening.
    """

    def __init__(self, widget: QWidget) -> None:
        self._widget = widget
        self._others: list[QWidget] = []
        self.lamp, self.clock = Lamp(), 0.0

    def also(self, widget: QWidget) -> None:
        """Paint `widget` anew with every new lamp too: it shows a part of it."""
        self._others.append(widget)

    def show_lamp(self, lamp: Lamp, clock: float) -> None:
        """Show a lamp."""
        if lamp != self.lamp or lamp.listening:
            self.lamp, self.clock = lamp, clock
            for widget in (self._widget, *self._others):
                widget.update()

    def draw(self, painter: QPainter, centre: QPointF) -> None:
        """Nothing when unmapped, a green dot when mapped (ringed while it is moved), blue while listening.

        A hollow amber one while the control stands elsewhere and has to pick the value up first.
        """
        if self.lamp.listening:
            painter.setPen(QPen(theme.colour(theme.BLUE, 0.35 + 0.65 * theme.pulse(self.clock)), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(centre, 5, 5)
        elif self.lamp.ghost is not None:
            painter.setPen(QPen(QColor(theme.AMBER), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(centre, 4, 4)
        elif self.lamp.mapped:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(theme.GREEN))
            painter.drawEllipse(centre, 3.5, 3.5)
            if self.lamp.moving:
                painter.setPen(QPen(QColor(theme.GREEN), 1.5))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawEllipse(centre, 6, 6)

    def paint(self) -> None:
        """Draw it in the upper right corner, over what the widget has just painted."""
        painter = QPainter(self._widget)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.draw(painter, QPointF(self._widget.width() - _INSET_PX, _INSET_PX))
        painter.end()

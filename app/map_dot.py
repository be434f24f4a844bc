"""The map dot in the corner of a widget that draws nothing else of the hands."""

from PySide6.QtCore import QPointF
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QWidget

from app.hands import Lamp
from app.painting import draw_map_dot

_INSET_PX = 7


class MapDot:
    """What the hands do with the key of `widget`, in its upper right corner."""

    def __init__(self, widget: QWidget) -> None:
        self._widget = widget
        self._lamp, self._clock = Lamp(), 0.0

    def show_lamp(self, lamp: Lamp, clock: float) -> None:
        """Show a lamp; `clock` (seconds) drives the slow pulse while listening."""
        if lamp != self._lamp or lamp.listening:
            self._lamp, self._clock = lamp, clock
            self._widget.update()

    def paint(self) -> None:
        """Draw it over what the widget has just painted."""
        painter = QPainter(self._widget)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        corner = QPointF(self._widget.width() - _INSET_PX, _INSET_PX)
        draw_map_dot(painter, corner, self._lamp, self._clock)
        painter.end()

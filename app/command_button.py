"""A button that asks for one command."""

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QPushButton

from app.bridge import Bridge
from app.hands import Lamp
from app.learnable import Learnable
from app.painting import draw_map_dot
from app.wording import command_tooltip
from controllers.binding import command_key

_ROOM_PX = 26  # beside the word: the frame, and the map dot in its corner


class CommandButton(QPushButton):
    """Acts when pressed, not when released: a picture is taken at the moment that was meant."""

    def __init__(self, name: str, bridge: Bridge, shortcut: str = "") -> None:
        """`name`: one of COMMANDS. `shortcut`: the key that does the same, for the tooltip."""
        super().__init__()
        self._lamp, self._clock = Lamp(), 0.0
        self.learnable = Learnable(command_key(name), bridge, self, command_tooltip(name, shortcut))
        self.learnable.adopt(self)
        self.setText(self.learnable.label)
        self.setAccessibleName(self.learnable.label)
        self.setObjectName("tool")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setMinimumWidth(self.fontMetrics().horizontalAdvance(self.text()) + _ROOM_PX)
        self.pressed.connect(lambda: bridge.command(name))

    def show_lamp(self, lamp: Lamp, clock: float) -> None:
        """Show what the hands do with it."""
        if lamp != self._lamp or lamp.listening:
            self._lamp, self._clock = lamp, clock
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        draw_map_dot(painter, QPointF(self.width() - 7, 7), self._lamp, self._clock)
        painter.end()

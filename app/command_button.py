"""A button that asks for one command."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QPushButton

from app.bridge import Bridge
from app.learnable import Learnable
from app.map_dot import MapDot
from app.wording import command_tooltip
from controllers.binding import command_key

_ROOM_PX = 26  # beside the word: the frame, and the map dot in its corner


class CommandButton(QPushButton):
    """Acts when pressed, not when released: a picture is taken at the moment that was meant."""

    def __init__(self, name: str, bridge: Bridge, shortcut: str = "") -> None:
        """`name`: one of COMMANDS. `shortcut`: the key that does the same, for the tooltip."""
        super().__init__()
        self.dot = MapDot(self)
        self.learnable = Learnable(command_key(name), bridge, self.dot, command_tooltip(name, shortcut))
        self.learnable.adopt(self)
        self.setText(self.learnable.label)
        self.setAccessibleName(self.learnable.label)
        self.setObjectName("tool")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setMinimumWidth(self.fontMetrics().horizontalAdvance(self.text()) + _ROOM_PX)
        self.pressed.connect(lambda: bridge.command(name))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        super().paintEvent(event)
        self.dot.paint()

"""What can have the mouse over the pictures, one at a time, while it is switched on."""

from PySide6.QtCore import QObject, Signal

from app.bridge import Bridge


class MouseTool(QObject):
    """A tool that is switched on and off; `changed` says that it was, or that what it works on changed."""

    changed = Signal()

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self.on = False
        self._bridge = bridge

    def switch(self, on: bool) -> None:
        """Begin or end using it."""
        if on != self.on:
            self.on = on
            self.changed.emit()

"""A control that may change nothing in the present mode, and says so by a hatch."""

from PySide6.QtWidgets import QWidget


class Hatched(QWidget):
    """Knows whether it is `idle`; how the hatch looks is for each control to paint."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = False

    def show_idle(self, idle: bool) -> None:
        """Hatch it while using it changes nothing in the present mode."""
        if idle != self.idle:
            self.idle = idle
            self.update()

"""What came over the wires last, and what became of it: the first place to look when a knob does nothing."""

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import theme
from app.bridge import Bridge
from app.panels.frame import Panel
from engine.runtime import Status

_LINE_PX = 18
_NOTHING = "Nothing has come over MIDI or OSC yet"


class Lines(QWidget):
    """As many of the newest lines as fit, the newest lowest and brightest."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: tuple[str, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def show_lines(self, lines: tuple[str, ...]) -> None:
        """Show these."""
        if lines != self._lines:
            self._lines = lines
            self.setToolTip("\n".join(lines))
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter = QPainter(self)
        painter.setFont(theme.font(theme.SMALL_PX))
        room = max(1, self.height() // _LINE_PX)
        shown = self._lines[-room:] or (_NOTHING,)
        metrics = painter.fontMetrics()
        for index, line in enumerate(shown):
            newest = index == len(shown) - 1 and bool(self._lines)
            painter.setPen(QColor(theme.TEXT if newest else theme.SECONDARY))
            box = QRectF(0, index * _LINE_PX, self.width(), _LINE_PX)
            short = metrics.elidedText(line, Qt.TextElideMode.ElideRight, self.width())
            painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, short)
        painter.end()


class SignalsPanel(Panel):
    """The last messages of both wires."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__("Signals")
        self._bridge = bridge
        self.lines = Lines()
        self.body.addWidget(self.lines, 1)
        bridge.status.connect(self._show_status)

    def _show_status(self, status: Status) -> None:
        if self.isVisible():
            self.lines.show_lines(self._bridge.hands.heard())

"""From the command line to the open window, and out again.

Importing the engine takes seconds (torch); meanwhile a small lamp is on screen. The window itself is put
together in app.main.
"""

import importlib
import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QEventLoop, QPointF, QRectF, Qt, QTimer
from PySide6.QtGui import QColor, QFont, QPainter, QPaintEvent, QRadialGradient
from PySide6.QtWidgets import QApplication, QWidget

from app import theme
from app.crash import CrashPath, start_log
from app.notices import Notices
from app.options import Options

if TYPE_CHECKING:
    from app.window import Window

_FRAME_MS = 30
_log = logging.getLogger(__name__)


def run(options: Options) -> int:
    """Open the window and stay until it is closed; returns the exit status."""
    start_log()
    if options.scale != 1.0:
        os.environ["QT_SCALE_FACTOR"] = str(options.scale)  # read once, when the application begins
    app = QApplication(["cuelight"])
    app.setApplicationDisplayName("Cuelight")
    app.setDesktopFileName("cuelight")
    app.setQuitOnLastWindowClosed(False)  # the window says when it is over
    theme.apply(app)
    splash = Splash()
    splash.show()
    _import_meanwhile(app, splash)

    from app.main import compose

    notices = Notices()
    crash = CrashPath(notices)
    crash.install()
    stage = compose(options, notices)
    stage.start()
    splash.close()
    _close_on_signals(stage.window)
    _log.info("the window is open")
    status = app.exec()
    stuck = stage.stop()
    crash.remove()
    if stuck:
        # Python's own end would pull the floor from under a thread that is deep inside a library, and abort.
        logging.shutdown()
        os._exit(status)
    return status


def _import_meanwhile(app: QApplication, splash: "Splash") -> None:
    """Import what is heavy on another thread, so that the lamp breathes and the desktop sees us alive."""
    importing = threading.Thread(target=importlib.import_module, args=("app.main",), name="import")
    importing.start()
    while importing.is_alive():
        splash.update()
        app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, _FRAME_MS)
        importing.join(_FRAME_MS / 1000)


class Splash(QWidget):
    """A lamp that slowly swells while the program loads."""

    def __init__(self) -> None:
        super().__init__(None, Qt.WindowType.SplashScreen | Qt.WindowType.FramelessWindowHint)
        self.setWindowTitle("Cuelight is starting")
        self.setFixedSize(360, 220)
        self._since = time.monotonic()
        room = self.screen().availableGeometry()
        self.move(room.center() - self.rect().center())

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QColor(theme.PANEL))
        lamp = QPointF(self.width() / 2, 86)
        swell = theme.pulse(time.monotonic() - self._since)
        glow = QRadialGradient(lamp, 52)
        for at, alpha in ((0.0, 1.0), (0.2, 1.0), (0.26, 0.3 + 0.2 * swell), (1.0, 0.0)):
            glow.setColorAt(at, theme.colour(theme.LIVE, alpha))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(glow)
        painter.drawEllipse(lamp, 52, 52)
        painter.setPen(QColor(theme.TEXT))
        painter.setFont(theme.font(20, QFont.Weight.DemiBold, 0.4))
        painter.drawText(QRectF(0, 146, self.width(), 28), Qt.AlignmentFlag.AlignCenter, "Cuelight")
        painter.setPen(QColor(theme.SECONDARY))
        painter.setFont(theme.font(theme.SMALL_PX))
        painter.drawText(QRectF(0, 176, self.width(), 20), Qt.AlignmentFlag.AlignCenter, "starting")
        painter.end()


def _close_on_signals(window: "Window") -> None:
    """Ctrl+C and a polite kill close the window; the bridge's timer lets Python notice them."""

    def close(_number: int, _frame: object) -> None:
        QTimer.singleShot(0, window, window.end)  # not in the middle of whatever is being painted

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, close)

"""What the audience sees, in a window of its own: borderless, full screen on the display of your choice.

It only shows the program channel; hiding or losing it never touches the engine. The display is remembered
by its name and serial number, not by its index: when it is unplugged the window becomes small again on the
main display, below the operator's window, and goes back when the display returns.
"""

from collections.abc import Callable

from PySide6.QtCore import QPoint, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QCloseEvent,
    QColor,
    QGuiApplication,
    QHideEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QScreen,
    QShowEvent,
)
from PySide6.QtWidgets import QWidget

from app import theme
from app.live_picture import LivePicture, draw_picture
from engine.core.parameters import Value
from engine.core.types import Image

HIDE_CURSOR_MS = 1000
_WINDOWED = QSize(640, 360)
_EDGE_PX = 12  # a press this close to the lower right corner resizes


def identity(screen: QScreen) -> str:
    """What a display is remembered by."""
    return "|".join((screen.name(), screen.model(), screen.serialNumber()))


class OutputWindow(LivePicture):
    """The second window. `opened` tells whether it is on screen; `display` remembers where."""

    opened = Signal(bool)

    def __init__(self, pull: Callable[[], Image | None], operator: QWidget, display: str = "") -> None:
        super().__init__(pull, Qt.WindowType.Window | Qt.WindowType.FramelessWindowHint)
        self.setWindowTitle("Cuelight output")
        self.setAttribute(Qt.WidgetAttribute.WA_QuitOnClose, False)
        self.setAttribute(Qt.WidgetAttribute.WA_ShowWithoutActivating)
        self.setMouseTracking(True)
        self.setMinimumSize(240, 135)
        self.resize(_WINDOWED)
        self.display = display
        self._operator = operator
        self._was_full = bool(display)
        self._pulling = QTimer(self)  # a clock of its own: the operator's window is drawn less often
        self._pulling.setTimerType(Qt.TimerType.PreciseTimer)
        self._pulling.timeout.connect(self.refresh)
        self._hide_cursor = QTimer(self)
        self._hide_cursor.setSingleShot(True)
        self._hide_cursor.setInterval(HIDE_CURSOR_MS)
        self._hide_cursor.timeout.connect(lambda: self.setCursor(Qt.CursorShape.BlankCursor))
        app = QGuiApplication.instance()
        assert isinstance(app, QGuiApplication)
        app.screenRemoved.connect(self._display_left)
        app.screenAdded.connect(self._display_came)

    def show_rate(self, fps: Value) -> None:
        """Look for a new picture twice as often as one comes, so that none is passed over."""
        self._pulling.setInterval(int(500 / float(fps)))

    # --- opening ----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Show it: full screen on the remembered or any second display, else in a small window."""
        screen = self._wanted_screen()
        if screen is None:
            waits = self._was_full
            self._show_small()
            self._was_full = waits  # a display that is remembered gets the picture when it comes
        else:
            self._show_full(screen)

    def toggle_full(self) -> None:
        """Full screen on the display it is on, or back to a small window; opens it when it is closed.

        From beside the operator's controls it goes to another display where there is one.
        """
        if not self.isVisible():
            self.open()
        elif self.isFullScreen():
            self._show_small()
        else:
            here = self.screen()
            over_controls = here is self._operator.screen()
            self._show_full(self._wanted_screen() or here if over_controls else here)

    def _wanted_screen(self) -> QScreen | None:
        """The remembered display, else any that the operator does not use; None where there is none.

        The operator's own display only where it is remembered and the only one.
        """
        screens = QGuiApplication.screens()
        others = [screen for screen in screens if screen is not self._operator.screen()]
        for screen in others or screens:
            if identity(screen) == self.display:
                return screen
        return others[0] if others else None

    def _show_full(self, screen: QScreen) -> None:
        self.display = identity(screen)
        self._was_full = True
        self.setScreen(screen)
        self.setGeometry(screen.geometry())
        self._appear(Qt.WindowState.WindowFullScreen)
        if screen is self._operator.screen():
            self.activateWindow()  # it covers the operator's window, so Esc must reach it
        self._arm_cursor()

    def _show_small(self) -> None:
        """A small window over the operator's program picture, which shows the same: never over controls."""
        self._was_full = False
        self._appear(Qt.WindowState.WindowNoState)
        self.resize(_WINDOWED)
        place = self.rect()
        place.moveCenter(self._operator.geometry().center())
        self.move(place.topLeft() - QPoint(0, self.height() // 4))
        self._arm_cursor()

    def _appear(self, state: Qt.WindowState) -> None:
        """Show it without taking the keyboard: a prompt that is being typed would go on as commands.

        So neither showFullScreen nor showNormal; and some desktops give the keyboard to any new window.
        """
        typing = self._operator.isActiveWindow()
        self.setWindowState(state)
        self.show()
        if typing:
            self._operator.activateWindow()
        self.raise_()  # after the operator's window, which came to the front with the keyboard

    # --- displays come and go ---------------------------------------------------------------------------

    def _display_left(self, screen: QScreen) -> None:
        if self.isVisible() and self.isFullScreen() and identity(screen) == self.display:
            self._show_small()
            self._was_full = True  # so that it goes back
            self.lower()
            self._operator.raise_()

    def _display_came(self, screen: QScreen) -> None:
        if self.isVisible() and self._was_full and identity(screen) == self.display:
            self._show_full(screen)

    # --- hands on it ------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        # Only a focused window gets keys, so Esc in the operator's window never ends the show.
        if event.key() == Qt.Key.Key_Escape and not event.modifiers() and self.isFullScreen():
            self._show_small()
        else:
            super().keyPressEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        self.toggle_full()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        handle = self.windowHandle()
        if event.button() == Qt.MouseButton.LeftButton and not self.isFullScreen() and handle is not None:
            if self._at_corner(event.position().toPoint()):
                handle.startSystemResize(Qt.Edge.RightEdge | Qt.Edge.BottomEdge)
            else:
                handle.startSystemMove()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        self._arm_cursor(event.position().toPoint())

    def _arm_cursor(self, at: QPoint | None = None) -> None:
        corner = at is not None and not self.isFullScreen() and self._at_corner(at)
        self.setCursor(Qt.CursorShape.SizeFDiagCursor if corner else Qt.CursorShape.ArrowCursor)
        self._hide_cursor.start()

    def _at_corner(self, at: QPoint) -> bool:
        return at.x() > self.width() - _EDGE_PX and at.y() > self.height() - _EDGE_PX

    # --- on screen --------------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:  # noqa: D102
        self._pulling.start()
        self.opened.emit(True)

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: D102
        if not event.spontaneous():
            self._pulling.stop()
            self.opened.emit(False)

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: D102
        self._hide_cursor.stop()
        self._image = None
        super().closeEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor("#000000"))
        if self._image is not None:
            draw_picture(painter, QRectF(self.rect()), self._image)
        elif not self.isFullScreen():
            painter.setPen(QColor(theme.SECONDARY))
            painter.drawText(
                self.rect(), Qt.AlignmentFlag.AlignCenter, "Output: waiting for the first picture"
            )
        painter.end()

"""While an audience looks, the computer neither sleeps nor shows a screen saver.

MIDI and OSC are no input to a desktop: a performer who plays by hand for a quarter of an hour counts as away.
One way for each system; where none works it is said once, because the performer can do it by hand.
"""

import ctypes
import os
import platform
import subprocess
from collections.abc import Callable
from typing import Protocol

from app.errands import Errands
from app.notices import Notices

_SERVICE, _PATH = "org.freedesktop.ScreenSaver", "/org/freedesktop/ScreenSaver"
_CONNECTION = "cuelight-awake"
_ANSWER_MS = 2000
# SetThreadExecutionState: from now on, the display and the system are in use.
_CONTINUOUS, _SYSTEM, _DISPLAY = 0x80000000, 0x1, 0x2


class Lock(Protocol):
    """Keeps a computer awake from `take` to `free`."""

    def take(self) -> bool:
        """Begin; False where this computer has no such way."""
        ...

    def free(self) -> None:
        """End. Freeing what was not taken does nothing."""
        ...


class DesktopLock:
    """Linux: the freedesktop's service, which KDE, GNOME, Xfce and others have.

    It holds for as long as a connection of its own is open: a program that ends lets go by itself.
    """

    def take(self) -> bool:
        """Ask for it, at most some seconds."""
        from PySide6.QtDBus import QDBus, QDBusConnection, QDBusMessage

        bus = QDBusConnection.connectToBus(QDBusConnection.BusType.SessionBus, _CONNECTION)
        if not bus.isConnected():
            return False
        message = QDBusMessage.createMethodCall(_SERVICE, _PATH, _SERVICE, "Inhibit")
        message.setArguments(["Cuelight", "a live show is on screen"])
        answer = bus.call(message, QDBus.CallMode.Block, _ANSWER_MS)
        return answer.type() == QDBusMessage.MessageType.ReplyMessage

    def free(self) -> None:
        """Close the connection."""
        from PySide6.QtDBus import QDBusConnection

        QDBusConnection.disconnectFromBus(_CONNECTION)


class WindowsLock:
    """Windows: the state of the thread that asks, which must live as long as the show."""

    def take(self) -> bool:
        """Say that display and system are in use."""
        return self._say(_CONTINUOUS | _SYSTEM | _DISPLAY)

    def free(self) -> None:
        """Say that they are not any more."""
        self._say(_CONTINUOUS)

    def _say(self, state: int) -> bool:
        return bool(ctypes.WinDLL("kernel32").SetThreadExecutionState(ctypes.c_uint(state)))  # type: ignore[attr-defined,unused-ignore]


class MacLock:
    """macOS: the system's own `caffeinate`, which ends with this process whatever ends it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def take(self) -> bool:
        """Start it."""
        try:
            self._process = subprocess.Popen(["/usr/bin/caffeinate", "-d", "-i", "-w", str(os.getpid())])
        except OSError:
            return False
        return True

    def free(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()


class Awake:
    """Holds the lock while it is wanted. Asked on the window's thread; the lock is held by the errands'."""

    def __init__(self, errands: Errands, notices: Notices, lock: Lock) -> None:
        self._errands = errands
        self._notices = notices
        self._lock = lock
        self._wanted = False
        self._told = False

    def want(self, wanted: bool) -> None:
        """Keep the computer awake from now on, or no longer; never waits."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._errands.run(self._take if wanted else self._lock.free)

    def _take(self) -> None:
        if not self._lock.take() and not self._told:
            self._told = True
            self._notices.post(
                "This computer may fall asleep or show its screen saver during the show",
                "switch both off in its settings: here the program cannot",
                "warning",
            )


def system_lock() -> Lock:
    """The lock of this system."""
    made: dict[str, Callable[[], Lock]] = {"Windows": WindowsLock, "Darwin": MacLock}
    return made.get(platform.system(), DesktopLock)()

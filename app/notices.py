"""What the performer should read, posted from any thread and taken by the window's message strip."""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Literal

from engine.core.errors import CuelightError

Level = Literal["info", "warning", "error"]


@dataclass(frozen=True)
class Notice:
    """One line: what happened, and what to do about it (may be empty)."""

    what: str
    fix: str = ""
    level: Level = "error"


class Notices:
    """A short mailbox; when nobody empties it, the oldest lines go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Notice] = deque(maxlen=64)

    def post(self, what: str, fix: str = "", level: Level = "error") -> None:
        """Say something. Any thread, never waits."""
        with self._lock:
            self._waiting.append(Notice(what, fix, level))

    def report(self, error: BaseException) -> None:
        """Say what went wrong, in the words of the error."""
        if isinstance(error, CuelightError):
            self.post(error.what, error.fix)
        else:
            self.post(f"{type(error).__name__}: {error}", "the show goes on; the log has the details")

    def take(self) -> list[Notice]:
        """Everything said since the last call, oldest first."""
        with self._lock:
            taken = list(self._waiting)
            self._waiting.clear()
        return taken

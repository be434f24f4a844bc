"""What went wrong lately, for the operator: written by every thread, read by the status."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from engine.core.errors import CuelightError

_KEPT = 8
_LONGEST = 400


@dataclass(frozen=True)
class Report:
    """One message: when it was last true (monotonic seconds), which thread says so, how often in a row."""

    at: float
    where: str
    text: str
    count: int = 1


def describe(error: BaseException) -> str:
    """An error in words for a person: ours as they are, others with their type."""
    if isinstance(error, CuelightError):
        return str(error)
    return f"{type(error).__name__}: {error}"[:_LONGEST]


class Reports:
    """The last few messages; one that repeats is counted instead of pushing the others out."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: deque[Report] = deque(maxlen=_KEPT)

    def add(self, where: str, error: BaseException | str) -> None:
        """Note `error` of the thread `where`."""
        text = error if isinstance(error, str) else describe(error)
        report = Report(self._clock(), where, text)
        with self._lock:
            for index, old in enumerate(self._kept):
                if (old.where, old.text) == (where, text):
                    del self._kept[index]
                    report = replace(report, count=old.count + 1)
                    break
            self._kept.append(report)

    def recent(self) -> tuple[Report, ...]:
        """The messages, oldest first."""
        with self._lock:
            return tuple(self._kept)

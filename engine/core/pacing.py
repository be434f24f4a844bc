"""A steady beat for the output: deadlines that do not drift, lateness that is counted."""

import math
import time
from collections.abc import Callable


def back_off(first: float, failures: int, most: float) -> float:
    """Seconds to wait after so many `failures`: `first` times 2 for each one before, at most `most`."""
    doublings = min(failures, 64)  # beyond that a float is far above any `most`, and soon overflows
    return min(first * 2.0**doublings, most)


class Pacer:
    """Deadlines `1 / rate` seconds apart.

    `clock` gives seconds; `wait(seconds)` sleeps (a worker passes its own `pause`, so that stopping
    wakes it). Both are replaced in tests. Use from one thread.
    """

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._period = _period(rate)
        self._clock = clock
        self._wait = wait
        self._origin: float | None = None
        self._count = 0
        self.ticks = 0
        self.late = 0
        self.skipped = 0

    @property
    def period(self) -> float:
        """Seconds between two deadlines."""
        return self._period

    def set_rate(self, rate: float) -> None:
        """Change the rate; the next deadline is one new period after the last one."""
        period = _period(rate)
        if period == self._period:
            return
        if self._origin is not None:
            # `_count` is the next deadline's number: start a new row of deadlines at the last one.
            self._origin += (self._count - 1) * self._period
            self._count = 1
        self._period = period

    def tick(self) -> float:
        """Wait for the next deadline; returns how late it was met, in seconds (0 when on time).

        The first call returns at once. Met more than one period late, the deadlines that have passed
        are skipped and counted, so that a pause is not followed by a burst.
        """
        now = self._clock()
        if self._origin is None:
            self._origin = now
        deadline = self._origin + self._count * self._period
        if now < deadline:
            self._wait(deadline - now)
            now = self._clock()
        lateness = max(0.0, now - deadline)
        missed = math.floor(lateness / self._period)
        self.skipped += missed
        self.late += missed > 0
        self._count += 1 + missed
        self.ticks += 1
        return lateness


def _period(rate: float) -> float:
    if not rate > 0 or math.isinf(rate):
        raise ValueError(f"a pacer's rate is a positive number of ticks per second, not {rate}")
    return 1.0 / rate

"""How many threads a network on a processor runs with: found by trying, again and again.

A pass of a small transformer is hundreds of short operations. Threads that help with one of them fall asleep
before the next, and waking them can take longer than they save; beside a window, a camera and an annotator
they have to wait for a core as well. A large network, or an idle machine with fast wake-ups, is the other
way round. So no number is right everywhere, and none is for good. The numbers that come out are the same
with any: torch shares out rows of a result, never the terms of a sum.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

import torch

TRIES = 3
"""Passes with each number of threads before one is preferred."""
REMEMBERED = 5
"""Passes with a number of threads whose median stands for it."""
LOOK_AGAIN = 24
"""One of so many passes is run with another number of threads, to notice that the machine has changed."""

_Seconds = tuple[float, ...]


class Threads:
    """Chooses for the passes of one network, by kind of pass.

    The number is set for the calling thread alone and put back after each pass. Several threads may call: at
    worst one of them learns nothing from a pass.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.perf_counter,
        get: Callable[[], int] = torch.get_num_threads,
        put: Callable[[int], None] = torch.set_num_threads,
    ) -> None:
        """Candidates are as many threads as torch has at the time, half of them, and so on down to one."""
        self._clock, self._get, self._put = clock, get, put
        self._taken: dict[Hashable, dict[int, _Seconds]] = {}
        self._passes = 0

    @contextmanager
    def chosen(self, kind: Hashable = None) -> Iterator[int]:
        """Run one pass of a kind with the number of threads that serves it best, and learn from its time.

        What runs inside must wait for its own results, as everything on a processor does.
        """
        most = self._get()
        taken = self._taken.setdefault((kind, most), dict.fromkeys(_halves(most), ()))
        threads = self._next(taken)
        self._put(threads)
        begin = self._clock()
        try:
            yield threads
        finally:
            taken[threads] = (*taken[threads], self._clock() - begin)[-REMEMBERED:]
            self._put(most)

    def _next(self, taken: dict[int, _Seconds]) -> int:
        """Whoever was tried too little; now and then whoever was not tried for long; else the quickest."""
        least = min(taken, key=lambda n: len(taken[n]))
        if len(taken[least]) < TRIES:
            return least
        best = min(taken, key=lambda n: _median(taken[n]))
        others = [n for n in taken if n != best]
        turn, self._passes = self._passes, self._passes + 1
        if others and turn % LOOK_AGAIN == LOOK_AGAIN - 1:
            return others[turn // LOOK_AGAIN % len(others)]
        return best


def _halves(most: int) -> tuple[int, ...]:
    """`most`, half of it, and so on down to 1."""
    found = [max(most, 1)]
    while found[-1] > 1:
        found.append(found[-1] // 2)
    return tuple(found)


def _median(values: _Seconds) -> float:
    return sorted(values)[len(values) // 2]

"""The governor: as good a picture as the machine can make in time. Pure arithmetic on expected costs.

Where a least rate is set, a chunk of so many frames has a deadline. Of all allowed combinations of steps and
hints the best one that meets it is taken, by what the cost model expects: it is not found out by being late.
It gives way at once and comes back only with room to spare, so that the picture does not change to and fro.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.model.hints import HintPolicy, renewed

ROOM = 0.85
"""A better combination must be expected to need at most this part of the deadline."""


@dataclass(frozen=True)
class Effort:
    """Denoising steps of a chunk, how often hints are made in them, and whether a clean pass follows."""

    steps: int
    hints: HintPolicy
    clean: bool = True

    @property
    def hinted(self) -> int:
        """At how many steps hints are made."""
        return len(renewed(self.hints, self.steps))

    @property
    def text(self) -> str:
        """In words, such as `2 steps, hints at 1`."""
        steps = f"{self.steps} step{'' if self.steps == 1 else 's'}"
        hints = "" if self.hints == "every" else f", hints at {self.hinted}"
        return f"{steps}{hints}{'' if self.clean else ', no clean pass'}"


def efforts(most_steps: int, allowed: Callable[[int], Effort]) -> tuple[Effort, ...]:
    """What a performer lets the program choose from, the best first.

    `allowed`: what so many steps take. What was proven good to leave out is left out already, so what can
    still give way are steps.
    """
    return tuple(allowed(steps) for steps in range(most_steps, 0, -1))


class Governor:
    """Chooses for one stream; keeps what it chose last."""

    def __init__(self) -> None:
        self._last: Effort | None = None

    def choose(
        self, ladder: Sequence[Effort], expected: Callable[[Effort], float | None], deadline_s: float
    ) -> Effort:
        """The best of `ladder` (best first, not empty) that is expected to be in time; else the cheapest.

        While nothing is known the best one runs, and is measured by that.
        """
        place = ladder.index(self._last) if self._last in ladder else 0
        for index, effort in enumerate(ladder):
            seconds = expected(effort)
            allowed_s = deadline_s * (ROOM if index < place else 1.0)
            if seconds is None or seconds <= allowed_s:
                self._last = effort
                return effort
        self._last = ladder[-1]
        return self._last

"""What is said on a terminal while clips are measured: it takes minutes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Self, TextIO

from engine.adherence.trials import Trial

WIDTH = 100  # columns of the line, which is written over again and again


class Progress:
    """A line on a terminal, and nothing where the words go into a file. Use it as a context."""

    def __init__(self, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = sys.stderr if out is None else out
        self._shown = self._out.isatty()
        self._clock, self._begin = clock, clock()
        self._measured, self._newest = 0, ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._shown:
            print(file=self._out)

    def drawing(self, trials: Iterable[Trial]) -> Iterator[Trial]:
        """The trials, each named when it is drawn."""
        for trial in trials:
            case = trial.case
            self._newest = f"{case.source} {case.control}, {case.name}, {case.words.prompt}"
            self._say()
            yield trial

    def measured(self) -> None:
        """One more is measured."""
        self._measured += 1
        self._say()

    def _say(self) -> None:
        if self._shown:
            minutes, seconds = divmod(round(self._clock() - self._begin), 60)
            said = f"{self._measured} measured in {minutes}:{seconds:02d}; {self._newest}"
            print(f"\r{said:<{WIDTH}.{WIDTH}}", end="", file=self._out, flush=True)

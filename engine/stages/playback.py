"""Playback: generated chunks come in bursts, their frames go out evenly. Pure arithmetic on given times.

Frames are played at the rate at which they are generated. At each arrival the rate is set so that what
is queued will be used up when the next chunk is expected, but for a small margin that follows the
measured jitter: so playback is smooth and latency cannot grow. Used by the output thread only.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from engine.core.types import Image
from engine.stages.generate import Chunk

_SMOOTHING = 0.3
_FASTEST_CHUNK_S = 0.05
# A chunk this much later than expected followed a stall: its interval says nothing about the engine's rate.
_STALL_FACTOR, _STALL_MORE_S = 3.0, 1.0
_MOST_QUEUED_CHUNKS = 3
_LEAST_MARGIN = 0.5  # frames: output ticks are coarse


@dataclass(frozen=True, eq=False)
class Playing:
    """The frame to show now; `new` when it was not shown before."""

    image: Image
    captured_at: float
    version: int
    new: bool


@dataclass(frozen=True, eq=False)
class _Queued:
    image: Image
    captured_at: float
    version: int


class Playback:
    """The queue between chunks and single output frames. Times are given, never asked for."""

    def __init__(self) -> None:
        self.repeats = 0
        self.skipped = 0
        self.last_chunk_at: float | None = None
        self.chunk_s = 0.0
        self._chunk_frames = 0
        self._jitter_s = 0.0
        self._rate = 0.0
        self._credit = 1.0  # frames due; a whole one lets the next frame out
        self._asked_at = 0.0
        self._queue: deque[_Queued] = deque()
        self._current: _Queued | None = None
        self._last_frames: Image | None = None

    @property
    def fps(self) -> float:
        """Frames generated per second, by the smoothed time between chunks; 0 before the first chunk."""
        return self._chunk_frames / self.chunk_s if self.chunk_s else 0.0

    @property
    def queued(self) -> int:
        """Frames that wait to be shown."""
        return len(self._queue)

    @property
    def last_frames(self) -> Image | None:
        """The frames of the newest chunk (u8 [N, H, W, 3]), to hold on to in a stall."""
        return self._last_frames

    def push(self, chunk: Chunk, now: float) -> None:
        """Take in a chunk that arrived at `now`."""
        count = len(chunk.frames)
        self._advance(now)
        self._measure(chunk)
        self._chunk_frames = count
        self.last_chunk_at = chunk.made_at
        self._last_frames = chunk.frames
        for image, captured_at in zip(chunk.frames, chunk.captured_at, strict=True):
            self._queue.append(_Queued(image, captured_at, chunk.version))
        while len(self._queue) > _MOST_QUEUED_CHUNKS * count:
            self._queue.popleft()
            self.skipped += 1
        margin = min(max(_LEAST_MARGIN, 2 * self._jitter_s * self.fps), count / 2)
        rate = (len(self._queue) + 1.0 - self._credit - margin) / self.chunk_s
        self._rate = min(max(rate, 0.5 * self.fps), 2.0 * self.fps)

    def picture(self, now: float) -> Playing | None:
        """The frame to show at `now`; None before the first chunk."""
        self._advance(now)
        new = 0
        while self._queue and self._credit >= 1.0:
            self._current = self._queue.popleft()
            self._credit -= 1.0
            new += 1
        if self._current is None:
            return None
        self.repeats += new == 0
        self.skipped += max(0, new - 1)
        return Playing(self._current.image, self._current.captured_at, self._current.version, new > 0)

    def _advance(self, now: float) -> None:
        """Let time pass: frames become due at the current rate."""
        self._credit += self._rate * max(0.0, now - self._asked_at)
        self._asked_at = now
        if not self._queue:
            self._credit = min(self._credit, 1.0)  # only the next frame can be overdue: it is shown at once

    def _measure(self, chunk: Chunk) -> None:
        """Follow the time between chunks and how much it varies."""
        before = self.last_chunk_at
        if before is None or chunk.made_at - before > _STALL_FACTOR * self.chunk_s + _STALL_MORE_S:
            self.chunk_s = max(chunk.took, _FASTEST_CHUNK_S)
            self._jitter_s = 0.0
            return
        interval = max(chunk.made_at - before, _FASTEST_CHUNK_S)
        self._jitter_s += _SMOOTHING * (abs(interval - self.chunk_s) - self._jitter_s)
        self.chunk_s += _SMOOTHING * (interval - self.chunk_s)


def held(frames: Image, seconds: float, fps: float = 4.0) -> tuple[int, int, float]:
    """Which two of `frames` to cross-fade after holding for `seconds`, and how much of the second.

    A still picture looks broken: the last frames run slowly backwards and forwards instead, beginning
    with the last one.
    """
    last = len(frames) - 1
    if last == 0:
        return 0, 0, 0.0
    way = seconds * fps % (2 * last)
    position = abs(last - way)  # last .. 0 .. last
    first = int(np.floor(position))
    return first, min(first + 1, last), position - first

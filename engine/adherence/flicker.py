"""Flicker: does the picture jump where one chunk ends and the next begins?"""

import numpy as np

from engine.core.types import Image

STILL = 0.25  # gray levels that are added to every change, so that a clip without motion says 1


class Changes:
    """The change of a clip from frame to frame, at the borders of chunks and inside them.

    Give it the frames in order; it keeps the last one only.
    """

    def __init__(self) -> None:
        self._last: Image | None = None
        self._chunk = 0
        self._inside: list[float] = []
        self._border: list[float] = []

    def add(self, frame: Image, chunk: int) -> None:
        """The next frame u8 [H, W, 3], and the number of the chunk that it came in."""
        if self._last is not None:
            change = float(np.abs(frame.astype(np.int16) - self._last.astype(np.int16)).mean())
            (self._inside if chunk == self._chunk else self._border).append(change)
        self._last, self._chunk = frame, chunk

    @property
    def ratio(self) -> float | None:
        """Mean change at borders over mean change inside chunks; None for a single chunk."""
        if not self._inside or not self._border:
            return None
        return (float(np.mean(self._border)) + STILL) / (float(np.mean(self._inside)) + STILL)


def flicker(generated: Changes, true: Changes) -> float | None:
    """By how much more a generated clip changes at the borders of chunks than the true one changes there.

    1: no flicker. None where a ratio is missing.
    """
    if generated.ratio is None or true.ratio is None:
        return None
    return generated.ratio / true.ratio

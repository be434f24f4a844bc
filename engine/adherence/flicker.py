"""Flicker and stutter: does the picture jump where a chunk, or a latent of it, ends and the next begins?"""

import numpy as np

from engine.core.types import Image
from engine.model.latent_space import FRAMES_PER_LATENT

FIRST_CHUNK = 1  # of a stream
STILL = 0.25  # gray levels that are added to every change, so that a clip without motion says 1


class Changes:
    """The change of a clip from frame to frame, at the borders of its parts and inside them.

    Give it the frames in order; it keeps the last one only.
    """

    def __init__(self) -> None:
        self._last: Image | None = None
        self._part = 0
        self._inside: list[float] = []
        self._border: list[float] = []

    def add(self, frame: Image, part: int) -> None:
        """The next frame u8 [H, W, 3], and the number of the part that it lies in."""
        if self._last is not None:
            change = float(np.abs(frame.astype(np.int16) - self._last.astype(np.int16)).mean())
            (self._inside if part == self._part else self._border).append(change)
        self._last, self._part = frame, part

    def cut(self) -> None:
        """What comes does not follow what was: the next frame has changed from nothing."""
        self._last = None

    @property
    def ratio(self) -> float | None:
        """Mean change at borders over mean change inside parts; None where one of them is missing."""
        if not self._inside or not self._border:
            return None
        return (float(np.mean(self._border)) + STILL) / (float(np.mean(self._inside)) + STILL)


class Motion:
    """How evenly a generated clip moves, beside the true one."""

    def __init__(self) -> None:
        self._chunks = Changes(), Changes()
        self._latents = Changes(), Changes()
        self._chunk, self._position = -1, 0

    def add(self, generated: Image, true: Image, chunk: int) -> None:
        """The next frame of both, u8 `[H, W, 3]`, and the number of its chunk; a stream begins with 1."""
        self._position = self._position + 1 if chunk == self._chunk else 0
        self._chunk = chunk
        for changes, latents, frame in zip(self._chunks, self._latents, (generated, true), strict=True):
            changes.add(frame, chunk)
            if not self._position:
                latents.cut()
            if chunk > FIRST_CHUNK:
                latents.add(frame, self._position // FRAMES_PER_LATENT)

    @property
    def flicker(self) -> float | None:
        """By how much more the generated clip changes at the borders of chunks than the true one does there.

        1: no flicker. None for a single chunk.
        """
        return against(*self._chunks)

    @property
    def stutter(self) -> float | None:
        """The same for the borders of latents within a chunk: a latent that stands still makes steps of them.

        1: as even as the clip. None without a second chunk: some autoencoders begin with a shorter latent.
        """
        return against(*self._latents)


def against(generated: Changes, true: Changes) -> float | None:
    """One ratio in parts of the other; None where one is missing."""
    if generated.ratio is None or true.ratio is None:
        return None
    return generated.ratio / true.ratio

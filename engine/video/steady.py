"""What keeps a control picture steady over time: hold, when the subject is lost, and smoothing."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from engine.core.types import Image
from engine.video.annotation import Annotation

FADE = 8
"""Frames in which a held control picture fades into what the annotator draws of nobody."""


class Hold:
    """The last good annotation of one annotator, shown for a while after its subject is lost."""

    def __init__(self) -> None:
        self._good: Annotation | None = None
        self._lost = 0

    def keep(self, drawn: Annotation, frames: int) -> Annotation:
        """`drawn`, or for `frames` pictures after it was lost the last good one, which then fades away."""
        if drawn.found:
            self._good, self._lost = drawn, 0
            return drawn
        self._lost += 1
        good = self._good
        if good is None or frames == 0 or self._lost > frames + FADE or _sizes(good) != _sizes(drawn):
            self._good = None
            return drawn
        what = "control picture" if good.mask is None else "mask"
        note = f"{drawn.note}: the last {what} is held"
        if self._lost <= frames:
            return replace(good, note=note)
        return replace(good, control=_faded(good, drawn, self._lost - frames), note=note)


class Smoothing:
    """The running mean of control pictures."""

    def __init__(self) -> None:
        self._mean: npt.NDArray[np.float32] | None = None
        self._of = ""

    def smooth(self, picture: Image, memory: float, of: str) -> Image:
        """`picture` (u8 [H, W, 3]) with `memory` (0..1) of the mean so far; another `of` begins anew."""
        if self._mean is None or self._mean.shape != picture.shape or self._of != of or memory <= 0:
            self._mean, self._of = picture.astype(np.float32), of
            return picture
        self._mean += (picture - self._mean) * np.float32(1 - memory)
        return np.round(self._mean).astype(np.uint8)

    def forget(self) -> None:
        """The next picture is the first."""
        self._mean = None


def _sizes(drawn: Annotation) -> tuple[tuple[int, ...] | None, ...]:
    """The shapes of control picture and mask."""
    return tuple(None if part is None else part.shape for part in (drawn.control, drawn.mask))


def _faded(good: Annotation, drawn: Annotation, frame: int) -> Image | None:
    """`good`'s control, `frame` pictures (1..FADE) on the way to `drawn`'s."""
    if good.control is None or drawn.control is None:
        return good.control
    part = np.float32(frame / (FADE + 1))
    made = good.control + (drawn.control.astype(np.float32) - good.control) * part
    return np.round(made).astype(np.uint8)

"""A mask that is drawn by hand: strokes of a round brush, and the way back."""

from collections import deque

import numpy as np

from engine.core.types import Image
from engine.video.opencv import cv2

MOST_STEPS_BACK = 32
Point = tuple[float, float]


class MaskDrawing:
    """A mask u8 [H, W] of 0 (keep) and 255 (generate) that strokes change. One thread.

    Points are x, y in parts of its width and height and may lie outside 0..1.
    """

    def __init__(self, mask: Image) -> None:
        """Begin with `mask` (u8 [H, W]); it is not written to."""
        self._mask = mask.copy()
        self._before: deque[Image] = deque(maxlen=MOST_STEPS_BACK)
        self._steps = 0  # taken and not taken back, also those that cannot be any more
        self._level = 255
        self._at: Point | None = None

    @property
    def mask(self) -> Image:
        """The mask as it is now; it changes under whoever holds it."""
        return self._mask

    @property
    def drawing(self) -> bool:
        """Whether a stroke is under way."""
        return self._at is not None

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._before)

    @property
    def untouched(self) -> bool:
        """Whether it is as it began."""
        return self._steps == 0

    def begin(self, at: Point, radius: float, erases: bool = False) -> None:
        """Set the brush down; `radius` in parts of the height."""
        self._remember()
        self._level = 0 if erases else 255
        self._at = at
        self.move(at, radius)

    def move(self, at: Point, radius: float) -> None:
        """Draw on to a point; does nothing while the brush is up."""
        if self._at is None:
            return
        height, width = self._mask.shape
        start, end = (
            (round(min(max(x, -1.0), 2.0) * width), round(min(max(y, -1.0), 2.0) * height))
            for x, y in (self._at, at)
        )
        self._at = at
        cv2.line(self._mask, start, end, self._level, max(1, round(2 * radius * height)))

    def end(self) -> None:
        """Lift the brush."""
        self._at = None

    def clear(self) -> None:
        """Keep everything."""
        self._remember()
        self._mask[:] = 0

    def fill(self) -> None:
        """Generate everything."""
        self._remember()
        self._mask[:] = 255

    def invert(self) -> None:
        """Generate what was kept, and keep the rest."""
        self._remember()
        np.subtract(255, self._mask, out=self._mask)

    def undo(self) -> None:
        """Take the last stroke or step back, if there is one."""
        self._at = None
        if self._before:
            self._mask[:] = self._before.pop()
            self._steps -= 1

    def _remember(self) -> None:
        self._before.append(self._mask.copy())
        self._steps += 1

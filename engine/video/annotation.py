"""What every annotator gives back and has in common. The rows are in annotators.py."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.core.errors import AnnotatorError
from engine.core.types import Image
from engine.video.fit import picture_fault
from engine.video.opencv import cv2


@dataclass(frozen=True, eq=False, slots=True)
class Annotation:
    """What an annotator drew from one picture of H x W.

    `control` is u8 [H, W, 3] RGB or None (no control), `mask` u8 [H, W] or None (255 = generate,
    0 = keep). `found` is False when a person was looked for and none was seen; `note` then says so.
    """

    control: Image | None
    mask: Image | None
    found: bool = True
    note: str = ""


class Annotator(Protocol):
    """Draws the control picture of one picture after the other; one stream, one thread.

    It may remember the last pictures (calm lines, tracking), so a new stream takes a new annotator.
    """

    def annotate(self, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
        """The annotation of `image` (u8 [H, W, 3] RGB, already at the engine's size).

        `detail` 0..1 from few to many lines, `gain` 0..1 from the neutral picture to full contrast,
        `invert` swaps the two sides of a mask. Raises AnnotatorError.
        """
        ...

    def close(self) -> None:
        """Release what it holds; it is not used afterwards. Closing twice does nothing."""
        ...


def require_picture(image: Image, annotator: str) -> None:
    """Raise AnnotatorError when `image` is not u8 [H, W, 3]."""
    fault = picture_fault(image)
    if fault:
        raise AnnotatorError(
            f"the annotator {annotator} cannot read this picture: {fault}", "convert it to 8-bit RGB first"
        )


def fade(control: Image, neutral: int, gain: float) -> Image:
    """`control` (u8) at `gain` 0..1: at 0 all `neutral` (0..255), at 1 unchanged."""
    gain = min(max(gain, 0.0), 1.0)
    if gain == 1.0:
        return control
    levels = np.arange(256, dtype=np.float32)
    table = np.round(neutral + (levels - neutral) * gain).astype(np.uint8)
    return np.asarray(cv2.LUT(control, table), np.uint8)


def to_rgb(gray: Image) -> Image:
    """`gray` (u8 [H, W]) as three equal channels."""
    return np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB), np.uint8)

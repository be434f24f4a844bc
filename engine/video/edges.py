"""Edges: thin white lines on black, Canny on a lightly blurred picture."""

import numpy as np

from engine.core.types import Image
from engine.video.annotation import Annotation, fade, require_picture, to_rgb
from engine.video.opencv import cv2

NEUTRAL = 0
_BLUR = 1.0  # pixels: takes a webcam's noise away and leaves every outline
_FEW, _MANY = 140.0, 25.0  # upper threshold (Sobel units of luma) at detail 0 and 1
_WEAK = 0.4  # a line goes on while its strength is above this part of the upper threshold


class Edges:
    """White edges, one pixel wide, on black; `detail` lowers the threshold, `gain` fades to black."""

    def annotate(self, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
        """The edges of `image` (u8 [H, W, 3])."""
        require_picture(image, "edges")
        luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        strong = _FEW * (_MANY / _FEW) ** min(max(detail, 0.0), 1.0)
        lines = cv2.Canny(cv2.GaussianBlur(luma, (0, 0), _BLUR), strong * _WEAK, strong, L2gradient=True)
        return Annotation(control=fade(to_rgb(np.asarray(lines, np.uint8)), NEUTRAL, gain), mask=None)

    def close(self) -> None:
        """Nothing is held."""

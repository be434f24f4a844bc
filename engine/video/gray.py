"""Gray: the picture's light without its colours."""

import numpy as np

from engine.core.types import Image
from engine.video.annotation import Annotation, fade, require_picture, to_rgb
from engine.video.opencv import cv2

NEUTRAL = 128


class Gray:
    """Luma (0.299 R + 0.587 G + 0.114 B) in three equal channels; `gain` fades it to mid gray."""

    def annotate(self, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
        """The gray picture of `image` (u8 [H, W, 3])."""
        require_picture(image, "gray")
        luma = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        return Annotation(control=fade(to_rgb(luma), NEUTRAL, gain), mask=None)

    def close(self) -> None:
        """Nothing is held."""

"""Segmentation: a mask around the person. The model paints where the mask is white and keeps the rest."""

import numpy as np
import numpy.typing as npt

from engine.core.types import Image
from engine.video.annotation import Annotation, require_picture
from engine.video.opencv import cv2
from engine.video.people import PersonMask

GENERATED = 128  # VACE's gray for "to be painted"
_SURE = 0.5  # a pixel belongs to the person from this certainty on
_CALM = 0.5  # share of the last picture's certainty: the outline does not flicker, and lags half a frame
_MARGIN = 0.02  # the mask is wider than the person by this part of the height: no rim of the old one stays
_PRESENT = 0.005  # less of the picture than this is nobody


class Segmentation:
    """The picture with the person (inverted: the background) gray, and the mask of that part."""

    def __init__(self) -> None:
        """Load the network. Raises AnnotatorError."""
        self._person = PersonMask()
        self._last: npt.NDArray[np.float32] | None = None

    def annotate(self, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
        """Mask and masked picture of `image` (u8 [H, W, 3]). Kept pixels are exactly the picture's."""
        require_picture(image, "segmentation")
        sure = self._person.find(image)
        if self._last is not None and self._last.shape == sure.shape:
            sure = sure * (1 - _CALM) + self._last * _CALM
        self._last = sure
        person = np.where(sure >= _SURE, 255, 0).astype(np.uint8)
        found = bool(np.count_nonzero(person) >= _PRESENT * person.size)
        mask = _widened(255 - person if invert else person)
        control = np.where(mask[..., None] == 255, np.uint8(GENERATED), image)
        return Annotation(control, mask, found, "" if found else "no person seen")

    def close(self) -> None:
        """Free the network."""
        self._person.close()


def _widened(mask: Image) -> Image:
    """`mask` (0 or 255) grown by the margin on every side."""
    grow = max(1, round(_MARGIN * mask.shape[0]))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1, 2 * grow + 1))
    return np.asarray(cv2.dilate(mask, disk), np.uint8)

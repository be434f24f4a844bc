"""Segmentation: a mask around the person. The model paints where the mask is white and keeps the rest."""

import numpy as np

from engine.core.types import Image
from engine.video.annotation import Annotation, require_picture
from engine.video.masks import inpainting, with_margin
from engine.video.people import PRESENT, SURE, CalmPerson


class Segmentation:
    """The picture with the person (inverted: the background) gray, and the mask of that part."""

    def __init__(self) -> None:
        """Load the network. Raises AnnotatorError."""
        self._person = CalmPerson("segmentation")

    def annotate(self, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
        """Mask and masked picture of `image` (u8 [H, W, 3]). Kept pixels are exactly the picture's."""
        require_picture(image, "segmentation")
        person = np.where(self._person.find(image) >= SURE, np.uint8(255), np.uint8(0))
        found = bool(np.count_nonzero(person) >= PRESENT * person.size)
        mask = with_margin(255 - person if invert else person)
        return Annotation(inpainting(image, None, mask), mask, found, "" if found else "no person seen")

    def close(self) -> None:
        """Free the network."""
        self._person.close()

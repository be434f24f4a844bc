"""Kept means kept: outside the mask the audience sees the input's own pixels, not the model's copy of them.

Each generated picture goes over the very input picture that it was made from, so both are equally late.
"""

from collections import deque
from collections.abc import Iterable

import numpy as np

from engine.core.types import Image
from engine.video.opencv import cv2


def paste(generated: Image, source: Image, mask: Image, feather: float) -> Image:
    """`generated` where `mask` (u8 [H, W]) is set and `source` elsewhere, both u8 [H, W, 3].

    `feather`: width of the soft border in parts of the height. It lies inside the mask, so that what is kept
    stays exactly as it was.
    """
    inside = mask > 127
    if inside.all():
        return generated
    reach = feather * mask.shape[0]
    if reach < 1:
        return np.where(inside[..., None], generated, source)
    distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    share = np.minimum(np.asarray(distance, np.float32) / np.float32(reach + 1), 1)[..., None]
    mixed = source + (generated.astype(np.float32) - source) * share
    return np.rint(mixed).astype(np.uint8)


class Kept:
    """Input pictures and their masks, waiting for the pictures that are generated from them.

    A stream's first chunk may show fewer pictures than it took; the next one begins with those.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Image, Image | None]] = deque()

    def take(self, images: Iterable[Image], masks: Image | None) -> None:
        """The pictures that a chunk is made from, and its masks u8 [F, H, W], None where nothing is kept."""
        for index, image in enumerate(images):
            self._waiting.append((image, None if masks is None else masks[index]))

    def shown(self, generated: Image, feather: float | None) -> Image:
        """The next generated pictures u8 [F, H, W, 3] over what is kept; `feather` None: as they are.

        The oldest waiting inputs are theirs, one each.
        """
        pasted = generated
        for index, picture in enumerate(generated):
            source, mask = self._waiting.popleft() if self._waiting else (picture, None)
            if mask is None or feather is None or source.shape != picture.shape:
                continue
            if pasted is generated:
                pasted = generated.copy()
            pasted[index] = paste(picture, source, mask, feather)
        return pasted

    def forget(self) -> None:
        """The stream begins anew."""
        self._waiting.clear()

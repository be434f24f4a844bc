"""Masks: which part of a picture the model makes anew (255) and which it keeps (0). Pure functions.

Where a mask is set the control picture holds what leads the model, or mid gray where nothing does; elsewhere
it holds the camera's own pixels. So VACE was trained to read inpainting, alone or under another control.
"""

import numpy as np
import numpy.typing as npt

from engine.core.types import Image
from engine.video.fit import fit_crop
from engine.video.opencv import cv2

GENERATED = 128  # VACE's gray for "to be painted"
FRAMES_PER_LATENT = 4
MARGIN = 0.02  # a mask is wider than what was found by this part of the height: no rim of the old one stays


def mask_of(picture: Image, height: int, width: int) -> Image:
    """The mask u8 [height, width] that a picture u8 [H, W, 3] means, cropped to fill: light is 255."""
    fitted = fit_crop(picture, height, width)
    return np.where(fitted.mean(axis=2) > 127, np.uint8(255), np.uint8(0))


def grown(mask: Image, part: float) -> Image:
    """`mask` (u8 [H, W], 0 or 255) wider on every side by `part` of its height, in whole pixels."""
    reach = round(part * mask.shape[0])
    if reach < 1 or not mask.any():
        return mask
    # Distances cost the same for every reach; dilating with a wide disk would take a tenth of a second.
    away = cv2.distanceTransform(cv2.bitwise_not(mask), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.where(np.asarray(away) <= reach, np.uint8(255), np.uint8(0))


def with_margin(mask: Image) -> Image:
    """`mask` with the least margin that every mask has: at least one pixel."""
    return grown(mask, max(MARGIN, 1 / mask.shape[0]))


def inpainting(image: Image, picture: Image | None, mask: Image) -> Image:
    """The control picture under `mask` (u8 [H, W]): `picture` inside, `image` outside, both u8 [H, W, 3].

    Without a `picture` the inside is gray: the prompt alone leads there.
    """
    inside = np.uint8(GENERATED) if picture is None else picture
    return np.where(mask[..., None] > 127, inside, image)


def united(
    controls: npt.NDArray[np.uint8], masks: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """`controls` [F, H, W, 3] and `masks` [F, H, W] of one chunk with one mask for each latent.

    A latent holds four frames, but the model is shown the mask of one of them: what moves would leave a rim
    of its old pixels that belongs to "kept". So all four take the union, and where a frame itself was to be
    kept its control turns gray. Latents are counted from the end. A stream's first frame may be alone in its
    latent; what the model is shown of that is the mask of the second frame, so it joins the next four.
    """
    whole = np.empty_like(masks)
    count, alone = len(masks), len(masks) % FRAMES_PER_LATENT
    for start in range(alone if count > FRAMES_PER_LATENT else 0, count, FRAMES_PER_LATENT):
        part = slice(0 if start == alone else start, start + FRAMES_PER_LATENT)
        whole[part] = masks[part].max(axis=0)
    added = (whole > 127) & (masks <= 127)
    return np.where(added[..., None], np.uint8(GENERATED), controls), whole

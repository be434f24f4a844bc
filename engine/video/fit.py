"""Fitting one picture into another size: crop-to-fill for the engine, letterbox for fixed outputs."""

import numpy as np

from engine.core.types import Image
from engine.video.opencv import cv2


def picture_fault(image: object) -> str:
    """Why `image` is not an RGB picture (u8 [H, W, 3], H and W at least 1); empty when it is one."""
    if not isinstance(image, np.ndarray):
        return f"a picture is an array, not {type(image).__name__}"
    if image.dtype != np.uint8:
        return f"a picture holds bytes (uint8), not {image.dtype}"
    if image.ndim != 3 or image.shape[2] != 3:
        return f"a picture has the shape [height, width, 3 (RGB)], not {list(image.shape)}"
    if 0 in image.shape:
        return f"the picture is empty: {list(image.shape)}"
    return ""


def resize(image: Image, height: int, width: int) -> Image:
    """`image` (u8 [H, W, 3] or [H, W]) at exactly `height` x `width`: averaged down, interpolated up."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=way), np.uint8)


def fit_crop(image: Image, height: int, width: int) -> Image:
    """The middle of `image` (u8 [H, W, 3]) filling `height` x `width`, its proportions kept.

    What is too wide or too high is cut off evenly on both sides. Returns a contiguous array, which is
    `image` itself when it has that size already. Raises ValueError when `image` is no RGB picture.
    """
    _require_picture(image, height, width)
    have_h, have_w = image.shape[:2]
    if (have_h, have_w) == (height, width):
        return np.ascontiguousarray(image)
    # The largest middle part with the wanted proportions, in whole pixels, at least one.
    part_h = min(have_h, max(1, round(have_w * height / width)))
    part_w = min(have_w, max(1, round(have_h * width / height)))
    top, left = (have_h - part_h) // 2, (have_w - part_w) // 2
    part = image[top : top + part_h, left : left + part_w]
    return np.ascontiguousarray(resize(part, height, width))


def letterbox(image: Image, height: int, width: int) -> Image:
    """The whole of `image` (u8 [H, W, 3]) inside `height` x `width`, its proportions kept, black around it.

    Returns a contiguous array, which is `image` itself when it has that size already. Raises ValueError
    when `image` is no RGB picture.
    """
    _require_picture(image, height, width)
    have_h, have_w = image.shape[:2]
    if (have_h, have_w) == (height, width):
        return np.ascontiguousarray(image)
    scale = min(height / have_h, width / have_w)
    new_h = min(height, max(1, round(have_h * scale)))
    new_w = min(width, max(1, round(have_w * scale)))
    top, left = (height - new_h) // 2, (width - new_w) // 2
    box = np.zeros((height, width, 3), np.uint8)
    box[top : top + new_h, left : left + new_w] = resize(image, new_h, new_w)
    return box


def bounded(image: Image, longest: int) -> Image:
    """`image` (u8 [H, W, 3]) shrunk so that no side is longer than `longest`; smaller ones unchanged."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    return resize(image, max(1, round(height * scale)), max(1, round(width * scale)))


def _require_picture(image: Image, height: int, width: int) -> None:
    fault = picture_fault(image)
    if fault:
        raise ValueError(fault)
    if height < 1 or width < 1:
        raise ValueError(f"a picture cannot be fitted to {height} x {width}")

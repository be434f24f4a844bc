"""The stick figure of pose control for drawn scenes: the body's fourteen points, no face."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.core.skeleton import BODY_LIMBS, BODY_POINTS, COLORS, LIMB_BRIGHTNESS, LIMBS

Joints = NDArray[np.float64]
"""`[14, 2]`, x and y."""


def draw_skeleton(picture: NDArray[np.uint8], joints: Joints) -> None:
    """Draw joints in pixels over a black RGB picture: dimmed limbs, then dots.

    Sizes follow the height, but 2.5 times as thick as VACE's at 1024 lines: thinner ones vanish in small
    pictures.
    """
    height = picture.shape[0]
    thick = max(2, round(8 / 1024 * height * 2.5))
    radius = max(1, round(4 / 1024 * height * 2.5))
    at = [(int(x), int(y)) for x, y in np.round(joints)]
    for (a, b), color in zip(LIMBS[:BODY_LIMBS], COLORS, strict=False):
        dim = tuple(int(LIMB_BRIGHTNESS * c) for c in color)
        cv2.line(picture, at[a], at[b], dim, thick, cv2.LINE_AA)
    for point, color in zip(at, COLORS[:BODY_POINTS], strict=True):
        cv2.circle(picture, point, radius, color, -1, cv2.LINE_AA)

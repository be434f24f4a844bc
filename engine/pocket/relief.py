"""Rounding: a flat form becomes a body, high in its middle."""

from __future__ import annotations

import numpy as np

from engine.pocket.outlines import Points
from engine.pocket.styles import Plane
from engine.video.opencv import cv2

REACH = 0.15
"""From this far inside on a form is level, in picture heights."""

SUBPIXEL = 4  # fractional bits of OpenCV's drawing coordinates


def lift(depth: Plane, outline: Points, base: float) -> None:
    """Write a round form into `depth` `[H, W]`: its outline `[N, 2]` in pixels, its rim at `base`.

    Rim and height are in picture heights; a form as wide as `2 * r` is `r` high, like a limb seen from the
    front. It covers what is there.
    """
    height, width = depth.shape
    low = np.clip(np.floor(outline.min(0)).astype(int) - 1, 0, (width, height))
    high = np.clip(np.ceil(outline.max(0)).astype(int) + 2, 0, (width, height))
    if (high <= low).any():
        return
    inside = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    points = np.round((outline - low) * (1 << SUBPIXEL)).astype(np.int32)
    cv2.fillPoly(inside, [points], 1, shift=SUBPIXEL)
    away = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    reach = min(float(away.max()), REACH * height)
    if reach <= 0:
        return
    rest = 1 - np.minimum(away / reach, 1)
    round_height = base + reach / height * np.sqrt(1 - rest**2)
    target = depth[low[1] : high[1], low[0] : high[0]]
    np.copyto(target, round_height.astype(np.float32), where=inside > 0)

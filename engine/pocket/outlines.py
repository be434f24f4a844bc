"""Outlines `[N, 2]` of simple forms, x to the right and y down."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def capsule(a: Points, b: Points, start: float, end: float) -> Points:
    """A limb from a to b with the radii of its two ends."""
    angle = np.arctan2(*(b - a)[::-1])
    back = angle + np.linspace(np.pi / 2, 3 * np.pi / 2, 9)
    front = angle + np.linspace(-np.pi / 2, np.pi / 2, 9)
    return np.concatenate([
        a + start * np.stack([np.cos(back), np.sin(back)], 1),
        b + end * np.stack([np.cos(front), np.sin(front)], 1),
    ])  # fmt: skip


def ellipse(center: Points, across: float, down: float) -> Points:
    """An ellipse around a centre with its two radii."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return center + np.stack([across * np.cos(angle), down * np.sin(angle)], 1)

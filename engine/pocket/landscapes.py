"""Landscapes for drawn scenes: ranges of hills behind each other, a sun, trees in front.

The camera travels: near hills pass faster than far ones. Random numbers are drawn in a fixed order (see
`elements`).
"""

from __future__ import annotations

import numpy as np

from engine.pocket.elements import Random, blob_outline, random_region, random_stroke
from engine.pocket.outlines import Points, capsule, ellipse
from engine.pocket.scene import Element, Part, Scene

BEYOND = 1.0
"""How far a range goes on outside the picture on either side, in picture heights."""


def landscape(rng: Random, aspect: float) -> Scene:
    """Two to five ranges, the nearest with trees; half of the time under a sun."""
    scene = Scene(aspect, [], stroke=random_stroke(rng), subject="landscape")
    if rng.random() < 0.5:
        scene.elements.append(_sun(rng, aspect))
    travel = rng.normal() * 0.12
    levels = np.sort(rng.uniform(0.25, 0.9, int(rng.integers(2, 6))))
    for order, level in enumerate(levels):
        near = (order + 1) / len(levels)
        scene.elements.append(_range(rng, aspect, float(level), near, travel))
    for _ in range(int(rng.integers(0, 6))):
        scene.elements.append(_tree(rng, aspect, float(levels[-1]), travel))
    return scene


def _sun(rng: Random, aspect: float) -> Element:
    """A disk that hardly moves: it is far behind everything."""
    center, radius = rng.uniform([0.2, 0.1], [aspect - 0.2, 0.45]), rng.uniform(0.06, 0.2)
    region = random_region(rng)
    return lambda t: [Part(ellipse(center - [0, 0.01 * t], radius, radius), region, 0.03)]


def _range(rng: Random, aspect: float, level: float, near: float, travel: float) -> Element:
    """Hills or peaks from `level` (from the top) down; only the nearest range (`near` 1) is the subject."""
    x = np.linspace(-BEYOND, aspect + BEYOND, 90)
    height = np.zeros(90)
    for octave, count in enumerate((5, 11, 24)):
        knots = np.linspace(x[0], x[-1], count)
        height += np.interp(x, knots, rng.normal(size=count)) * 0.10 / (1 + 1.3 * octave)
    if rng.random() < 0.5:  # round hills instead of peaks
        height = np.convolve(np.pad(height, 4, mode="edge"), np.ones(9) / 9, mode="valid")
    skyline = np.stack([np.r_[x, x[::-1]], np.r_[level + height, np.full(90, 1.4)]], 1)
    region = random_region(rng)
    pace = np.array([travel * near, 0.0])
    return lambda t: [Part(skyline + pace * np.sin(0.5 * t) / 0.5, region, 0.1 + 0.65 * near, near == 1)]


def _tree(rng: Random, aspect: float, ground: float, travel: float) -> Element:
    """A trunk with a crown that the wind moves, in front of everything."""
    tall, foot = rng.uniform(0.15, 0.5), np.array([rng.uniform(0, aspect), min(ground + 0.2, 0.98)])
    crown = blob_outline(rng, 0.45 * tall, 0.3, int(rng.choice([0, 0, 3])))
    bark, leaves, sway = random_region(rng), random_region(rng), rng.uniform(0.5, 2)

    def element(t: float) -> list[Part]:
        at: Points = foot + np.array([travel * np.sin(0.5 * t) / 0.5, 0.0])
        top = at + np.array([0.06 * tall * np.sin(sway * t), -tall])
        return [Part(capsule(at, top, 0.05 * tall, 0.03 * tall), bark, 0.80, True),
                Part(crown + top, leaves, 0.84, True)]  # fmt: skip

    return element

"""Hands for drawn scenes, held into the camera: a forearm, a palm, fingers that bend and spread.

Lengths are parts of a hand's own, wrist to fingertip. Random numbers are drawn in a fixed order (see
`elements`).
"""

from __future__ import annotations

import numpy as np

from engine.pocket.elements import Random, random_region, rotation, with_background, wobble
from engine.pocket.outlines import Points, capsule
from engine.pocket.scene import Element, Part, Scene

FINGERS = ((-0.165, 0.30, -0.20), (-0.055, 0.36, -0.05), (0.055, 0.34, 0.07), (0.160, 0.26, 0.24))
"""Where each finger begins across the palm, its length, and its angle from straight up, in radians."""

THICK = 0.052
KNUCKLES = -0.10
"""How far above the hand's middle the fingers begin."""

PALM = np.array([(-0.20, -0.08), (-0.08, -0.13), (0.08, -0.13), (0.20, -0.06), (0.19, 0.16), (0.11, 0.32),
                 (-0.11, 0.32), (-0.20, 0.18)])  # fmt: skip


def hand(rng: Random, aspect: float) -> Scene:
    """One hand or two, near, in front of what rooms are full of."""
    scene = Scene(aspect, [], subject="hand")
    for _ in range(1 if rng.random() < 0.65 else 2):
        size = rng.uniform(0.45, 1.05)
        center = rng.uniform([0.25, 0.35], [aspect - 0.25, 0.75])
        scene.elements.append(_hand(rng, center, size))
    return with_background(rng, scene, 0.4)


def _hand(rng: Random, center: Points, size: float) -> Element:
    """A hand that turns, wanders, spreads its fingers and bends them."""
    mirrored = np.array([float(rng.choice([-1, 1])), 1.0])
    turn, sway, path = rng.normal() * 0.45, rng.uniform(0, 0.35), wobble(rng, 0.06)
    rate, phase = rng.uniform(0.6, 3.0, 6), rng.uniform(0, 6.3, 6)
    bent, spread = rng.uniform(0, 1.0, 5) * (rng.random(5) < 0.6), rng.uniform(0.5, 1.6)
    thick = THICK * rng.uniform(0.8, 1.25)
    skin, sleeve = random_region(rng), random_region(rng)

    def element(t: float) -> list[Part]:
        swing = np.sin(rate * t + phase)
        place = rotation(turn + sway * swing[5]).T * size

        def placed(points: Points) -> Points:
            return (points * mirrored) @ place + center + path(t)

        curl = bent * (0.5 + 0.5 * swing[:5])
        forearm = capsule(np.array([0, 0.28]), np.array([0, 1.3]), 2.2 * thick, 2.8 * thick)
        parts = [Part(placed(forearm), sleeve, 0.55, True), Part(placed(PALM), skin, 0.60, True)]
        for finger, (x, length, angle) in enumerate(FINGERS):
            base, lean = np.array([x, KNUCKLES]), angle * (spread + 0.3 * swing[finger])
            parts += [Part(placed(bone), skin, 0.66, True)
                      for bone in _finger(base, lean, length, curl[finger], thick)]  # fmt: skip
        thumb = _finger(np.array([0.18, 0.16]), 0.75 + 0.25 * swing[4], 0.34, 0.6 * curl[4], 1.15 * thick)
        return parts + [Part(placed(bone), skin, 0.70, True) for bone in thumb]

    return element


def _finger(base: Points, lean: float, length: float, curl: float, thick: float) -> list[Points]:
    """Two bones from `base`, leaning by an angle; `curl` 0..1 bends them towards the viewer: shorter."""
    along = np.array([np.sin(lean), -np.cos(lean)])
    middle = base + along * length * (0.55 - 0.15 * curl)
    tip = middle + along * length * 0.45 * (1 - 1.3 * curl)
    return [capsule(base, middle, thick, 0.9 * thick), capsule(middle, tip, 0.9 * thick, 0.7 * thick)]

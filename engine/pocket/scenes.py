"""Random scenes, drawn from nothing: people, hands, landscapes, shapes, waves, tunnels, lines, fields, dust.

One builder per kind: (random generator, aspect) to `Scene`. Random numbers are drawn in a fixed order (see
`elements`). Knows nothing about colour or networks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.pocket.elements import (
    Random,
    blob_outline,
    moving_shape,
    noise_field,
    open_stroke,
    random_region,
    random_stroke,
    rotation,
    with_background,
)
from engine.pocket.hands import hand
from engine.pocket.landscapes import landscape
from engine.pocket.outlines import ellipse
from engine.pocket.people import figure, portrait
from engine.pocket.scene import Element, Part, Scene

RINGS = 8  # of a tunnel


SHARES = {"figure": 0.25, "portrait": 0.28, "hand": 0.08, "shapes": 0.10, "landscape": 0.07, "waves": 0.04,
          "tunnel": 0.05, "lines": 0.05, "blobs": 0.05, "particles": 0.03}  # fmt: skip
"""How often each kind of scene is drawn."""


def random_scene(rng: Random, aspect: float, *, person: bool = False) -> Scene:
    """A scene of a random kind, or one with a `person`; the same generator state gives the same scene."""
    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    if person and kind not in ("figure", "portrait"):
        kind = "figure" if rng.random() < 0.6 else "portrait"
    return BUILDERS[kind](rng, aspect)


def _shapes(rng: Random, aspect: float) -> Scene:
    scene = Scene(aspect, [], subject="shapes")
    for _ in range(int(rng.integers(3, 10))):
        radius, depth = rng.uniform(0.06, 0.35), rng.uniform(0.45, 0.95)
        scene.elements.append(moving_shape(rng, aspect, radius, depth, True))
    return with_background(rng, scene, 0.2)


def _blobs(rng: Random, aspect: float) -> Scene:
    scene = Scene(aspect, [], noise_field(rng, aspect), int(rng.integers(3, 8)), subject="blobs")
    scene.stroke = random_stroke(rng)
    if rng.random() < 0.5:
        scene.elements.append(moving_shape(rng, aspect, 0.25, 0.8, True))
    return scene


def _lines(rng: Random, aspect: float) -> Scene:
    scene = Scene(aspect, [], subject="lines")
    for _ in range(int(rng.integers(12, 50))):
        scene.elements.append(open_stroke(rng, aspect, rng.uniform(0.1, 0.9)))
    for _ in range(int(rng.integers(0, 4))):
        scene.elements.append(moving_shape(rng, aspect, rng.uniform(0.1, 0.3), rng.uniform(0.3, 0.8), True))
    return with_background(rng, scene, 0.0)


def _waves(rng: Random, aspect: float) -> Scene:
    levels = np.sort(rng.uniform(0.1, 0.95, int(rng.integers(3, 8)))).tolist()
    bands = []
    for i, level in enumerate(levels):
        region = random_region(rng)
        bands.append(_band(rng, aspect, level, 0.2 + 0.7 * i / len(levels), region))
    return Scene(aspect, bands, stroke=random_stroke(rng), subject="waves")


def _band(rng: Random, aspect: float, level: float, depth: float, region: int) -> Element:
    """Everything below a wavy line."""
    size, rate, number = rng.uniform(0.02, 0.09), rng.uniform(0.5, 3), rng.uniform(2, 12)
    x = np.linspace(-0.2, aspect + 0.2, 60)

    def element(t: float) -> list[Part]:
        swell, ripple = size * np.sin(number * x + rate * t), np.sin(2.3 * number * x - rate * t)
        y = level + swell + 0.4 * size * ripple
        outline = np.stack([np.r_[x, x[::-1]], np.r_[y, np.full(60, 1.3)]], 1)
        return [Part(outline, region, depth, True)]

    return element


def _tunnel(rng: Random, aspect: float) -> Scene:
    center = rng.uniform([0.3, 0.3], [aspect - 0.3, 0.7])
    speed, twist = rng.uniform(0.2, 0.9), rng.normal() * 0.6
    corners = int(rng.choice([0, 4, 5, 6, 8]))
    outline = blob_outline(rng, 1.0, 0.05, corners)
    regions = [random_region(rng) for _ in range(RINGS)]

    def element(t: float) -> list[Part]:
        near = {ring: (ring / RINGS + speed * t * 0.25) % 1.0 for ring in range(RINGS)}
        parts = []
        for ring, nearness in near.items():
            turned = outline @ rotation(twist * nearness * 3).T
            reach = turned * (0.05 + 1.2 * nearness**2) + center
            # The far, smaller ring is seen through the near one: it is painted over it.
            parts.append(Part(reach, regions[ring], 0.1 + 0.8 * nearness, True, layer=-nearness))
        return parts

    return Scene(aspect, [element], stroke=random_stroke(rng), subject="tunnel")


def _particles(rng: Random, aspect: float) -> Scene:
    """Balls that stream past and swirl; who leaves on one side comes back on the other."""
    count = int(rng.integers(15, 50))
    start, radius = rng.uniform(0, 1, (count, 2)), rng.uniform(0.012, 0.07, count)
    depth, speed = rng.uniform(0.3, 0.95, count), rng.normal(size=2) * 0.25
    swirl, rate, phase = rng.uniform(0, 0.1), rng.uniform(0.5, 3), rng.uniform(0, 6.3, count)
    regions = [random_region(rng) for _ in range(count)]
    room = np.array([aspect + 0.3, 1.3])

    def element(t: float) -> list[Part]:
        circling = swirl * np.stack([np.cos(rate * t + phase), np.sin(rate * t + phase)], 1)
        at = (start * room + speed * depth[:, None] * t) % room - 0.15 + circling
        return [Part(ellipse(*ball), regions[i], depth[i], True)
                for i, ball in enumerate(zip(at, radius, radius, strict=True))]  # fmt: skip

    return with_background(rng, Scene(aspect, [element], subject="particles"), 0.1)


BUILDERS: dict[str, Callable[[Random, float], Scene]] = {
    "figure": figure, "portrait": portrait, "hand": hand, "shapes": _shapes, "landscape": landscape,
    "waves": _waves, "tunnel": _tunnel, "lines": _lines, "blobs": _blobs, "particles": _particles,
}  # fmt: skip

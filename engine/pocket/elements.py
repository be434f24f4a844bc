"""What drawn scenes share: moving shapes, loose strokes, smooth fields, and what stands behind a subject.

Every function takes the scene's random generator and draws from it in a fixed order: a changed order makes
other clips of the same seeds, and with them another training set.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.pocket.outlines import Points
from engine.pocket.scene import Element, Part, Scene
from engine.pocket.styles import Plane
from engine.video.opencv import cv2

Random = np.random.Generator


def random_region(rng: Random) -> int:
    """A region id; the first sixteen belong to the background's fields (0 is the far background)."""
    return int(rng.integers(16, 256))


def random_stroke(rng: Random) -> float:
    """The width of a scene's lines, in picture heights."""
    return rng.uniform(0.007, 0.015)


def rotation(angle: float) -> Points:
    """Matrix `[2, 2]` that turns points by an angle in radians (from x towards y)."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def wobble(rng: Random, size: float, speed: float = 1.0) -> Callable[[float], Points]:
    """A smooth random path `[2]` around zero."""
    amplitude = rng.normal(size=(2, 2)) * size
    rate = rng.uniform(0.3, 1.6, (2, 2)) * speed
    phase = rng.uniform(0, 2 * np.pi, (2, 2))
    return lambda t: (amplitude * np.sin(rate * t * 2 + phase)).sum(0)


def blob_outline(rng: Random, radius: float, rough: float, corners: int = 0) -> Points:
    """A closed outline around zero: a soft blob, or a polygon or star where `corners` > 2."""
    if corners > 2:
        angle = np.arange(corners) / corners * 2 * np.pi
        reach = radius * (1 + rough * rng.uniform(-1, 1, corners))
        if rng.random() < 0.3:
            reach[::2] *= 0.5
    else:
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        reach = np.full(40, radius)
        for order in range(2, 6):
            reach += radius * rough / order * rng.normal() * np.cos(order * angle + rng.uniform(0, 6.3))
    return np.stack([reach * np.cos(angle), reach * np.sin(angle)], 1)


def moving_shape(rng: Random, aspect: float, radius: float, depth: float, subject: bool) -> Element:
    """A blob, polygon or star that wanders and turns."""
    corners = int(rng.choice([0, 0, 3, 4, 4, 5, 6, 8]))
    outline = blob_outline(rng, radius, rng.uniform(0.0, 0.35), corners) * rng.uniform(0.6, 1.4, 2)
    center = rng.uniform([0.05, 0.05], [aspect - 0.05, 0.95])
    path, spin, angle = wobble(rng, 0.08), rng.normal() * 0.9, rng.uniform(0, 6.3)
    region = random_region(rng)

    def element(t: float) -> list[Part]:
        turned = outline @ rotation(angle + spin * t).T
        return [Part(turned + center + path(t), region, depth, subject)]

    return element


def open_stroke(rng: Random, aspect: float, depth: float) -> Element:
    """A curve that encloses nothing: what an edge detector finds in hair, cloth and clutter."""
    count = int(rng.integers(3, 8))
    start = rng.uniform([0, 0], [aspect, 1])
    steps = np.cumsum(rng.normal(size=(count, 2)) * rng.uniform(0.02, 0.12), 0)
    knots = np.concatenate([start[None], start + steps])
    at = np.linspace(0, count, count * 5)
    path = wobble(rng, 0.05)
    bent = np.stack([np.interp(at, np.arange(count + 1), knots[:, c]) for c in range(2)], 1)
    curve = np.asarray(cv2.GaussianBlur(bent, (1, 5), 1.5), np.float64)
    return lambda t: [Part(curve + path(t), 0, depth, closed=False)]


def noise_field(rng: Random, aspect: float) -> Callable[[float], Plane]:
    """A coarse field `[rows, columns]`, about 0..1, that swings between two random states."""
    rows = int(rng.integers(3, 9))
    columns = int(rows * aspect) + 1
    first, second = rng.uniform(-0.15, 1.15, (2, rows, columns)).astype(np.float32)
    rate, phase = rng.uniform(0.2, 1.2), rng.uniform(0, 6.3)
    return lambda t: first + (second - first) * np.float32(0.5 + 0.5 * np.sin(rate * t + phase))


def with_background(rng: Random, scene: Scene, clutter: float) -> Scene:
    """Add what stands behind a subject: nothing, a field or shapes.

    With probability `clutter` there are loose strokes everywhere; the whole scene may drift.
    """
    choice = rng.random()
    if choice < 0.35:
        scene.field_at, scene.field_levels = noise_field(rng, scene.aspect), int(rng.integers(2, 6))
    elif choice < 0.75:
        for _ in range(int(rng.integers(1, 6))):
            radius, depth = rng.uniform(0.08, 0.35), rng.uniform(0.05, 0.4)
            scene.elements.append(moving_shape(rng, scene.aspect, radius, depth, False))
    if rng.random() < clutter:
        for _ in range(int(rng.integers(2, 12))):
            scene.elements.append(open_stroke(rng, scene.aspect, rng.uniform(0.05, 0.95)))
    scene.drift = rng.normal(size=2) * 0.04 * (rng.random() < 0.4)
    scene.stroke = random_stroke(rng)
    return scene

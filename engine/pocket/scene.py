"""A scene in motion and how one moment of it becomes a `Raster`: region ids, depth, lines, mask, joints.

A `Scene` is a stack of elements, each a function of time that gives closed or open outlines with exact
geometry; closed ones are round bodies (`relief`). Coordinates: y in 0..1 from top to bottom, x in
0..aspect. Knows nothing about colour or networks, and draws no random numbers: what is in a scene is decided
in `elements`, `people` and `scenes`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from engine.pocket.outlines import Points
from engine.pocket.relief import SUBPIXEL, lift
from engine.pocket.skeleton import Joints
from engine.pocket.styles import Image, Plane
from engine.video.opencv import cv2


@dataclass(frozen=True)
class Raster:
    """One moment of a scene before paint: planes `[H, W]`.

    Region ids (0 = far background), depth 0..1 (near = 1), lines 0..1, mask 0/1 (1 = the subject), joints
    `[14, 2]` in pixels where there is a person.
    """

    ids: Image
    depth: Plane
    lines: Plane
    mask: Image
    joints: Joints | None


@dataclass(frozen=True)
class Part:
    """One outline `[N, 2]` of a moment, with its region id and depth (1 = near).

    The near is painted over the far, unless `layer` says otherwise: through the near rings of a tunnel one
    sees the far ones. An open outline (`closed` False) is a line: it has no region, depth or mask of its own.
    """

    outline: Points
    region: int
    depth: float
    subject: bool = False
    closed: bool = True
    layer: float | None = None

    @property
    def painted(self) -> float:
        """Rank in painting order: the highest is painted last."""
        return self.depth if self.layer is None else self.layer


Element = Callable[[float], list[Part]]
"""The parts of one thing at a time in seconds."""


@dataclass
class Scene:
    """A drawn scene: elements, an optional field behind them, an optional skeleton, all functions of time.

    `stroke` is the width of a line and `drift` the speed of the whole scene, in picture heights (per second).
    `subject` is the prompt's word for what is seen.
    """

    aspect: float
    elements: list[Element]
    field_at: Callable[[float], Plane] | None = None
    field_levels: int = 0
    skeleton: Callable[[float], Joints] | None = None
    stroke: float = 0.011
    subject: str = "shapes"
    drift: Points = field(default_factory=lambda: np.zeros(2))

    def raster(self, t: float, height: int, width: int) -> Raster:
        """Draw the moment `t` (seconds) at a size in pixels."""
        ids, lines, mask = (np.zeros((height, width), np.uint8) for _ in range(3))
        depth = np.zeros((height, width), np.float32)
        thick = max(1, round(self.stroke * height))
        if self.field_at is not None:
            _draw_field(self.field_at(t), self.field_levels, ids, depth, lines, thick)
        for part in sorted((p for element in self.elements for p in element(t)), key=lambda p: p.painted):
            corners = (part.outline + self.drift * t) * height
            points = [(corners * (1 << SUBPIXEL)).round().astype(np.int32)]
            if part.closed:
                cv2.fillPoly(ids, points, part.region, shift=SUBPIXEL)
                lift(depth, corners, part.depth)
                cv2.fillPoly(lines, points, 0, shift=SUBPIXEL)
                cv2.fillPoly(mask, points, int(part.subject), shift=SUBPIXEL)
            cv2.polylines(lines, points, part.closed, 255, thick, cv2.LINE_AA, SUBPIXEL)
        joints = None if self.skeleton is None else (self.skeleton(t) + self.drift * t) * height
        ink = lines.astype(np.float32) / np.float32(255)
        return Raster(ids, np.clip(depth, 0, 1), ink, mask, joints)


def _draw_field(values: Plane, levels: int, ids: Image, depth: Plane, lines: Image, thick: int) -> None:
    """Fill the background with the level sets of a smooth field, and ink the borders between them."""
    height, width = ids.shape
    smooth = cv2.resize(values, (width, height), interpolation=cv2.INTER_CUBIC)
    level = np.clip(smooth * levels, 0, levels - 1).astype(np.uint8)
    np.copyto(ids, level + 1)
    np.copyto(depth, 0.15 + 0.3 * level.astype(np.float32) / max(levels - 1, 1))
    border = cv2.morphologyEx(level, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0
    np.copyto(lines, cv2.GaussianBlur(border.astype(np.uint8) * 255, (3, 3), 0.4 + 0.25 * thick))

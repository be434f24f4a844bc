"""What a control picture tells a painter: from each kind of control a `Guide`.

Read from the control picture itself, with whatever faults it has, so that a picture asked for is never more
than the control says; only for a skeleton the joints are given, which are exactly what it shows.
"""

from __future__ import annotations

import numpy as np

from engine.pocket.body import body_relief
from engine.pocket.painting import Guide
from engine.pocket.skeleton import Joints
from engine.pocket.styles import Image, Plane
from engine.video.opencv import cv2

PILLOW = 0.06
"""How far a surface rises from a line, in picture heights."""


def from_lines(lines: Plane) -> Guide:
    """Lines 0..1 alone: a surface rises from each; far from all of them the setting is seen."""
    away = line_distance(lines) / np.float32(len(lines))
    near = np.exp(-((away / 0.17) ** 2))
    tone = 0.40 + 0.28 * (1 - np.exp(-away / 0.08))
    return Guide(np.clip(lines * 1.3, 0, 1), tone, near, 0.75 * risen(away, PILLOW))


def from_depth(depth: Plane) -> Guide:
    """A depth picture 0..1, near = 1: the relief itself, lighter in front; what is far is setting."""
    soft = np.asarray(cv2.GaussianBlur(depth, (0, 0), 0.4 + 0.006 * len(depth)), np.float32)
    lines = 0.6 * changes(soft, 5)
    return Guide(lines, 0.38 + 0.32 * soft, smoothstep(soft, 0.08, 0.40), 0.5 * soft)


def from_gray(luma: Plane) -> Guide:
    """A gray picture 0..1: its light is the material's light, and its fine changes are relief."""
    height = len(luma)
    soft = np.asarray(cv2.GaussianBlur(luma, (0, 0), 0.3 + 0.005 * height), np.float32)
    fine = soft - cv2.GaussianBlur(soft, (0, 0), 0.08 * height)
    lines = 0.35 * changes(soft, 4)
    return Guide(lines, 0.06 + 0.88 * soft, 0.25 + 0.75 * smoothstep(soft, 0.02, 0.22), 0.05 * fine)


def from_joints(joints: Joints, height: int, width: int) -> Guide:
    """The joints `[14, 2]` in pixels of a body: round limbs of usual proportions around them."""
    relief, area = body_relief(joints, height, width)
    lines = 0.6 * changes(relief, 9)
    near = np.asarray(cv2.GaussianBlur(area, (0, 0), 0.7), np.float32)
    return Guide(lines, np.full_like(area, 0.55), near, relief)


def from_area(area: Plane) -> Guide:
    """An area 0..1 alone: a round body fills it."""
    inside = cv2.distanceTransform((area > 0.5).astype(np.uint8), cv2.DIST_L2, 3) / np.float32(len(area))
    # Blurred: along the middle between two borders the distance has a crease.
    rise = cv2.GaussianBlur(risen(np.asarray(inside, np.float32), 0.16), (0, 0), 0.025 * len(area))
    near = np.asarray(cv2.GaussianBlur(area, (0, 0), 0.7), np.float32)
    return Guide(0.6 * changes(area, 1), np.full_like(area, 0.55), near, 0.9 * np.asarray(rise, np.float32))


def from_flow(picture: Image) -> Guide:
    """Motion in the colours of the wheel, white = still: what moves is a body, the faster the higher."""
    speed = 1 - picture.min(2).astype(np.float32) / np.float32(255)
    soft = np.asarray(cv2.GaussianBlur(speed, (0, 0), 0.4 + 0.010 * len(speed)), np.float32)
    return Guide(0.6 * changes(soft, 4), 0.42 + 0.28 * soft, smoothstep(soft, 0.15, 0.45), 0.4 * soft)


def from_box(picture: Image) -> Guide:
    """The black outline of a box on white: a round body fills the box, as far as the picture shows it."""
    area = np.zeros(picture.shape[:2], np.uint8)
    rows, columns = np.nonzero(luma_of(picture) < 0.5)
    if len(rows):
        low, high = (columns.min(), rows.min()), (columns.max(), rows.max())
        middle = tuple(int(a + b) << 3 for a, b in zip(low, high, strict=True))
        reach = tuple(int(b - a) << 3 for a, b in zip(low, high, strict=True))
        cv2.ellipse(area, middle, reach, 0, 0, 360, 1, -1, cv2.LINE_8, 4)
    return from_area(area.astype(np.float32))


def line_distance(lines: Plane) -> Plane:
    """Pixels from each point to the nearest line; the picture's height where there is none."""
    distance = cv2.distanceTransform((lines < 0.3).astype(np.uint8), cv2.DIST_L2, 3)
    return np.minimum(np.asarray(distance, np.float32), np.float32(len(lines)))


def risen(away: Plane, reach: float) -> Plane:
    """The height of a round rim, a quarter of a circle of radius `reach`, at a distance from its foot."""
    rest = 1 - np.clip(away / reach, 0, 1)
    return np.asarray(reach * np.sqrt(1 - rest**2), np.float32)


def changes(plane: Plane, contrast: float) -> Plane:
    """Lines 0..1 where a plane changes by more than a slope would."""
    change = cv2.morphologyEx(plane, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    return np.clip(np.asarray(change, np.float32) * contrast - 0.25, 0, 1)


def smoothstep(plane: Plane, low: float, high: float) -> Plane:
    """0 below `low`, 1 above `high`, smooth between them."""
    part = np.clip((plane - low) / (high - low), 0, 1)
    return np.asarray(part * part * (3 - 2 * part), np.float32)


def luma_of(picture: Image) -> Plane:
    """Brightness 0..1 of a control picture u8 `[H, W, 3]` whose channels are equal."""
    return picture[..., 1].astype(np.float32) / np.float32(255)

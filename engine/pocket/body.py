"""A body from its joints: round limbs of usual proportions, as a relief.

It is what a skeleton tells of a person: where everything is, but not how stout they are or what they wear.
"""

from __future__ import annotations

import numpy as np

from engine.pocket.outlines import Points, capsule, ellipse
from engine.pocket.relief import lift
from engine.pocket.skeleton import Joints
from engine.pocket.styles import Plane
from engine.video.opencv import cv2

NECK_TO_HIPS = 0.29
"""Of a drawn body's size; the size that its parts are measured in comes from this distance."""


def size_of(joints: Joints) -> float:
    """The size of a body in the units of its joints `[14, 2]`."""
    return float(np.linalg.norm(joints[1] - joints[[8, 11]].mean(0))) / NECK_TO_HIPS


def body_relief(joints: Joints, height: int, width: int) -> tuple[Plane, Plane]:
    """Relief `[H, W]` in picture heights and area 0/1 `[H, W]` of a body with joints in pixels."""
    depth = np.zeros((height, width), np.float32)
    area = np.zeros((height, width), np.uint8)
    for order, outline in enumerate(limbs(joints, size_of(joints))):
        cv2.fillPoly(area, [np.round(outline * 16).astype(np.int32)], 1, shift=4)
        lift(depth, outline, 0.10 + 0.012 * order)
    return depth, area.astype(np.float32)


def limbs(p: Joints, size: float) -> list[Points]:
    """Outlines of legs, trunk, arms, neck and head, painted in this order; in the units of the joints."""
    r = 0.034 * size
    parts = []
    for side in (0, 1):
        hip, knee, foot = p[8 + 3 * side : 11 + 3 * side]
        parts += [capsule(knee, foot, 1.1 * r, 0.7 * r), capsule(hip, knee, 1.6 * r, 1.1 * r)]
    parts.append(trunk(p, r))
    parts.append(capsule(p[1], p[0], 0.9 * r, 0.9 * r))
    parts.append(ellipse(p[0] - [0, 0.4 * r], 1.8 * r, 2.5 * r))
    for side in (0, 1):
        shoulder, elbow, hand = p[2 + 3 * side : 5 + 3 * side]
        parts += [capsule(shoulder, elbow, 1.1 * r, 0.8 * r), capsule(elbow, hand, 0.8 * r, 0.65 * r)]
    return parts


def trunk(p: Joints, r: float) -> Points:
    """Shoulders to hips, round at the shoulders."""
    half = np.array([  # of its left side, from the neck down
        [0.9, -1.2], [0.1, -0.9], [0.9, 0.2], [0.5, 0.0], [1.5, 0.4], [0.6, 1.5],
    ]) * r  # fmt: skip
    sides = []
    for shoulder, hip, mirrored in ((p[5], p[11], 1), (p[2], p[8], -1)):
        at = np.stack([p[1], shoulder, shoulder, (shoulder + hip) / 2, hip, hip])
        sides.append(at + half * [mirrored, 1])
    return np.concatenate([sides[0], sides[1][::-1]])

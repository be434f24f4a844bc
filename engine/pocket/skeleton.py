"""The skeleton that pose control shows of a drawn person: the program's own drawing of their joints."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.pocket.styles import Image
from engine.video.pose import draw_skeleton

Joints = NDArray[np.float64]
"""`[14, 2]`, x and y: OpenPose's points without those of the face."""

# Right eye, left eye, right ear, left ear: from the nose, in lengths of the neck.
_FACE = np.array([(-0.22, -0.22), (0.22, -0.22), (-0.5, -0.08), (0.5, -0.08)])

OUTSIDE = 0.05
"""Joints farther out of the picture than this part of its height are never found."""


def skeleton_picture(joints: Joints, found: NDArray[np.bool_], height: int, width: int) -> Image:
    """The skeleton of joints in pixels, RGB u8 `[H, W, 3]`; the face looks ahead.

    `found` `[14]`: which of them an annotator found.
    """
    face = joints[0] + _FACE * np.linalg.norm(joints[0] - joints[1])
    points = np.concatenate([joints, face]).astype(np.float32)
    reach = OUTSIDE * height
    inside = ((points > -reach) & (points < np.array([width, height]) + reach)).all(1)
    seen = np.concatenate([found, np.repeat(found[:1], len(face))]) & inside
    return draw_skeleton(points, seen, height, width)

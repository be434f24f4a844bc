"""The stick figure of pose control for drawn scenes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.core.skeleton import COLORS, LIMB_BRIGHTNESS, LIMBS
from engine.video.opencv import cv2

Joints = NDArray[np.float64]
"""`[14, 2]`, x and y: OpenPose's points without those of the face."""

# Right eye, left eye, right ear, left ear: from the nose, in lengths of the neck.
_FACE = np.array([(-0.22, -0.22), (0.22, -0.22), (-0.5, -0.08), (0.5, -0.08)])


def draw_skeleton(picture: NDArray[np.uint8], joints: Joints) -> None:
    """Draw joints in pixels over a black RGB picture: dimmed limbs, then dots; the face looks ahead.

    Sizes follow the height, but 2.5 times as thick as VACE's at 1024 lines: thinner ones vanish in small
    pictures.
    """
    height = picture.shape[0]
    thick = max(2, round(8 / 1024 * height * 2.5))
    radius = max(1, round(4 / 1024 * height * 2.5))
    face = joints[0] + _FACE * np.linalg.norm(joints[0] - joints[1])
    at = [(int(x), int(y)) for x, y in np.round(np.concatenate([joints, face]))]
    for (a, b), color in zip(LIMBS, COLORS, strict=False):
        dim = tuple(int(LIMB_BRIGHTNESS * c) for c in color)
        cv2.line(picture, at[a], at[b], dim, thick, cv2.LINE_AA)
    for point, color in zip(at, COLORS, strict=True):
        cv2.circle(picture, point, radius, color, -1, cv2.LINE_AA)

"""Pose: the skeleton of one person, drawn as VACE was trained to read it.

The 18 points and 17 limbs of OpenPose in VACE's colours (`engine.core.skeleton`, which says why its red and
blue are swapped). Limbs are drawn at 60 % of their colour, joints on top of them at full.
"""

import math

import numpy as np
import numpy.typing as npt

from engine.core.skeleton import COLORS, LIMB_BRIGHTNESS, LIMBS
from engine.core.types import Image
from engine.video.annotation import Annotation, fade, require_picture
from engine.video.bodies import Bodies
from engine.video.opencv import cv2
from engine.video.people import SEEN, Body, FaceTracker

Points = npt.NDArray[np.float32]

NEUTRAL = 0
# OpenPose's order: nose, neck, right shoulder, elbow, wrist, the left ones, right hip, knee, ankle, the left
# ones, right eye, left eye, right ear, left ear. The numbers are mediapipe's landmarks; it has no neck (-1):
# that is the middle of the shoulders.
_FROM_MEDIAPIPE = (0, -1, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
NECK, RIGHT_SHOULDER, LEFT_SHOULDER = 1, 2, 5
_RADIUS = 4 / 1024  # half a limb's width and a joint's radius, as part of the picture's short side ...
_LEAST_RADIUS = 1.25  # ... but at least this many pixels: thinner ones vanish at the engine's small sizes
_FACE_FROM = 0.75  # detail
_DOT_RADIUS = 3 / 1024  # of the face's points, as part of the picture's short side ...
_LEAST_DOT = 0.5  # ... but at least this many pixels
_FACE_LEAST = 24  # pixels from brow to chin: the points of a smaller face would run together
# The 68 usual points of a face in mediapipe's mesh: jaw, brows, nose, eyes, outer and inner lips.
FACE_POINTS = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
_FACE_COLOR = (255, 255, 255)
_FINER = 4  # small pictures are drawn this many times larger, then averaged down: soft edges, no pixel steps
_FINE_SIDE = 1024  # large ones need that less: nothing is drawn on more than about this short side


class Pose:
    """Coloured limbs of one person on black; `gain` fades them to black. Nobody there: all black.

    `detail` from 0.75 on adds the face's 68 points in white, as VACE's training pictures have them. They need
    a face of some size.
    """

    def __init__(self, bodies: Bodies) -> None:
        """Load the networks; `bodies` is the stream's. Raises AnnotatorError."""
        self._body = bodies.watch("pose")
        self._face = FaceTracker("pose")

    def annotate(self, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
        """The skeleton in `image` (u8 [H, W, 3])."""
        require_picture(image, "pose")
        body = self._body.find(image)
        if body is None:
            return Annotation(np.zeros_like(image), None, found=False, note="no person seen")
        points, seen = openpose_points(body)
        height, width = image.shape[:2]
        size = np.array([width, height], np.float32)
        face = self._face.find(image) if detail >= _FACE_FROM else None
        control = draw_skeleton(points * size, seen, height, width, None if face is None else face * size)
        return Annotation(fade(control, NEUTRAL, gain), None)

    def close(self) -> None:
        """Free the networks."""
        self._body.close()
        self._face.close()


def openpose_points(body: Body) -> tuple[Points, npt.NDArray[np.bool_]]:
    """The 18 OpenPose points of `body`: f32 [18, 2] in parts of the picture, and which of them are seen."""
    order = np.array(_FROM_MEDIAPIPE)
    points = body.points[order]
    seen = body.visibility[order] >= SEEN
    points[NECK] = points[[RIGHT_SHOULDER, LEFT_SHOULDER]].mean(axis=0)
    seen[NECK] = seen[RIGHT_SHOULDER] and seen[LEFT_SHOULDER]
    return points, seen


def draw_skeleton(
    points: Points, seen: npt.NDArray[np.bool_], height: int, width: int, face: Points | None = None
) -> Image:
    """The skeleton on black, u8 [H, W, 3] RGB. `points` are [18, 2] x, y in pixels of that picture.

    `face`: the 468 points of a face's mesh in pixels, of which the usual 68 are drawn.
    """
    finer = min(max(_FINE_SIDE // min(height, width), 1), _FINER)
    radius = max(_LEAST_RADIUS, _RADIUS * min(height, width)) * finer
    # Far outside points (a knee below the picture) must not overflow the drawing's integers.
    reach = 4 * max(height, width)
    at = np.clip(points, -reach, reach) * finer
    canvas = np.zeros((height * finer, width * finer, 3), np.uint8)
    for (a, b), color in zip(LIMBS, COLORS, strict=False):
        if seen[a] and seen[b]:
            _limb(canvas, at[a], at[b], radius, color)
    canvas = np.asarray(cv2.convertScaleAbs(canvas, alpha=LIMB_BRIGHTNESS), np.uint8)
    for point, visible, color in zip(at, seen, COLORS, strict=True):
        if visible:
            cv2.circle(canvas, (round(float(point[0])), round(float(point[1]))), round(radius), color, -1)
    if face is not None and np.ptp(face[:, 1]) >= _FACE_LEAST:
        dot = max(_LEAST_DOT, _DOT_RADIUS * min(height, width)) * finer
        for point in np.clip(face[[*FACE_POINTS]], -reach, reach) * finer:
            cv2.circle(canvas, (round(float(point[0])), round(float(point[1]))), round(dot), _FACE_COLOR, -1)
    return np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _limb(canvas: Image, a: Points, b: Points, radius: float, color: tuple[int, int, int]) -> None:
    """Fill the ellipse from `a` to `b`, `radius` being half its width."""
    middle = (a + b) / 2
    length, angle = math.dist(a, b), math.degrees(math.atan2(b[1] - a[1], b[0] - a[0]))
    center = (round(float(middle[0])), round(float(middle[1])))
    axes = (max(1, round(length / 2)), max(1, round(radius)))
    outline = np.asarray(cv2.ellipse2Poly(center, axes, round(angle), 0, 360, 4), np.int32)
    cv2.fillConvexPoly(canvas, outline, color)

"""Face and hands: masks around two parts of a body.

A face of some size is outlined by the points of its own tracker. A far one, and hands, are ellipses a little
larger than the part itself, whose place, size and slant follow from the points of the body tracker.
"""

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.core.types import Image
from engine.video.annotation import Annotation, require_picture
from engine.video.bodies import Bodies
from engine.video.masks import inpainting, with_margin
from engine.video.opencv import cv2
from engine.video.people import SEEN, Body, FaceTracker

Points = npt.NDArray[np.float32]

# mediapipe's landmarks.
_EYES, _EARS, _MOUTH = (2, 5), (7, 8), (9, 10)
_HANDS = ((13, 15, (17, 19)), (14, 16, (18, 20)))  # elbow, wrist and the two outer knuckles, left and right
_SHIFT = 0.2  # a face's middle lies above the one of eyes and mouth by this many distances of eyes and mouth
_TALL, _WIDE = 1.65, 1.2  # half a face's height and least half width in such distances
_PER_EARS = 0.62  # ... and its half width in distances of the ears
_PALM = 0.35  # a palm seen end on counts as at least this part of the forearm
_LONG, _BROAD = 1.35, 1.0  # half a hand's length and width, in lengths of its palm


class Part(Protocol):
    """Finds one part of a person in one picture after the other."""

    def mask(self, image: Image) -> Image | None:
        """Where the part is in `image` (u8 [H, W, 3]): u8 [H, W], 255 inside; None where it is not seen."""
        ...

    def close(self) -> None:
        """Free the networks."""
        ...


class Face:
    """A face from hairline to chin."""

    def __init__(self, bodies: Bodies) -> None:
        """Load the networks; `bodies` is the stream's. Raises AnnotatorError."""
        self._face = FaceTracker("face")
        self._body = bodies.watch("face")

    def mask(self, image: Image) -> Image | None:
        """Where the face is in `image`; None where there is none."""
        made = np.zeros(image.shape[:2], np.uint8)
        points = self._face.find(image)
        if points is not None:
            outline(made, points)
            return made
        body = self._body.find(image)
        return made if body is not None and face(made, body) else None

    def close(self) -> None:
        """Free the networks."""
        self._face.close()
        self._body.close()


class Hands:
    """Both hands, as far as they are seen."""

    def __init__(self, bodies: Bodies) -> None:
        """Load the network; `bodies` is the stream's. Raises AnnotatorError."""
        self._body = bodies.watch("hands")

    def mask(self, image: Image) -> Image | None:
        """Where the hands are in `image`; None where none is seen."""
        made = np.zeros(image.shape[:2], np.uint8)
        body = self._body.find(image)
        return made if body is not None and hands(made, body) else None

    def close(self) -> None:
        """Free the network."""
        self._body.close()


class PartMask:
    """The picture with one part of a person (inverted: all but it) gray, and the mask of that part."""

    def __init__(self, name: str, part: Part) -> None:
        """`name` is what to call the part: face, hands."""
        self._name = name
        self._part = part

    def annotate(self, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
        """Mask and masked picture of `image` (u8 [H, W, 3]). Kept pixels are exactly the picture's."""
        require_picture(image, self._name)
        part = self._part.mask(image)
        mask = np.zeros(image.shape[:2], np.uint8) if part is None else part
        mask = with_margin(255 - mask if invert else mask)
        note = f"no {self._name} seen" if part is None else ""
        return Annotation(inpainting(image, None, mask), mask, part is not None, note)

    def close(self) -> None:
        """Free the networks."""
        self._part.close()


def outline(mask: Image, points: Points) -> None:
    """Fill the hull of `points` (f32 [N, 2], parts of the picture) white into `mask` (u8 [H, W])."""
    height, width = mask.shape
    at = np.clip(points, -4, 5) * np.array([width, height], np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(at).astype(np.int32)), 255)


def face(mask: Image, body: Body) -> bool:
    """Draw the face of `body` white into `mask` (u8 [H, W]), from hairline to chin; whether it is seen."""
    if body.visibility[[*_EYES, *_MOUTH]].min() < SEEN:
        return False
    points = _pixels(body, mask)
    eyes, mouth = points[[*_EYES]].mean(axis=0), points[[*_MOUTH]].mean(axis=0)
    up = eyes - mouth
    ears = float(np.linalg.norm(points[_EARS[0]] - points[_EARS[1]]))
    unit = max(float(np.linalg.norm(up)), 0.25 * ears)  # a bowed head brings eyes and mouth together
    wide = max(_WIDE * unit, _PER_EARS * ears)
    return _ellipse(mask, (eyes + mouth) / 2 + up * _SHIFT, up, _TALL * unit, wide)


def hands(mask: Image, body: Body) -> bool:
    """Draw the hands of `body` white into `mask` (u8 [H, W]); whether at least one is seen."""
    points = _pixels(body, mask)
    drawn = False
    for elbow, wrist, knuckles in _HANDS:
        if body.visibility[wrist] < SEEN:
            continue
        along = points[[*knuckles]].mean(axis=0) - points[wrist]
        forearm = float(np.linalg.norm(points[wrist] - points[elbow]))
        palm = max(float(np.linalg.norm(along)), _PALM * forearm)
        drawn |= _ellipse(mask, points[wrist] + along, along, _LONG * palm, _BROAD * palm)
    return drawn


def _pixels(body: Body, mask: Image) -> Points:
    height, width = mask.shape
    return body.points * np.array([width, height], np.float32)


def _ellipse(mask: Image, middle: Points, along: Points, long: float, wide: float) -> bool:
    """Fill an ellipse with half axes `long` (in the direction `along`) and `wide`; whether any is inside."""
    height, width = mask.shape
    if not (-long <= middle[0] < width + long and -long <= middle[1] < height + long):
        return False
    angle = math.degrees(math.atan2(float(along[1]), float(along[0])))
    axes = (min(max(long, 1.0), 4.0 * width) * 2, min(max(wide, 1.0), 4.0 * width) * 2)
    cv2.ellipse(mask, ((float(middle[0]), float(middle[1])), axes, angle), 255, -1)
    return True

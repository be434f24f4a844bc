"""Layout: a box on white that says where the subject is to be, dragged by hand or carried by a body part.

VACE's convention: a black outline on a white ground, two pixels thick in its training pictures; where the box
goes, the subject of the prompt goes. A point is the outline of something small: only its way matters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from engine.core.types import Image
from engine.video.annotation import Annotation, fade, require_picture
from engine.video.bodies import Bodies, BodyWatch
from engine.video.opencv import cv2
from engine.video.people import SEEN, Body

NEUTRAL = 255
NOBODY = "none"
PARTS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "head": (0, 2, 5, 7, 8),
        "left hand": (15, 17, 19),
        "right hand": (16, 18, 20),
        "body": (11, 12, 23, 24),
    }
)
"""What can carry the box: mediapipe's landmarks whose middle it is. Left and right are the person's own."""
_THICKNESS = 2 / 480  # of the outline, as part of the picture's height ...
_LEAST_THICKNESS = 2  # ... but at least this many pixels
POINT = "point"
RADIUS = 0.06
"""Of a point's ring, in parts of the picture's height."""


@dataclass(frozen=True, slots=True)
class Box:
    """Middle `x`, `y` and size of the box, in parts of the picture's width and height; `follow` is a key of
    PARTS whose middle takes the place of `x`, `y`, or "none". `shape` "point": a ring of RADIUS, of no size.
    """

    x: float = 0.5
    y: float = 0.5
    width: float = 0.3
    height: float = 0.5
    follow: str = NOBODY
    shape: str = "box"


class Layout:
    """Draws the outline of `box`, which whoever owns it may change between two pictures; `gain` fades it."""

    def __init__(self, bodies: Bodies) -> None:
        """`bodies`: the stream's; it is watched from the first time a part is followed."""
        self.box = Box()
        self._bodies = bodies
        self._body: BodyWatch | None = None

    def annotate(self, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
        """The box over `image` (u8 [H, W, 3]), of which only its size and the body part to follow are used.

        Raises AnnotatorError where a part is to be followed and mediapipe is missing.
        """
        require_picture(image, "layout")
        height, width = image.shape[:2]
        box: Box | None = self.box
        if self.box.follow != NOBODY:
            if self._body is None:
                self._body = self._bodies.watch("layout")
            body = self._body.find(image)
            box = None if body is None else carried(self.box, body)
        if box is None:
            white = np.full((height, width, 3), NEUTRAL, np.uint8)
            return Annotation(white, None, False, f"no {self.box.follow} seen")
        return Annotation(fade(outline(box, height, width), NEUTRAL, gain), None)

    def close(self) -> None:
        """Look at no body any more; the network is freed if nobody else does."""
        body, self._body = self._body, None
        if body is not None:
            body.close()


def carried(box: Box, body: Body) -> Box | None:
    """`box` with its middle on the part of `body` that it follows; None where that is not seen."""
    points = [number for number in PARTS[box.follow] if body.visibility[number] >= SEEN]
    if not points:
        return None
    x, y = body.points[points].mean(axis=0)
    if not (0 <= x <= 1 and 0 <= y <= 1):
        return None
    return replace(box, x=float(x), y=float(y))


def outline(box: Box, height: int, width: int) -> Image:
    """The black outline of `box` on white: u8 [height, width, 3]. What lies past the edge is cut off."""
    picture = np.full((height, width, 3), 255, np.uint8)
    thick = max(_LEAST_THICKNESS, round(_THICKNESS * height))
    if box.shape == POINT:
        middle = (round(box.x * width), round(box.y * height))
        cv2.circle(picture, middle, round(RADIUS * height), (0, 0, 0), thick)
        return picture
    left, right = (round((box.x + side * box.width / 2) * width) for side in (-1, 1))
    top, bottom = (round((box.y + side * box.height / 2) * height) for side in (-1, 1))
    cv2.rectangle(picture, (left, top), (right, bottom), (0, 0, 0), thick)
    return picture

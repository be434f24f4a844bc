"""From the points of a picture on screen to those of the engine's picture, and back.

Points are x, y in parts of the pictures' width and height.
"""

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QRectF

from app.bridge import Bridge
from app.pen import Point
from engine.stages.annotate import engine_size, placement
from engine.video.canvas import Framing, placed


@dataclass(frozen=True)
class Way:
    """From the points of a shown picture `there`, and `back`."""

    there: Callable[[Point], Point]
    back: Callable[[Point], Point]


def way_from_camera(bridge: Bridge) -> Way | None:
    """The way from the camera's picture as it lies now; None while there is none."""
    frame = bridge.runtime.source_preview.peek()
    if frame is None:
        return None
    place = placement(frame.image, bridge.snapshot())
    return Way(place.from_camera, place.to_camera)


def way_from_program(bridge: Bridge) -> Way | None:
    """The way from the picture that the audience sees, on which the engine's is cropped to fill."""
    shown = bridge.runtime.program.peek()
    if shown is None:
        return None
    place = placed(engine_size(bridge.snapshot()), (shown.image.shape[0], shown.image.shape[1]), Framing())
    return Way(place.to_camera, place.from_camera)


def way_to_view(shorter: Callable[[], Way | None], bridge: Bridge) -> Way | None:
    """The way that `shorter` tells, and on to what annotators see of the camera; None without a picture."""
    frame, way = bridge.runtime.source_preview.peek(), shorter()
    if frame is None or way is None:
        return None
    place = placement(frame.image, bridge.snapshot())
    return Way(lambda point: place.to_view(way.there(point)), lambda point: way.back(place.from_view(point)))


def within(frame: QRectF, first: Point, last: Point) -> QRectF:
    """The rectangle between two points in parts of `frame`."""
    left, right = (frame.left() + x * frame.width() for x in (first[0], last[0]))
    top, bottom = (frame.top() + y * frame.height() for y in (first[1], last[1]))
    return QRectF(left, top, right - left, bottom - top)

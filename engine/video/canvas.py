"""The canvas: where the camera's picture lies on the engine's, and what surrounds it. Pure functions.

So outpainting is asked for: around the camera's picture the control is gray and the mask set, which is how
VACE was trained to read it. Annotators see the camera's picture alone, at the size that it has unzoomed: the
edge of the canvas is no line, and a knob that moves the picture does not make them begin anew.
"""

from dataclasses import dataclass

import numpy as np

from engine.core.types import Image
from engine.video.fit import fit_crop, resize
from engine.video.masks import GENERATED
from engine.video.opencv import cv2

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Framing:
    """How the camera's picture is to lie.

    `zoom` 1 fills the engine's picture, 3 is a third as wide and high; `x`, `y` from -1 (left, top) to 1.
    `whole` shows all of a picture of another aspect instead of cropping it.
    """

    zoom: float = 1.0
    x: float = 0.0
    y: float = 0.0
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """A camera picture of `camera` (height, width) on the engine's of `engine`, all in pixels.

    `seen` is the size of what annotators see of it; from (`top`, `left`) on it takes `height` x `width`.
    """

    camera: tuple[int, int]
    engine: tuple[int, int]
    seen: tuple[int, int]
    top: int
    left: int
    height: int
    width: int

    @property
    def fills(self) -> bool:
        """Whether nothing is left around it."""
        return (self.height, self.width) == self.engine

    @property
    def around(self) -> float:
        """The share of the engine's picture that lies around it, 0..1."""
        return 1 - self.height * self.width / (self.engine[0] * self.engine[1])

    def view(self, image: Image) -> Image:
        """What annotators see of the camera's picture (u8 [H, W, 3]): u8 of the size `seen`, contiguous."""
        return fit_crop(image, *self.seen)

    def picture(self, view: Image) -> Image:
        """The engine's picture, u8 [H, W, 3]: the view in its place, mirrored outwards at its edges.

        What is mirrored is always generated anew; a soft border to it, and noise that leaves something of
        the picture, begin there with its own colours.
        """
        return self._laid(view, cv2.BORDER_REFLECT)

    def control(self, picture: Image) -> Image:
        """A control picture of the view (u8 [h, w, 3]) in its place, gray around it."""
        return self._laid(picture, cv2.BORDER_CONSTANT, GENERATED)

    def mask(self, mask: Image) -> Image:
        """A mask of the view (u8 [h, w], 0 or 255) in its place, nothing around it."""
        # What is covered only in part is generated: no rim of the old picture stays.
        return np.where(self._laid(mask, cv2.BORDER_CONSTANT, 0) > 0, np.uint8(255), np.uint8(0))

    def outside(self) -> Image:
        """The mask of all that lies around it: u8 [H, W], 255 there."""
        mask = np.full(self.engine, 255, np.uint8)
        mask[self.top : self.top + self.height, self.left : self.left + self.width] = 0
        return mask

    def from_view(self, point: Point) -> Point:
        """Where a point of what is seen of the camera lies on the engine's picture; both in parts of them."""
        x, y = self.left + point[0] * self.width, self.top + point[1] * self.height
        return x / self.engine[1], y / self.engine[0]

    def to_view(self, point: Point) -> Point:
        """The opposite of `from_view`."""
        x, y = point[0] * self.engine[1] - self.left, point[1] * self.engine[0] - self.top
        return x / self.width, y / self.height

    def from_camera(self, point: Point) -> Point:
        """Where a point of the camera's picture lies on the engine's; both x, y in parts of the pictures.

        What was cropped off lies outside 0..1.
        """
        x, y = ((point[axis] - 0.5) / self._used(1 - axis) + 0.5 for axis in (0, 1))
        return self.from_view((x, y))

    def to_camera(self, point: Point) -> Point:
        """The opposite of `from_camera`."""
        x, y = self.to_view(point)
        return (x - 0.5) * self._used(1) + 0.5, (y - 0.5) * self._used(0) + 0.5

    def _used(self, axis: int) -> float:
        """The part of the camera's height (axis 0) or width (1) that is seen, 0..1."""
        scale = max(self.seen[0] / self.camera[0], self.seen[1] / self.camera[1])
        return min(1.0, self.seen[axis] / (self.camera[axis] * scale))

    def _laid(self, picture: Image, border: int, level: int = 0) -> Image:
        small = resize(picture, self.height, self.width)
        if self.fills:
            return small
        below, right = self.engine[0] - self.top - self.height, self.engine[1] - self.left - self.width
        laid = cv2.copyMakeBorder(
            small, self.top, below, self.left, right, border, value=(level, level, level)
        )
        return np.asarray(laid, np.uint8)


def placed(camera: tuple[int, int], engine: tuple[int, int], framing: Framing) -> Placement:
    """Where a picture of `camera` (height, width) lies on the engine's of `engine`."""
    seen = engine
    if framing.whole:
        scale = min(engine[0] / camera[0], engine[1] / camera[1])
        seen = (_bounded(camera[0] * scale, engine[0]), _bounded(camera[1] * scale, engine[1]))
    height, width = (_bounded(side / framing.zoom, most) for side, most in zip(seen, engine, strict=True))
    top = round((engine[0] - height) * (1 + framing.y) / 2)
    left = round((engine[1] - width) * (1 + framing.x) / 2)
    return Placement(camera, engine, seen, top, left, height, width)


def _bounded(side: float, most: int) -> int:
    return min(most, max(1, round(side)))

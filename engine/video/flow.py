"""Optical flow: where everything moves from one picture to the next, in the colours of the Middlebury wheel.

The hue is the direction, the saturation the speed in parts of the fastest motion of the picture, white is
stillness: the colours of VACE's training pictures (Baker et al., "A Database and Evaluation Methodology for
Optical Flow", whose wheel of 55 hues is built below). They were made with another method of finding the flow
(RAFT); here it is OpenCV's DIS, on the processor.
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from engine.core.types import Image
from engine.video.annotation import Annotation, fade, require_picture
from engine.video.opencv import cv2

Plane = npt.NDArray[np.float32]

NEUTRAL = 255
# Hues between red, yellow, green, cyan, blue, magenta and red again: more where the eye tells more apart.
_STEPS = (15, 6, 4, 11, 13, 6)
_STILL = 0.004  # of the picture's width in one picture: slower than this is a camera's noise, not full colour
_FOLLOW = 0.2  # how fast the full colour's speed follows a slower picture; a faster one sets it at once
_LEAST_SIDE = 16  # DIS needs some pixels for its patches


class Flow:
    """Colours of motion; `gain` fades them to white. The first picture of a stream has no motion yet."""

    def __init__(self) -> None:
        self._method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._wheel = color_wheel()
        self._last: Image | None = None
        self._fastest = 0.0

    def annotate(self, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
        """The motion from the picture before to `image` (u8 [H, W, 3])."""
        require_picture(image, "flow")
        luma = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        before, self._last = self._last, luma
        if before is None or before.shape != luma.shape or min(luma.shape) < _LEAST_SIDE:
            self._fastest = 0.0
            return Annotation(np.full_like(image, NEUTRAL), None)
        empty = np.zeros((*luma.shape, 2), np.float32)
        flow = np.asarray(self._method.calc(before, luma, empty), np.float32)
        speed, turn = cv2.cartToPolar(-flow[..., 0], -flow[..., 1])
        fastest = max(float(np.asarray(speed).max()), _STILL * luma.shape[1])
        # Full colour is each picture's own fastest motion; falling slowly keeps the colours from pumping.
        self._fastest = max(fastest, self._fastest + (fastest - self._fastest) * _FOLLOW)
        colors = self._colored(np.asarray(speed, np.float32) / self._fastest, np.asarray(turn, np.float32))
        return Annotation(fade(colors, NEUTRAL, gain), None)

    def close(self) -> None:
        """Forget the last picture."""
        self._last = None

    def _colored(self, speed: Plane, turn: Plane) -> Image:
        """Colours u8 [H, W, 3] of `speed` (0..1) and `turn` (radians: the motion's angle less pi)."""
        # The wheel begins half a turn on, and its ends meet at -180 and 180 degrees.
        place = ((turn / np.float32(2 * np.pi) + np.float32(0.5)) % 1) * np.float32(len(self._wheel) - 1)
        low = place.astype(np.intp)
        part = (place - low)[..., None]
        hue = self._wheel[low] * (1 - part) + self._wheel[(low + 1) % len(self._wheel)] * part
        white = np.float32(255)
        return np.asarray(np.floor(white - speed[..., None] * (white - hue)), np.uint8)


def color_wheel() -> Plane:
    """The wheel's 55 hues, f32 [55, 3] RGB 0..255, from red over yellow, green, cyan, blue and magenta."""
    hues: list[list[float]] = []
    corners = (
        (255, 0, 0),
        (255, 255, 0),
        (0, 255, 0),
        (0, 255, 255),
        (0, 0, 255),
        (255, 0, 255),
        (255, 0, 0),
    )
    for steps, (start, end) in zip(_STEPS, pairwise(corners), strict=True):
        for step in range(steps):
            way = np.floor(255 * step / steps)
            hues.append([a + np.sign(b - a) * way for a, b in zip(start, end, strict=True)])
    return np.array(hues, np.float32)

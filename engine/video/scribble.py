"""Scribble: a calm line drawing, dark strokes of about two pixels on white, without a learned network.

Lines are the ridges of the colour gradient: every channel of Lab counts (a red shirt before a green wall has
an outline although both are equally bright), the structure tensor gives one clean direction per pixel, the
thinning and hysteresis of Canny follow it at twice the picture's size, and short pieces fade by their length.

What makes it calm on a noisy webcam is memory: a line seen in the last picture needs less contrast to stay
than a new one needs to appear. The only state is that last drawing, so equal pictures in equal order give
equal bytes.
"""

import numpy as np
import numpy.typing as npt

from engine.core.types import Image
from engine.video.annotation import Annotation, fade, require_picture, to_rgb
from engine.video.opencv import cv2

Plane = npt.NDArray[np.float32]

NEUTRAL = 255
_FINE_BELOW = 100_000  # pixels: smaller pictures are drawn at twice their size and averaged down
_UNITS = 16.0  # Canny takes 16-bit integers: gradient steps of 1/16
_STRONG = (18.0, 6.0)  # contrast that starts a line (Lab steps) at detail 0 and 1
_WEAK = 0.4  # part of it that continues a line
_MEMORY = 0.4  # a remembered line counts as this much stronger
_BLUR = (1.6, 0.8)  # width of the gradient, pixels, at detail 0 and 1
_SHORT = (0.12, 0.03)  # shortest line drawn, as part of the picture's height, at detail 0 and 1
_SQUARE = np.ones((3, 3), np.uint8)
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
_SUM = np.ones((1, 3), np.float32)


class Scribble:
    """A line drawing; `detail` draws more and finer lines, `gain` fades the strokes to white."""

    def __init__(self) -> None:
        self._room: _Room | None = None
        self._remembered: Image | None = None

    def annotate(self, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
        """The drawing of `image` (u8 [H, W, 3])."""
        require_picture(image, "scribble")
        detail = min(max(detail, 0.0), 1.0)
        height, width = image.shape[:2]
        room = self._room
        if room is None or (room.height, room.width) != (height, width):
            room = self._room = _Room(height, width)
            self._remembered = None
        tensor = _structure(image, _between(_BLUR, detail), room)
        ink = _ink(self._lines(tensor, detail, room), detail)
        self._remembered = np.asarray(cv2.blur(cv2.dilate(ink, _SQUARE), (3, 3)), np.uint8)
        strokes = cv2.GaussianBlur(cv2.dilate(ink, _CROSS), (3, 3), 0)
        if room.scale > 1:
            strokes = cv2.resize(strokes, (width, height), interpolation=cv2.INTER_AREA)
        # Averaging down pales a stroke by its soft rim; a little more ink makes its middle full again.
        drawing = cv2.bitwise_not(cv2.convertScaleAbs(strokes, alpha=1.15))
        return Annotation(control=fade(to_rgb(np.asarray(drawing, np.uint8)), NEUTRAL, gain), mask=None)

    def close(self) -> None:
        """Forget the last drawing."""
        self._room = self._remembered = None

    def _lines(self, tensor: Plane, detail: float, room: "_Room") -> Image:
        """Thin lines (0 or 255), u8 at the room's scale, from the structure tensor xx - yy, 2 xy, xx + yy."""
        across, slanted, strength, spread, angle = room.large
        size = across.shape[::-1]
        for small, large in zip(cv2.split(tensor), (across, slanted, strength), strict=True):
            cv2.resize(small, size, dst=large, interpolation=cv2.INTER_CUBIC)
        cv2.cartToPolar(across, slanted, spread, angle)
        # The larger eigenvalue: the contrast across the line, whatever there is along it.
        strength += spread
        np.sqrt(np.maximum(strength, 0, out=strength), out=strength)
        strength *= _UNITS / np.sqrt(2.0)
        if self._remembered is not None:
            np.multiply(self._remembered, _MEMORY / 255, out=spread, dtype=np.float32)
            spread += 1
            strength *= spread
        # Only the direction matters to Canny's thinning, not its sign: half of the doubled angle will do.
        angle *= 0.5
        cv2.polarToCart(strength, angle, across, slanted)
        dx, dy = room.steps
        np.copyto(dx, across, casting="unsafe")
        np.copyto(dy, slanted, casting="unsafe")
        strong = _between(_STRONG, detail) * _UNITS
        return np.asarray(cv2.Canny(dx, dy, strong * _WEAK, strong, L2gradient=True), np.uint8)


class _Room:
    """The large arrays of one picture size, kept from picture to picture.

    Without it every picture would fetch some megabytes from the system anew, page by page, which costs more
    time than the drawing itself.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.scale = 2 if height * width < _FINE_BELOW else 1
        self.small = np.empty((5, height, width, 3), np.float32)
        self.large = np.empty((5, height * self.scale, width * self.scale), np.float32)
        self.steps = np.empty((2, height * self.scale, width * self.scale), np.int16)


def _structure(image: Image, blur: float, room: _Room) -> Plane:
    """The structure tensor as xx - yy, 2 xy, xx + yy [H, W, 3], of all Lab channels, in Lab steps squared."""
    raw, lab, dx, dy, product = room.small
    np.copyto(raw, cv2.cvtColor(cv2.bilateralFilter(image, 5, 30, 3), cv2.COLOR_RGB2LAB))
    cv2.GaussianBlur(raw, (0, 0), blur, dst=lab)
    cv2.Scharr(lab, cv2.CV_32F, 1, 0, dst=dx, scale=blur / 16)
    cv2.Scharr(lab, cv2.CV_32F, 0, 1, dst=dy, scale=blur / 16)
    xx = cv2.transform(np.multiply(dx, dx, out=product), _SUM)
    yy = cv2.transform(np.multiply(dy, dy, out=product), _SUM)
    xy = cv2.transform(np.multiply(dx, dy, out=product), _SUM)
    cv2.merge([xx - yy, 2.0 * xy, xx + yy], dst=raw)
    return np.asarray(cv2.GaussianBlur(raw, (0, 0), 0.8, dst=lab), np.float32)


def _ink(lines: Image, detail: float) -> Image:
    """How dark (0..255) each pixel of `lines` is drawn: short pieces fade, so that none pops in or out."""
    ink = np.zeros(lines.shape, np.uint8)
    where = np.flatnonzero(lines)
    if where.size:
        labels = cv2.connectedComponents(lines, connectivity=8)[1].reshape(-1)[where]
        lengths = np.bincount(labels)
        shortest = _between(_SHORT, detail) * lines.shape[0]
        dark = np.clip((lengths - 0.5 * shortest) / (0.7 * shortest), 0.0, 1.0)
        ink.reshape(-1)[where] = np.round(255 * dark).astype(np.uint8)[labels]
    return ink


def _between(ends: tuple[float, float], part: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * part

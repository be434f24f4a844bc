"""Composing one output picture: fit to the canvas, blend, fade, dim, slate. Pixels only, no rules.

Every picture it is given is left as it is; results are new arrays (or the same picture, unchanged).
"""

import textwrap

import numpy as np

from engine.core.types import Image
from engine.video.fit import fit_crop
from engine.video.opencv import cv2

FADE_S = 0.5
_SLATE_GRAY = 18
_TEXT_GRAY = 150


def blend(first: Image, second: Image, amount: float) -> Image:
    """`first` at amount 0, `second` at 1; both u8 of the same shape."""
    if amount <= 0.0:
        return first
    if amount >= 1.0:
        return second
    return np.asarray(cv2.addWeighted(first, 1.0 - amount, second, amount, 0.0), np.uint8)


def dimmed(image: Image, level: float) -> Image:
    """`image` at brightness `level` 0..1."""
    if level >= 1.0:
        return image
    return np.asarray(cv2.convertScaleAbs(image, alpha=max(0.0, level)), np.uint8)


class Canvas:
    """Fits pictures to `height` x `width`, remembering the last one of each kind: most are shown twice."""

    def __init__(self, height: int, width: int) -> None:
        self.height = height
        self.width = width
        self.black: Image = np.zeros((height, width, 3), np.uint8)
        self._fitted: dict[str, tuple[Image, Image]] = {}
        self._slate: tuple[str, Image] | None = None

    def fit(self, kind: str, image: Image) -> Image:
        """`image` filling the canvas, cropped evenly where its proportions differ."""
        known = self._fitted.get(kind)
        if known is None or known[0] is not image:
            known = (image, fit_crop(image, self.height, self.width))
            self._fitted[kind] = known
        return known[1]

    def slate(self, text: str) -> Image:
        """A quiet dark card with the reason on it: the last resort."""
        if self._slate is None or self._slate[0] != text:
            self._slate = (text, _card(self.height, self.width, text))
        return self._slate[1]


class Fader:
    """Cross-fades whenever the kind of picture changes, from what was shown last."""

    def __init__(self) -> None:
        self._kind = ""
        self._from: Image | None = None
        self._shown: Image | None = None
        self._since = 0.0

    def apply(self, kind: str, image: Image, now: float) -> Image:
        """The picture to show at `now` when `image` of `kind` is wanted; all of one size."""
        if kind != self._kind:
            self._kind, self._from, self._since = kind, self._shown, now
        if self._from is not None:
            amount = (now - self._since) / FADE_S
            if amount >= 1.0:
                self._from = None
            else:
                image = blend(self._from, image, amount)
        self._shown = image
        return image


def _card(height: int, width: int, text: str) -> Image:
    card = np.full((height, width, 3), _SLATE_GRAY, np.uint8)
    scale = height / 720
    # Hershey fonts hold ASCII only.
    lines = textwrap.wrap(text.encode("ascii", "replace").decode(), width=56)[:6]
    top = height // 2 - (len(lines) - 1) * round(22 * scale)
    for number, line in enumerate(lines):
        place = (width // 12, top + number * round(44 * scale))
        cv2.putText(
            card, line, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (_TEXT_GRAY,) * 3, max(1, round(1.6 * scale)),
            cv2.LINE_AA,
        )  # fmt: skip
    return card

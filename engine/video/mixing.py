"""Two control pictures composed into one. Pure functions.

Every kind of control picture is drawn on a ground: light lines on black, dark lines on white, or it has no
ground but tones all over.

* Lines on the same ground are laid together: the lighter of both on black, the darker on white.
* Lines of one colour on the other ground are turned to the first one's ground, then laid together.
* Lines lie over tones, and coloured lines on one ground over coloured ones on the other: where they have ink.
* Two pictures of tones are averaged, each as much as its gain.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.core.types import Image


@dataclass(frozen=True, slots=True)
class Kind:
    """What a control picture is made of: its `ground` (0 black, 255 white, None tones all over)."""

    ground: int | None
    colored: bool = False


LIGHT_LINES, DARK_LINES = Kind(0), Kind(255)
LIGHT_COLORS, DARK_COLORS = Kind(0, colored=True), Kind(255, colored=True)
TONES = Kind(None)


@dataclass(frozen=True, eq=False, slots=True)
class Layer:
    """A control picture u8 [H, W, 3] at its gain, its kind, and that gain 0..1."""

    picture: Image
    kind: Kind
    gain: float


def mixed(first: Layer, second: Layer) -> Layer:
    """Both as one layer. It has the first one's kind, or tones where either has tones."""
    if first.kind.ground is None and second.kind.ground is None:
        return Layer(_averaged(first, second), TONES, max(first.gain, second.gain))
    if first.kind.ground is None:
        return Layer(_laid_over(first, second), TONES, first.gain)
    if second.kind.ground is None:
        return Layer(_laid_over(second, first), TONES, second.gain)
    if first.kind.ground != second.kind.ground:
        if not second.kind.colored:
            second = Layer(255 - second.picture, first.kind, second.gain)
        elif not first.kind.colored:
            first = Layer(255 - first.picture, second.kind, first.gain)
        else:
            return Layer(_laid_over(first, second), first.kind, first.gain)
    together = np.maximum if first.kind.ground == 0 else np.minimum
    return Layer(together(first.picture, second.picture), first.kind, max(first.gain, second.gain))


def _averaged(first: Layer, second: Layer) -> Image:
    """The mean of two pictures, weighed by their gains."""
    whole = first.gain + second.gain
    part = 0.5 if whole == 0 else second.gain / whole
    return _blend(first.picture, second.picture, np.float32(part))


def _laid_over(below: Layer, above: Layer) -> Image:
    """`above`'s ink over `below`: as dense as it differs from its ground."""
    ground = np.float32(above.kind.ground or 0)
    density = np.abs(above.picture - ground).max(axis=2, keepdims=True) / np.float32(255)
    # A pale stroke is thin ink, not gray paint: its full colour, as densely as it differs from the ground.
    ink = ground + (above.picture - ground) / np.maximum(density, np.float32(1 / 255))
    return _blend(below.picture, ink, density)


def _blend(below: Image, above: npt.NDArray[np.generic], part: np.float32 | npt.NDArray[np.float32]) -> Image:
    made = below + (above.astype(np.float32) - below) * part
    return np.clip(np.round(made), 0, 255).astype(np.uint8)

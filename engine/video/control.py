"""The control picture as the performer asked for it: annotators, masks, canvas, hold and smoothing, composed.

It knows neither how annotators are made nor what happens when one fails: both live in the function that it is
given to draw with.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from engine.core.types import Image
from engine.video.annotation import Annotation
from engine.video.annotators import ANNOTATORS
from engine.video.canvas import Framing, Placement, placed
from engine.video.masks import grown, inpainting
from engine.video.mixing import Layer, mixed
from engine.video.steady import Hold, Smoothing

Draw: TypeAlias = Callable[[str, Image, float, float, bool], Annotation]
"""Name of an annotator, picture, detail, gain, invert; what the annotator of that name draws."""

Role: TypeAlias = Literal["first", "second", "mask"]

MASK_SOURCES: Mapping[str, tuple[str, bool]] = MappingProxyType(
    {
        "person": ("segmentation", False),
        "background": ("segmentation", True),
        "face": ("face", False),
        "hands": ("hands", False),
    }
)
"""Each source of a mask: the annotator that finds it, and whether all but that is meant."""


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """What to draw: names of annotators, `detail` and gains 0..1, `smoothing` 0..1, `hold` in frames.

    `mask` is a key of MASK_SOURCES or "none"; `grow` widens a mask by parts of the picture's height. `keep`:
    where the canvas is larger than the camera's picture, only what surrounds that is generated. `inpaint`:
    what lies outside the mask is kept; else the mask is a region and no more.
    """

    name: str
    detail: float = 0.5
    gain: float = 1.0
    second: str = "none"
    second_gain: float = 1.0
    smoothing: float = 0.0
    hold: int = 0
    mask: str = "none"
    invert: bool = False
    grow: float = 0.0
    keep: bool = True
    inpaint: bool = True


@dataclass(frozen=True, eq=False, slots=True)
class Composed:
    """What leads a chunk in one picture, all of the engine's size.

    `picture` u8 [H, W, 3] is the camera's in its place; `control` u8 [H, W, 3] and `mask` u8 [H, W] are None
    where there are none (255 = generate). `drawn_by`: who drew the control, each with its gain; `around`: the
    share of the picture outside the camera's. `found` and `note` as in Annotation. `region` u8 [H, W]: what
    was found, or given, as the mask, whether it parts kept from generated or not; without one what lies
    around the camera's picture; None where there is neither.
    """

    picture: Image
    control: Image | None
    mask: Image | None
    drawn_by: tuple[tuple[str, float], ...]
    around: float
    found: bool
    note: str
    region: Image | None = None


class ControlDesk:
    """Composes one stream's control pictures; remembers the last ones. One thread."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._holds: dict[Role, tuple[str, Hold]] = {}
        self._smoothing = Smoothing()

    def annotate(
        self,
        image: Image,
        wanted: ControlSettings,
        place: Placement | None = None,
        still: Image | None = None,
    ) -> Composed:
        """Control picture and mask of the camera's picture `image` (u8 [H, W, 3], what is seen of `place`).

        `still` is a mask u8 [H, W] of the engine's picture that stays where it is. Where any mask is set the
        annotators lead; elsewhere the camera's pixels are kept. Raises what drawing raises.
        """
        if place is None:
            size = (image.shape[0], image.shape[1])
            place = placed(size, size, Framing())
        parts: list[Annotation] = []
        layers = self._layers(image, wanted, parts)
        found = self._mask(image, wanted, parts)
        picture = self._steady(layers, wanted)
        picture = None if picture is None else place.control(picture)
        own = [] if found is None else [place.mask(grown(found, wanted.grow))]
        if still is not None and still.shape == place.engine:
            own.append(still)
        around = [place.outside()] if wanted.keep and not place.fills else []
        shown = place.picture(image)
        mask = _joined([*own, *around] if wanted.inpaint else around)
        if mask is not None:
            picture = inpainting(shown, picture, mask)
        drawn_by = tuple((name, layer.gain) for name, layer in layers.items())
        return Composed(
            shown,
            picture,
            mask,
            drawn_by,
            place.around,
            all(part.found for part in parts),
            _told(parts),
            _joined(own or around),
        )

    def forget(self) -> None:
        """Begin a new stream."""
        self._holds.clear()
        self._smoothing.forget()

    def _layers(self, image: Image, wanted: ControlSettings, parts: list[Annotation]) -> dict[str, Layer]:
        """The annotators' pictures by name; what was drawn is added to `parts`."""
        layers: dict[str, Layer] = {}
        asked: tuple[tuple[Role, str, float], ...] = (
            ("first", wanted.name, wanted.gain),
            ("second", wanted.second, wanted.second_gain),
        )
        for role, name, gain in asked:
            kind = ANNOTATORS[name].kind if name in ANNOTATORS else None
            if kind is None or (role == "second" and name == wanted.name):
                continue  # nothing, or only a mask; or the same picture twice
            drawn = self._held(role, name, self._draw(name, image, wanted.detail, gain, False), wanted.hold)
            parts.append(drawn)
            if drawn.control is not None:
                layers[name] = Layer(drawn.control, kind, gain)
        return layers

    def _steady(self, layers: Mapping[str, Layer], wanted: ControlSettings) -> Image | None:
        """All layers as one picture, smoothed; None without any."""
        if not layers:
            self._smoothing.forget()
            return None
        picture = functools.reduce(mixed, layers.values()).picture
        return self._smoothing.smooth(picture, wanted.smoothing, f"{wanted.name} {wanted.second}")

    def _mask(self, image: Image, wanted: ControlSettings, parts: list[Annotation]) -> Image | None:
        """The mask, or None to generate everywhere; what was drawn is added to `parts`."""
        if wanted.mask in MASK_SOURCES:
            name, other = MASK_SOURCES[wanted.mask]
            invert = wanted.invert != other
        elif wanted.name in ANNOTATORS and ANNOTATORS[wanted.name].masks:
            name, invert = wanted.name, wanted.invert
        else:
            return None
        drawn = self._draw(name, image, wanted.detail, wanted.gain, invert)
        # Its picture is the camera's under the mask: held, it would show the audience an old camera picture.
        drawn = self._held("mask", f"{name} {invert}", replace(drawn, control=None), wanted.hold)
        parts.append(drawn)
        return drawn.mask

    def _held(self, role: Role, name: str, drawn: Annotation, frames: int) -> Annotation:
        held_name, hold = self._holds.get(role, ("", Hold()))
        if held_name != name:
            hold = Hold()
        self._holds[role] = (name, hold)
        return hold.keep(drawn, frames)


def _joined(masks: Sequence[Image]) -> Image | None:
    """What lies in any of the masks; None without any."""
    return np.maximum.reduce(masks) if masks else None


def _told(parts: Sequence[Annotation]) -> str:
    """All that is to be said of what was drawn, each thing once."""
    notes = dict.fromkeys(part.note for part in parts if part.note)
    # A note that ends in what to do about it comes last.
    return "; ".join(sorted(notes, key=lambda note: "  Fix: " in note))

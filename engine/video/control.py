"""The control picture as the performer asked for it: two annotators, a mask, hold and smoothing, composed.

It knows neither how annotators are made nor what happens when one fails: both live in the function that it is
given to draw with.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

from engine.core.types import Image
from engine.video.annotation import Annotation
from engine.video.annotators import ANNOTATORS
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

    `mask` is a key of MASK_SOURCES or "none"; `grow` widens a mask by parts of the picture's height.
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


class ControlDesk:
    """Composes one stream's control pictures; remembers the last ones. One thread."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._holds: dict[Role, tuple[str, Hold]] = {}
        self._smoothing = Smoothing()

    def annotate(self, image: Image, wanted: ControlSettings) -> Annotation:
        """Control picture and mask of `image` (u8 [H, W, 3]). Raises what drawing raises."""
        parts: list[Annotation] = []
        layer = self._picture(image, wanted, parts)
        mask = self._mask(image, wanted, parts)
        picture = None
        if layer is None:
            self._smoothing.forget()
        else:
            kinds = f"{wanted.name} {wanted.second}"
            picture = self._smoothing.smooth(layer.picture, wanted.smoothing, kinds)
        if mask is not None:
            mask = grown(mask, wanted.grow)
            picture = inpainting(image, picture, mask)
        notes = dict.fromkeys(part.note for part in parts if part.note)
        # A note that ends in what to do about it comes last.
        text = "; ".join(sorted(notes, key=lambda note: "  Fix: " in note))
        return Annotation(picture, mask, all(part.found for part in parts), text)

    def forget(self) -> None:
        """Begin a new stream."""
        self._holds.clear()
        self._smoothing.forget()

    def _picture(self, image: Image, wanted: ControlSettings, parts: list[Annotation]) -> Layer | None:
        """Both annotators' pictures as one; what was drawn is added to `parts`."""
        layers: list[Layer] = []
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
                layers.append(Layer(drawn.control, kind, gain))
        if len(layers) == 2:
            return mixed(*layers)
        return layers[0] if layers else None

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

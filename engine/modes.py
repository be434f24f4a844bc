"""Which mode of VACE a chunk runs in, why, and what that means for its context: one pure function.

Nobody chooses a mode: it follows from what is there. The lamp's words, the context of a chunk and the tests'
truth table all come from `mode_of`, so that none can say something else than another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Part = Literal["free", "control", "masked", "given"]
"""What the context says of one latent: nothing (gray, all to be generated), a control picture everywhere, a
mask that keeps a part, or a key frame, all of which is kept."""


_MOVED = 0.02
"""A camera picture that is moved keeps so much less: its border is generated in all of a latent's frames."""


@dataclass(frozen=True)
class Present:
    """What there is for one chunk.

    `control`: a control picture. `annotator` is the one that was chosen; `drawn_by` names those that drew the
    picture, each with its gain 0..1 (empty: `annotator` alone at 1). `kept`: the share of the picture that a
    mask keeps, 0..1, None without a mask; `around`: the share outside the camera's picture. `first`, `last`:
    how strongly a key frame stands at the chunk's start or end, 0 where there is none. `references`: how
    many. `scale`: the context scale. `noise`: the noise scale over the camera's picture, None where nothing
    of that is used. `wanted_mask`: a mask was asked for. `note`: why something that was asked for is missing.
    `loras`: those that act in a part of the picture only, each by its slot's number and its region (inside or
    outside the mask); `inside`: the share of the picture in that mask, None without one.
    """

    control: bool = False
    annotator: str = "none"
    drawn_by: tuple[tuple[str, float], ...] = ()
    kept: float | None = None
    around: float = 0.0
    first: float = 0.0
    last: float = 0.0
    references: int = 0
    scale: float = 1.0
    noise: float | None = None
    wanted_mask: bool = False
    note: str = ""
    latents: int = 3
    loras: tuple[tuple[int, str], ...] = ()
    inside: float | None = None

    @property
    def context(self) -> bool:
        """Whether there is anything that VACE could be shown."""
        return self.control or self.kept is not None or self.extends or self.references > 0

    @property
    def extends(self) -> bool:
        """Whether there is a key frame."""
        return self.first > 0 or self.last > 0

    @property
    def only_around(self) -> bool:
        """Whether the camera's picture is kept and all that is generated lies around it."""
        return self.around > 0 and bool(self.kept) and self.around + (self.kept or 0) > 1 - _MOVED

    @property
    def led(self) -> tuple[tuple[str, float], ...]:
        """Who drew a picture that leads something, each with its gain."""
        if not self.control or self.only_around:
            return ()
        return self.drawn_by or (((self.annotator, 1.0),) if self.annotator != "none" else ())


@dataclass(frozen=True)
class Mode:
    """A mode by its name and the reason for it, in the performer's words.

    `layout`: what the context says of each latent of the chunk; empty where VACE is not asked and its branch
    is not run. While it is not empty the two streams of control pictures run on from chunk to chunk, whatever
    the mode; while it is empty they rest and begin anew. References lie beside the layout, before the chunk:
    they never take a latent of it. The past in the KV cache is the same in every mode.
    """

    name: str
    reason: str
    layout: tuple[Part, ...] = ()
    references: int = 0


def mode_of(present: Present) -> Mode:
    """The mode of a chunk, from what is present."""
    asked = present.context and present.scale > 0
    names = [name for name, there in _names(present, asked) if there]
    if not names:
        names = ["T2V"]
    reason = ", ".join(_reasons(present, asked))
    return Mode(
        " + ".join(names),
        "; ".join([reason, *_remarks(present, asked), *_regions(present)]),
        _layout(present) if asked else (),
        present.references if asked else 0,
    )


def _names(present: Present, asked: bool) -> tuple[tuple[str, bool], ...]:
    """Names of the parts that a mode is composed of, and whether each is there."""
    masked = asked and bool(present.kept)
    outside = asked and present.around > 0
    return (
        ("EXTEND", asked and present.extends),
        ("OUTPAINT", outside),
        ("INPAINT", masked and not present.only_around),
        ("V2V", not masked and ((asked and present.control) or present.noise is not None)),
        ("R2V", asked and present.references > 0),
    )


def _layout(present: Present) -> tuple[Part, ...]:
    """What the context says of each latent."""
    part: Part = "masked" if present.kept else "control" if present.control else "free"
    layout = [part] * present.latents
    if present.first > 0:
        layout[0] = "given"
    if present.last > 0:
        layout[-1] = "given"
    return tuple(layout)


def _reasons(present: Present, asked: bool) -> list[str]:
    """What leads the chunk, in words; what leads first comes first."""
    over = [] if present.noise is None else [f"noise {present.noise:.2f} over the camera"]
    if not asked:
        return over or [f"text only: {_silence(present)}"]
    # A picture leads as strongly as its gain times the context scale.
    drawn = " + ".join(f"{name} {gain * present.scale:.2f}" for name, gain in present.led)
    led = [drawn] if drawn else []
    if present.around > 0:
        led.append(f"{100 * present.around:.0f} % outside")
    if present.kept and not present.only_around:
        led.append("all of it kept" if present.kept == 1 else f"{100 * present.kept:.0f} % kept")
    for name, strength in (("first", present.first), ("last", present.last)):
        if strength > 0:
            led.append(f"{name} frame" if strength == 1 else f"{name} frame {strength:.2f}")
    if present.references:
        led.append(f"{present.references} reference{'s' if present.references > 1 else ''}")
    if not drawn:
        led[:1] = [f"{led[0] if led else 'mask'} at {present.scale:.2f}"]
    return led + over


def _silence(present: Present) -> str:
    """Why VACE is not asked."""
    if present.context:
        return "context scale is 0"
    return present.note or f"{present.annotator} gives no control picture"


def _remarks(present: Present, asked: bool) -> list[str]:
    """What was asked for and is not there, or says nothing."""
    if present.wanted_mask and present.kept is None:
        return [f"mask ignored: {present.note or 'there is none'}"]
    remarks = [present.note] if present.note and present.context else []
    if asked and present.only_around and present.drawn_by:
        names = " and ".join(name for name, _ in present.drawn_by)
        remarks.append(f"{names} ignored: the camera's picture is kept")
    if asked and present.kept == 0:
        remarks.append("the mask is all white and keeps nothing")
    if asked and present.kept == 1:
        remarks.append("the mask is all black and lets nothing be generated")
    return remarks


def _regions(present: Present) -> list[str]:
    """Where the LoRAs act that act in a part of the picture; without a mask all of it lies outside."""
    if present.inside is not None and 0 < present.inside < 1:
        return [f"LoRA {slot} {region} the mask" for slot, region in present.loras]
    if present.inside == 1:
        where, why = {"inside": "everywhere", "outside": "nowhere"}, "the mask is all white"
    else:
        where, why = {"inside": "nowhere", "outside": "everywhere"}, present.note or "the mask is all black"
        if present.inside is None:
            why = present.note or "there is no mask"
    return [f"LoRA {slot} {where[region]}: {why}" for slot, region in present.loras]

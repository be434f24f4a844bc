"""From the table's values and from control frames to what a session is asked for. Pure functions.

The live engine and `cuelight render` ask in the same way, so that both make the same pictures.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from engine.chunk import ChunkInput, Live, Settings
from engine.core.parameters import LORA_SLOTS
from engine.core.store import Snapshot
from engine.core.types import ControlFrame
from engine.model.blend import Method
from engine.model.hints import HintChoice
from engine.model.load import Choice
from engine.model.pipelines import pipeline_spec
from engine.model.regions import Region
from engine.model.umt5_encoder import Placement
from engine.model.vae import VAEKind
from engine.stages.annotate import engine_size
from engine.stages.extension import Extension
from engine.stages.pictures import Given
from engine.video.masks import united


@dataclass(frozen=True)
class Wanted:
    """What a session is opened with; another one means a reload."""

    pipeline: str
    height: int
    width: int
    choice: Choice

    @staticmethod
    def of(snapshot: Snapshot) -> Wanted:
        """What the values ask for."""
        return Wanted(snapshot.text("engine.pipeline"), *engine_size(snapshot), chosen(snapshot))


def has_choice(pipeline: str) -> bool:
    """Whether there is more than one way to load a pipeline; a bundled one is as it is."""
    return pipeline_spec(pipeline).files is not None


def chosen(snapshot: Snapshot) -> Choice:
    """How the model is to be loaded: where nothing is to be chosen, no value of these is a reload."""
    if not has_choice(snapshot.text("engine.pipeline")):
        return Choice()
    return Choice(
        cast(VAEKind, snapshot.text("engine.vae")),
        snapshot.flag("engine.fp8"),
        cast(Placement, snapshot.text("engine.text_encoder")),
    )


def live_values(snapshot: Snapshot) -> Live:
    """The values that are heard inside a chunk."""
    loras = tuple(snapshot.number(f"lora.{slot}.strength") for slot in range(1, LORA_SLOTS + 1))
    return Live(snapshot.number("vace.context_scale"), snapshot.version, loras)


def chunk_settings(snapshot: Snapshot) -> Settings:
    """The values that hold for a whole chunk, but for a step list written by hand."""
    return Settings(
        steps=snapshot.whole("engine.steps"),
        seed=snapshot.whole("engine.seed"),
        warped=snapshot.flag("engine.warp"),
        noise_scale=snapshot.number("noise.scale"),
        motion=snapshot.number("noise.motion"),
        transition=snapshot.whole("prompt.transition"),
        blend=cast(Method, snapshot.text("prompt.blend")),
        hints=cast(HintChoice, snapshot.text("vace.hints")),
        regions=tuple(
            cast(Region, snapshot.text(f"lora.{slot}.region")) for slot in range(1, LORA_SLOTS + 1)
        ),
    )


def chunk_input(frames: Sequence[ControlFrame]) -> ChunkInput:
    """One chunk's input as the newest frame's annotator drew it.

    Where the annotator was changed within the frames, the older ones take the control picture of the
    first new one. The frames of a latent have one mask, the union of theirs. Returns control
    u8 [F, H, W, 3] or None, mask and region u8 [F, H, W] or None.
    """
    newest = frames[-1]
    kind = _kind(newest)
    alike = newest
    chosen: list[ControlFrame] = []
    for frame in reversed(frames):
        if _kind(frame) == kind:
            alike = frame
        chosen.append(alike)
    chosen.reverse()
    controls = [frame.control for frame in chosen if frame.control is not None]
    masks = [frame.mask for frame in chosen if frame.mask is not None]
    regions = [frame.region for frame in chosen if frame.region is not None]
    control = np.stack(controls) if controls else None
    mask = np.stack(masks) if masks else None
    if control is not None and mask is not None:
        control, mask = united(control, mask)
    return ChunkInput(
        control=control,
        mask=mask,
        annotator=newest.annotator,
        drawn_by=newest.drawn_by,
        around=newest.around,
        video=np.stack([frame.frame.image for frame in frames]),
        note="" if newest.found else newest.note,
        region=np.stack(regions) if regions else None,
    )


def _kind(frame: ControlFrame) -> Hashable:
    """What cannot change within a chunk: who draws, and whether there is control, mask and region."""
    drawn_by = tuple(name for name, _ in frame.drawn_by)
    return frame.annotator, drawn_by, frame.control is None, frame.mask is None, frame.region is None


def with_pictures(chunk: ChunkInput, given: Given, extension: Extension, snapshot: Snapshot) -> ChunkInput:
    """The chunk with its references and key frames."""
    first, last = 0.0, 0.0
    if given.first is not None or given.last is not None:
        first, last = extension.turn(given.shown, snapshot.whole("extension.chunks"))
    wanted = bool(snapshot.text("mask.file").strip()) or snapshot.text("mask.source") != "none"
    wanted &= snapshot.flag("mask.inpaint")
    return replace(
        chunk,
        first=given.first if first > 0 else None,
        last=given.last if last > 0 else None,
        first_strength=first,
        last_strength=last,
        references=given.references,
        wanted_mask=wanted,
    )


def feather(snapshot: Snapshot) -> float | None:
    """Width of the border around what is kept, in parts of the height; None where nothing is pasted."""
    return snapshot.number("mask.feather") if snapshot.flag("mask.composite") else None

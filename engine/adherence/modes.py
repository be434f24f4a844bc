"""Which modes are measured beyond single controls, on which clips, and with which pictures.

The clips are those of the controls: drawn ones whose truth is exact, filmed ones through the annotators. Key
frames are pictures of the clip itself; a reference is the true render of another drawn scene.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from engine.adherence.cases import Case, Clip, Words, drawn_cases, filmed_cases, looks, tells
from engine.adherence.trials import ExtensionTrial, KeptTrial, ReferenceTrial, Trial
from engine.core.parameters import Value
from engine.core.store import Snapshot
from engine.core.types import Image
from engine.render import Timeline, annotate, given, settings
from engine.stages.annotate import engine_size
from engine.video.opencv import cv2

if TYPE_CHECKING:
    from engine.pocket.styles import Look

REFERENCE_SEED = 6000
"""Where the scenes of references begin; no clip and no training has a seed of the next 1000."""
REFERENCES = 2
UNSAID = "clay"
"""What drawn scenes are made of where a prompt names no material: no reference is needed for that."""
OUTPAINTED = 1.5
"""How much smaller the camera's picture lies on the canvas where what surrounds it is generated."""
SILENT = "none"
"""The control of clips that are led by no control picture."""
CLIPS = 4
"""How many clips a mode where nobody says."""


@dataclass(frozen=True)
class Source:
    """Where clips come from: drawn ones where `clip` is None. `count` of them, `seconds` of each."""

    clip: Clip | None
    count: int
    seconds: float
    values: Snapshot
    materials: Sequence[str]

    def cases(self, control: str) -> Iterator[tuple[Case, Look]]:
        """Clips with a control and the look that each one's words ask for; "none" for clips without one."""
        kind = "gray" if control == SILENT and self.clip is None else control
        if self.clip is None:
            found = drawn_cases(kind, self.count, self.seconds, self.values, self.materials)
        else:
            found = filmed_cases(self.clip, kind, self.count, self.seconds, self.values, self.materials)
        subject = None if self.clip is None else "figure"
        for case, look in zip(found, looks(self.materials, subject), strict=False):
            yield (without_control(case) if control == SILENT else case), look

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return "drawn clips" if self.clip is None else self.clip.name


def without_control(case: Case) -> Case:
    """A case whose frames have the camera's pictures and no control picture.

    No true render is known of it then: nothing says where what is.
    """
    frames = [replace(frame, control=None, mask=None, annotator=SILENT) for frame in case.frames]
    truth = replace(case.truth, rendered=False, depth=None, mask=None, joints=None)
    return replace(case, control=SILENT, frames=frames, truth=truth)


def composed(case: Case, values: Snapshot, rows: Mapping[str, Value], still: Image | None = None) -> Case:
    """A case without control whose pictures are composed anew: by `rows`, and under a mask u8 [H, W]."""
    told = settings(given(values) | {"annotator.name": SILENT} | dict(rows))
    pictures = (frame.frame.image for frame in case.frames)
    return replace(case, frames=list(annotate(pictures, Timeline(told), lambda _: still)))


def kept(source: Source) -> Iterator[Trial]:
    """A mask that stands still, a canvas larger than the camera's picture, a mask that follows a person."""
    still = static_mask(*engine_size(source.values))
    for case, _ in source.cases(SILENT):
        yield KeptTrial("kept_static", composed(case, source.values, {}, still))
        yield KeptTrial("kept_outpaint", composed(case, source.values, {"canvas.zoom": OUTPAINTED}))
    for case, _ in source.cases("inpaint"):
        yield KeptTrial("kept_person", case)


def references(source: Source) -> Iterator[Trial]:
    """One reference and two, where nothing else leads."""
    yield from referenced(source, SILENT, "", (1, 2))


def extension(source: Source) -> Iterator[Trial]:
    """A first frame, a last one and both, where nothing else leads."""
    for case, _ in source.cases(SILENT):
        first, last = case.truth.video[0], case.truth.video[-1]
        yield ExtensionTrial("extension_first", case, first)
        yield ExtensionTrial("extension_last", case, last=last)
        yield ExtensionTrial("extension_both", case, first, last)


def compositions(source: Source) -> Iterator[Trial]:
    """References and key frames over a control."""
    yield from referenced(source, "depth", "depth+", (1, 2))
    yield from referenced(source, "inpaint", "inpaint+", (1,))
    yield from referenced(source, "pose", "pose+", (1,))
    yield from referenced(source, "layout", "layout+", (1,))
    for case, _ in source.cases("depth"):
        yield ExtensionTrial("depth+extension_first", case, case.truth.video[0])


MODES: dict[str, Callable[[Source], Iterator[Trial]]] = {
    "kept": kept, "references": references, "extension": extension, "compositions": compositions,
}  # fmt: skip
"""Groups of modes; each gives the trials of one source of clips."""


def static_mask(height: int, width: int) -> Image:
    """A mask u8 [H, W] that lets an oval in the middle be generated, a quarter of the picture."""
    mask = np.zeros((height, width), np.uint8)
    middle, radii = (width // 2, height // 2), (round(0.28 * width), round(0.28 * height))
    cv2.ellipse(mask, middle, radii, 0, 0, 360, 255, -1)
    return mask


def reference_pictures(look: Look, number: int, values: Snapshot) -> list[Image]:
    """Two true renders u8 [H, W, 3] in a look, of scenes that no clip shows; others for every `number`."""
    from engine.pocket.clips import draw_clip

    height, width = engine_size(values)
    seeds = itertools.count(REFERENCE_SEED + 40 * number)
    drawn = (draw_clip(seed, 1, height, width, kind="depth", look=look) for seed in seeds)
    return [clip.target[0] for clip in itertools.islice((c for c in drawn if tells(c.depth[0])), REFERENCES)]


def silent_words(case: Case, look: Look) -> Words:
    """A case's words without a prompt for what a reference shows: material and palette are left out of it."""
    from engine.pocket.styles import without_material

    return replace(case.words, prompt=without_material(look.prompt))


def referenced(source: Source, control: str, prefix: str, counts: Sequence[int]) -> Iterator[ReferenceTrial]:
    """Clips with a control ("none": without) that references lead, some of them by each number of `counts`.

    Where several numbers are compared, so is the prompt that says the same in words.
    """
    said = "prompt.text" in given(source.values)
    source = replace(source, materials=[name for name in source.materials if name != UNSAID])
    for number, (case, look) in enumerate(source.cases(control)):
        pictures = reference_pictures(look, number, source.values)
        # A prompt that somebody set stays as it is.
        led = case if said else replace(case, words=silent_words(case, look))
        described = look.prompt if len(counts) > 1 else None
        yield ReferenceTrial(prefix, led, pictures, counts, described)

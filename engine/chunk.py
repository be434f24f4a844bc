"""What goes into a chunk and what comes out of it: plain data, arrays and numbers.

Everything that makes chunks, plays them or measures them speaks in these words.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.core.errors import EngineError
from engine.core.parameters import LORA_SLOTS
from engine.model.blend import Method
from engine.model.hints import HintChoice
from engine.model.references import Reference
from engine.model.regions import Region
from engine.modes import Mode, Present

Pictures = NDArray[np.uint8]
MOST_STEPS = 4
LONGEST_LIST = 8
_EVERYWHERE: Region = "everywhere"


@dataclass(frozen=True)
class Live:
    """Values read anew at every denoising step, with the version of the store they come from.

    `loras`: the strength of the LoRA slots, from the first on.
    """

    context_scale: float
    version: int
    loras: tuple[float, ...] = ()


@dataclass(frozen=True)
class Settings:
    """Values that hold for a whole chunk.

    `steps`: how many denoising steps, 1 to 4, or 0 for as many as the model wants; `step_list`: instead of
    it the nominal timesteps, 1000 down to 0. `warped` False takes timesteps literally instead of as the model
    was trained. `noise_scale` 1 starts from noise alone, less from the camera's own picture; `motion` (0..1)
    is how far movement lowers it. `transition`: over how many chunks a new prompt takes over, `blend` how.
    `hints`: at how many of the steps the VACE branch runs. `deadline_s`: seconds within which the chunk is to
    be made; where steps are left to the program it takes fewer for that. `regions`: where in the picture the
    LoRAs act, from the first slot on.
    """

    steps: int = 0
    seed: int = 42
    step_list: tuple[int, ...] = ()
    warped: bool = True
    noise_scale: float = 1.0
    motion: float = 0.0
    transition: int = 0
    blend: Method = "linear"
    hints: HintChoice = "auto"
    deadline_s: float | None = None
    regions: tuple[Region, ...] = (_EVERYWHERE,) * LORA_SLOTS

    def nominal(self, usual: int) -> tuple[int, ...]:
        """The timesteps of the chunk before warping, for a model that wants `usual` steps."""
        return self.step_list or nominal_steps(self.steps or usual)


@dataclass(frozen=True)
class ChunkInput:
    """What one chunk follows: control u8 `[F, H, W, 3]` and mask u8 `[F, H, W]` (255 = generate).

    Either may be absent: no control is text only, no mask generates everywhere. `annotator` names its maker.
    `video` u8 `[F, H, W, 3]` is what the camera saw; it counts only where the noise scale is below 1.
    `first`, `last`: key frames u8 `[h, w, 3]` of any size, filled into the picture, and how strongly each
    stands, 0..1. `references`: at most 3, from `Session.reference`. `wanted_mask`: a mask was asked for;
    `note`: why that, or the control, is missing. `drawn_by`: who drew the control, each with its gain 0..1;
    `around`: the share of the picture outside the camera's. These four are for the words of the mode only.
    `region` u8 `[F, H, W]`: the mask of LoRAs that act in a part of the picture (255 = inside).
    """

    control: Pictures | None
    mask: Pictures | None
    annotator: str
    video: Pictures | None = None
    first: Pictures | None = None
    last: Pictures | None = None
    first_strength: float = 1.0
    last_strength: float = 1.0
    references: tuple[Reference, ...] = ()
    wanted_mask: bool = False
    note: str = ""
    drawn_by: tuple[tuple[str, float], ...] = ()
    around: float = 0.0
    region: Pictures | None = None


@dataclass(frozen=True)
class ChunkOutput:
    """Generated pictures u8 `[N, H, W, 3]`, the mode, the newest version in them, seconds per stage.

    `effort`: with how many steps and hints they were made, in words.
    """

    frames: Pictures
    mode: Mode
    version: int
    seconds: dict[str, float]
    effort: str = ""


def nominal_steps(count: int) -> tuple[int, ...]:
    """The un-warped step list of 1 to 4 steps: 1000, 750, 500, 250 for four."""
    if not 1 <= count <= MOST_STEPS:
        raise EngineError(f"{count} denoising steps are not possible.", f"Use 1 to {MOST_STEPS}.")
    return tuple(round(1000 * (count - k) / count) for k in range(count))


def parse_step_list(text: str) -> tuple[int, ...]:
    """Nominal timesteps written as `1000, 750, 500`; empty for an empty text.

    EngineError where they are no whole numbers from 1000 down to 0, or too many.
    """
    words = [word for word in text.replace(",", " ").split() if word]
    try:
        listed = tuple(int(word) for word in words)
    except ValueError:
        listed = (-1,)
    falling = all(after < before for before, after in itertools.pairwise(listed))
    if len(listed) > LONGEST_LIST or not falling or any(not 0 < step <= 1000 for step in listed):
        raise EngineError(
            f"The step list {text!r} cannot be followed.",
            f"Write up to {LONGEST_LIST} falling whole numbers from 1000 to 1, such as 1000, 750, 500.",
        )
    return listed


def present(chunk: ChunkInput, latents: int, noise_scale: float = 1.0) -> Present:
    """What there is for a chunk of so many latents, as `mode_of` asks for it, at context scale 1."""
    kept = None
    if chunk.control is not None and chunk.mask is not None:
        kept = float((chunk.mask <= 127).mean())
    return Present(
        control=chunk.control is not None,
        annotator=chunk.annotator,
        drawn_by=chunk.drawn_by,
        kept=kept,
        around=chunk.around,
        first=0.0 if chunk.first is None else chunk.first_strength,
        last=0.0 if chunk.last is None else chunk.last_strength,
        references=len(chunk.references),
        noise=noise_scale if noise_scale < 1 and chunk.video is not None else None,
        wanted_mask=chunk.wanted_mask,
        note=chunk.note,
        latents=latents,
        inside=None if chunk.region is None else float((chunk.region > 127).mean()),
    )

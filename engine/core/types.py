"""The pictures that travel between threads: plain frozen data, numpy only.

All times are `time.monotonic()` seconds of this process. Images are u8 [H, W, 3] in RGB order.
Whoever receives a picture reads it and never writes into it: the same array is shown elsewhere.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One source picture, stamped when it was captured."""

    image: Image
    captured_at: float
    index: int


@dataclass(frozen=True, eq=False, slots=True)
class ControlFrame:
    """A frame fitted to the engine's size, and what the annotator drew from it.

    `control` is u8 [H, W, 3] or None; `mask` is u8 [H, W] or None (255 = generate, 0 = keep).
    `found` is False when the annotator looked for something (a body) and saw none; `note` says why
    there is nothing to see, for the operator. `drawn_by`: who drew the control picture, each with its gain;
    empty says that `annotator` did. `around` is the share of the picture, 0..1, that lies outside the
    camera's. `region`, u8 [H, W] or None, is the mask for what acts in a part of the picture only (255 =
    inside); it may be there without `mask`.
    """

    frame: Frame
    control: Image | None
    mask: Image | None
    annotator: str
    found: bool
    note: str
    drawn_by: tuple[tuple[str, float], ...] = ()
    around: float = 0.0
    region: Image | None = None


@dataclass(frozen=True, eq=False, slots=True)
class OutputFrame:
    """One picture as the audience sees it.

    `rung` is the step of the never-black ladder it came from: generated, hold, control, camera or
    slate; `reason` says why it is not "generated" (empty otherwise). `captured_at` is the capture
    time of the source picture it shows (None when it shows none), `version` the store's version it
    was made with.
    """

    image: Image
    rung: str
    reason: str
    captured_at: float | None
    version: int
    shown_at: float
    index: int

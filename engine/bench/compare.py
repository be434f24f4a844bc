"""The engine beside a straightforward form of itself, chunk by chunk in the same run.

The straightforward form is the same code with everything switched off that computes a thing once and uses it
again, or joins several steps into one: layer by layer through the autoencoder, tables and text anew in every
pass, the control's second stream encoded although it never changes, finished latents passed to the very end,
and all threads for everything, as torch does by itself. Both get the same noise and the same pictures, so
what they make must be the same; by how much it differs is measured as well.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from engine.bench.measure import Stream
from engine.bench.plan import Plan
from engine.bench.stages import synchronize
from engine.model.latent_space import State
from engine.model.load import Pipeline
from engine.model.savings import ALL, NONE, Savings
from engine.model.tae import TAE
from engine.session import Session

MOST_DIFFERENCE = 2e-4
"""Of pixels in -1 to 1, in fp32."""


@dataclass(frozen=True)
class Comparison:
    """Milliseconds of whole chunks, by turns; `difference`: the largest one of any pixel in -1 to 1.

    `busy`: milliseconds of this process's own work instead, ours and the other's: what counts on a processor
    that other programs use too, and says nothing of a graphics card.
    """

    plan: Plan
    ours_ms: tuple[float, ...]
    eager_ms: tuple[float, ...]
    busy_ms: tuple[tuple[float, float], ...]
    difference: float
    precision: str

    @property
    def ratio(self) -> float:
        """How many times as long the straightforward form takes, by medians."""
        return float(np.median(self.eager_ms) / np.median(self.ours_ms))

    @property
    def busy_ratio(self) -> float:
        """The same of the process's own work."""
        ours, eager = zip(*self.busy_ms, strict=True)
        return float(np.median(eager) / np.median(ours))

    @property
    def same(self) -> bool | None:
        """Whether both make the same pictures; None in a precision that rounds too coarsely to tell."""
        return self.difference <= MOST_DIFFERENCE if self.precision == "float32" else None

    def document(self) -> dict[str, object]:
        """As plain values, for JSON."""
        return self.plan.document() | {
            "ours_ms": _spread(self.ours_ms),
            "eager_ms": _spread(self.eager_ms),
            "ratio": self.ratio,
            "busy_ratio": self.busy_ratio,
            "difference": self.difference,
            "same": self.same,
            "precision": self.precision,
        }


def compare(pipeline: Pipeline, plan: Plan, until: float = math.inf) -> Comparison:
    """Run a plan both ways, a chunk here and a chunk there. Raises EngineError for an impossible size.

    Chunks still to come at the instant `until`, of `time.monotonic`, are left out, but for two of each.
    """
    ours, eager = _Side(pipeline, plan, ALL), _Side(pipeline, plan, NONE)
    difference = 0.0
    taken: list[tuple[_Time, _Time]] = []
    for index in range(plan.warm_up + plan.chunks):
        if index >= plan.warm_up + 2 and time.monotonic() >= until:
            break
        taken.append((ours.chunk(), eager.chunk()))
        difference = max(difference, float((ours.made - eager.made).abs().max()))
    if isinstance(pipeline.vae, TAE):
        pipeline.vae.joins = True
    measured = taken[plan.warm_up :]
    return Comparison(
        plan,
        tuple(ours.passed for ours, _ in measured),
        tuple(eager.passed for _, eager in measured),
        tuple((ours.busy, eager.busy) for ours, eager in measured),
        difference,
        str(pipeline.dtype).removeprefix("torch."),
    )


def comparison_lines(found: Comparison) -> Iterator[str]:
    """Both sides, the ratio and the verdict."""
    for name, values in (("as it is", found.ours_ms), ("straightforward", found.eager_ms)):
        spread = _spread(values)
        yield (
            f"  {name:<17} "
            + "  ".join(f"{key} {value:.1f}" for key, value in spread.items())
            + " ms a chunk"
        )
    yield f"  ratio             {found.ratio:.2f} by turns; of the process's own work {found.busy_ratio:.2f}"
    verdicts = {True: "the same", False: "NOT the same", None: f"not judged in {found.precision}"}
    differ = f"differ by {found.difference:.1e}, at most {MOST_DIFFERENCE:g}"
    yield f"  pictures          {verdicts[found.same]}: {differ}"


def _spread(values: tuple[float, ...]) -> dict[str, float]:
    return {"p50": float(np.median(values)), "min": min(values), "max": max(values)}


@dataclass(frozen=True)
class _Time:
    """Milliseconds on the clock, and of this process's own work."""

    passed: float
    busy: float


class _Side:
    """One stream of the comparison; `made` are the newest pictures `[1, N, 3, H, W]` before rounding."""

    made: Tensor

    def __init__(self, pipeline: Pipeline, plan: Plan, savings: Savings) -> None:
        listener = _Listener(pipeline, joins=savings == ALL)
        self._listener, self._device = listener, pipeline.device
        self._run = Stream(Session(replace(pipeline, vae=listener), *plan.picture, savings), plan)

    def chunk(self) -> _Time:
        """Make a chunk; until the device has done all of it."""
        synchronize(self._device)
        begin, busy = time.perf_counter(), time.process_time()
        self._run.chunk()
        synchronize(self._device)
        taken = _Time(1000 * (time.perf_counter() - begin), 1000 * (time.process_time() - busy))
        self.made = self._listener.decoded
        return taken


class _Listener:
    """An autoencoder that keeps what it decoded last, with its steps joined or not; the face of a VAE."""

    decoded: Tensor

    def __init__(self, pipeline: Pipeline, joins: bool) -> None:
        vae = pipeline.vae
        self._vae, self._joins = vae, joins
        self.frames_for, self.pictures_of, self.parameters = vae.frames_for, vae.pictures_of, vae.parameters

    def encode(self, video_BFCHW: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        self._switch()
        return self._vae.encode(video_BFCHW, state)

    def decode(self, latents_BFChw: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        self._switch()
        self.decoded, following = self._vae.decode(latents_BFChw, state)
        return self.decoded, following

    def resume(self, picture_B3HW: Tensor) -> State:
        self._switch()
        return self._vae.resume(picture_B3HW)

    def _switch(self) -> None:
        """Both sides share the network: whoever calls it says how it is to run."""
        if isinstance(self._vae, TAE):
            self._vae.joins = self._joins

"""`cuelight bench --gate`: what may be left out of a chunk, asked of the very weights that are loaded.

Drawn clips are generated with the same seed by the exact engine (hints at every step, then a clean pass), by
each policy that makes hints less often, and by the cheapest of those that pass without a clean pass. Compared
are the latents, the pictures, and how well both follow their control. Both sides are printed; what passes is
written down, and `vace.hints` auto uses it from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.adherence.cases import Case, drawn_cases
from engine.adherence.judge import Judge
from engine.adherence.measure import BETTER, FOLLOWED, pictures, score
from engine.adherence.metrics import psnr
from engine.chunk import parse_step_list
from engine.core.parameters import Value
from engine.core.paths import cache_dir
from engine.core.store import Snapshot
from engine.core.types import Image
from engine.model.hints import (
    CHEAPEST,
    TURBO,
    Approximation,
    HintPolicy,
    Passed,
    Verdict,
    fingerprint,
    renewed,
    rounded,
    write_verdicts,
)
from engine.model.latent_space import State
from engine.model.load import VERDICTS, Pipeline, load_pipeline
from engine.model.vae import VAE
from engine.session import Session
from engine.stages.asked import Wanted, chunk_settings

CONTROLS = ("scribble", "depth")
CLIPS, SECONDS = 3, 2.0
MOST_LATENT_ERROR = 0.1
"""Of the latents, root mean square, in parts of their own."""
LEAST_PSNR = 30.0
"""Decibels between the pictures of both: at 30 an even difference is 8 of 255."""
MOST_LOSS = 0.02
"""How much worse a control may be followed, in parts."""


@dataclass(frozen=True)
class Reading:
    """One policy beside the exact engine, means over the clips.

    `latent_error` and `psnr` as the limits say; `followed`: by metric, what the exact engine reached and what
    this policy did.
    """

    policy: Approximation
    latent_error: float
    psnr: float
    followed: dict[str, tuple[float, float]]

    @property
    def losses(self) -> dict[str, float]:
        """By metric, by which part of the exact engine's value it is worse; below 0 where it is better."""
        signs = {metric: 1 if BETTER[metric] == "higher" else -1 for metric in self.followed}
        return {
            metric: signs[metric] * (exact - mine) / abs(exact) if exact else float(mine != exact)
            for metric, (exact, mine) in self.followed.items()
        }

    @property
    def passed(self) -> bool:
        """Whether it stays within every limit."""
        followed = all(loss <= MOST_LOSS for loss in self.losses.values())
        return self.latent_error <= MOST_LATENT_ERROR and self.psnr >= LEAST_PSNR and followed


@dataclass(frozen=True)
class _Made:
    """One clip by one policy: latents, pictures, scores."""

    latents: list[Tensor]
    frames: Image
    scores: dict[str, float]


def main(values: Snapshot, file: Path | None = None) -> list[Reading]:
    """Ask for the pipeline, size and steps of `values`; print both sides and write the verdicts into `file`.

    None: the user's own file. Raises EngineError, WeightsError or OSError.
    """
    wanted = Wanted.of(values)
    pipeline = load_pipeline(wanted.pipeline, wanted.choice)
    judge = Judge.load()
    cases = [
        case for control in CONTROLS for case in drawn_cases(control, CLIPS, SECONDS, values, judge.materials)
    ]
    steps = played(pipeline, values)
    size = wanted.height, wanted.width
    readings = ask(pipeline, size, cases, judge, values, cheaper(len(steps)))
    if pipeline.spec.policy.plan(0, pipeline.spec.latents(True)).clean:
        readings = readings + ask(pipeline, size, cases, judge, values, [TURBO[cheapest(readings)]])
    print(*lines(readings, steps), sep="\n")
    written = cache_dir() / VERDICTS if file is None else file
    mine = fingerprint(pipeline.dit)
    write_verdicts(written, [Verdict(mine, rounded(steps), each.policy, each.passed) for each in readings])
    print(f"written to {written}")
    return readings


def played(pipeline: Pipeline, values: Snapshot) -> tuple[float, ...]:
    """The timesteps of a chunk, as the values ask for them."""
    listed = parse_step_list(values.text("engine.step_list"))
    settings = replace(chunk_settings(values), step_list=listed)
    nominal = settings.nominal(pipeline.spec.steps)
    steps = pipeline.schedule.steps(nominal, settings.warped and pipeline.spec.warped)
    return tuple(step.t for step in steps)


def cheaper(steps: int) -> tuple[HintPolicy, ...]:
    """The policies that make hints less often than at each of so many steps."""
    return tuple(policy for policy in CHEAPEST if len(renewed(policy, steps)) < steps)


def cheapest(readings: Iterable[Reading]) -> HintPolicy:
    """The cheapest policy that passed; the exact one where none did."""
    passed = {reading.policy for reading in readings if reading.passed}
    return next(policy for policy in CHEAPEST if policy in passed or policy == "every")


def ask(
    pipeline: Pipeline,
    size: tuple[int, int],
    cases: Iterable[Case],
    judge: Judge,
    values: Snapshot,
    policies: Sequence[Approximation],
) -> list[Reading]:
    """Compare approximations with the exact engine on cases, each with the same noise.

    Each plays as it would once it has passed.
    """
    listener = _Listener(pipeline.vae)
    heard = replace(pipeline, vae=listener)
    timesteps = rounded(played(pipeline, values))
    clips = list(cases)

    def played_with(passed: Passed) -> list[_Made]:
        with closing(Session(replace(heard, passed=passed), *size)) as session:
            return [_made(case, session, listener, judge, values) for case in clips]

    exact = played_with(frozenset())
    pairs = {
        policy: list(zip(exact, played_with(_as_if(policy, timesteps)), strict=True)) for policy in policies
    }
    return [_reading(policy, made) for policy, made in pairs.items()]


def lines(readings: Sequence[Reading], timesteps: Sequence[float]) -> Iterator[str]:
    """Both sides of every policy, the limits, and the verdict."""
    at = ", ".join(f"{t:.0f}" for t in timesteps)
    yield f"hints at fewer of {len(timesteps)} steps ({at}); turbo: no clean pass either"
    if not readings:
        yield "  one step has nothing to save"
    for reading in readings:
        yield f"  {reading.policy}: {'passed' if reading.passed else 'NOT passed'}"
        yield f"    latents differ by      {reading.latent_error:8.4f}  (at most {MOST_LATENT_ERROR:g})"
        yield f"    pictures alike, dB     {reading.psnr:8.1f}  (at least {LEAST_PSNR:g})"
        for metric, (exact, mine) in reading.followed.items():
            loss = reading.losses[metric]
            lost = f"{abs(loss):.1%} {'worse' if loss > 0 else 'better'}, at most {MOST_LOSS:.0%} worse"
            yield f"    {metric:<21}  {mine:8.4f}  exact {exact:.4f} ({lost})"


def _as_if(policy: Approximation, timesteps: tuple[float, ...]) -> Passed:
    """What would have passed where this is what plays."""
    alone = {hints for hints, together in TURBO.items() if together == policy}
    return frozenset((each, timesteps) for each in {policy, *alone} - {"every"})


def _reading(policy: Approximation, pairs: Sequence[tuple[_Made, _Made]]) -> Reading:
    followed = {
        metric: (
            float(np.mean([exact.scores[metric] for exact, _ in pairs if metric in exact.scores])),
            float(np.mean([mine.scores[metric] for _, mine in pairs if metric in mine.scores])),
        )
        for metric in sorted({FOLLOWED[control] for control in CONTROLS})
        if any(metric in exact.scores for exact, _ in pairs)
    }
    return Reading(
        policy,
        float(np.mean([_latent_error(exact.latents, mine.latents) for exact, mine in pairs])),
        float(np.mean([psnr(exact.frames, mine.frames) for exact, mine in pairs])),
        followed,
    )


def _latent_error(exact: Sequence[Tensor], mine: Sequence[Tensor]) -> float:
    """Root mean square of the difference, in parts of the exact latents' own."""
    true, other = (torch.cat([part.flatten().float() for part in side]) for side in (exact, mine))
    return float((true - other).square().mean().sqrt() / true.square().mean().sqrt())


def _made(case: Case, session: Session, listener: _Listener, judge: Judge, values: Snapshot) -> _Made:
    """A case as the session's pipeline makes it, from a stream's beginning, each time with the same noise."""
    session.reset(replay=True)
    listener.heard = []
    also: dict[str, Value] = {"vace.hints": "auto"}
    shown = list(pictures(case, session, values, 1.0, also))
    frames = np.stack([picture for picture, _ in shown])
    return _Made(listener.heard, frames, score(case, iter(shown), judge))


class _Listener:
    """An autoencoder that keeps the latents it decodes; the face of a VAE."""

    def __init__(self, vae: VAE) -> None:
        self.heard: list[Tensor] = []
        self.frames_for, self.pictures_of = vae.frames_for, vae.pictures_of
        self.encode, self.resume, self.parameters = vae.encode, vae.resume, vae.parameters
        self._decode = vae.decode

    def decode(self, latents_BFChw: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        self.heard.append(latents_BFChw.clone())
        return self._decode(latents_BFChw, state)

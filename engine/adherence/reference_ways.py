"""Ways to show references to a model, compared with numbers: `python -m engine.adherence.reference_ways`.

"branch" is the program's own: the references lead the chunk inside the VACE branch, and their own hints are
dropped, so that control and picture keep step. The others live here only, to be compared with it:

* "displaced": the reference takes the place of the control's first latent and pushes the rest back, as the
  public streaming implementation does; what no longer fits is lost.
* "sink": besides the branch, the main model passes the finished latents of the references once and keeps
  their keys and values as entries that every chunk reads and none overwrites, before its window.
* "sink alone": those entries, and nothing in the branch.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.adherence.judge import Judge
from engine.adherence.measure import BETTER
from engine.adherence.modes import CLIPS, SILENT, Source, referenced
from engine.adherence.trials import Bench
from engine.chunk import ChunkInput, ChunkOutput, Live, Settings
from engine.core.parameters import REFERENCES
from engine.core.store import Snapshot
from engine.model.cost import Work
from engine.model.load import Pipeline, load_pipeline
from engine.model.policies import CachePlan, Policy, Rewrite
from engine.model.references import Reference
from engine.model.text import Conditioning
from engine.model.wan import CrossCache
from engine.render import settings
from engine.session import Session
from engine.stages.annotate import engine_size

CLEAN = 0.0
"""Timestep of a pass over finished latents."""


@dataclass(frozen=True)
class Pinned:
    """A policy with slots beyond those of `inner` that chunks read and never write; `used` of `places` are.

    Their positions lie right before the oldest latent of the window, so they stay as far away for ever.
    """

    inner: Policy
    places: int
    used: int = 0

    @property
    def slots(self) -> int:
        """Those of the other policy, which keep their numbers, then the pinned ones."""
        return self.inner.slots + self.places

    @property
    def remembered(self) -> int:
        """As the other policy."""
        return self.inner.remembered

    @property
    def folded(self) -> int:
        """As the other policy."""
        return self.inner.folded

    def plan(self, start: int, latents: int) -> CachePlan:
        """The other policy's plan, which reads the pinned slots last."""
        plan = self.inner.plan(start, latents)
        if not self.used:
            return plan
        oldest = min(*plan.key_positions, *plan.query_positions)
        return replace(
            plan,
            read=(*plan.read, (self.inner.slots, self.inner.slots + self.used)),
            key_positions=(*plan.key_positions, *range(oldest - self.used, oldest)),
            key_bias=(*plan.key_bias, *[0.0] * self.used) if plan.key_bias else (),
        )

    def context(self, start: int) -> Rewrite | None:
        """As the other policy: what it rewrites sees no references."""
        return self.inner.context(start)

    def recache(self, start: int) -> Rewrite | None:
        """As the other policy."""
        return self.inner.recache(start)


@dataclass(frozen=True)
class _Pinning(Pinned):
    """The pass that fills the pinned slots: the references see one another."""

    def plan(self, start: int, latents: int) -> CachePlan:
        """Write the first `latents` pinned slots and read them."""
        del start
        span, positions = (self.inner.slots, self.inner.slots + latents), tuple(range(latents))
        return CachePlan((span,), (span,), positions, positions)

    def context(self, start: int) -> None:
        """Nothing: no chunk is made."""
        del start


class Displaced(Session):
    """References in the control's own time, before it."""

    _led: tuple[Reference, ...] = ()

    def step(
        self,
        chunk: ChunkInput,
        live: Callable[[], Live],
        conditioning: Conditioning,
        settings: Settings,
        *,
        emit: Callable[[ChunkOutput], None],
    ) -> None:
        """One chunk, whose references are part of the context."""
        self._led = chunk.references
        super().step(replace(chunk, references=()), live, conditioning, settings, emit=emit)

    def _context(self, chunk: ChunkInput, wanted: bool) -> Tensor | None:
        context = super()._context(chunk, wanted)
        parts = [reference.context for reference in self._led] + ([] if context is None else [context])
        return torch.cat(parts, dim=2) if parts else None


class Sunk(Session):
    """References in the branch, and in the main model's cache."""

    in_branch = True

    def __init__(self, pipeline: Pipeline, height: int, width: int) -> None:
        policy = Pinned(pipeline.spec.policy, REFERENCES)
        super().__init__(replace(pipeline, spec=replace(pipeline.spec, policy=policy)), height, width)
        self._policy = policy

    def _make(
        self,
        chunk: ChunkInput,
        live: Callable[[], Live],
        settings: Settings,
        text: CrossCache,
        emit: Callable[[ChunkOutput], None],
    ) -> Work:
        count = len(chunk.references)
        if count and live().context_scale > 0:
            # Under the newest text, before every chunk: it is asked here what they do, not what they cost.
            clean = torch.cat([reference.latent for reference in chunk.references], dim=1)
            self._stream.policy = _Pinning(self._policy.inner, REFERENCES)
            self._stream.begin(count, text)
            self._stream.predict(clean, CLEAN)
            self._stream.policy = replace(self._policy, used=count)
        else:
            self._stream.policy = self._policy
        if not self.in_branch:
            chunk = replace(chunk, references=())
        return super()._make(chunk, live, settings, text, emit)


class SunkAlone(Sunk):
    """References in the main model's cache alone."""

    in_branch = False


WAYS: dict[str, type[Session]] = {
    "branch": Session, "displaced": Displaced, "sink": Sunk, "sink alone": SunkAlone,
}  # fmt: skip
SHOWN = (
    "material_accuracy", "reference_likeness", "reference_distance", "change", "edge_f", "depth_rmse",
    "flicker",
)  # fmt: skip
COUNTS = (1, 2)
Results = dict[tuple[str, str, str], list[float]]
"""Numbers by (way, row name, metric)."""


def compare(controls: Sequence[str], clips: int, seconds: float, values: Snapshot) -> Results:
    """Every way on the same clips and references, at context scale 1."""
    pipeline = load_pipeline(values.text("engine.pipeline"))
    judge = Judge.load()
    results: Results = defaultdict(list)
    source = Source(None, clips, seconds, values, judge.materials)
    trials = [
        trial
        for control in controls
        for trial in referenced(source, control, "" if control == SILENT else f"{control}+", COUNTS)
    ]
    with tempfile.TemporaryDirectory(prefix="cuelight-") as folder:
        for way, kind in WAYS.items():
            bench = Bench(kind(pipeline, *engine_size(values)), judge, values, Path(folder))
            for trial in trials if kind is Session else [replace(trial, described=None) for trial in trials]:
                for (name, metric), value in trial.run(bench, 1.0).items():
                    results[way, name, metric].append(value)
    return results


def table(results: Results) -> list[str]:
    """Lines of a markdown table: a row for each kind of clip and way, a column for each metric."""
    metrics = [metric for metric in SHOWN if any(found == metric for _, _, found in results)]
    arrows = {"higher": "up", "lower": "down"}
    heads = [f"{metric.replace('_', ' ')} ({arrows[BETTER[metric]]})" for metric in metrics]
    lines = [f"| | way | {' | '.join(heads)} |", "|---" * (2 + len(metrics)) + "|"]
    names = dict.fromkeys(name for _, name, _ in results)
    for name in names:
        # Where no references are shown all ways are one.
        alike = name.endswith(("no_reference", "replaced_prompt"))
        ways = list(WAYS)[:1] if alike else list(WAYS)
        for way in ways:
            cells = [_mean(results.get((way, name, metric), [])) for metric in metrics]
            lines.append(f"| {name} | {way if len(ways) > 1 else ''} | {' | '.join(cells)} |")
    return lines


def _mean(values: Sequence[float]) -> str:
    return f"{float(np.mean(values)):.3f}" if values else ""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--controls", default="none,depth,scribble")
    parser.add_argument("--pipeline", default="pocket")
    options = parser.parse_args()
    values = settings({"engine.pipeline": options.pipeline})
    results = compare(options.controls.split(","), options.clips, options.seconds, values)
    print("\n".join(table(results)))


if __name__ == "__main__":
    main()

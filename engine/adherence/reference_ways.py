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

from engine.adherence.bench import Bench
from engine.adherence.judge import Judge
from engine.adherence.measure import BETTER
from engine.adherence.modes import CLIPS, SILENT, Source, referenced
from engine.core.parameters import REFERENCES
from engine.core.store import Snapshot
from engine.model.leading import InBranch, Led
from engine.model.load import Pipeline, load_pipeline
from engine.model.policies import CachePlan, Policy, Rewrite
from engine.model.references import Reference
from engine.model.stream import CLEAN, LatentStream
from engine.model.wan import CrossCache
from engine.render import settings
from engine.session import Session
from engine.stages.annotate import engine_size


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


class Displaced(InBranch):
    """References in the control's own time, before it."""

    def inside(self, context_BCFhw: Tensor | None, references: Led) -> Tensor | None:
        """The references, and after them as much of the context as there is room for."""
        parts = [reference.context for reference in references]
        parts += [] if context_BCFhw is None else [context_BCFhw]
        return torch.cat(parts, dim=2) if parts else None

    def beside(self, references: Led) -> tuple[Reference, ...]:
        """None: they are in the context."""
        return ()


class Sunk(InBranch):
    """References in the branch, and in the main model's cache, whose policy is `pinned`."""

    def __init__(self, pinned: Pinned) -> None:
        self._pinned = pinned

    def enter(
        self, stream: LatentStream, references: Led, text: CrossCache, scale: Callable[[], float]
    ) -> None:
        """Pass the references once through the main model, so that their keys and values are there to read.

        Under the newest text, before every chunk: it is asked here what they do, not what they cost.
        """
        count = len(references)
        if not count or scale() <= 0:
            stream.policy = self._pinned
            return
        stream.policy = _Pinning(self._pinned.inner, self._pinned.places)
        stream.begin(count, text)
        stream.predict(torch.cat([reference.latent for reference in references], dim=1), CLEAN)
        stream.policy = replace(self._pinned, used=count)


class SunkAlone(Sunk):
    """References in the main model's cache alone."""

    def beside(self, references: Led) -> tuple[Reference, ...]:
        """None: the branch does not see them."""
        return ()


WAYS = ("branch", "displaced", "sink", "sink alone")


def open_way(way: str, pipeline: Pipeline, height: int, width: int) -> Session:
    """A session of a pipeline whose references lead in one of WAYS."""
    if way == "branch":
        return Session(pipeline, height, width)
    if way == "displaced":
        return Session(pipeline, height, width, way=Displaced())
    pinned = Pinned(pipeline.spec.policy, REFERENCES)
    pipeline = replace(pipeline, spec=replace(pipeline.spec, policy=pinned))
    return Session(pipeline, height, width, way=Sunk(pinned) if way == "sink" else SunkAlone(pinned))


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
        for way in WAYS:
            bench = Bench(open_way(way, pipeline, *engine_size(values)), judge, values, Path(folder))
            # A prompt that says the same in words is the same whichever way references go.
            for trial in trials if way == WAYS[0] else [replace(trial, described=None) for trial in trials]:
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
        ways = WAYS[:1] if alike else WAYS
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

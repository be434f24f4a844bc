"""`cuelight adherence`: how well what is generated follows control picture and prompt, in numbers.

Drawn clips, whose truth is exact, and filmed ones, whose truth is what the program's own annotators saw, are
generated at several context scales; beyond single controls, what is kept of the input, references, key
frames and compositions of these (`modes`, `trials`). What a picture shows is read by means that no model was
trained against: lines by plain image processing (`lines`), depth, subject, joints and material by a small
network that knows true renders only (`judge`). Any pipeline can be measured, in one process or several
(`crew`).
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from engine.adherence import drift, report
from engine.adherence.bench import Bench, open_bench
from engine.adherence.cases import (
    ANNOTATOR_OF,
    Clip,
    clip_of,
    drawn_cases,
    drawn_frames,
    filmed_cases,
    filmed_controls,
)
from engine.adherence.crew import one_by_one, open_crew
from engine.adherence.judge import Judge
from engine.adherence.lines import TOLERANCE, control_lines, edge_f, picture_lines
from engine.adherence.measure import FOLLOWED, Finding, Row, Scores, row
from engine.adherence.modes import CLIPS, MODES, Source
from engine.adherence.progress import Progress
from engine.adherence.trials import ControlTrial, Trial
from engine.core.errors import AnnotatorError, ParameterError, WeightsError
from engine.core.store import Snapshot
from engine.render import given
from engine.session import Session

__all__ = [
    "CONTROLS", "TOLERANCE", "Clip", "Plan", "control_lines", "drawn_frames", "edge_f", "main",
    "picture_lines",
]  # fmt: skip

CONTROLS = ("scribble", "depth", "gray", "pose", "inpaint", "flow", "layout")


@dataclass(frozen=True)
class Plan:
    """What to measure: context scales, controls, how many clips a control (0: no drawn ones; None: one for
    each look) and `seconds` of each; `drift` seconds of one stream, 0 for none. `modes`: which groups of
    modes beyond single controls; None: all of them, but none where controls were named. `markdown`: print the
    table as a model card shows it. `jobs`: in how many processes; the numbers are the same.
    """

    scales: Sequence[float] = (0.0, 0.5, 1.0, 1.5)
    controls: Sequence[str] = ()
    clips: int | None = None
    seconds: float = 2.0
    drift: float = 0.0
    modes: Sequence[str] | None = None
    markdown: bool = False
    jobs: int = 1


Keep = Callable[[list[Row]], None]
"""Told all rows so far after every clip, so that they can be written down."""


def main(files: Sequence[str], values: Snapshot, plan: Plan, keep: Keep = lambda rows: None) -> list[Row]:
    """Measure on drawn clips and on the filmed `files`; print a table and return its rows.

    Each row is the mean over the clips of one source ("procedural" or "real") with one control at one context
    scale. An annotator that this machine cannot run is named, and its rows are left out. Where it is stopped
    by KeyboardInterrupt, the table of what was measured is printed first.
    Raises AnnotatorError where nothing can be followed, and whatever a session or a source raises.
    """
    controls, modes = _controls(plan, values), _modes(plan, values)
    clips = [clip_of(file) for file in files]
    materials = Judge.load().materials
    trials = itertools.chain(
        _control_trials(clips, controls, values, plan, materials),
        _mode_trials(modes, _sources(clips, values, plan, materials)),
    )
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="cuelight-")))
        bench: Bench | None = None
        if plan.jobs > 1:
            with open_crew(plan.jobs, values, plan.scales, folder) as crew:
                scores = _measured(crew.measure, trials, plan, keep)
        else:
            bench = opened.enter_context(open_bench(values, folder))
            scores = _measured(partial(one_by_one, bench=bench, scales=plan.scales), trials, plan, keep)
        if scores.of and controls:
            _check_followed(scores)
        rows = scores.rows()
        if plan.drift:
            bench = bench or opened.enter_context(open_bench(values, folder))
            control = controls[0] if controls else CONTROLS[0]
            rows.append(_drift(bench.session, values, control, clips[0] if clips else None, plan.drift))
    return rows


def _measured(
    measure: Callable[[Iterable[Trial]], Iterator[Finding]], trials: Iterable[Trial], plan: Plan, keep: Keep
) -> Scores:
    """What the trials find, kept as it comes; the table is printed, also of a part of them."""
    scores = Scores()
    try:
        with Progress() as progress:
            for finding in measure(progress.drawing(trials)):
                scores.add(finding)
                progress.measured()
                keep(scores.rows())
    finally:
        if scores.of:
            lines = report.markdown if plan.markdown else report.table
            print("\n".join(lines(scores, plan.scales)))
    return scores


def _controls(plan: Plan, values: Snapshot) -> Sequence[str]:
    """What was asked for: the listed controls, or that of the annotator somebody named, or all.

    None where only modes were listed.
    """
    if plan.controls:
        return plan.controls
    named = given(values).get("annotator.name")
    if plan.modes and named is None:
        return ()
    if named == "none":
        raise AnnotatorError("without an annotator there is nothing to follow", "use --annotator scribble")
    control = {annotator: control for control, annotator in ANNOTATOR_OF.items()}.get(str(named), str(named))
    return CONTROLS if named is None else (control,)


def _modes(plan: Plan, values: Snapshot) -> Sequence[str]:
    """The listed groups of modes; without a list all of them, but none where somebody named controls."""
    if plan.modes is not None:
        return plan.modes
    return () if plan.controls or "annotator.name" in given(values) else tuple(MODES)


def _sources(clips: Sequence[Clip], values: Snapshot, plan: Plan, materials: Sequence[str]) -> list[Source]:
    """Where the clips of modes come from: drawn ones, unless nobody wants any, and the filmed ones."""
    drawn = CLIPS if plan.clips is None else plan.clips
    found = [Source(None, drawn, plan.seconds, values, materials)] if drawn else []
    return found + [Source(clip, drawn or CLIPS, plan.seconds, values, materials) for clip in clips]


def _control_trials(
    clips: Sequence[Clip], controls: Sequence[str], values: Snapshot, plan: Plan, materials: Sequence[str]
) -> Iterator[Trial]:
    """Every control on every clip, drawn when it is needed."""
    for control in controls:
        for case in drawn_cases(control, plan.clips, plan.seconds, values, materials):
            yield ControlTrial(case)
    for clip, control in itertools.product(clips, controls):
        try:
            [frame] = filmed_controls(clip, control, 1 / clip.fps, values)
        except (AnnotatorError, ParameterError, WeightsError) as error:
            print(f"{clip.name}: without {control}, {error}")
            continue
        if frame.note:
            print(f"{clip.name}: {control} is {frame.note}")
        for case in filmed_cases(clip, control, plan.clips or None, plan.seconds, values, materials):
            yield ControlTrial(case)


def _mode_trials(groups: Sequence[str], sources: Sequence[Source]) -> Iterator[Trial]:
    """Groups of MODES on every source; the rest of one whose annotator cannot run here is left out."""
    for source, group in itertools.product(sources, groups):
        try:
            yield from MODES[group](source)
        except (AnnotatorError, ParameterError, WeightsError) as error:
            print(f"{source.name}: without the rest of {group}, {error}")


def _check_followed(scores: Scores) -> None:
    """Where not one control asked for anything, there is no number to go by."""
    if any(metric == FOLLOWED.get(control) for _, control, metric, _ in scores.of):
        return
    controls = ", ".join(dict.fromkeys(control for _, control, _, _ in scores.of))
    raise AnnotatorError(
        f"there is nothing to follow on these clips: no lines, depth, body or mask ({controls})",
        "use another control, or another clip",
    )


def _drift(session: Session, values: Snapshot, control: str, clip: Clip | None, seconds: float) -> Row:
    """Print how far a long stream drifts; the largest change as a row."""
    name = f"{control} of {'a drawn clip' if clip is None else clip.name}"
    first, last = drift.run(session, values, control, clip, seconds)
    print("\n".join(report.drift_lines(first, last, name, seconds)))
    largest = max(drift.changes(first, last).values())
    source = "procedural" if clip is None else clip.source
    return row(source, control, "drift", values.number("vace.context_scale"), largest)

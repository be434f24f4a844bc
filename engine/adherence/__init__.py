"""`cuelight adherence`: how well what is generated follows control picture and prompt, in numbers.

Drawn clips, whose truth is exact, and filmed ones, whose truth is what the program's own annotators saw, are
generated at several context scales; beyond single controls, what is kept of the input, references, key
frames and compositions of these (`modes`, `trials`). What a picture shows is read by means that no model was
trained against: lines by plain image processing (`lines`), depth, subject, joints and material by a small
network that knows true renders only (`judge`). Any pipeline can be measured.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from engine.adherence import drift, report
from engine.adherence.cases import (
    ANNOTATOR_OF,
    Case,
    Clip,
    clip_of,
    drawn_cases,
    drawn_frames,
    filmed_cases,
    filmed_controls,
)
from engine.adherence.judge import Judge
from engine.adherence.lines import TOLERANCE, control_lines, edge_f, picture_lines
from engine.adherence.measure import FOLLOWED, Row, Scores, measure, row
from engine.adherence.modes import CLIPS, MODES, Source, measure_modes
from engine.core.errors import AnnotatorError, ParameterError, WeightsError
from engine.core.store import Snapshot
from engine.render import given
from engine.session import Session, open_session
from engine.stages.asked import Wanted

__all__ = [
    "CONTROLS", "TOLERANCE", "Clip", "Plan", "control_lines", "drawn_frames", "edge_f", "main", "measure",
    "picture_lines",
]  # fmt: skip

CONTROLS = ("scribble", "depth", "gray", "pose", "inpaint")


@dataclass(frozen=True)
class Plan:
    """What to measure: context scales, controls, how many clips a control (0: no drawn ones; None: one for
    each look) and `seconds` of each; `drift` seconds of one stream, 0 for none. `modes`: which groups of
    modes beyond single controls; None: all of them, but none where controls were named. `markdown`: print the
    table as a model card shows it.
    """

    scales: Sequence[float] = (0.0, 0.5, 1.0, 1.5)
    controls: Sequence[str] = ()
    clips: int | None = None
    seconds: float = 2.0
    drift: float = 0.0
    modes: Sequence[str] | None = None
    markdown: bool = False


def main(files: Sequence[str], values: Snapshot, plan: Plan) -> list[Row]:
    """Measure on drawn clips and on the filmed `files`; print a table and return its rows.

    Each row is the mean over the clips of one source ("procedural" or "real") with one control at one context
    scale. An annotator that this machine cannot run is named, and its rows are left out.
    Raises AnnotatorError where nothing can be followed, and whatever a session or a source raises.
    """
    controls = _controls(plan, values)
    modes = _modes(plan, values)
    clips = [clip_of(file) for file in files]
    wanted = Wanted.of(values)
    judge = Judge.load()
    with closing(open_session(wanted.pipeline, wanted.height, wanted.width, wanted.choice)) as session:
        cases = _cases(clips, controls, values, plan, judge.materials)
        scores = measure(cases, session, judge, values, plan.scales, _progress)
        sources = _sources(clips, values, plan, judge.materials)
        measure_modes(modes, sources, session, judge, values, plan.scales, scores, _progress)
        rows = scores.rows()
        if sys.stderr.isatty():
            print(file=sys.stderr)
        if rows:
            lines = report.markdown if plan.markdown else report.table
            print("\n".join(lines(scores, plan.scales)))
            if controls:
                _check_followed(scores)
        if plan.drift:
            control = controls[0] if controls else CONTROLS[0]
            rows.append(_drift(session, values, control, clips[0] if clips else None, plan.drift))
    return rows


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


def _cases(
    clips: Sequence[Clip], controls: Sequence[str], values: Snapshot, plan: Plan, materials: Sequence[str]
) -> Iterator[Case]:
    """Everything there is to generate, drawn when it is needed."""
    for control in controls:
        yield from drawn_cases(control, plan.clips, plan.seconds, values, materials)
    for clip, control in itertools.product(clips, controls):
        try:
            [frame] = filmed_controls(clip, control, 1 / clip.fps, values)
        except (AnnotatorError, ParameterError, WeightsError) as error:
            print(f"{clip.name}: without {control}, {error}")
            continue
        if frame.note:
            print(f"{clip.name}: {control} is {frame.note}")
        yield from filmed_cases(clip, control, plan.clips or None, plan.seconds, values, materials)


def _progress(case: Case, scale: float) -> None:
    """Say on a terminal what is being generated: it takes minutes."""
    if sys.stderr.isatty():
        said = f"{case.source} {case.control}, {case.name}, {case.words.prompt}, scale {scale:g}"
        print(f"\r{said:<100.100}", end="", file=sys.stderr, flush=True)


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

"""Generate a case at a context scale, score what comes, and gather what was found."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from engine.adherence.cases import Case, tells
from engine.adherence.flicker import Motion
from engine.adherence.judge import Judge, Reading
from engine.adherence.lines import control_lines, edge_f, picture_lines
from engine.adherence.metrics import (
    colour_distance,
    depth_rmse,
    mask_ssim,
    pose_pck,
    repainted,
    tint_distance,
)
from engine.core.parameters import Value
from engine.core.store import Snapshot
from engine.core.types import Image
from engine.render import Stream, Timeline, Watch, generate, given, settings, unwatched
from engine.session import Session

FOLLOWED = {
    "scribble": "edge_f", "edges": "edge_f", "gray": "edge_f", "depth": "depth_rmse", "pose": "pose_pck",
    "inpaint": "mask_ssim", "flow": "mask_ssim", "layout": "mask_ssim",
}  # fmt: skip
"""The metric that tells whether a control is followed."""
BETTER = {
    "edge_f": "higher", "depth_rmse": "lower", "mask_ssim": "higher", "pose_pck": "higher",
    "material_accuracy": "higher", "palette_distance": "lower",
    "reference_distance": "lower", "reference_likeness": "higher", "change": "higher",
    "anchor_psnr": "higher", "kept_ssim": "higher", "kept_psnr": "higher", "copy_ssim": "higher",
    "copy_psnr": "higher", "flicker": "lower", "stutter": "lower", "drift": "lower",
}  # fmt: skip
BATCH = 12  # pictures that are read at once
_NOTHING: Mapping[str, Value] = MappingProxyType({})

Row = dict[str, str | float]
Found = dict[tuple[str, str], float]
"""Numbers by (name, metric), where the name is a control or what was tried beside it."""


@dataclass(frozen=True)
class Finding:
    """What one clip from `source` told: the best there could be, and what came at each context scale."""

    source: str
    ceiling: Found
    at: Mapping[float, Found]


@dataclass
class Scores:
    """What was measured so far: one number per case by (source, control, metric, scale).

    `ceiling` is what the same measures say of true renders, by (control, metric).
    """

    of: dict[tuple[str, str, str, float], list[float]] = field(default_factory=lambda: defaultdict(list))
    ceiling: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, finding: Finding) -> None:
        """Count what one more clip told."""
        for key, value in finding.ceiling.items():
            self.ceiling[key].append(value)
        for scale, found in finding.at.items():
            for (name, metric), value in found.items():
                self.of[finding.source, name, metric, scale].append(value)

    def rows(self) -> list[Row]:
        """The means over the cases, in the order in which they were measured."""
        return [row(*key, float(np.mean(found)), len(found)) for key, found in self.of.items()]


def row(source: str, control: str, metric: str, scale: float, value: float, cases: int = 1) -> Row:
    """One measured number, the mean over so many cases."""
    return {
        "source": source,
        "control": control,
        "metric": metric,
        "better": BETTER[metric],
        "scale": scale,
        "value": round(value, 4),
        "cases": cases,
    }


def pictures(
    case: Case,
    session: Session,
    values: Snapshot,
    scale: float,
    also: Mapping[str, Value] = _NOTHING,
    watch: Watch = unwatched,
) -> Iterator[tuple[Image, int]]:
    """The generated frames of a case, each with the number of its chunk, from 1.

    `also`: values of this case alone, such as the file of a reference. `watch` is told every chunk.
    """
    told: dict[str, Value] = {
        "vace.context_scale": scale,
        "prompt.text": case.words.prompt,
        "prompt.transition": 0,
        "mask.composite": False,  # what the model made, not what was put back around it
    }
    stream = Stream(session, Timeline(settings(given(values) | told | dict(also))), watch)
    for picture in generate(case.frames, stream):
        yield picture, len(stream.step_seconds)


def score(case: Case, made: Iterator[tuple[Image, int]], judge: Judge) -> dict[str, float]:
    """The metrics of one clip: means over its frames; one that says nothing here is left out."""
    found: dict[str, list[float]] = defaultdict(list)
    motion = Motion()
    begin = 0
    while batch := list(itertools.islice(made, BATCH)):
        for index, (picture, chunk) in enumerate(batch, begin):
            motion.add(picture, case.truth.video[index], chunk)
        for metric, values in _batch_scores(case, begin, np.stack([picture for picture, _ in batch]), judge):
            found[metric] += values
        begin += len(batch)
    means = {metric: float(np.mean(values)) for metric, values in found.items() if values}
    uneven = {"flicker": motion.flicker, "stutter": motion.stutter}
    return means | {metric: value for metric, value in uneven.items() if value is not None}


def true_score(case: Case, judge: Judge) -> dict[str, float]:
    """The metrics of a case's own true render; colours are then compared with the word's alone."""
    shown = replace(case, truth=replace(case.truth, rendered=False))
    return score(shown, ((frame, 0) for frame in case.truth.video), judge)


def _batch_scores(case: Case, begin: int, shown: Image, judge: Judge) -> Iterator[tuple[str, list[float]]]:
    """Scores of some successive frames by metric."""
    reading = judge.read(shown)
    if case.control in FOLLOWED:
        yield FOLLOWED[case.control], _FOLLOWED_BY[case.control](case, begin, shown, reading)
    if case.words.material is not None and case.words.palette is None:
        yield "material_accuracy", judge.accuracy(reading, case.words.material)
    if case.truth.rendered:
        true = case.truth.video[begin : begin + len(shown)]
        yield "palette_distance", [colour_distance(a, b) for a, b in zip(shown, true, strict=True)]
    elif case.words.palette is not None:
        tint = case.words.palette
        yield (
            "palette_distance",
            [
                tint_distance(picture, mask, tint)
                for picture, mask in zip(shown, reading.subject, strict=True)
            ],
        )


def _lines(case: Case, begin: int, shown: Image, reading: Reading) -> list[float]:
    scores = []
    for picture, frame in zip(shown, case.frames[begin:], strict=False):
        wanted = None if frame.control is None else control_lines(frame.control, frame.annotator)
        if wanted is not None and wanted.any():
            scores.append(edge_f(picture_lines(picture), wanted))
    return scores


def _depth(case: Case, begin: int, shown: Image, reading: Reading) -> list[float]:
    if case.truth.depth is None:
        return []
    asked = case.truth.depth[begin:]
    return [depth_rmse(a, b) for a, b in zip(reading.depth, asked, strict=False) if tells(b)]


def _mask(case: Case, begin: int, shown: Image, reading: Reading) -> list[float]:
    if case.truth.mask is None:
        return []
    asked = case.truth.mask[begin:]
    return [mask_ssim(a, b) for a, b in zip(reading.subject, asked, strict=False) if tells(b)]


def _inpainted(case: Case, begin: int, shown: Image, reading: Reading) -> list[float]:
    """An inpainted picture differs from the camera's in the mask and nowhere else.

    The judge is not asked: before a filmed background it does not even see the body of a true render.
    """
    if case.truth.mask is None:
        return []
    return [
        mask_ssim(repainted(picture, frame.frame.image), asked)
        for picture, frame, asked in zip(shown, case.frames[begin:], case.truth.mask[begin:], strict=False)
        if tells(asked)
    ]


def _pose(case: Case, begin: int, shown: Image, reading: Reading) -> list[float]:
    if case.truth.joints is None:
        return []
    size = shown.shape[1:3]
    asked = case.truth.joints[begin:]
    parts = [pose_pck(a, b, *size) for a, b in zip(reading.joints, asked, strict=False)]
    return [part for part in parts if part is not None]


_FOLLOWED_BY: Mapping[str, Callable[[Case, int, Image, Reading], list[float]]] = {
    "scribble": _lines, "edges": _lines, "gray": _lines, "depth": _depth, "pose": _pose,
    "inpaint": _inpainted, "flow": _mask, "layout": _mask,
}  # fmt: skip

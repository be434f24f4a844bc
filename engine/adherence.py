"""`cuelight adherence`: how well the generated picture follows its control picture, in numbers.

Both pictures are reduced to lines one pixel wide. Precision is the part of the generated lines with a control
line at most TOLERANCE pixels away, recall the part of the control lines with a generated line that near; the
score of a frame is their harmonic mean (edge F, 0..1). Exchanging the two pictures gives the same score. A
frame whose control picture has no line says nothing and is left out; a generated frame without any line
scores 0. Dense random lines score well above 0: read the score against the one at context scale 0.

Lines of a generated frame: luma, Gaussian blur of BLUR pixels, Canny with THRESHOLDS (Sobel units, L2 norm).
Lines of the control picture: the thinned strokes of a scribble or of edges; for others Canny as above.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.core.errors import AnnotatorError
from engine.core.store import Snapshot
from engine.core.types import ControlFrame, Image
from engine.render import Stream, Timeline, annotate, generate, given, settings, source_frames
from engine.session import open_session
from engine.stages.generate import Wanted
from engine.video.opencv import cv2
from engine.video.sources import open_source

TOLERANCE = 2  # pixels, Euclidean
BLUR = 1.0  # pixels
THRESHOLDS = (35.0, 85.0)
DRAWN_FPS = 30

Lines = npt.NDArray[np.bool_]
Row = dict[str, str | float]
Scores = Mapping[str, Mapping[float, float]]  # by clip name, then by context scale


@dataclass(frozen=True)
class Clip:
    """A clip to measure on: `source` is "procedural" (drawn) or "real" (filmed)."""

    name: str
    source: str
    frames: Callable[[float], Iterator[Image]]


def edge_f(generated: Lines, control: Lines, tolerance: float = TOLERANCE) -> float:
    """The score 0..1 of two line pictures [H, W] (True on a line); 1 when both are empty."""
    if not generated.any() or not control.any():
        return float(generated.any() == control.any())
    precision = _part_near(generated, control, tolerance)
    recall = _part_near(control, generated, tolerance)
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def picture_lines(image: Image) -> Lines:
    """The lines [H, W] of a picture u8 [H, W, 3]."""
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    lines = cv2.Canny(cv2.GaussianBlur(luma, (0, 0), BLUR), *THRESHOLDS, L2gradient=True)
    return np.asarray(lines > 0, np.bool_)


def control_lines(control: Image, annotator: str) -> Lines:
    """The lines [H, W] that a control picture u8 [H, W, 3] asks for."""
    reduce = _STROKES.get(annotator)
    if reduce is None:
        return picture_lines(control)
    return np.asarray(cv2.ximgproc.thinning(reduce(control[..., 1])) > 0, np.bool_)


def clip_score(stream: Stream, controls: Sequence[ControlFrame]) -> float:
    """The mean score of one clip's frames. Raises AnnotatorError when no frame has a control line."""
    scores = []
    for control, frame in zip(controls, generate(controls, stream), strict=True):
        wanted = None if control.control is None else control_lines(control.control, control.annotator)
        if wanted is not None and wanted.any():
            scores.append(edge_f(picture_lines(frame), wanted))
    if not scores:
        raise AnnotatorError(
            f"the annotator {controls[0].annotator} drew no lines on this clip",
            "use scribble or edges, or another clip",
        )
    return float(np.mean(scores))


def measure(clips: Sequence[Clip], values: Snapshot, scales: Sequence[float], seconds: float) -> Scores:
    """Scores by clip name and context scale. Every scale starts a new session, so with the same noise."""
    scores: dict[str, dict[float, float]] = {}
    for clip in clips:
        controls = list(annotate(clip.frames(seconds), Timeline(values)))
        scores[clip.name] = {}
        for scale in scales:
            at_scale = settings(given(values) | {"vace.context_scale": scale})
            wanted = Wanted.of(values)
            with closing(
                open_session(wanted.pipeline, wanted.height, wanted.width, wanted.choice)
            ) as session:
                scores[clip.name][scale] = clip_score(Stream(session, Timeline(at_scale)), controls)
    return scores


def main(files: Sequence[str], values: Snapshot, scales: Sequence[float], seconds: float) -> list[Row]:
    """Measure on `files` (or on the two drawn clips when there are none), print and return the rows.

    Each row is the mean over the clips of one source ("procedural" or "real") at one context scale.
    """
    if values.text("annotator.name") == "none":
        raise AnnotatorError("without an annotator there is nothing to follow", "use --annotator scribble")
    clips = [_filmed(file) for file in files] or [_demo(), Clip("drawn", "procedural", drawn_frames)]
    scores = measure(clips, values, scales, seconds)
    print(f"edge F (higher is better), {TOLERANCE} pixels tolerance, {values.text('annotator.name')}")
    print("context scale".ljust(32) + "".join(f"{scale:>8g}" for scale in scales))
    for clip in clips:
        print(f"{clip.source} {Path(clip.name).name}"[:31].ljust(32) + _numbers(scores[clip.name]))
    return _rows(clips, scores, values.text("annotator.name"), scales)


def drawn_frames(seconds: float) -> Iterator[Image]:
    """A drawn clip, u8 [240, 424, 3], of shapes that the training scenes do not hold.

    A star turns, a ring crosses it, two bars swing over a sloping ground: pure functions of the frame number.
    """
    for index in range(max(1, round(seconds * DRAWN_FPS))):
        yield _drawn(index / DRAWN_FPS)


def _drawn(t: float) -> Image:
    ground = np.linspace((40, 60, 90), (110, 90, 70), 240)[:, None, :]
    image = np.broadcast_to(ground, (240, 424, 3)).astype(np.uint8).copy()
    swing = 60 * np.sin(1.1 * t)
    for x, colour in ((70, (200, 200, 190)), (350, (30, 90, 40))):
        bar = np.array([(x, 235), (x + 26, 235), (x + 20 + swing, 40), (x + swing, 40)])
        cv2.fillPoly(image, [bar.astype(np.int32)], colour, cv2.LINE_AA)
    angles = 0.7 * t + np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2 == 0, 80, 36)
    star = np.stack([212 + radius * np.cos(angles), 120 + radius * np.sin(angles)], axis=1)
    cv2.fillPoly(image, [star.astype(np.int32)], (230, 180, 60), cv2.LINE_AA)
    centre = (int(212 + 150 * np.sin(0.9 * t)), int(120 + 40 * np.cos(1.3 * t)))
    cv2.circle(image, centre, 38, (150, 40, 60), 14, cv2.LINE_AA)
    return image


def _demo() -> Clip:
    return Clip("demo", "procedural", lambda seconds: _file_frames("demo", seconds))


def _filmed(file: str) -> Clip:
    return Clip(file, "real", lambda seconds: _file_frames(file, seconds))


def _file_frames(uri: str, seconds: float) -> Iterator[Image]:
    with closing(open_source(uri)) as source:
        yield from source_frames(source, seconds)


def _part_near(lines: Lines, others: Lines, tolerance: float) -> float:
    """The part of the pixels of `lines` that have a pixel of `others` within `tolerance`."""
    away = cv2.distanceTransform((~others).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float((away[lines] <= tolerance).mean())


def _rows(clips: Sequence[Clip], scores: Scores, annotator: str, scales: Sequence[float]) -> list[Row]:
    rows: list[Row] = []
    for source, scale in itertools.product(dict.fromkeys(clip.source for clip in clips), scales):
        values = [scores[clip.name][scale] for clip in clips if clip.source == source]
        rows.append(
            {
                "source": source,
                "control": annotator,
                "metric": "edge_f",
                "better": "higher",
                "scale": scale,
                "value": round(float(np.mean(values)), 4),
            }
        )
    return rows


def _numbers(scores: Mapping[float, float]) -> str:
    return "".join(f"{value:8.3f}" for value in scores.values())


def _dark(plane: Image) -> Image:
    return np.where(plane < 128, 255, 0).astype(np.uint8)


def _bright(plane: Image) -> Image:
    return np.where(plane >= 128, 255, 0).astype(np.uint8)


# Annotators whose control picture consists of lines: which of its pixels are line.
_STROKES: Mapping[str, Callable[[Image], Image]] = {"scribble": _dark, "edges": _bright}

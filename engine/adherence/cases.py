"""What is measured on: short clips with a control, a prompt, and what a perfect model would show.

Drawn ones come from the scenes of Pocket with seeds that its training never saw, and their truth is exact.
For filmed ones the program's own annotators draw the controls; the truth is what those annotators saw.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from engine.adherence.metrics import Plane, Points, pose_pck
from engine.core.skeleton import BODY_POINTS
from engine.core.store import Snapshot
from engine.core.types import ControlFrame, Frame, Image
from engine.render import Timeline, annotate, given, settings, source_frames
from engine.stages.annotate import engine_size
from engine.video.opencv import cv2
from engine.video.people import BodyTracker
from engine.video.pose import openpose_points
from engine.video.sources import open_source

if TYPE_CHECKING:
    from engine.pocket.clips import Clip as DrawnClip
    from engine.pocket.styles import Look

ANNOTATOR_OF = {"inpaint": "segmentation"}
"""Controls whose annotator has another name."""
DRAWN_FPS = 30
FIRST_SEED = {"scribble": 0, "edges": 1000, "depth": 2000, "gray": 3000, "pose": 4000, "inpaint": 5000,
              "layout": 7000, "flow": 8000}  # fmt: skip
"""Where the drawn clips of a control begin; training uses no seed below 10 000."""
MOST_SEEDS = 1000
LEAST_SPREAD = 0.15  # deviation of a depth or of a mask, both 0..1, below which it asks for nothing


@dataclass(frozen=True)
class Words:
    """A prompt, the material it names, the palette word's colour (RGB 0..1); None where it names none."""

    prompt: str
    material: str | None = None
    palette: tuple[float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class Truth:
    """What should be seen in F pictures of H x W; None where it is not known.

    `video` u8 `[F, H, W, 3]` is the clip without any model: the true render, or the camera's picture;
    `rendered` tells which. `depth` `[F, H, W]`, near = 1; `mask` `[F, H, W]`, 1 = generate; `joints`
    `[F, 14, 2]`, x and y in pixels, NaN where unseen.
    """

    video: Image
    rendered: bool
    depth: Plane | None = None
    mask: Plane | None = None
    joints: Points | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """One clip to generate: `source` is "procedural" (drawn) or "real" (filmed)."""

    source: str
    control: str
    name: str
    frames: Sequence[ControlFrame]
    words: Words
    truth: Truth


@dataclass(frozen=True)
class Clip:
    """A clip for the annotators: `source` is "procedural" (drawn) or "real" (filmed).

    `frames(seconds)` are its pictures, at most so many seconds of them, `fps` of them a second.
    """

    name: str
    source: str
    frames: Callable[[float], Iterator[Image]]
    fps: float = DRAWN_FPS


def clip_of(name: str) -> Clip:
    """The clip of a file name; `demo` and `drawn` are drawn ones. Raises SourceError."""
    if name == "drawn":
        return Clip(name, "procedural", drawn_frames)
    with closing(open_source(name)) as source:
        fps = source.fps
    kind = "procedural" if name == "demo" else "real"
    return Clip(name, kind, lambda seconds: _file_frames(name, seconds), fps)


def looks(materials: Sequence[str], subject: str | None = None) -> list[Look]:
    """One look for each material, and one with a palette word alone after every third, in changing settings.

    Not both in one: a palette word paints over the material's own colours, on purpose.
    """
    from engine.pocket.styles import PALETTES, SETTINGS, Look

    tints, places = itertools.cycle(PALETTES), itertools.cycle(SETTINGS)
    looks = []
    for index, material in enumerate(materials, 1):
        looks.append(Look(material, None, next(places), subject))
        if index % 3 == 0:
            looks.append(Look(None, next(tints), next(places), subject))
    return looks


def drawn_cases(
    control: str, count: int | None, seconds: float, values: Snapshot, materials: Sequence[str]
) -> Iterator[Case]:
    """Held-out clips with a control of a kind, one of each of `looks`, `count` at most.

    Scenes whose control asks for nothing (an empty mask, an even depth) are passed over. Where somebody set a
    prompt, that one is said instead, and no true render is known.
    """
    from engine.pocket.clips import FRAMES_PER_SECOND, draw_clip

    frames = max(1, round(seconds * FRAMES_PER_SECOND))
    seeds = iter(range(FIRST_SEED[control], FIRST_SEED[control] + MOST_SEEDS))
    for look in looks(materials)[:count]:
        for seed in seeds:
            clip = draw_clip(seed, frames, *engine_size(values), kind=control, look=look)
            truth = _drawn_truth(clip)
            if _asks(control, truth):
                break
        words = words_of(clip.prompt, materials)
        if "prompt.text" in given(values):
            words, truth = words_of(values.text("prompt.text"), materials), replace(truth, rendered=False)
        yield Case("procedural", control, f"seed {seed}", drawn_controls(clip), words, truth)


def drawn_controls(clip: DrawnClip) -> list[ControlFrame]:
    """The control pictures of a drawn clip, as if an annotator had drawn them from its camera's pictures."""
    masks = itertools.repeat(None) if clip.mask is None else iter(clip.mask)
    return [
        ControlFrame(Frame(seen, captured_at=0.0, index=index), picture, mask, clip.kind, True, "")
        for index, (seen, picture, mask) in enumerate(zip(clip.camera, clip.control, masks, strict=False))
    ]


def filmed_cases(
    clip: Clip, control: str, count: int | None, seconds: float, values: Snapshot, materials: Sequence[str]
) -> Iterator[Case]:
    """A clip through the annotator of a control, another part of it for each of `looks`, `count` at most.

    Where somebody set a prompt there is one case, with that. A clip that is too short for all begins again.
    Raises AnnotatorError, SourceError, or ParameterError where the program has no such annotator.
    """
    wanted = [words_of(look.prompt, materials) for look in looks(materials, "figure")][:count]
    if "prompt.text" in given(values):
        wanted = [words_of(values.text("prompt.text"), materials)]
    parts = _parts(clip, control, seconds, len(wanted), values)
    for words in wanted:
        frames = next(parts)
        video = np.stack([frame.frame.image for frame in frames])
        yield Case(clip.source, control, clip.name, frames, words, _seen(control, frames, video))


def filmed_controls(clip: Clip, control: str, seconds: float, values: Snapshot) -> Iterator[ControlFrame]:
    """A clip through the annotator of a control. Raises what `filmed_cases` does."""
    values = settings(given(values) | {"annotator.name": ANNOTATOR_OF.get(control, control)})
    return annotate(clip.frames(seconds), Timeline(values))


def words_of(prompt: str, materials: Sequence[str]) -> Words:
    """Which material and palette word a prompt names; None where it names none or several."""
    from engine.pocket.styles import PALETTES

    said = {word.strip(",.;").lower() for word in prompt.split()}
    named = [material for material in materials if material in said]
    tints = [colour for word, colour in PALETTES.items() if word in said]
    return Words(prompt, named[0] if len(named) == 1 else None, tints[0] if len(tints) == 1 else None)


def tells(plane: Plane) -> bool:
    """Whether a depth or a mask [H, W] is more than an even one, which anything would fit."""
    return float(plane.std()) >= LEAST_SPREAD


def drawn_frames(seconds: float) -> Iterator[Image]:
    """A drawn clip, u8 [240, 424, 3], of shapes that the training scenes do not hold.

    A star turns, a ring crosses it, two bars swing over a sloping ground: pure functions of the frame number.
    """
    for index in range(max(1, round(seconds * DRAWN_FPS))):
        yield _drawn(index / DRAWN_FPS)


def _parts(
    clip: Clip, control: str, seconds: float, count: int, values: Snapshot
) -> Iterator[list[ControlFrame]]:
    """Annotated parts of a clip, without an end; a shorter rest at its end is passed over."""
    length = max(1, round(seconds * clip.fps))
    while True:
        frames = filmed_controls(clip, control, seconds * count, values)
        part = list(itertools.islice(frames, length))
        yield part
        while len(part := list(itertools.islice(frames, length))) == length:
            yield part


def _drawn_truth(clip: DrawnClip) -> Truth:
    """What a drawn clip's scene is."""
    from engine.pocket.controls import FILLED

    mask = None if clip.mask is None else (clip.mask > 127).astype(np.float32)
    if clip.kind in FILLED:
        mask = clip.subject.astype(np.float32)
    joints = None if clip.joints is None else clip.joints.astype(np.float32)
    return Truth(clip.target, True, clip.depth, mask, joints)


def _asks(control: str, truth: Truth) -> bool:
    """Whether a control tells anything that can be followed."""
    planes = truth.depth if control == "depth" else truth.mask
    if control == "pose" and truth.joints is not None:
        size = truth.video.shape[1:3]
        return any(pose_pck(joints, joints, *size) is not None for joints in truth.joints)
    return planes is None or any(tells(plane) for plane in planes)


def _seen(control: str, frames: Sequence[ControlFrame], video: Image) -> Truth:
    """The truth of filmed pictures, as the annotators saw it."""
    from engine.pocket.controls import FILLED

    if control == "depth":
        planes = [frame.control[..., 0] for frame in frames if frame.control is not None]
        return Truth(video, False, depth=np.stack(planes).astype(np.float32) / np.float32(255))
    if control == "inpaint":
        masks = [frame.mask for frame in frames if frame.mask is not None]
        return Truth(video, False, mask=(np.stack(masks) > 127).astype(np.float32))
    if control in FILLED:
        return Truth(video, False, mask=np.stack([_filled(frame) for frame in frames]))
    if control == "pose":
        return Truth(video, False, joints=_filmed_joints(video))
    return Truth(video, False)


def _filled(frame: ControlFrame) -> Plane:
    """Where the control of a frame asks for a body [H, W], 1 there."""
    from engine.pocket.guides import from_box, from_flow

    if frame.control is None:
        return np.zeros(frame.frame.image.shape[:2], np.float32)
    told = (from_flow if frame.annotator == "flow" else from_box)(frame.control)
    return told.body.astype(np.float32)


def _filmed_joints(video: Image) -> Points:
    """The body's points as the pose annotator's network finds them, NaN where it does not."""
    joints = np.full((len(video), BODY_POINTS, 2), np.nan, np.float32)
    with closing(BodyTracker()) as tracker:
        for index, picture in enumerate(video):
            body = tracker.find(picture)
            if body is None:
                continue
            points, seen = openpose_points(body)
            at = points[:BODY_POINTS] * np.array(picture.shape[1::-1], np.float32)
            joints[index] = np.where(seen[:BODY_POINTS, None], at, np.nan)
    return joints


def _file_frames(uri: str, seconds: float) -> Iterator[Image]:
    with closing(open_source(uri)) as source:
        yield from source_frames(source, seconds)


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

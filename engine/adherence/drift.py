"""Drift: does the picture stay what it was over minutes without a reset?

A stretch of controls is played forth and back without an end, as a live source would go on. The first and the
last minute (a quarter each of a shorter run) hold whole turns of it, so both were asked for the same; what
differs between them is the stream's own doing. Only sums are kept, never the pictures.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.adherence.autoencoder import Encoder
from engine.adherence.cases import FIRST_SEED, Clip, drawn_controls, filmed_controls
from engine.adherence.metrics import sharpness
from engine.core.errors import SourceError
from engine.core.store import Snapshot
from engine.core.types import ControlFrame, Image
from engine.render import Stream, Timeline, generate
from engine.session import Session
from engine.stages.annotate import engine_size

FPS = 16  # of the stream
LONGEST_STRETCH = 10  # seconds, before it turns back
WINDOW = 60  # seconds


@dataclass
class Moments:
    """Mean and deviation of numbers that are not kept."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, numbers: np.ndarray) -> None:
        """Count more numbers, of any shape."""
        wide = numbers.astype(np.float64)
        self.count += wide.size
        self.total += float(wide.sum())
        self.squares += float((wide**2).sum())

    @property
    def mean(self) -> float:
        """The mean of all numbers so far."""
        return self.total / self.count

    @property
    def deviation(self) -> float:
        """Their standard deviation."""
        return max(0.0, self.squares / self.count - self.mean**2) ** 0.5


@dataclass
class Window:
    """What was seen in a part of a run: gray levels, latents, and sharpness per picture."""

    pictures: Moments = field(default_factory=Moments)
    latents: Moments = field(default_factory=Moments)
    sharp: Moments = field(default_factory=Moments)

    def look(self, frames: Image) -> None:
        """Count frames u8 [N, H, W, 3]."""
        self.pictures.add(frames)
        self.sharp.add(np.array([sharpness(frame) for frame in frames]))


def changes(first: Window, last: Window) -> dict[str, float]:
    """By what part each of five numbers changed from the first window to the last.

    The mean of latents lies about zero, so its change is a part of their deviation.
    """
    spread = first.latents.deviation
    return {
        "picture mean": _part(first.pictures.mean, last.pictures.mean),
        "picture deviation": _part(first.pictures.deviation, last.pictures.deviation),
        "sharpness": _part(first.sharp.mean, last.sharp.mean),
        "latent mean": abs(last.latents.mean - first.latents.mean) / spread if spread else 0.0,
        "latent deviation": _part(spread, last.latents.deviation),
    }


def run(
    session: Session, values: Snapshot, control: str, clip: Clip | None, seconds: float
) -> tuple[Window, Window]:
    """Generate for so many seconds, from a filmed clip or a drawn one; the first and the last window."""
    window, length = plan(seconds)
    stretch = _stretch(values, control, clip, length)
    window -= window % (2 * len(stretch))  # whole turns, also of a clip that was too short
    total = round(seconds * FPS)
    session.reset(replay=True)
    stream = Stream(session, Timeline(values))
    first, last = Window(), Window()
    encoder = Encoder(session.pipeline)
    begin = 0
    for chunk in _chunks(stream, itertools.islice(to_and_fro(stretch), total)):
        latents = encoder.encode(chunk)
        for part, (start, end) in ((first, (0, window)), (last, (total - window, total))):
            inside = chunk[max(0, start - begin) : max(0, end - begin)]
            if len(inside):
                part.look(inside)
            if start <= begin < end:
                part.latents.add(latents)
        begin += len(chunk)
    return first, last


def plan(seconds: float) -> tuple[int, int]:
    """Frames of a window, and of the stretch whose turns (forth and back) fill it without a rest."""
    window = round(min(WINDOW, seconds / 4) * FPS)
    turns = max(1, -(-window // (2 * LONGEST_STRETCH * FPS)))
    length = max(1, window // (2 * turns))
    return 2 * turns * length, length


def to_and_fro(stretch: Sequence[ControlFrame]) -> Iterator[ControlFrame]:
    """Forth and back for ever; one turn is twice as long as the stretch."""
    return itertools.cycle([*stretch, *reversed(stretch)])


def _stretch(values: Snapshot, control: str, clip: Clip | None, length: int) -> list[ControlFrame]:
    if clip is None:
        from engine.pocket.clips import draw_clip

        return drawn_controls(draw_clip(FIRST_SEED[control], length, *engine_size(values), kind=control))
    every = max(1.0, clip.fps / FPS)
    frames = list(filmed_controls(clip, control, length / FPS, values))
    picked = [frames[min(len(frames) - 1, int(i * every))] for i in range(int(len(frames) / every))]
    if not picked:
        raise SourceError(f"{clip.name} is too short to be played forth and back", "take a longer clip")
    return picked[:length]


def _chunks(stream: Stream, controls: Iterator[ControlFrame]) -> Iterator[Image]:
    """Generated frames u8 [N, H, W, 3], chunk by chunk."""
    frames = ((len(stream.step_seconds), frame) for frame in generate(controls, stream))
    for _, chunk in itertools.groupby(frames, key=lambda numbered: numbered[0]):
        yield np.stack([frame for _, frame in chunk])


def _part(before: float, after: float) -> float:
    return abs(after - before) / before if before else float(after != before)

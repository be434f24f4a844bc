"""The measurement itself: chunks through a session, first as a show would run them, then stage by stage."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from engine.bench.machine import held_memory, peak_memory
from engine.bench.plan import Mode, Plan
from engine.bench.roof import Roof, count_operations, measure_roof
from engine.bench.stages import HINTS, StageClock, listening, synchronize
from engine.chunk import ChunkInput, ChunkOutput, Live, Pictures, Settings
from engine.model.kernels import PACKAGED, USUAL
from engine.model.load import Pipeline
from engine.model.references import Reference
from engine.session import Session

PROMPTS = ("a figure of red gold in the night", "a forest of glass, morning")
STAGED = 5
"""Chunks that are measured stage by stage."""
HOST = "host"


@dataclass(frozen=True)
class Result:
    """What was measured; milliseconds.

    `chunk_ms`: from one chunk's pictures to the next one's. `first_frame_ms`: from the beginning of a warm
    stream to its first pictures, `cold_frame_ms` of the first stream of all. `prompt_switch_ms`: of the chunk
    that says a new prompt. `stages_ms`: medians; waited for, one after the other. `operations` of one chunk.
    `grown_memory`: bytes held after the measured chunks less those held before; None where nobody tells.
    `measured`: how many chunks that were. `recorded`: how many passes were recorded as graphs; `refused`:
    why none.
    """

    plan: Plan
    fps: float
    chunk_ms: dict[str, float]
    stages_ms: dict[str, float]
    first_frame_ms: float
    cold_frame_ms: float
    prompt_switch_ms: float
    peak_memory: int | None
    grown_memory: int | None
    recorded: int
    refused: str
    measured: int
    operations: int
    roof: Roof
    roof_ms: float
    precision: str
    kernel: str

    @property
    def fraction(self) -> float:
        """Share of the time that the least possible one would take, 0 to 1."""
        return self.roof_ms / self.chunk_ms["p50"]

    def document(self) -> dict[str, object]:
        """As plain values, for JSON."""
        return (
            self.plan.document()
            | {key: value for key, value in asdict(self).items() if key not in ("plan", "roof")}
            | {"roof_flops": self.roof.flops, "roof_bytes": self.roof.bytes, "fraction": self.fraction}
        )


def measure(pipeline: Pipeline, plan: Plan, until: float = math.inf) -> Result:
    """Run a plan on a loaded pipeline, at the plan's size. Raises EngineError for an impossible size.

    Chunks that are still to be measured at the instant `until`, of `time.monotonic`, are left out, but for
    two.
    """
    if pipeline.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(pipeline.device)
    run = Stream(Session(pipeline, *plan.picture), plan)
    cold = run.chunk()
    for _ in range(plan.warm_up - 1):
        run.chunk()
    shown, held = run.shown, held_memory(pipeline.device)
    intervals = 1000 * np.array(_intervals(run, plan, until))
    frames = run.shown - shown
    grown = None if held is None else (held_memory(pipeline.device) or 0) - held
    memory = peak_memory(pipeline.device)
    switch = run.chunk(PROMPTS[1])
    operations = _operations(run, pipeline, plan)
    run.begin_anew()
    first = run.chunk()
    roof = measure_roof(pipeline.device, pipeline.dtype)
    return Result(
        plan=plan,
        fps=frames / (float(intervals.sum()) / 1000),
        chunk_ms={
            "mean": float(intervals.mean()),
            "p50": float(np.percentile(intervals, 50)),
            "p99": float(np.percentile(intervals, 99)),
            "min": float(intervals.min()),
        },
        stages_ms=_stages(pipeline, plan),
        first_frame_ms=first * 1000,
        cold_frame_ms=cold * 1000,
        prompt_switch_ms=switch * 1000,
        peak_memory=memory,
        grown_memory=grown,
        recorded=0 if pipeline.graphs is None else pipeline.graphs.recorded,
        refused="" if pipeline.graphs is None else pipeline.graphs.refused,
        measured=len(intervals),
        operations=operations,
        roof=roof,
        roof_ms=1000 * roof.seconds(operations, _weight_bytes(pipeline)),
        precision=str(pipeline.dtype).removeprefix("torch."),
        kernel=pipeline.attention.name,
    )


def _operations(run: Stream, pipeline: Pipeline, plan: Plan) -> int:
    """Of a chunk in the middle of a stream; where not all of `run` is torch's doing, of a stream that is."""
    if pipeline.graphs is None and pipeline.attention.name not in PACKAGED:
        return count_operations(run.chunk)
    plain = Stream(Session(replace(pipeline, graphs=None, attention=USUAL), *plan.picture), plan)
    for _ in range(plan.warm_up):
        plain.chunk()
    return count_operations(plain.chunk)


def _intervals(run: Stream, plan: Plan, until: float) -> list[float]:
    """Seconds of each measured chunk: as many as planned and for as long, but not beyond an instant."""
    taken: list[float] = []
    while len(taken) < plan.chunks or sum(taken) < plan.seconds:
        if len(taken) >= 2 and time.monotonic() >= until:
            break
        taken.append(run.chunk())
    return taken


class Stream:
    """A stream that is fed the same moving pictures again and again."""

    def __init__(self, session: Session, plan: Plan, live: Callable[[], None] = lambda: None) -> None:
        """`live` is told each time a denoising step is about to begin."""
        self.session, self.shown = session, 0
        self.emitted: Callable[[], None] = lambda: None
        self._plan, self._told = plan, live
        self._settings = Settings(steps=plan.steps, hints=plan.hints)
        self._said = PROMPTS[0]
        self._conditionings = {text: session.conditioning(text) for text in PROMPTS}
        self._last = 0.0
        self._inputs: dict[
            int, ChunkInput
        ] = {}  # by how many pictures; drawing them is no work of the engine
        self._references: tuple[Reference, ...] = ()
        if plan.mode == "references":
            waves = _waves(2, *plan.picture)
            self._references = tuple(session.reference(picture) for picture in waves)

    def chunk(self, prompt: str | None = None) -> float:
        """Make one chunk; seconds from the last chunk's pictures to its own (a stream's first: from now)."""
        self._said = prompt or self._said
        chunk = self._input()
        began = time.perf_counter()
        before = self._last or began
        words = self._conditionings[self._said]
        self.session.step(chunk, self._live, words, self._settings, emit=self._emit)
        return self._last - before

    def _input(self) -> ChunkInput:
        """What the next chunk follows: the same pictures again and again."""
        frames = self.session.frames_in
        if frames not in self._inputs:
            made = chunk_input(self._plan.mode, frames, *self._plan.picture)
            self._inputs[frames] = replace(made, references=self._references)
        return self._inputs[frames]

    def begin_anew(self) -> None:
        """Forget the past, once the device has done all it was given."""
        synchronize(self.session.device)
        self.session.reset()
        self._last = 0.0

    def _live(self) -> Live:
        self._told()
        return Live(0.0 if self._plan.mode == "none" else 1.0, version=0)

    def _emit(self, output: ChunkOutput) -> None:
        self._last = time.perf_counter()  # the pictures are in main memory: the device has been waited for
        self.shown += len(output.frames)
        self.emitted()


def chunk_input(mode: Mode, frames: int, height: int, width: int) -> ChunkInput:
    """Pictures of gray waves that move, or what else the mode takes but for references.

    For inpainting a mask keeps the left half; a layout is two plain shapes that move over white.
    """
    if mode == "extension":
        return ChunkInput(None, None, mode, first=_waves(1, height, width)[0])
    if mode == "layout":
        return ChunkInput(_shapes(frames, height, width), None, mode)
    control = None if mode in ("none", "references") else _waves(frames, height, width)
    mask = None
    if mode == "inpaint":
        mask = np.zeros((frames, height, width), np.uint8)
        mask[:, :, width // 2 :] = 255
    return ChunkInput(control, mask, mode)


def _waves(frames: int, height: int, width: int) -> Pictures:
    """u8 `[F, H, W, 3]`: smooth in space, another one in each frame."""
    phase = np.arange(frames)[:, None, None] / 5
    rows, columns = np.arange(height)[:, None] / 17, np.arange(width)[None, :] / 23
    wave = 127.5 + 127.5 * np.sin(rows + phase) * np.cos(columns - phase)
    return np.repeat(wave.astype(np.uint8)[..., None], 3, axis=-1)


def _shapes(frames: int, height: int, width: int) -> Pictures:
    """u8 `[F, H, W, 3]`: white, with a dark and a gray rectangle that move apart."""
    made = np.full((frames, height, width, 3), 255, np.uint8)
    for index, picture in enumerate(made):
        moved = index % (width // 8)
        picture[height // 4 : height // 2, moved : moved + width // 4] = 40
        picture[height // 2 :, width // 2 - moved : width - moved] = 128
    return made


def _stages(pipeline: Pipeline, plan: Plan) -> dict[str, float]:
    """Median milliseconds of each stage of a chunk in the middle of a stream."""
    clock = StageClock(pipeline.device)
    taken: list[dict[str, float]] = []
    with listening(pipeline, clock) as heard:

        def denoising() -> None:
            clock.phase = "denoise"

        def emitted() -> None:
            clock.phase = "clean pass"

        run = Stream(Session(heard, *plan.picture), plan, denoising)
        run.emitted = emitted
        for _ in range(plan.warm_up + STAGED):
            clock.restart()
            begin = time.perf_counter()
            run.chunk()
            synchronize(pipeline.device)
            total = time.perf_counter() - begin
            counted = sum(seconds for stage, seconds in clock.seconds.items() if stage != HINTS)
            taken.append(clock.seconds | {HOST: total - counted})
    return {stage: 1000 * float(np.median([t[stage] for t in taken[plan.warm_up :]])) for stage in taken[0]}


def _weight_bytes(pipeline: Pipeline) -> int:
    """Bytes of weights, each read once: fewer than a chunk moves, whatever the caches do."""
    networks = (pipeline.dit, pipeline.vae)
    return sum(weight.nbytes for network in networks for weight in network.parameters())

"""One stream of video: control pictures and live values in, generated pictures out, chunk by chunk.

`Session.step` is the whole method: plan, context, noise, denoising steps, decode, clean pass. It has the face
of plain data (arrays in, arrays out) and knows no threads, cameras, windows or parameter tables.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.core.errors import EngineError
from engine.model.cache import KVCache
from engine.model.context import ContextEncoder
from engine.model.pipelines import Pipeline, load_pipeline
from engine.model.schedule import Step, clean_estimate, noised
from engine.model.tae import FRAMES_PER_LATENT, LATENT_CHANNELS, SPATIAL_FACTOR, State
from engine.model.text import Conditioning
from engine.model.wan import CrossCache

Pictures = NDArray[np.uint8]
MOST_STEPS = 4
LONGEST_LIST = 8


@dataclass(frozen=True)
class Live:
    """Values read anew at every denoising step, with the version of the store they come from.

    `loras`: the strength of the LoRA slots, from the first on.
    """

    context_scale: float
    version: int
    loras: tuple[float, ...] = ()


@dataclass(frozen=True)
class Settings:
    """Values that hold for a whole chunk.

    `steps`: how many denoising steps, 1 to 4; `step_list`: instead of it the nominal timesteps, 1000 down to
    0. `warped` False takes timesteps literally instead of as the model was trained. `noise_scale` 1 starts
    from noise alone, less from the camera's own picture; `motion` (0..1) is how far movement lowers it.
    `transition`: over how many chunks a new prompt takes over, and `blend` how.
    """

    steps: int = MOST_STEPS
    seed: int = 42
    step_list: tuple[int, ...] = ()
    warped: bool = True
    noise_scale: float = 1.0
    motion: float = 0.0
    transition: int = 0
    blend: Literal["linear", "slerp"] = "linear"

    @property
    def nominal(self) -> tuple[int, ...]:
        """The timesteps of the chunk before warping."""
        return self.step_list or nominal_steps(self.steps)


@dataclass(frozen=True)
class ChunkInput:
    """What one chunk follows: control u8 `[F, H, W, 3]` and mask u8 `[F, H, W]` (255 = generate).

    Either may be absent: no control is text only, no mask generates everywhere. `annotator` names its maker.
    `video` u8 `[F, H, W, 3]` is what the camera saw; it counts only where the noise scale is below 1.
    """

    control: Pictures | None
    mask: Pictures | None
    annotator: str
    video: Pictures | None = None


@dataclass(frozen=True)
class Mode:
    """Which VACE mode ran, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class ChunkOutput:
    """Generated pictures u8 `[N, H, W, 3]`, the mode, the newest version in them, seconds per stage."""

    frames: Pictures
    mode: Mode
    version: int
    seconds: dict[str, float]


def open_session(pipeline: str, height: int, width: int) -> Session:
    """Load a pipeline and start a stream of pictures of this size. Raises EngineError or WeightsError."""
    return Session(load_pipeline(pipeline), height, width)


class Session:
    """A running stream. Not thread-safe: one thread steps it."""

    def __init__(self, pipeline: Pipeline, height: int, width: int) -> None:
        """Allocate everything a stream of this size needs; EngineError for an impossible size."""
        spec = pipeline.spec
        if height < 64 or width < 64 or height % spec.size_multiple or width % spec.size_multiple:
            raise EngineError(
                f"The picture size {height}x{width} does not fit {spec.label}.",
                f"Use a height and width of at least 64 that are multiples of {spec.size_multiple}.",
            )
        self.pipeline = pipeline
        self.height, self.width = height, width
        self.latent_size = (height // SPATIAL_FACTOR, width // SPATIAL_FACTOR)
        self.frames_in = spec.latents_per_chunk * FRAMES_PER_LATENT
        self._cache = KVCache(
            layers=spec.arch.layers,
            slots=spec.policy.window,
            tokens_per_latent=spec.arch.tokens_per_latent(*self.latent_size),
            heads=spec.arch.heads,
            head_dim=spec.arch.head_dim,
            device=pipeline.device,
            dtype=pipeline.dtype,
        )
        self._contexts = ContextEncoder(pipeline.tae)
        self._text: tuple[Conditioning, CrossCache] | None = None
        self._chunks = 0
        self.reset()

    def reset(self) -> None:
        """Start the stream anew: no past. The noise goes on, so a reset does not replay the same picture."""
        self._start = 0
        self._decoder: State | None = None
        self._contexts.reset()

    def close(self) -> None:
        """Let go of what depends on the prompt; the networks go with the last reference."""
        self._text = None

    def conditioning(self, text: str) -> Conditioning:
        """Embed a prompt; safe to call from another thread than the one that steps."""
        return self.pipeline.text.encode(text)

    @torch.inference_mode()
    def step(
        self,
        chunk: ChunkInput,
        live: Callable[[], Live],
        conditioning: Conditioning,
        settings: Settings,
        *,
        emit: Callable[[ChunkOutput], None],
    ) -> None:
        """Make one chunk and hand it to `emit` before the clean pass; `live` is read at each denoising step.

        Picture i of the stream shows what control picture i asked. Where the autoencoder trims the start of a
        stream, the first chunk is shorter (9 pictures instead of 12 with the public files).
        """
        clock = _Clock()
        spec, dit = self.pipeline.spec, self.pipeline.dit
        plan = spec.policy.plan(self._start, spec.latents_per_chunk)
        text = self._cross(conditioning)
        context = self._context(chunk)
        clock.mark("context")
        generator = self._generator(settings.seed)
        x = self._noise(generator)
        schedule = self.pipeline.schedule.steps(settings.nominal, settings.warped)
        for step, following in zip(schedule, [*schedule[1:], None], strict=True):
            now = live()
            output = dit(
                x,
                self._times(step),
                text,
                cache=self._cache,
                plan=plan,
                context=context,
                context_scale=now.context_scale,
            )
            x = clean_estimate(spec.prediction, x, output, step.sigma)
            if following is not None:
                x = noised(x, self._noise(generator), following.sigma)
        clock.mark("denoise")
        frames, self._decoder = self.pipeline.tae.decode(x, self._decoder)
        pictures = _to_pictures(frames)
        clock.mark("decode")
        emit(ChunkOutput(pictures, mode_of(chunk, now.context_scale), now.version, clock.seconds))
        dit(x, self._times(Step(0.0, 0.0)), text, cache=self._cache, plan=plan)
        self._start += spec.latents_per_chunk
        self._chunks += 1

    def _context(self, chunk: ChunkInput) -> Tensor | None:
        if chunk.control is None:
            self._contexts.reset()
            return None
        expected = (self.frames_in, self.height, self.width)
        if chunk.control.shape != (*expected, 3) or (chunk.mask is not None and chunk.mask.shape != expected):
            raise EngineError(
                f"The control of a chunk has shape {chunk.control.shape}, expected {(*expected, 3)}"
                f"{'' if chunk.mask is None else f', and its mask {chunk.mask.shape}'}.",
                "Fit control and mask to the session's size.",
            )
        return self._contexts.encode(chunk.control, chunk.mask)

    def _cross(self, conditioning: Conditioning) -> CrossCache:
        """Text keys and values, made once per prompt."""
        if self._text is None or self._text[0] is not conditioning:
            rows = conditioning.embeddings.to(self.pipeline.device, self.pipeline.dtype)
            self._text = conditioning, self.pipeline.dit.cross_cache(rows)
        return self._text[1]

    def _generator(self, seed: int) -> torch.Generator:
        """Noise of its own for every chunk of the session, drawn on the CPU so that devices agree."""
        return torch.Generator().manual_seed(seed * 1_000_003 + self._chunks)

    def _noise(self, generator: torch.Generator) -> Tensor:
        shape = (1, self.pipeline.spec.latents_per_chunk, LATENT_CHANNELS, *self.latent_size)
        return torch.randn(shape, generator=generator).to(self.pipeline.device, self.pipeline.dtype)

    def _times(self, step: Step) -> Tensor:
        return torch.full((1, self.pipeline.spec.latents_per_chunk), step.t, device=self.pipeline.device)


class _Clock:
    """Seconds between marks."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def mark(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now


def nominal_steps(count: int) -> tuple[int, ...]:
    """The un-warped step list of 1 to 4 steps: 1000, 750, 500, 250 for four."""
    if not 1 <= count <= MOST_STEPS:
        raise EngineError(f"{count} denoising steps are not possible.", f"Use 1 to {MOST_STEPS}.")
    return tuple(round(1000 * (count - k) / count) for k in range(count))


def parse_step_list(text: str) -> tuple[int, ...]:
    """Nominal timesteps written as `1000, 750, 500`; empty for an empty text.

    EngineError where they are no whole numbers from 1000 down to 0, or too many.
    """
    words = [word for word in text.replace(",", " ").split() if word]
    try:
        listed = tuple(int(word) for word in words)
    except ValueError:
        listed = (-1,)
    falling = all(after < before for before, after in itertools.pairwise(listed))
    if len(listed) > LONGEST_LIST or not falling or any(not 0 < step <= 1000 for step in listed):
        raise EngineError(
            f"The step list {text!r} cannot be followed.",
            f"Write up to {LONGEST_LIST} falling whole numbers from 1000 to 1, such as 1000, 750, 500.",
        )
    return listed


def mode_of(chunk: ChunkInput, scale: float) -> Mode:
    """Which mode a chunk runs in, in the performer's words."""
    if chunk.control is None:
        return Mode("T2V", f"text only: {chunk.annotator} gives no control picture")
    if scale == 0:
        return Mode("T2V", "text only: context scale is 0")
    if chunk.mask is not None and not (chunk.mask > 127).all():
        kept = 100 * float((chunk.mask <= 127).mean())
        return Mode("INPAINT", f"{chunk.annotator} {scale:.2f}, {kept:.0f} % kept")
    return Mode("V2V", f"{chunk.annotator} {scale:.2f}")


def _to_pictures(frames: Tensor) -> Pictures:
    """`[1, N, 3, H, W]` in [-1, 1] to u8 `[N, H, W, 3]`."""
    scaled = ((frames[0] + 1) * 127.5 + 0.5).clamp(0, 255).to(torch.uint8)
    pictures: Pictures = scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pictures

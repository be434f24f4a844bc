"""One stream of video: control pictures and live values in, generated pictures out, chunk by chunk.

`Session.step` is the whole method: plan, context, noise, denoising steps, decode, clean pass. It has the face
of plain data (arrays in, arrays out) and knows no threads, cameras, windows or parameter tables.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.core.errors import EngineError
from engine.core.parameters import LORA_SLOTS
from engine.model.blend import Method
from engine.model.context import ContextEncoder
from engine.model.latent_space import LATENT_CHANNELS, SPATIAL_FACTOR, State
from engine.model.load import Choice, Pipeline, load_pipeline
from engine.model.lora import LoraSlots
from engine.model.lora_file import Lora, read_lora
from engine.model.noise import ChunkNoise, MotionController, mixed, strength_steps
from engine.model.quantize import exact
from engine.model.schedule import Step, clean_estimate, noised
from engine.model.speech import Speech
from engine.model.stream import LatentStream
from engine.model.text import Conditioning
from engine.model.wan import CrossCache

Pictures = NDArray[np.uint8]
MOST_STEPS = 4
ANCHOR_PICTURES = 9
"""The picture before those of the last two latents: what Krea Realtime anchors its context in."""
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
    blend: Method = "linear"

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


def open_session(pipeline: str, height: int, width: int, choice: Choice | None = None) -> Session:
    """Load a pipeline and start a stream of pictures of this size. Raises EngineError or WeightsError."""
    return Session(load_pipeline(pipeline, choice), height, width)


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
        self._stream = LatentStream(
            pipeline.dit,
            spec.policy,
            latent_size=self.latent_size,
            latents_per_chunk=spec.latents_per_chunk,
            device=pipeline.device,
            dtype=pipeline.dtype,
        )
        self._noise = ChunkNoise((LATENT_CHANNELS, *self.latent_size), pipeline.device, pipeline.dtype)
        self._motion = MotionController()
        self._contexts = ContextEncoder(pipeline.vae)
        self._speech = Speech(pipeline.dit, pipeline.device, pipeline.dtype)
        self._loras = LoraSlots(pipeline.dit)
        self.reset()

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.pipeline.device

    @property
    def frames_in(self) -> int:
        """How many pictures the next chunk takes; the first chunk of a stream may differ."""
        return self.pipeline.vae.frames_for(self._latents, self._first)

    @property
    def _first(self) -> bool:
        return self._stream.start == 0

    @property
    def _latents(self) -> int:
        return self.pipeline.spec.latents(self._first)

    def reset(self, replay: bool = False) -> None:
        """Start the stream anew: no past. The noise goes on, so that the picture is a new one.

        `replay`: the noise begins anew as well, so that the same input gives the same pictures again.
        """
        if replay:
            self._noise.replay()
        self._stream.reset()
        self._contexts.reset()
        self._motion.reset()
        self._decoder: State | None = None
        self._video: State | None = None
        self._decoded: Tensor | None = None  # the newest decoded pictures, for an anchor

    def close(self) -> None:
        """Let go of prompt and LoRAs; the networks go with the last reference."""
        self._speech.forget()
        for slot in range(LORA_SLOTS):
            self._loras.set(slot, None)
        self._loras.apply()

    def conditioning(self, text: str) -> Conditioning:
        """Embed a prompt; safe to call from another thread than the one that steps."""
        return self.pipeline.text.encode(text)

    def read_lora(self, path: Path) -> Lora:
        """Read a LoRA file made for this model; safe to call from another thread. Raises WeightsError."""
        return read_lora(path, self.pipeline.dit).to(self.device)

    def set_lora(self, slot: int, lora: Lora | None, strength: float = 1.0) -> None:
        """Put a LoRA into a slot (0 is the first) or empty it, between chunks; the stream goes on."""
        self._loras.set(slot, lora, strength)

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
        self._check(chunk)
        self._loras.apply()
        told = self._speech.next(conditioning, settings.transition, settings.blend, self._loras.text_changes)
        if told.arrived:
            with exact(self.pipeline.dit):  # the stream looks back at it for long, as at its first chunk
                self._stream.recache(told.text)
        with exact(self.pipeline.dit) if self._first else nullcontext():
            self._make(chunk, live, settings, told.text, emit)

    def _make(
        self,
        chunk: ChunkInput,
        live: Callable[[], Live],
        settings: Settings,
        text: CrossCache,
        emit: Callable[[ChunkOutput], None],
    ) -> None:
        """The chunk itself, once it is known what is said."""
        clock = _Clock()
        spec, stream, latents = self.pipeline.spec, self._stream, self._latents
        stream.begin(latents, text, self._anchor)
        context = self._context(chunk)
        self._noise.begin(settings.seed)
        x, steps = self._start(chunk, settings)
        clock.mark("context")
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            now = live()
            for slot, strength in enumerate(now.loras):
                self._loras.strength(slot, strength)
            output = stream.predict(x, step.t, context=context, context_scale=now.context_scale)
            x = clean_estimate(spec.prediction, x, output, step.sigma)
            if following is not None:
                x = noised(x, self._noise.draw(latents), following.sigma)
        clock.mark("denoise")
        frames, self._decoder = self.pipeline.vae.decode(x, self._decoder)
        pictures = _to_pictures(frames)
        clock.mark("decode")
        mode = mode_of(chunk, now.context_scale, settings.noise_scale)
        emit(ChunkOutput(pictures, mode, now.version, clock.seconds))
        stream.finish(x)
        self._keep(frames)

    def _check(self, chunk: ChunkInput) -> None:
        """Refuse pictures of another count or size than the next chunk takes."""
        expected = (self.frames_in, self.height, self.width)
        given = {"control": chunk.control, "mask": chunk.mask, "video": chunk.video}
        for name, value in given.items():
            if value is not None and value.shape[:3] != expected:
                raise EngineError(
                    f"The {name} of a chunk has shape {value.shape}, expected {expected}.",
                    "Fit control, mask and video to the session's size.",
                )

    def _context(self, chunk: ChunkInput) -> Tensor | None:
        if chunk.control is None:
            self._contexts.reset()
            return None
        return self._contexts.encode(chunk.control, chunk.mask, first=self._first)

    def _start(self, chunk: ChunkInput, settings: Settings) -> tuple[Tensor, tuple[Step, ...]]:
        """What denoising starts from, and its steps: noise alone, or noise over the camera's picture."""
        schedule = self.pipeline.schedule
        steps = schedule.steps(settings.nominal, settings.warped and self.pipeline.spec.warped)
        noise = self._noise.draw(self._latents)
        if settings.noise_scale >= 1 or chunk.video is None:
            self._video = None
            self._motion.reset()
            return noise, steps
        scale = self._motion.strength(chunk.video, settings.noise_scale, settings.motion)
        steps = strength_steps(schedule, steps, scale)
        video = _to_tensor(chunk.video, noise)
        if self._video is None and not self._first:
            self._video = self.pipeline.vae.resume(video[:, 0])
        latents, self._video = self.pipeline.vae.encode(video, self._video)
        return mixed(latents, noise, steps[0].sigma), steps

    def _keep(self, frames: Tensor) -> None:
        """Remember the newest decoded pictures `[1, N, 3, H, W]`, as far back as an anchor may lie."""
        if frames.shape[1] < ANCHOR_PICTURES and self._decoded is not None:
            frames = torch.cat([self._decoded, frames], dim=1)
        self._decoded = frames[:, -ANCHOR_PICTURES:]

    def _anchor(self) -> Tensor:
        """The latent `[1, 1, 16, h, w]` of the oldest remembered picture, encoded alone."""
        if self._decoded is None:
            raise EngineError("An anchor was asked for before anything was decoded.", "Report this.")
        return self.pipeline.vae.encode(self._decoded[:, :1])[0]


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


def mode_of(chunk: ChunkInput, scale: float, noise_scale: float = 1.0) -> Mode:
    """Which mode a chunk runs in, in the performer's words."""
    mode = _controlled(chunk, scale)
    if noise_scale >= 1 or chunk.video is None:
        return mode
    over = f"noise {noise_scale:.2f} over the camera"
    return Mode("V2V", over) if mode.name == "T2V" else Mode(mode.name, f"{mode.reason}, {over}")


def _controlled(chunk: ChunkInput, scale: float) -> Mode:
    """The mode as far as control and mask decide it."""
    if chunk.control is None:
        return Mode("T2V", f"text only: {chunk.annotator} gives no control picture")
    if scale == 0:
        return Mode("T2V", "text only: context scale is 0")
    if chunk.mask is not None and not (chunk.mask > 127).all():
        kept = 100 * float((chunk.mask <= 127).mean())
        return Mode("INPAINT", f"{chunk.annotator} {scale:.2f}, {kept:.0f} % kept")
    return Mode("V2V", f"{chunk.annotator} {scale:.2f}")


def _to_tensor(pictures: Pictures, like: Tensor) -> Tensor:
    """u8 `[F, H, W, 3]` to `[1, F, 3, H, W]` in [-1, 1], on the device and in the dtype of `like`."""
    video = torch.from_numpy(pictures).to(like.device, like.dtype).permute(0, 3, 1, 2)[None]
    return video / 127.5 - 1


def _to_pictures(frames: Tensor) -> Pictures:
    """`[1, N, 3, H, W]` in [-1, 1] to u8 `[N, H, W, 3]`."""
    scaled = ((frames[0] + 1) * 127.5 + 0.5).clamp(0, 255).to(torch.uint8)
    pictures: Pictures = scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pictures

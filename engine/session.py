"""One stream of video: control pictures and live values in, generated pictures out, chunk by chunk.

`Session.step` is the whole method: plan, context, noise, denoising steps, decode, clean pass. It has the face
of plain data (arrays in, arrays out) and knows no threads, cameras, windows or parameter tables.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.chunk import (
    ChunkInput,
    ChunkOutput,
    Live,
    Pictures,
    Settings,
    nominal_steps,
    present,
)
from engine.core.errors import EngineError
from engine.core.parameters import LORA_SLOTS, REFERENCES
from engine.model.context import ContextEncoder
from engine.model.cost import CostModel, Work
from engine.model.governor import Effort, Governor, efforts
from engine.model.hints import HintChoice, chosen, cleans, renewed
from engine.model.key_frames import gray_control, place_key_frames
from engine.model.latent_space import LATENT_CHANNELS, SPATIAL_FACTOR, State
from engine.model.leading import InBranch, Way
from engine.model.load import Choice, Pipeline, load_pipeline
from engine.model.lora import LoraSlots
from engine.model.lora_file import Lora, read_lora
from engine.model.noise import ChunkNoise, MotionController, mixed, strength_steps
from engine.model.quantize import exact
from engine.model.references import Fit, Reference, crop_to_fill, encode_references, fitted
from engine.model.regions import share_of, token_weights
from engine.model.savings import ALL, Savings
from engine.model.schedule import Step, clean_estimate, noised
from engine.model.speech import Speech
from engine.model.stream import LatentStream
from engine.model.text import Conditioning
from engine.model.threads import threads_for
from engine.model.vace import References
from engine.model.wan import CrossCache
from engine.modes import mode_of

ANCHOR_PICTURES = 9
"""The picture before those of the last two latents: what Krea Realtime anchors its context in."""


def open_session(pipeline: str, height: int, width: int, choice: Choice | None = None) -> Session:
    """Load a pipeline and start a stream of pictures of this size. Raises EngineError or WeightsError."""
    return Session(load_pipeline(pipeline, choice), height, width)


class Session:
    """A running stream. Not thread-safe: one thread steps it."""

    def __init__(
        self, pipeline: Pipeline, height: int, width: int, savings: Savings = ALL, way: Way | None = None
    ) -> None:
        """Allocate everything a stream of this size needs; EngineError for an impossible size.

        `way`: how references lead; None: inside the VACE branch.
        """
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
            attend=pipeline.attention.attend,
            vace_attend=pipeline.attention.attend,
            savings=savings,
            graphs=pipeline.graphs,
        )
        self._savings = savings
        self._way = InBranch() if way is None else way
        self._noise = ChunkNoise((LATENT_CHANNELS, *self.latent_size), pipeline.device, pipeline.dtype)
        self._motion = MotionController()
        self._contexts = ContextEncoder(pipeline.vae)
        self._speech = Speech(pipeline.dit, pipeline.device, pipeline.dtype)
        self._loras = LoraSlots(pipeline.dit)
        self._costs = CostModel(spec.arch)
        self._governor = Governor()
        self.expected_s: float | None = None
        """How long the chunk that is being made should take; None while nothing like it was measured."""
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
        self._reference_noise: tuple[int, Tensor] | None = None  # and the seed it was drawn with
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

    @torch.inference_mode()
    def reference(self, picture: Pictures, fit: Fit = "white") -> Reference:
        """Encode a reference picture u8 `[h, w, 3]` of any size; safe to call from another thread."""
        pictures = [fitted(picture, self.height, self.width, fit)]
        return Reference(encode_references(self.pipeline.vae, pictures))

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
        began, usual = time.perf_counter(), not self._first
        self._check(chunk)
        chunk = self._with_room(chunk)
        for slot, region in enumerate(settings.regions):
            self._loras.region(slot, region)
        self._loras.cover(share_of(chunk.region) if self._loras.parted else 0.0)
        self._loras.apply()
        arch, shared = self.pipeline.spec.arch, not self._savings.threads
        with nullcontext() if shared else threads_for(arch, self.device):
            changes = self._loras.text_changes
            told = self._speech.next(conditioning, settings.transition, settings.blend, changes)
            if told.arrived:
                with exact(self.pipeline.dit):  # the stream looks back at it for long, as at its first chunk
                    self._stream.recache(told.text)
            with exact(self.pipeline.dit) if self._first else nullcontext():
                work = self._make(chunk, live, settings, told.text, emit)
        if usual and not told.arrived:
            self._costs.observe(work, time.perf_counter() - began)

    def _make(
        self,
        chunk: ChunkInput,
        live: Callable[[], Live],
        settings: Settings,
        text: CrossCache,
        emit: Callable[[ChunkOutput], None],
    ) -> Work:
        """The chunk itself, once it is known what is said; returns how much work it was."""
        clock = _Clock()
        spec, stream, latents = self.pipeline.spec, self._stream, self._latents
        led = chunk.references
        self._way.enter(stream, led, text, lambda: live().context_scale)
        chunk = replace(chunk, references=self._way.beside(led))
        stream.begin(latents, text, self._anchor, len(chunk.references), self._inside(chunk, latents))
        there = present(chunk, latents, settings.noise_scale)
        context = self._way.inside(self._context(chunk, there.context), led)
        weights = self._weights(chunk, latents)
        self._noise.begin(settings.seed)
        settings = self._paced(settings, context is not None)
        x, steps = self._start(chunk, settings)
        clock.mark("context")
        effort = self._effort(settings.hints, steps)
        work = self._work(effort, context is not None)
        self.expected_s = self._costs.expected(work)
        fresh = renewed(effort.hints, effort.steps)
        for index, (step, following) in enumerate(zip(steps, [*steps[1:], None], strict=True)):
            now = live()
            for slot, strength in enumerate(now.loras):
                self._loras.strength(slot, strength)
            scale = _weighed(now.context_scale, weights)
            beside = self._beside(chunk.references, settings.seed, step.sigma)
            output = stream.predict(
                x,
                step.t,
                context=context,
                context_scale=scale,
                references=beside,
                keep=effort.hints != "every",
                again=index not in fresh,
            )
            x = clean_estimate(spec.prediction, x, output, step.sigma)
            if following is not None:
                x = noised(x, self._noise.draw(latents), following.sigma)
        clock.mark("denoise")
        frames, self._decoder = self.pipeline.vae.decode(x, self._decoder)
        pictures = _to_pictures(frames)
        clock.mark("decode")
        loras = tuple((slot + 1, region) for slot, region in sorted(self._loras.regions.items()))
        mode = mode_of(replace(there, scale=now.context_scale, loras=loras))
        emit(ChunkOutput(pictures, mode, now.version, clock.seconds, effort.text))
        stream.finish(x, clean=effort.clean)
        self._keep(frames)
        return work

    def _paced(self, settings: Settings, controlled: bool) -> Settings:
        """The settings with as many steps as are in time, where that is asked for and left to the program."""
        if settings.deadline_s is None or settings.steps or settings.step_list:
            return settings

        def allowed(steps: int) -> Effort:
            timed = self.pipeline.schedule.steps(nominal_steps(steps), settings.warped and spec.warped)
            return self._effort(settings.hints, timed)

        def expected(effort: Effort) -> float | None:
            return self._costs.expected(self._work(effort, controlled))

        spec = self.pipeline.spec
        best = self._governor.choose(efforts(spec.steps, allowed), expected, settings.deadline_s)
        return replace(settings, steps=best.steps)

    def _effort(self, choice: HintChoice, steps: Sequence[Step]) -> Effort:
        """What these steps take; a stream's first chunk, looked back at for long, is always passed clean."""
        timesteps, passed = [step.t for step in steps], self.pipeline.passed
        hints = chosen(choice, passed, timesteps)
        return Effort(len(steps), hints, self._first or cleans(choice, hints, passed, timesteps))

    def _work(self, effort: Effort, controlled: bool) -> Work:
        """How much the chunk that comes is to compute; `controlled`: the VACE branch runs."""
        plan = self._stream.policy.plan(self._stream.start, self._latents)
        each = self.pipeline.spec.arch.tokens_per_latent(*self.latent_size)
        hinted = effort.hinted if controlled else 0
        clean = plan.clean and effort.clean
        return Work(self._latents * each, len(plan.key_positions) * each, effort.steps, hinted, clean)

    def _check(self, chunk: ChunkInput) -> None:
        """Refuse pictures of another count or size than the next chunk takes, and too many references."""
        if len(chunk.references) > REFERENCES:
            what = f"{len(chunk.references)} references are too many for a chunk."
            raise EngineError(what, f"Give at most {REFERENCES}.")
        expected = (self.frames_in, self.height, self.width)
        given = {
            "control": chunk.control,
            "mask": chunk.mask,
            "video": chunk.video,
            "region": chunk.region,
        }
        for name, value in given.items():
            if value is not None and value.shape[:3] != expected:
                raise EngineError(
                    f"The {name} of a chunk has shape {value.shape}, expected {expected}.",
                    "Fit control, mask, video and region to the session's size.",
                )

    def _with_room(self, chunk: ChunkInput) -> ChunkInput:
        """The chunk as it can be made: one latent has room for one key frame, the stronger."""
        if chunk.first is None or chunk.last is None or self._latents > 1:
            return chunk
        if chunk.first_strength < chunk.last_strength:
            return replace(chunk, first=None)
        return replace(chunk, last=None)

    def _context(self, chunk: ChunkInput, wanted: bool) -> Tensor | None:
        """The VACE context `[1, 96, n, h, w]`; None where nothing is asked, and what is later begins anew."""
        if not wanted:
            self._contexts.reset()
            return None
        if chunk.first is not None or chunk.last is not None:
            return self._key_framed(chunk)
        if chunk.control is None:
            return self._contexts.encode_nothing(self._latents, self.height, self.width, first=self._first)
        mask = chunk.mask
        if mask is None and not self._savings.gray:  # as if there might be something to keep
            mask = np.full(chunk.control.shape[:3], 255, np.uint8)
        return self._contexts.encode(chunk.control, mask, first=self._first)

    def _key_framed(self, chunk: ChunkInput) -> Tensor:
        """The context of a chunk with key frames, over whatever other control it has."""
        vae, first = self.pipeline.vae, self._first
        video, mask = gray_control(vae, self._latents, self.height, self.width, first=first)
        if chunk.control is not None:
            video = _to_tensor(chunk.control, video)
            if chunk.mask is not None:
                mask = torch.from_numpy(chunk.mask).to(mask)[None] / 255
        start, end = (
            None if picture is None else crop_to_fill(picture, self.height, self.width)
            for picture in (chunk.first, chunk.last)
        )
        video, mask = place_key_frames(vae, video, mask, first=first, at_start=start, at_end=end)
        return self._contexts.encode_tensors(video, mask, first=first)

    def _inside(self, chunk: ChunkInput, latents: int) -> Tensor | None:
        """How far each token lies inside the region `[N]`; None where no LoRA asks for it."""
        if chunk.region is None or not self._loras.parted:
            return None
        _, high, wide = self.pipeline.spec.arch.patch
        rows, columns = self.latent_size[0] // high, self.latent_size[1] // wide
        return token_weights(chunk.region, latents, rows, columns).to(self.device)

    def _weights(self, chunk: ChunkInput, latents: int) -> Tensor | None:
        """How much of the context scale each latent gets, `[1, F]`; None where all get all of it."""
        weights = [1.0] * latents
        if chunk.first is not None:
            weights[0] *= chunk.first_strength
        if chunk.last is not None:
            weights[-1] *= chunk.last_strength
        if all(weight == 1 for weight in weights):
            return None
        return torch.tensor([weights], device=self.device, dtype=self.pipeline.dtype)

    def _beside(self, references: tuple[Reference, ...], seed: int, sigma: float) -> References | None:
        """The references at a noise level, under noise that stays the same from chunk to chunk."""
        if not references:
            return None
        if self._reference_noise is None or self._reference_noise[0] != seed:
            drawn = torch.randn(
                1, REFERENCES, LATENT_CHANNELS, *self.latent_size,
                generator=torch.Generator().manual_seed(seed),
            )  # fmt: skip
            self._reference_noise = seed, drawn.to(self.device, self.pipeline.dtype)
        clean = torch.cat([reference.latent for reference in references], dim=1)
        noise = self._reference_noise[1][:, : clean.shape[1]]
        return References(
            torch.cat([reference.context for reference in references], dim=2), noised(clean, noise, sigma)
        )

    def _start(self, chunk: ChunkInput, settings: Settings) -> tuple[Tensor, tuple[Step, ...]]:
        """What denoising starts from, and its steps: noise alone, or noise over the camera's picture."""
        schedule = self.pipeline.schedule
        steps = schedule.steps(
            settings.nominal(self.pipeline.spec.steps), settings.warped and self.pipeline.spec.warped
        )
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


def _weighed(scale: float, weights: Tensor | None) -> float | Tensor:
    """The context scale of each latent; 0 stays a host number, for which the branch is not run."""
    return scale if weights is None or scale == 0 else weights * scale


def _to_tensor(pictures: Pictures, like: Tensor) -> Tensor:
    """u8 `[F, H, W, 3]` to `[1, F, 3, H, W]` in [-1, 1], on the device and in the dtype of `like`."""
    video = torch.from_numpy(pictures).to(like.device, like.dtype).permute(0, 3, 1, 2)[None]
    return video / 127.5 - 1


def _to_pictures(frames: Tensor) -> Pictures:
    """`[1, N, 3, H, W]` in [-1, 1] to u8 `[N, H, W, 3]`."""
    scaled = ((frames[0] + 1) * 127.5 + 0.5).clamp(0, 255).to(torch.uint8)
    pictures: Pictures = scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pictures

"""One stream of video: control pictures and live values in, generated pictures out, chunk by chunk.

`Session.step` is the whole method: plan, context, noise, denoising steps, decode, clean pass. It has the face
of plain data (arrays in, arrays out) and knows no threads, cameras, windows or parameter tables.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from engine.beginnings import Beginnings
from engine.chunk import ChunkInput, ChunkOutput, Live, Pictures, Settings, present
from engine.chunk_context import ChunkContext, weighed, with_room
from engine.core.errors import EngineError
from engine.core.parameters import LORA_SLOTS
from engine.model.cost import Work
from engine.model.hints import renewed
from engine.model.latent_space import State, latent_size
from engine.model.leading import InBranch, Way
from engine.model.load import Choice, Pipeline, load_pipeline
from engine.model.lora import LoraSlots
from engine.model.lora_file import Lora, read_lora
from engine.model.quantize import exact
from engine.model.references import Fit, Reference, encode_references, fitted
from engine.model.regions import share_of
from engine.model.savings import ALL, Savings
from engine.model.schedule import clean_estimate, noised
from engine.model.speech import Speech
from engine.model.stream import LatentStream
from engine.model.text import Conditioning
from engine.model.threads import threads_for
from engine.model.wan import CrossCache
from engine.modes import mode_of
from engine.pace import Pace

ANCHOR_PICTURES = 9
"""The picture before those of the last two latents: what Krea Realtime anchors its context in."""


def open_session(pipeline: str, height: int, width: int, choice: Choice | None = None) -> Session:
    """Load a pipeline and start a stream of pictures of this size. Raises EngineError or WeightsError."""
    return Session(load_pipeline(pipeline, choice), height, width)


class SessionClosed(EngineError):
    """The session was closed while another thread had a wish for it; the next session has it again."""

    def __init__(self) -> None:
        super().__init__("This session is closed.", "Use the session that was opened after it.")


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
        self._pipeline: Pipeline | None = pipeline
        self.height, self.width = height, width
        self.latent_size = latent_size(height, width)
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
        self._beginnings = Beginnings(pipeline, height, width)
        self._contexts = ChunkContext(pipeline, height, width, gray=savings.gray)
        self._speech = Speech(pipeline.dit, pipeline.device, pipeline.dtype)
        self._loras = LoraSlots(pipeline.dit)
        self._pace = Pace(pipeline, self._stream, spec.arch.tokens_per_latent(*self.latent_size))
        self.expected_s: float | None = None
        """How long the chunk that is being made should take; None while nothing like it was measured."""
        self.reset()

    @property
    def pipeline(self) -> Pipeline:
        """What it plays; a session plays one pipeline all its life. Raises SessionClosed after that."""
        if self._pipeline is None:
            raise SessionClosed
        return self._pipeline

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
        self._beginnings.reset(replay=replay)
        self._stream.reset()
        self._contexts.reset()
        self._decoder: State | None = None
        self._decoded: Tensor | None = None  # the newest decoded pictures, for an anchor

    def close(self) -> None:
        """Take the LoRAs out, and let go of networks and past at once, whoever still holds the session.

        Another model may need their room. Closing twice does nothing.
        """
        if self._pipeline is None:
            return
        try:
            for slot in range(LORA_SLOTS):
                self._loras.set(slot, None)
            self._loras.apply()
        finally:  # also where there is no memory left to do that
            self._let_go()

    def _let_go(self) -> None:
        self._pipeline = None
        del self._stream, self._beginnings, self._contexts, self._speech, self._loras, self._pace, self._way
        del self._decoder, self._decoded

    def conditioning(self, text: str) -> Conditioning:
        """Embed a prompt; safe to call from another thread than the one that steps. Raises SessionClosed."""
        return self.pipeline.text.encode(text)

    def read_lora(self, path: Path) -> Lora:
        """Read a LoRA file made for this model; safe to call from another thread.

        Raises WeightsError, or SessionClosed.
        """
        pipeline = self.pipeline
        return read_lora(path, pipeline.dit).to(pipeline.device)

    @torch.inference_mode()
    def reference(self, picture: Pictures, fit: Fit = "white") -> Reference:
        """Encode a reference picture u8 `[h, w, 3]` of any size; safe to call from another thread.

        Raises SessionClosed.
        """
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

        EngineError where what comes out are no numbers: the stream is lost then, and must be reset.
        Picture i of the stream shows what control picture i asked. Where the autoencoder trims the start of a
        stream, the first chunk is shorter (9 pictures instead of 12 with the public files).
        """
        began, usual = time.perf_counter(), not self._first
        self._contexts.check(chunk, self.frames_in)
        chunk = with_room(chunk, self._latents)
        for slot, region in enumerate(settings.regions):
            self._loras.region(slot, region)
        self._loras.cover(share_of(chunk.region) if self._loras.parted else 0.0)
        self._loras.apply()
        arch = self.pipeline.spec.arch
        with threads_for(arch, self.device) if self._savings.threads else nullcontext():
            changes = self._loras.text_changes
            told = self._speech.next(conditioning, settings.transition, settings.blend, changes)
            if told.arrived:
                with exact(self.pipeline.dit):  # the stream looks back at it for long, as at its first chunk
                    self._stream.recache(told.text)
            with exact(self.pipeline.dit) if self._first else nullcontext():
                work = self._make(chunk, live, settings, told.text, emit)
        if usual and not told.arrived:
            self._pace.observe(work, time.perf_counter() - began)

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
        inside = self._contexts.inside(chunk.region if self._loras.parted else None, latents)
        stream.begin(latents, text, self._anchor, len(chunk.references), inside)
        there = present(chunk, latents, settings.noise_scale)
        context = self._contexts.encode(chunk, latents, wanted=there.context, first=self._first)
        context = self._way.inside(context, led)
        weights = self._contexts.weights(chunk, latents)
        self._beginnings.noise.begin(settings.seed)
        settings = self._pace.settled(settings, latents, controlled=context is not None)
        x, steps = self._beginnings.begin(chunk, settings, latents, first=self._first)
        clock.mark("context")
        effort = self._pace.effort(settings.hints, steps)
        work = self._pace.work(effort, latents, controlled=context is not None)
        self.expected_s = self._pace.expected(work)
        fresh = renewed(effort.hints, effort.steps)
        for index, (step, following) in enumerate(zip(steps, [*steps[1:], None], strict=True)):
            now = live()
            for slot, strength in enumerate(now.loras):
                self._loras.strength(slot, strength)
            scale = weighed(now.context_scale, weights)
            beside = self._contexts.beside(chunk.references, settings.seed, step.sigma)
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
                x = noised(x, self._beginnings.noise.draw(latents), following.sigma)
        clock.mark("denoise")
        frames, self._decoder = self.pipeline.vae.decode(x, self._decoder)
        pictures, whole = _to_pictures(frames)
        if not whole:
            raise EngineError(
                "The model's picture is no longer made of numbers (NaN), and never would be again.",
                "The stream begins anew by itself; if it happens again, take the newest LoRA out.",
            )
        clock.mark("decode")
        loras = tuple((slot + 1, region) for slot, region in sorted(self._loras.regions.items()))
        mode = mode_of(replace(there, scale=now.context_scale, loras=loras))
        emit(ChunkOutput(pictures, mode, now.version, clock.seconds, effort.text))
        stream.finish(x, clean=effort.clean)
        self._keep(frames)
        return work

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


def _to_pictures(frames: Tensor) -> tuple[Pictures, bool]:
    """`[1, N, 3, H, W]` in [-1, 1] to u8 `[N, H, W, 3]`, and whether all of it are numbers.

    One transfer brings both: whether a NaN is among them must not be waited for on its own. Their sum tells
    it, thirty times as fast as a look at each.
    """
    scaled = ((frames[0] + 1) * 127.5 + 0.5).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    sent = torch.empty(scaled.numel() + 1, dtype=torch.uint8, device=frames.device)
    sent[:-1].view(scaled.shape).copy_(scaled)
    sent[-1:].copy_(frames.sum().isfinite().view(1))
    brought = sent.cpu().numpy()
    return brought[:-1].reshape(scaled.shape), bool(brought[-1])

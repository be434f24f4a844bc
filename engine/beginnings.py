"""What denoising begins with: noise alone, or noise over the camera's own picture."""

from __future__ import annotations

from torch import Tensor

from engine.chunk import ChunkInput, Settings
from engine.chunk_context import as_video
from engine.model.latent_space import LATENT_CHANNELS, State, latent_size
from engine.model.load import Pipeline
from engine.model.noise import ChunkNoise, MotionController, mixed, strength_steps
from engine.model.schedule import Step


class Beginnings:
    """Begins the chunks of a stream; what the camera saw is encoded as one stream of its own."""

    def __init__(self, pipeline: Pipeline, height: int, width: int) -> None:
        """For pictures of a size in pixels."""
        self._pipeline = pipeline
        shape = (LATENT_CHANNELS, *latent_size(height, width))
        self.noise = ChunkNoise(shape, pipeline.device, pipeline.dtype)
        self._motion = MotionController()
        self._video: State | None = None

    def reset(self, *, replay: bool) -> None:
        """Forget the camera's past; with `replay` the noise begins anew as well."""
        if replay:
            self.noise.replay()
        self._motion.reset()
        self._video = None

    def begin(
        self, chunk: ChunkInput, settings: Settings, latents: int, *, first: bool
    ) -> tuple[Tensor, tuple[Step, ...]]:
        """Latents `[1, n, 16, h, w]` at the noise level of the first step, and the steps from there."""
        spec, schedule = self._pipeline.spec, self._pipeline.schedule
        steps = schedule.steps(settings.nominal(spec.steps), settings.warped and spec.warped)
        noise = self.noise.draw(latents)
        if settings.noise_scale >= 1 or chunk.video is None:
            self._video = None
            self._motion.reset()
            return noise, steps
        scale = self._motion.strength(chunk.video, settings.noise_scale, settings.motion)
        steps = strength_steps(schedule, steps, scale)
        video = as_video(chunk.video, noise)
        if self._video is None and not first:
            self._video = self._pipeline.vae.resume(video[:, 0])
        seen, self._video = self._pipeline.vae.encode(video, self._video)
        return mixed(seen, noise, steps[0].sigma), steps

"""What leads the chunks of one stream beside its words: controls, masks, key frames, references, regions.

Pictures in, tensors out: everything that the VACE branch and regional LoRAs are given for a chunk.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from engine.chunk import ChunkInput, Pictures
from engine.core.errors import EngineError
from engine.core.parameters import REFERENCES
from engine.model.context import ContextEncoder
from engine.model.key_frames import gray_control, place_key_frames
from engine.model.latent_space import LATENT_CHANNELS, latent_size
from engine.model.load import Pipeline
from engine.model.references import Reference, crop_to_fill
from engine.model.regions import token_weights
from engine.model.schedule import noised
from engine.model.vace import References


class ChunkContext:
    """Makes the contexts of a stream's chunks, one after the other; `reset` where the stream begins anew."""

    def __init__(self, pipeline: Pipeline, height: int, width: int, *, gray: bool) -> None:
        """For pictures of a size in pixels. `gray`: what is kept is not encoded where nothing is."""
        self._pipeline, self._gray = pipeline, gray
        self._height, self._width = height, width
        self._latent_size = latent_size(height, width)
        self._encoder = ContextEncoder(pipeline.vae)
        self._reference_noise: tuple[int, Tensor] | None = None  # and the seed it was drawn with

    def reset(self) -> None:
        """Forget the past of the stream."""
        self._encoder.reset()
        self._reference_noise = None

    def check(self, chunk: ChunkInput, frames: int) -> None:
        """Refuse pictures of another count or size than the next chunk takes, and too many references.

        Raises EngineError, which names what is wrong.
        """
        if len(chunk.references) > REFERENCES:
            what = f"{len(chunk.references)} references are too many for a chunk."
            raise EngineError(what, f"Give at most {REFERENCES}.")
        expected = (frames, self._height, self._width)
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

    def encode(self, chunk: ChunkInput, latents: int, *, wanted: bool, first: bool) -> Tensor | None:
        """The VACE context `[1, 96, n, h, w]` of a chunk of so many latents, `first` of its stream or not.

        None where none is wanted; what is asked for later then begins anew.
        """
        if not wanted:
            self._encoder.reset()
            return None
        if chunk.first is not None or chunk.last is not None:
            return self._key_framed(chunk, latents, first)
        if chunk.control is None:
            return self._encoder.encode_nothing(latents, self._height, self._width, first=first)
        mask = chunk.mask
        if mask is None and not self._gray:  # as if there might be something to keep
            mask = np.full(chunk.control.shape[:3], 255, np.uint8)
        return self._encoder.encode(chunk.control, mask, first=first)

    def inside(self, region: Pictures | None, latents: int) -> Tensor | None:
        """How far inside a region u8 `[F, H, W]` each token of a chunk lies, `[N]`; None without one."""
        if region is None:
            return None
        _, high, wide = self._pipeline.spec.arch.patch
        rows, columns = self._latent_size[0] // high, self._latent_size[1] // wide
        return token_weights(region, latents, rows, columns).to(self._pipeline.device)

    def weights(self, chunk: ChunkInput, latents: int) -> Tensor | None:
        """How much of the context scale each latent gets, `[1, F]`; None where all get all of it."""
        weights = [1.0] * latents
        if chunk.first is not None:
            weights[0] *= chunk.first_strength
        if chunk.last is not None:
            weights[-1] *= chunk.last_strength
        if all(weight == 1 for weight in weights):
            return None
        return torch.tensor([weights], device=self._pipeline.device, dtype=self._pipeline.dtype)

    def beside(self, references: tuple[Reference, ...], seed: int, sigma: float) -> References | None:
        """The references at a noise level, under noise that stays the same from chunk to chunk."""
        if not references:
            return None
        if self._reference_noise is None or self._reference_noise[0] != seed:
            drawn = torch.randn(
                1, REFERENCES, LATENT_CHANNELS, *self._latent_size,
                generator=torch.Generator().manual_seed(seed),
            )  # fmt: skip
            self._reference_noise = seed, drawn.to(self._pipeline.device, self._pipeline.dtype)
        clean = torch.cat([reference.latent for reference in references], dim=1)
        noise = self._reference_noise[1][:, : clean.shape[1]]
        return References(
            torch.cat([reference.context for reference in references], dim=2), noised(clean, noise, sigma)
        )

    def _key_framed(self, chunk: ChunkInput, latents: int, first: bool) -> Tensor:
        """The context of a chunk with key frames, over whatever other control it has."""
        vae = self._pipeline.vae
        video, mask = gray_control(vae, latents, self._height, self._width, first=first)
        if chunk.control is not None:
            video = as_video(chunk.control, video)
            if chunk.mask is not None:
                mask = torch.from_numpy(chunk.mask).to(mask)[None] / 255
        start, end = (
            None if picture is None else crop_to_fill(picture, self._height, self._width)
            for picture in (chunk.first, chunk.last)
        )
        video, mask = place_key_frames(vae, video, mask, first=first, at_start=start, at_end=end)
        return self._encoder.encode_tensors(video, mask, first=first)


def with_room(chunk: ChunkInput, latents: int) -> ChunkInput:
    """The chunk as it can be made: one latent has room for one key frame, the stronger."""
    if chunk.first is None or chunk.last is None or latents > 1:
        return chunk
    if chunk.first_strength < chunk.last_strength:
        return replace(chunk, first=None)
    return replace(chunk, last=None)


def weighed(scale: float, weights: Tensor | None) -> float | Tensor:
    """The context scale of each latent; 0 stays a host number, for which the branch is not run."""
    return scale if weights is None or scale == 0 else weights * scale


def as_video(pictures: Pictures, like: Tensor) -> Tensor:
    """u8 `[F, H, W, 3]` to `[1, F, 3, H, W]` in [-1, 1], on the device and in the dtype of `like`."""
    video = torch.from_numpy(pictures).to(like.device, like.dtype).permute(0, 3, 1, 2)[None]
    return video / 127.5 - 1

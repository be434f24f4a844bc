"""A pipeline's own autoencoder, as a measure: the latents of what is shown, and what a picture loses in it.

What comes back of a picture is the ceiling of every reproduction by that pipeline: it draws latents only.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.core.types import Image
from engine.model.latent_space import State
from engine.model.load import Pipeline
from engine.model.vae import VAE

REMEMBERED = 16
"""Encoded chunks: those of a clip or two, with the state after each."""


class Encoder:
    """The pipeline's encoder, over the pictures of one stream as they come out."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._state: State | None = None

    @torch.inference_mode()
    def encode(self, pictures: Image) -> np.ndarray:
        """Latents f32 [1, N, 16, h, w] of the next pictures u8 [F, H, W, 3] of the stream."""
        latents, self._state = self._pipeline.vae.encode(_video(pictures, self._pipeline), self._state)
        return latents.float().cpu().numpy()


@dataclass(frozen=True)
class _Encoded:
    """Latents, the state after them, and the state before, which is kept so that no other takes its place."""

    before: State | None
    latents: Tensor
    after: State


class Remembering:
    """An autoencoder that encodes the same pictures after the same past once; the face of a VAE.

    A clip that is generated at four context scales shows its model the same control four times.
    """

    def __init__(self, vae: VAE) -> None:
        self.encoded = 0
        """How often something was really encoded."""
        self.frames_for, self.pictures_of = vae.frames_for, vae.pictures_of
        self.decode, self.resume, self.parameters = vae.decode, vae.resume, vae.parameters
        self._encode = vae.encode
        self._known: OrderedDict[tuple[bytes, torch.Size, int], _Encoded] = OrderedDict()

    def encode(self, video_BFCHW: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Latents of the stream's next pictures; `state` None begins a stream."""
        raw = video_BFCHW.detach().cpu().contiguous().view(torch.uint8).numpy()
        key = (hashlib.blake2b(raw.tobytes()).digest(), video_BFCHW.shape, id(state))
        found = self._known.get(key)
        if found is None:
            self.encoded += 1
            found = self._known[key] = _Encoded(state, *self._encode(video_BFCHW, state))
        self._known.move_to_end(key)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found.latents, found.after


@torch.inference_mode()
def round_trip(pipeline: Pipeline, pictures: Image) -> Image:
    """Pictures u8 [F, H, W, 3] through encoder and decoder, chunk by chunk as a stream; as many come back.

    Where the end does not fill a chunk, the last picture is repeated.
    """
    vae, spec = pipeline.vae, pipeline.spec
    encoded: State | None = None
    decoded: State | None = None
    shown: list[Image] = []
    taken = 0
    while sum(map(len, shown)) < len(pictures):
        first = taken == 0
        frames = vae.frames_for(spec.latents(first), first)
        wanted = np.minimum(np.arange(taken, taken + frames), len(pictures) - 1)
        latents, encoded = vae.encode(_video(pictures[wanted], pipeline), encoded)
        video, decoded = vae.decode(latents, decoded)
        shown.append(_pictures(video))
        taken += frames
    return np.concatenate(shown)[: len(pictures)]


def _video(pictures: Image, pipeline: Pipeline) -> Tensor:
    """u8 [F, H, W, 3] as [1, F, 3, H, W] in [-1, 1], where the model runs and in its numbers."""
    video = torch.from_numpy(np.ascontiguousarray(pictures)).to(pipeline.device, pipeline.dtype)
    return video.permute(0, 3, 1, 2)[None] / 127.5 - 1


def _pictures(video: Tensor) -> Image:
    """[1, F, 3, H, W] in [-1, 1] as u8 [F, H, W, 3]."""
    levels = ((video[0].float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.asarray(levels.permute(0, 2, 3, 1).cpu().numpy(), np.uint8)

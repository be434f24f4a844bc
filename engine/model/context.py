"""From control pictures and masks to the VACE context: 96 channels per latent.

Channels: 16 of the inactive (kept) latents, 16 of the reactive (to be changed) latents, 64 of the mask, one
for each pixel of its 8x8 patch. Inactive and reactive pictures are two streams, each with an encoder state of
its own, with whichever autoencoder.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.model.latent_space import FRAMES_PER_LATENT, SPATIAL_FACTOR, State
from engine.model.vae import VAE

CONTEXT_CHANNELS = 96


def split(video_BFCHW: Tensor, mask_BFHW: Tensor) -> tuple[Tensor, Tensor]:
    """Part pictures in [-1, 1] by a mask in 0..1 (1 = generate, binarised at 0.5) into (inactive, reactive).

    What is taken out of either becomes 0, the mid gray.
    """
    generate = (mask_BFHW > 0.5).to(video_BFCHW.dtype)[:, :, None]
    return video_BFCHW * (1 - generate), video_BFCHW * generate


def fold_mask(mask_BFHW: Tensor) -> Tensor:
    """Fold a mask `[B, F, H, W]` into `[B, 64, ceil(F/4), H/8, W/8]`: nearest frames in time.

    Channel 8*dy + dx holds the pixel (dy, dx) of each 8x8 patch.
    """
    batch, frames, height, width = mask_BFHW.shape
    side = SPATIAL_FACTOR
    patches = mask_BFHW.reshape(batch, frames, height // side, side, width // side, side)
    folded = patches.permute(0, 3, 5, 1, 2, 4).flatten(1, 2)
    latents = -(-frames // FRAMES_PER_LATENT)
    nearest = [int((i + 0.5) * frames / latents) for i in range(latents)]
    return folded[:, :, nearest]


def assemble(inactive_BFChw: Tensor, reactive_BFChw: Tensor, mask_BMFhw: Tensor) -> Tensor:
    """Join the three parts into a context `[B, 96, F, h, w]`."""
    return torch.cat([inactive_BFChw.transpose(1, 2), reactive_BFChw.transpose(1, 2), mask_BMFhw], 1)


class ContextEncoder:
    """Encodes the control of one running stream; two encoder states, one per stream of pictures.

    A chunk of n latents takes `vae.frames_for(n, first)` pictures. `first` counts only where nothing was
    encoded yet or `reset` came last: True begins with the show itself; False begins in its middle, as if the
    first picture had been there before, so that latents and pictures keep step with a show that is running.
    """

    def __init__(self, vae: VAE) -> None:
        self.vae = vae
        self.reset()

    def reset(self) -> None:
        """Forget both streams: the next chunk begins them anew."""
        self._inactive = _Stream(self.vae)
        self._reactive = _Stream(self.vae)

    @torch.inference_mode()
    def encode(
        self, control: NDArray[np.uint8], mask: NDArray[np.uint8] | None, *, first: bool = True
    ) -> Tensor:
        """Context `[1, 96, n, h, w]` of a chunk of control pictures u8 `[F, H, W, 3]`.

        `mask` u8 `[F, H, W]`: 255 = generate, 0 = keep; None generates everywhere. EngineError where F does
        not fill whole latents of an autoencoder that has to know.
        """
        like = next(self.vae.parameters())
        video = torch.from_numpy(control).to(like.device, like.dtype).permute(0, 3, 1, 2)[None] / 255 * 2 - 1
        if mask is None:
            everywhere = video.new_ones(1, video.shape[1], *video.shape[3:])
            inactive = self._inactive.encode_gray(video, first)
            return assemble(inactive, self._reactive.encode(video, first), fold_mask(everywhere))
        weights = torch.from_numpy(mask).to(like.device, like.dtype)[None] / 255
        return self.encode_tensors(video, weights, first=first)

    @torch.inference_mode()
    def encode_nothing(self, latents: int, height: int, width: int, *, first: bool = True) -> Tensor:
        """Context of a chunk of n latents that asks for nothing: gray, all of it to be generated.

        What VACE was trained to see where only references lead. `height` and `width` in pixels.
        """
        like = next(self.vae.parameters())
        frames = self.vae.frames_for(latents, first)
        gray = like.new_zeros(1, frames, 3, height, width)
        inactive, reactive = self._inactive.encode_gray(gray, first), self._reactive.encode_gray(gray, first)
        return assemble(inactive, reactive, fold_mask(gray.new_ones(1, frames, height, width)))

    @torch.inference_mode()
    def encode_tensors(self, video_BFCHW: Tensor, mask_BFHW: Tensor, *, first: bool = True) -> Tensor:
        """The same from pictures in [-1, 1] and a mask in 0..1.

        Soft values reach the mask channels unchanged.
        """
        inactive, reactive = split(video_BFCHW, mask_BFHW)
        inactive_latents = self._inactive.encode(inactive, first)
        return assemble(inactive_latents, self._reactive.encode(reactive, first), fold_mask(mask_BFHW))


@dataclass(frozen=True)
class _Gray:
    """The newest chunk of a stream was gray, of this shape. `settled`: it left the state as it found it."""

    shape: torch.Size
    settled: bool
    latents: Tensor


class _Stream:
    """One running stream of pictures through the encoder.

    Without a mask the inactive stream is gray for as long as that lasts, and encoding it would be half of all
    the work. Latents and next state follow from the pictures and the state alone. So a gray chunk that leaves
    the state exactly as it found it would do so for ever: every later one gives the same latents, bit for
    bit, and is not run again. With any autoencoder that takes a few chunks, for each layer's memory settles
    only after that of the layer before it.
    """

    def __init__(self, vae: VAE) -> None:
        self._vae = vae
        self._state: State | None = None
        self._gray: _Gray | None = None

    def encode(self, video_BFCHW: Tensor, first: bool) -> Tensor:
        """Latents of the stream's next pictures; `first` as for ContextEncoder."""
        if self._state is None and not first:
            self._state = self._vae.resume(video_BFCHW[:, 0])
        latents, self._state = self._vae.encode(video_BFCHW, self._state)
        self._gray = None
        return latents

    def encode_gray(self, like_BFCHW: Tensor, first: bool) -> Tensor:
        """Latents of as many mid gray pictures, of the same size."""
        gray = self._gray if self._gray is not None and self._gray.shape == like_BFCHW.shape else None
        if gray is not None and gray.settled:
            return gray.latents
        before = self._state
        latents = self.encode(torch.zeros_like(like_BFCHW), first)
        self._gray = _Gray(like_BFCHW.shape, _same(before, self._state), latents)
        return latents


def _same(before: State | None, after: State | None) -> bool:
    """Whether two states hold the same numbers, asked of the device in one go."""
    if before is None or after is None or not after:
        return not after  # an encoder without memory has nothing that could still change
    if [part.shape for part in before] != [part.shape for part in after]:
        return False
    return bool(torch.stack([(a == b).all() for a, b in zip(before, after, strict=True)]).all())

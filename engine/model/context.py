"""From control pictures and masks to the VACE context: 96 channels per latent.

Channels: 16 of the inactive (kept) latents, 16 of the reactive (to be changed) latents, 64 of the mask, one
for each pixel of its 8x8 patch. Inactive and reactive pictures are two streams, each with an encoder state of
its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.model.tae import FRAMES_PER_LATENT, SPATIAL_FACTOR, TAE, State

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
    """Encodes the control of one running stream; two encoder states, one per stream of pictures."""

    def __init__(self, tae: TAE) -> None:
        self.tae = tae
        self.reset()

    def reset(self) -> None:
        """Forget the stream: the next chunk is its first."""
        self._inactive = _Stream(self.tae)
        self._reactive = _Stream(self.tae)

    @torch.inference_mode()
    def encode(self, control: NDArray[np.uint8], mask: NDArray[np.uint8] | None) -> Tensor:
        """Context `[1, 96, ceil(F/4), h, w]` of a chunk of control pictures u8 `[F, H, W, 3]`.

        `mask` u8 `[F, H, W]`: 255 = generate, 0 = keep; None generates everywhere.
        """
        like = next(self.tae.parameters())
        video = torch.from_numpy(control).to(like.device, like.dtype).permute(0, 3, 1, 2)[None] / 255 * 2 - 1
        if mask is None:
            everywhere = video.new_ones(1, video.shape[1], *video.shape[3:])
            inactive, reactive = self._inactive.encode_gray(video), self._reactive.encode(video)
            return assemble(inactive, reactive, fold_mask(everywhere))
        return self.encode_tensors(video, torch.from_numpy(mask).to(like.device, like.dtype)[None] / 255)

    @torch.inference_mode()
    def encode_tensors(self, video_BFCHW: Tensor, mask_BFHW: Tensor) -> Tensor:
        """The same from pictures in [-1, 1] and a mask in 0..1.

        Soft values reach the mask channels unchanged.
        """
        inactive, reactive = split(video_BFCHW, mask_BFHW)
        inactive_latents, reactive_latents = self._inactive.encode(inactive), self._reactive.encode(reactive)
        return assemble(inactive_latents, reactive_latents, fold_mask(mask_BFHW))


@dataclass(frozen=True)
class _Gray:
    """The newest `chunks` chunks of a stream, all gray and of this shape; `latents` are the last one's."""

    shape: torch.Size
    chunks: int
    latents: Tensor


class _Stream:
    """One running stream of pictures through the encoder.

    Without a mask the inactive stream is gray for as long as that lasts, and encoding it would be half of all
    the work. A memory block remembers one step of its input, and nothing else passes from chunk to chunk. So
    the first block's memory is the same after every gray chunk, the second's from the second one on; once
    there were as many as there are blocks, the next gives the latents of all that follow, bit for bit: the
    same calculation would run on the same numbers. It is not run again; the state is left as it is, which is
    what it would become.
    """

    def __init__(self, tae: TAE) -> None:
        self._tae = tae
        self._state: State | None = None
        self._gray: _Gray | None = None

    def encode(self, video_BFCHW: Tensor) -> Tensor:
        """Latents of the stream's next pictures."""
        latents, self._state = self._tae.encode(video_BFCHW, self._state)
        self._gray = None
        return latents

    def encode_gray(self, like_BFCHW: Tensor) -> Tensor:
        """Latents of as many mid gray pictures, of the same size."""
        gray = self._gray if self._gray is not None and self._gray.shape == like_BFCHW.shape else None
        chunks = 0 if gray is None else gray.chunks
        if gray is not None and chunks > len(self._state or ()):
            return gray.latents
        latents = self.encode(torch.zeros_like(like_BFCHW))
        self._gray = _Gray(like_BFCHW.shape, chunks + 1, latents)
        return latents

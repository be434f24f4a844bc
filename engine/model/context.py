"""From control pictures and masks to the VACE context: 96 channels per latent.

Channels: 16 of the inactive (kept) latents, 16 of the reactive (to be changed) latents, 64 of the mask, one per
pixel of its 8x8 patch. Inactive and reactive pictures are two streams, each with an encoder state of its own.
"""

from __future__ import annotations

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
    """Fold a mask `[B, F, H, W]` into `[B, 64, ceil(F/4), H/8, W/8]`: channel 8*dy + dx, nearest frames in time."""
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
        self._inactive: State | None = None
        self._reactive: State | None = None

    @torch.inference_mode()
    def encode(self, control: NDArray[np.uint8], mask: NDArray[np.uint8] | None) -> Tensor:
        """Context `[1, 96, ceil(F/4), h, w]` of a chunk of control pictures u8 `[F, H, W, 3]`.

        `mask` u8 `[F, H, W]`: 255 = generate, 0 = keep; None generates everywhere.
        """
        weight = self.tae.encoder[0].weight
        assert isinstance(weight, Tensor)
        video = (
            torch.from_numpy(control).to(weight.device, weight.dtype).permute(0, 3, 1, 2)[None] / 255 * 2 - 1
        )
        if mask is None:
            weights = video.new_ones(1, video.shape[1], *video.shape[3:])
        else:
            weights = torch.from_numpy(mask).to(weight.device, weight.dtype)[None] / 255
        return self.encode_tensors(video, weights)

    @torch.inference_mode()
    def encode_tensors(self, video_BFCHW: Tensor, mask_BFHW: Tensor) -> Tensor:
        """The same from pictures in [-1, 1] and a mask in 0..1 (soft values reach the mask channels as they are)."""
        inactive, reactive = split(video_BFCHW, mask_BFHW)
        inactive_latents, self._inactive = self.tae.encode(inactive, self._inactive)
        reactive_latents, self._reactive = self.tae.encode(reactive, self._reactive)
        return assemble(inactive_latents, reactive_latents, fold_mask(mask_BFHW))

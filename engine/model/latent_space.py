"""The latent space that every video autoencoder of the Wan family shares: its sizes and its normalisation.

The transformer sees latents of mean 0 and deviation 1 in each channel. Some autoencoders give such latents
themselves, others give raw ones; `normalised` and `raw` are the way between the two.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

LATENT_CHANNELS = 16
FRAMES_PER_LATENT = 4
SPATIAL_FACTOR = 8
State = tuple[Tensor, ...]
"""What an encoder or decoder remembers of one stream. Opaque: only the network that made it reads it."""

WAN_MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
)  # fmt: skip
"""Mean of each channel of raw latents of Wan 2.1, as published with the model."""
WAN_STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
)  # fmt: skip
"""Their standard deviations."""


def normalised(raw_BFChw: Tensor) -> Tensor:
    """Raw latents `[B, F, 16, h, w]` to mean 0 and deviation 1: `(z - mean) / std`."""
    mean, std = _statistics(raw_BFChw.device, raw_BFChw.dtype)
    return (raw_BFChw - mean) / std


def raw(latents_BFChw: Tensor) -> Tensor:
    """The way back: `z * std + mean`, same shape."""
    mean, std = _statistics(latents_BFChw.device, latents_BFChw.dtype)
    return latents_BFChw * std + mean


@lru_cache(maxsize=8)
def _statistics(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Both rows shaped to broadcast, kept: copying them to a device anew would stop it in every chunk."""
    with torch.inference_mode(False):  # whoever asks first must not make them useless for training
        mean, std = (
            torch.tensor(row, device=device, dtype=dtype)[:, None, None] for row in (WAN_MEAN, WAN_STD)
        )
    return mean, std


def latent_size(height: int, width: int) -> tuple[int, int]:
    """Height and width in latents of pictures of a size in pixels."""
    return height // SPATIAL_FACTOR, width // SPATIAL_FACTOR

"""How far decoded pictures are from those that were meant: what both lessons of the autoencoder minimise."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MOTION = 4.0
"""How much the error of the change from picture to picture counts: it is small where pictures are alike."""


def picture_error(decoded: Tensor, video: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Squared and absolute error of pictures `[B, F, 3, H, W]`, of their slopes, and of how they change.

    The slopes are the steps between neighbouring pixels: alone, the other two would let edges grow soft. The
    change between successive pictures would be lost as well: a latent holds four of them, and their mean is
    nearly right. It counts squared: an absolute error is least where most pixels are, which do not change.
    """
    error, square = functional.l1_loss(decoded, video), functional.mse_loss(decoded, video)
    slopes = sum(
        (functional.l1_loss(decoded.diff(dim=d), video.diff(dim=d)) for d in (3, 4)), torch.zeros(())
    )
    motion = functional.mse_loss(decoded.diff(dim=1), video.diff(dim=1))
    parts = {"l1": error, "mse": square, "slopes": slopes, "motion": motion}
    total = error + square + slopes + MOTION * motion
    return total, {name: part.item() for name, part in parts.items()}

"""How far decoded pictures are from those that were meant: what both lessons of the autoencoder minimise."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def picture_error(decoded: Tensor, video: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Squared and absolute error of pictures `[B, F, 3, H, W]`, and the error of their slopes.

    The slopes are the steps between neighbouring pixels: alone, the other two would let edges grow soft.
    """
    error, square = functional.l1_loss(decoded, video), functional.mse_loss(decoded, video)
    slopes = sum(
        (functional.l1_loss(decoded.diff(dim=d), video.diff(dim=d)) for d in (3, 4)), torch.zeros(())
    )
    return error + square + slopes, {"l1": error.item(), "mse": square.item(), "slopes": slopes.item()}

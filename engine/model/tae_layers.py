"""The layers of the tiny autoencoder, as its public files lay them out.

Legend of shape suffixes: T time steps of all streams of a batch, C channels, H/W picture.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn


class MemoryBlock(nn.Module):
    """Residual convolutions over a feature map and the one before it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 3, padding=1), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )  # fmt: skip

    def forward(self, x_TCHW: Tensor, past_TCHW: Tensor) -> Tensor:
        """Both `[B*T, C, H, W]`; returns the same shape."""
        joined = torch.cat([x_TCHW, past_TCHW], 1)
        return functional.relu(self.conv(joined) + x_TCHW)


class TimePool(nn.Module):
    """Joins `stride` neighbouring feature maps into one by a 1x1 convolution."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(channels * stride, channels, 1, bias=False)

    def forward(self, x_TCHW: Tensor) -> Tensor:
        """`[B*T, C, H, W]` to `[B*T/stride, C, H, W]`."""
        _, channels, height, width = x_TCHW.shape
        return self.conv(x_TCHW.reshape(-1, self.stride * channels, height, width))


class TimeGrow(nn.Module):
    """Makes `stride` feature maps out of one by a 1x1 convolution, time-major, and doubles their size.

    The public layout repeats pixels first; a 1x1 convolution commutes with that and costs a quarter when it
    goes first.
    """

    def __init__(self, channels: int, stride: int, subpixel: bool) -> None:
        super().__init__()
        self.stride = stride
        self.subpixel = subpixel
        self.conv = nn.Conv2d(channels, channels * stride * (4 if subpixel else 1), 1, bias=False)

    def forward(self, x_TCHW: Tensor) -> Tensor:
        """`[B*T, C, H, W]` to `[B*T*stride, C, 2H, 2W]`."""
        _, channels, height, width = x_TCHW.shape
        grown = self.conv(x_TCHW)
        if self.subpixel:
            return functional.pixel_shuffle(grown.reshape(-1, 4 * channels, height, width), 2)
        return functional.interpolate(grown.reshape(-1, channels, height, width), scale_factor=2.0)


class SoftClamp(nn.Module):
    """Squeezes latents smoothly into (-3, 3), the range the decoder was trained in."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return torch.tanh(x / 3) * 3

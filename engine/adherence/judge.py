"""The judge: a small network that reads depth, subject, joints and material from a picture.

It was trained on true renders of drawn scenes only (`engine.adherence.train_judge`), never on anything a
model generated, so it has no stake in any pipeline. Whoever quotes its readings should quote beside them what
it reads from true renders: that is the ceiling. Knows nothing of sessions or clips.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from engine.core.errors import WeightsError
from engine.core.paths import assets_dir
from engine.core.skeleton import BODY_POINTS
from engine.core.types import Image
from engine.model.weights import load_strict, read_metadata
from engine.video.opencv import cv2

SIZE = (64, 112)
"""Height and width of the pictures it looks at; others are resized. What is finer does not sway it."""
CELL = 2
"""Pixels of SIZE from one point of the joints' maps to the next."""
WIDTHS = (24, 48, 80)
"""Channels at 1/2, 1/4 and 1/8 of the size."""
GROUPS = 8
SHADES = 8
"""Steps of each of red, green and blue in a histogram of colours."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Raw:
    """What the network gives: `depth` and `mask` `[B, 64, 112]`, `joints` `[B, 14, 32, 56]`, `material`
    `[B, M]`; all are logits.
    """

    depth: Tensor
    mask: Tensor
    joints: Tensor
    material: Tensor


class Network(nn.Module):
    """A U-shaped network of convolutions with four heads; pictures `[B, 3, 64, 112]` in [-1, 1]."""

    def __init__(self, materials: int) -> None:
        super().__init__()
        first, middle, least = WIDTHS
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 3, 2, 1), nn.SiLU(), nn.Conv2d(first, middle, 3, 2, 1),
            _Residual(middle), _Residual(middle),
        )  # fmt: skip
        self.down = nn.Sequential(nn.Conv2d(middle, least, 3, 2, 1), _Residual(least))
        self.up = nn.Conv2d(least + middle, middle, 3, padding=1)
        self.seen = nn.Sequential(nn.SiLU(), nn.Conv2d(middle, middle, 3, padding=1), nn.SiLU())
        self.joints = nn.Sequential(nn.Conv2d(middle, 4 * BODY_POINTS, 1), nn.PixelShuffle(2))
        self.planes = nn.Sequential(nn.Conv2d(middle, 16 * 2, 1), nn.PixelShuffle(4))
        pooled = 2 * (3 + middle + least)
        self.surface = nn.Sequential(nn.LayerNorm(pooled), nn.Linear(pooled, 96))
        self.colours = nn.Sequential(nn.Dropout(0.2), nn.Linear(SHADES**3, 96))
        self.material = nn.Sequential(nn.SiLU(), nn.Linear(96, materials))

    def forward(self, pictures_B3HW: Tensor) -> Raw:
        """Read pictures of SIZE in [-1, 1]."""
        middle = self.stem(pictures_B3HW)
        least = self.down(middle)
        wide = nn.functional.interpolate(least, scale_factor=2.0, mode="nearest")
        seen = self.seen(self.up(torch.cat([wide, middle], 1)))
        planes = self.planes(seen)
        pooled = torch.cat([_pooled(x) for x in (pictures_B3HW, middle, least)], 1)
        material = self.material(self.surface(pooled) + self.colours(histogram(pictures_B3HW)))
        return Raw(planes[:, 0], planes[:, 1], self.joints(seen), material)


class _Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(GROUPS, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(GROUPS, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
        )  # fmt: skip

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The same shape."""
        out: Tensor = x_BCHW + self.body(x_BCHW)
        return out


@dataclass(frozen=True)
class Reading:
    """What the judge sees in N pictures of H x W.

    `depth` `[N, H, W]`, relative, near = 1; `subject` `[N, H, W]`, 1 where a pixel is the subject's, else 0;
    `joints` `[N, 14, 2]`, x and y in pixels, in OpenPose's order without the face; `material` `[N, M]`, how
    likely each of the judge's materials is, 0..1.
    """

    depth: Floats
    subject: Floats
    joints: Floats
    material: Floats


class Judge:
    """The network with its weights, and the words of its materials."""

    def __init__(self, network: Network, materials: tuple[str, ...]) -> None:
        self.network = network.eval().requires_grad_(False)
        self.materials = materials

    @staticmethod
    def load(path: Path | None = None) -> Judge:
        """The judge of the program, or of a file. Raises WeightsError."""
        path = path or assets_dir() / "judge" / "judge.safetensors"
        words = read_metadata(path).get("materials")
        if not words:
            raise WeightsError(
                f"{path} names no materials.", "Train it with `python -m engine.adherence.train_judge`."
            )
        materials = tuple(words.split())
        network = Network(len(materials))
        load_strict(network, path)
        return Judge(network, materials)

    @torch.inference_mode()
    def read(self, pictures: Image) -> Reading:
        """Read pictures u8 `[N, H, W, 3]` of any size."""
        height, width = pictures.shape[1:3]
        raw = self.network(as_input(pictures))
        at = peaks(raw.joints) * torch.tensor([width / SIZE[1], height / SIZE[0]])
        return Reading(
            _enlarged(raw.depth.sigmoid(), height, width),
            (_enlarged(raw.mask, height, width) > 0).astype(np.float32),
            at.numpy(),
            raw.material.softmax(1).numpy(),
        )

    def accuracy(self, reading: Reading, material: str) -> list[float]:
        """For each picture, 1 where its likeliest material is `material`, else 0."""
        wanted = self.materials.index(material)
        return [float(best == wanted) for best in reading.material.argmax(1)]


def as_input(pictures: Image) -> Tensor:
    """u8 `[N, H, W, 3]` as `[N, 3, 64, 112]` in [-1, 1], the channels last in memory."""
    height, width = SIZE
    if pictures.shape[1:3] != SIZE:
        pictures = np.stack(
            [cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA) for picture in pictures]
        )
    floats = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return floats.contiguous(memory_format=torch.channels_last)


def histogram(pictures_B3HW: Tensor) -> Tensor:
    """Roots of the shares of all colours, `[B, 512]`, times 8, so that a colour or two weigh about 1."""
    batch, _, height, width = pictures_B3HW.shape
    steps = ((pictures_B3HW + 1) * (SHADES / 2)).long().clamp(0, SHADES - 1)
    colour = (steps[:, 0] * SHADES + steps[:, 1]) * SHADES + steps[:, 2]
    colour = colour + SHADES**3 * torch.arange(batch, device=colour.device).view(-1, 1, 1)
    counts = torch.bincount(colour.flatten(), minlength=batch * SHADES**3).view(batch, -1)
    return 8 * (counts / (height * width)).sqrt()


def peaks(maps_BJHW: Tensor) -> Tensor:
    """The peak of every map, `[B, J, 2]`, x and y in pixels of SIZE; its neighbours' weight refines it."""
    batch, joints, height, width = maps_BJHW.shape
    flat = maps_BJHW.flatten(2).softmax(2)
    best = flat.argmax(2)
    y, x = (best // width).float(), (best % width).float()
    rows = torch.arange(height).view(1, 1, height, 1)
    columns = torch.arange(width).view(1, 1, 1, width)
    near = ((rows - y[..., None, None]).abs() <= 1) & ((columns - x[..., None, None]).abs() <= 1)
    weight = flat.view(batch, joints, height, width) * near
    total = weight.sum((2, 3))
    found = torch.stack([(weight * columns).sum((2, 3)) / total, (weight * rows).sum((2, 3)) / total], 2)
    return (found + 0.5) * CELL


def _enlarged(planes_BHW: Tensor, height: int, width: int) -> Floats:
    large = nn.functional.interpolate(planes_BHW[:, None], (height, width), mode="bilinear")
    return large[:, 0].numpy()


def _pooled(x_BCHW: Tensor) -> Tensor:
    """Mean and deviation of every channel, `[B, 2C]`."""
    mean = x_BCHW.mean((2, 3))
    return torch.cat([mean, (x_BCHW.var((2, 3)) + 1e-5).sqrt()], 1)

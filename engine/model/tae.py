"""The tiny streaming video autoencoder (layout and keys of taew2_1).

It maps groups of four pictures to one latent frame (4x in time, 8x in space, 16 channels) and back.
Every block keeps only the last feature map it saw, so a stream of any length runs chunk by chunk and gives
the same numbers as the whole clip at once. State is an argument, never an attribute: one network serves any
number of streams. Knows nothing about diffusion, devices or pipelines.

Legend of shape suffixes: B batch, F pictures, T time steps of a block, C channels, H/W picture, h/w latent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from engine.core.errors import WeightsError
from engine.model.latent_space import (
    FRAMES_PER_LATENT,
    LATENT_CHANNELS,
    SPATIAL_FACTOR,
    State,
    normalised,
    raw,
)
from engine.model.tae_joined import Step, joined, run
from engine.model.tae_layers import MemoryBlock, SoftClamp, TimeGrow, TimePool

__all__ = [
    "FRAMES_PER_LATENT", "LATENT_CHANNELS", "LIGHTTAEW2_1", "POCKET_TAE", "SPATIAL_FACTOR", "TAE", "TAEW2_1",
    "MemoryBlock", "SoftClamp", "State", "TAEArch", "TimeGrow", "TimePool", "tae_arch",
]  # fmt: skip

STAGES = 3
"""How often the picture is halved; memory blocks follow each time."""


@dataclass(frozen=True)
class TAEArch:
    """Sizes of one autoencoder: encoder width, decoder widths from latent to picture, memory blocks a stage.

    `subpixel`: the decoder doubles its size by giving each pixel four of its own instead of one repeated,
    which a small network learns much faster; the public files repeat. `trim`: pictures dropped at the start
    of a decoded stream: the public files show one picture for the first latent, four for later ones.
    `raw`: the network's own latents are Wan's raw ones, so they are normalised on their way out and back.
    """

    encoder: int
    decoder: tuple[int, int, int, int]
    blocks: int = 3
    encoder_blocks: int = 3
    subpixel: bool = False
    trim: int = 3
    raw: bool = False


TAEW2_1 = TAEArch(encoder=64, decoder=(256, 128, 64, 64))
LIGHTTAEW2_1 = replace(TAEW2_1, raw=True)
POCKET_TAE = TAEArch(encoder=24, decoder=(96, 64, 32, 16), blocks=1, encoder_blocks=1, subpixel=True, trim=0)


def tae_arch(shapes: Mapping[str, tuple[int, ...]], *, raw: bool = False) -> TAEArch:
    """The sizes of a public file, from the shapes of its tensors. WeightsError where it is no such one.

    `raw`: see TAEArch; the two kinds of public files have the same keys and shapes.
    """
    encoder, decoder = _widths(shapes, "encoder", 3), _widths(shapes, "decoder", LATENT_CHANNELS)
    return TAEArch(
        encoder=encoder[0],
        decoder=(decoder[0], decoder[1], decoder[2], decoder[3]),
        blocks=_blocks(shapes, "decoder"),
        encoder_blocks=_blocks(shapes, "encoder"),
        raw=raw,
    )


def _widths(shapes: Mapping[str, tuple[int, ...]], side: str, channels: int) -> list[int]:
    """Channels after each plain convolution of one side, which begins with `channels`."""
    plain = re.compile(side + r"\.(\d{1,4})\.weight")
    places = sorted(int(found[1]) for key in shapes if (found := plain.fullmatch(key)))
    widths = [channels]
    for place in places:
        shape = shapes[f"{side}.{place}.weight"]
        if len(shape) != 4 or shape[1:] != (widths[-1], 3, 3) or shape[0] < 1:
            raise _other_layout(side)
        widths.append(shape[0])
    if len(widths) != STAGES + 3:
        raise _other_layout(side)
    return widths[1:]


def _blocks(shapes: Mapping[str, tuple[int, ...]], side: str) -> int:
    """Memory blocks of each stage of one side."""
    first = re.compile(side + r"\.\d{1,4}\.conv\.0\.weight")
    blocks, uneven = divmod(sum(bool(first.fullmatch(key)) for key in shapes), STAGES)
    if uneven:
        raise _other_layout(side)
    return blocks


def _other_layout(side: str) -> WeightsError:
    what = f"The file holds no tiny autoencoder: its {side} has another layout."
    return WeightsError(what, "Choose taew2_1.pth or lighttaew2_1.pth, or another kind of autoencoder.")


def _encoder(arch: TAEArch) -> nn.Sequential:
    width = arch.encoder
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU()]
    for stride in (2, 2, 1):
        layers += [TimePool(width, stride), nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)]
        layers += [MemoryBlock(width) for _ in range(arch.encoder_blocks)]
    return nn.Sequential(*layers, nn.Conv2d(width, LATENT_CHANNELS, 3, padding=1))


def _decoder(arch: TAEArch) -> nn.Sequential:
    widths = arch.decoder
    layers: list[nn.Module] = [SoftClamp(), nn.Conv2d(LATENT_CHANNELS, widths[0], 3, padding=1), nn.ReLU()]
    for here, there, stride in zip(widths[:3], widths[1:], (1, 2, 2), strict=True):
        layers += [MemoryBlock(here) for _ in range(arch.blocks)]
        # The public layout has its upsampling where Identity stands; here growing does it.
        layers += [nn.Identity(), TimeGrow(here, stride, arch.subpixel)]
        layers += [nn.Conv2d(here, there, 3, padding=1, bias=False)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(widths[3], 3, 3, padding=1))


class TAE(nn.Module):
    """Streaming autoencoder; `encode` and `decode` take the state of a stream and return the next one."""

    def __init__(self, arch: TAEArch = TAEW2_1) -> None:
        super().__init__()
        self.arch = arch
        self.encoder = _encoder(arch)
        self.decoder = _decoder(arch)
        self.joins = True
        """Whether what plays runs with joined steps; off is the layout as it stands, slower and the same."""
        self._joined: dict[str, tuple[_Print, tuple[Step, ...]]] = {}

    def frames_for(self, latents: int, first: bool) -> int:
        """How many pictures encode to this many latents: four each, also at the start of a stream."""
        return FRAMES_PER_LATENT * latents

    def pictures_of(self, latents: int, first: bool) -> int:
        """How many pictures this many latents decode to, at the start of a stream or later."""
        return FRAMES_PER_LATENT * latents - (self.arch.trim if first else 0)

    def encode(self, video_BFCHW: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Encode pictures `[B, F, 3, H, W]` in [-1, 1] to normalised latents `[B, ceil(F/4), 16, H/8, W/8]`.

        `state` is what the previous call of the same stream returned, None at its start. A length that is not
        a multiple of four is padded by repeating the last picture. H and W must be multiples of 8.
        """
        frames = video_BFCHW.shape[1]
        missing = -frames % FRAMES_PER_LATENT
        if missing:
            video_BFCHW = torch.cat([video_BFCHW, video_BFCHW[:, -1:].expand(-1, missing, -1, -1, -1)], 1)
        latents, next_state = self._run("encoder", (video_BFCHW + 1) / 2, state)
        return normalised(latents) if self.arch.raw else latents, next_state

    def resume(self, picture_B3HW: Tensor) -> State:
        """Encoder state of a stream that begins in the middle of a show, as if this had always been seen.

        `picture_B3HW` in [-1, 1]. The next call of `encode` takes `frames_for(n, first=False)` pictures.
        """
        still = picture_B3HW[:, None].expand(-1, FRAMES_PER_LATENT, -1, -1, -1)
        return self._run("encoder", (still + 1) / 2, None, still=True)[1]

    def decode(self, latents_BFCHW: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Decode normalised latents `[B, F, 16, h, w]` to pictures `[B, n, 3, 8h, 8w]` in [-1, 1].

        At the start of a stream (`state` None) n = 4F - trim, later n = 4F.
        """
        video, next_state = self.decode_unclamped(latents_BFCHW, state)
        return video.clamp(-1, 1), next_state

    def decode_unclamped(self, latents_BFCHW: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """`decode` without the clamp to [-1, 1]: what training needs, for a clamped pixel teaches nothing."""
        latents = raw(latents_BFCHW) if self.arch.raw else latents_BFCHW
        video, next_state = self._run("decoder", latents, state)
        if state is None:
            video = video[:, self.arch.trim :]
        return video * 2 - 1, next_state

    def _run(
        self,
        side: Literal["encoder", "decoder"],
        x_BFCHW: Tensor,
        state: State | None,
        *,
        still: bool = False,
    ) -> tuple[Tensor, State]:
        """Through one side: layer by layer while gradients are wanted, else with its joined steps."""
        network = self.encoder if side == "encoder" else self.decoder
        if not self.joins or _learns(network, x_BFCHW):
            return _run(network, x_BFCHW, state, still=still)
        return run(self._steps(side, network), x_BFCHW, state, still=still)

    def _steps(self, side: str, network: nn.Sequential) -> tuple[Step, ...]:
        """The joined steps of a side: made once, and again where its weights are others."""
        now = tuple(map(_printed, network.parameters()))
        made = self._joined.get(side)
        if made is None or made[0] != now:
            made = self._joined[side] = now, joined(network)
        return made[1]


def _learns(network: nn.Module, x: Tensor) -> bool:
    """Whether gradients are to flow through a network, or to its weights."""
    weights = any(weight.requires_grad for weight in network.parameters())
    return torch.is_grad_enabled() and (weights or x.requires_grad)


_Print = tuple[tuple[int, int], ...]
"""Where each weight lies and how often it was written to."""


def _printed(weight: Tensor) -> tuple[int, int]:
    """One weight's part of a `_Print`; what was made for inference is never written to again."""
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version


def _run(
    network: nn.Sequential, x_BFCHW: Tensor, state: State | None, *, still: bool = False
) -> tuple[Tensor, State]:
    """All time steps of a call go through a layer together; memory blocks see the step before beside each.

    The state is the last input of every memory block, in network order, each `[B, C, H, W]`. `still`: what
    comes has always been there, so the step before the first is like it.
    """
    batch = x_BFCHW.shape[0]
    x = x_BFCHW.flatten(0, 1)
    last: list[Tensor] = []
    for layer in network:
        if isinstance(layer, MemoryBlock):
            steps = x.unflatten(0, (batch, -1))
            if still:
                before = steps[:, 0]
            else:
                before = torch.zeros_like(steps[:, 0]) if state is None else state[len(last)]
            past = torch.cat([before[:, None], steps[:, :-1]], 1)
            last.append(steps[:, -1])
            x = layer(x, past.flatten(0, 1))
        else:
            x = layer(x)
    return x.unflatten(0, (batch, -1)), tuple(last)

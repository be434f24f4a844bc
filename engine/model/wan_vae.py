"""The streaming Wan 2.1 video autoencoder, and LightVAE, which is the same with a quarter of the channels.

The first picture of a stream becomes a latent of its own, every four after it one more; decoding is the
mirror image. All convolutions in time look back only, at what their stream brought before: chunk by chunk
gives the numbers of the whole clip at once. State is an argument, never an attribute: one network serves any
number of streams. Parameters carry the names of the public files.

Legend of shape suffixes: B batch, F pictures or latents, T time steps of a layer, C channels, N = B*T,
H/W picture, h/w latent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.core.errors import EngineError, WeightsError
from engine.model.latent_space import FRAMES_PER_LATENT, LATENT_CHANNELS, State, normalised, raw

MULTIPLES = (1, 2, 4, 4)
"""Channels of the four sizes, as multiples of the width."""
BLOCKS = 2
"""Residual blocks of each size in the encoder; the decoder has one more."""
IN_TIME = (False, True, True)
"""Which of the three steps down also halve the time."""
LOOK_BACK = 2
"""Time steps a convolution sees beside the present one."""


@dataclass(frozen=True)
class WanVAEArch:
    """Sizes of one autoencoder: the channels at full picture size."""

    width: int


WAN_VAE = WanVAEArch(width=96)
LIGHT_VAE = WanVAEArch(width=24)


def wan_vae_arch(shapes: Mapping[str, tuple[int, ...]]) -> WanVAEArch:
    """The sizes of a file, from the shapes of its tensors. WeightsError where it is no such autoencoder."""
    key = "encoder.conv1.weight"
    width, *rest = shapes.get(key, (0,)) or (0,)
    if width < 1 or rest != [3, 3, 3, 3]:
        what = f"The file holds no Wan autoencoder: {key} is missing or of another shape."
        raise WeightsError(what, "Choose Wan2.1_VAE.pth or lightvaew2_1.pth, or another kind of autoencoder.")
    return WanVAEArch(width=width)


class _Memory:
    """The state of one stream on its way through a network: the past is read while the next is written.

    `begins`: nothing came before. `still`: what comes now has always been there, in every layer.
    """

    def __init__(self, state: State | None, *, still: bool = False) -> None:
        self.begins = state is None and not still
        self.still = still
        self.kept: list[Tensor] = []
        self._state = state

    def joined(self, x_BCTHW: Tensor, steps: int) -> Tensor:
        """The last `steps` time steps this layer saw, and those of now; the newest of all are kept."""
        if self._state is not None:
            past = self._state[len(self.kept)]
        elif self.still:
            past = x_BCTHW[:, :, :1].expand(-1, -1, steps, -1, -1)
        else:
            past = x_BCTHW.new_zeros(*x_BCTHW.shape[:2], steps, *x_BCTHW.shape[3:])
        joined = torch.cat([past, x_BCTHW], 2)
        self.keep(joined[:, :, -steps:])
        return joined

    def keep(self, x_BCTHW: Tensor) -> None:
        """Remember these for the next call; copied, so that the chunk they are cut from can go."""
        self.kept.append(x_BCTHW.clone())


class ChannelNorm(nn.Module):
    """Scales each position's channels to mean square 1, times a learned gain; `axes` follow the channels."""

    def __init__(self, channels: int, axes: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *[1] * axes))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, ...]` to the same shape."""
        return functional.normalize(x, dim=1) * (self.gamma * math.sqrt(x.shape[1]))


class CausalConv(nn.Conv3d):
    """A convolution over the present time step and the two before it."""

    def __init__(self, channels: int, out: int, side: int = 3) -> None:
        super().__init__(channels, out, (1 + LOOK_BACK, side, side), padding=(0, side // 2, side // 2))

    def stream(self, x_BCTHW: Tensor, memory: _Memory) -> Tensor:
        """`[B, C, T, H, W]` to `[B, out, T, H, W]`."""
        out: Tensor = self(memory.joined(x_BCTHW, LOOK_BACK))
        return out


class Residual(nn.Module):
    """Two causal convolutions around which the input also passes unchanged."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        # Identity stands where training had its dropout.
        self.residual = nn.Sequential(
            ChannelNorm(channels), nn.SiLU(), CausalConv(channels, out),
            ChannelNorm(out), nn.SiLU(), nn.Identity(), CausalConv(out, out),
        )  # fmt: skip
        self.shortcut = nn.Identity() if channels == out else nn.Conv3d(channels, out, 1)

    def stream(self, x_BCTHW: Tensor, memory: _Memory) -> Tensor:
        """`[B, C, T, H, W]` to `[B, out, T, H, W]`."""
        out: Tensor = self.shortcut(x_BCTHW) + _through(self.residual, x_BCTHW, memory)
        return out


class Attention(nn.Module):
    """Self-attention among the positions of each time step alone, one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels, axes=2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to the same shape."""
        x_NCHW = x_BCTHW.transpose(1, 2).flatten(0, 1)
        q, k, v = self.to_qkv(self.norm(x_NCHW)).flatten(2).transpose(1, 2).chunk(3, dim=-1)
        mixed = functional.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])
        added = self.proj(mixed[:, 0].transpose(1, 2).unflatten(2, x_NCHW.shape[2:]))
        return (x_NCHW + added).unflatten(0, (x_BCTHW.shape[0], -1)).transpose(1, 2)


class Shrink(nn.Module):
    """Halves the size of the pictures and, `in_time`, their number."""

    def __init__(self, channels: int, in_time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2))
        self.time_conv = nn.Conv3d(channels, channels, (3, 1, 1), stride=(2, 1, 1)) if in_time else None

    def stream(self, x_BCTHW: Tensor, memory: _Memory) -> Tensor:
        """`[B, C, T, H, W]` to `[B, C, T/2, H/2, W/2]`; the start of a stream gives (1 + T) / 2 steps."""
        x = _each_step(self.resample, x_BCTHW)
        return x if self.time_conv is None else self._in_time(self.time_conv, x, memory)

    def _in_time(self, conv: nn.Conv3d, x: Tensor, memory: _Memory) -> Tensor:
        """Pairs of steps, each seen with the step before it; a stream's first step has no partner."""
        if memory.still:  # one step stands for all
            x = x.expand(-1, -1, 2, -1, -1)
        if not memory.begins:
            paired: Tensor = conv(memory.joined(x, 1))
            return paired
        memory.keep(x[:, :, -1:])
        alone = x[:, :, :1]
        return torch.cat([alone, conv(x)], 2) if x.shape[2] > 2 else alone


class Grow(nn.Module):
    """Doubles the size of the pictures and, `in_time`, their number; halves the channels."""

    def __init__(self, channels: int, in_time: bool) -> None:
        super().__init__()
        self.time_conv = CausalConv(channels, 2 * channels, side=1) if in_time else None
        self.resample = nn.Sequential(
            nn.Upsample(scale_factor=2.0, mode="nearest-exact"),
            nn.Conv2d(channels, channels // 2, 3, padding=1),
        )

    def stream(self, x_BCTHW: Tensor, memory: _Memory) -> Tensor:
        """`[B, C, T, H, W]` to `[B, C/2, 2T, 2H, 2W]`; the start of a stream gives 2T - 1 steps."""
        x = x_BCTHW if self.time_conv is None else self._in_time(self.time_conv, x_BCTHW, memory)
        return _each_step(self.resample, x)

    def _in_time(self, conv: CausalConv, x: Tensor, memory: _Memory) -> Tensor:
        """Two steps of each; a stream's first stays one, and those after it do not see it here."""
        alone, later = (x[:, :, :1], x[:, :, 1:]) if memory.begins else (x[:, :, :0], x)
        joined = memory.joined(later, LOOK_BACK)
        if not later.shape[2]:
            return alone
        pairs = conv(joined).unflatten(1, (2, -1))
        return torch.cat([alone, pairs.movedim(1, 3).flatten(2, 3)], 2)


Streaming = CausalConv | Residual | Shrink | Grow


def _through(layers: nn.Sequential, x_BCTHW: Tensor, memory: _Memory) -> Tensor:
    """One layer after the other; those that look back get their part of the memory."""
    for layer in layers:
        x_BCTHW = layer.stream(x_BCTHW, memory) if isinstance(layer, Streaming) else layer(x_BCTHW)
    return x_BCTHW


def _each_step(layers: nn.Sequential, x_BCTHW: Tensor) -> Tensor:
    """Picture layers on all time steps together."""
    out_NCHW: Tensor = layers(x_BCTHW.transpose(1, 2).flatten(0, 1))
    return out_NCHW.unflatten(0, (x_BCTHW.shape[0], -1)).transpose(1, 2)


def _middle(channels: int) -> nn.Sequential:
    return nn.Sequential(Residual(channels, channels), Attention(channels), Residual(channels, channels))


def _head(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(ChannelNorm(channels), nn.SiLU(), CausalConv(channels, out))


class Encoder(nn.Module):
    """Pictures to twice the latent channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = CausalConv(3, width)
        layers: list[nn.Module] = []
        channels = width
        for size, multiple in enumerate(MULTIPLES):
            if size:
                layers.append(Shrink(channels, IN_TIME[size - 1]))
            for _ in range(BLOCKS):
                layers.append(Residual(channels, multiple * width))
                channels = multiple * width
        self.downsamples = nn.Sequential(*layers)
        self.middle = _middle(channels)
        self.head = _head(channels, 2 * LATENT_CHANNELS)

    def stream(self, x_BCTHW: Tensor, memory: _Memory) -> Tensor:
        """`[B, 3, T, H, W]` to `[B, 32, T', H/8, W/8]`."""
        x = self.conv1.stream(x_BCTHW, memory)
        for layers in (self.downsamples, self.middle, self.head):
            x = _through(layers, x, memory)
        return x


class Decoder(nn.Module):
    """Latents to pictures."""

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = MULTIPLES[-1] * width
        self.conv1 = CausalConv(LATENT_CHANNELS, channels)
        self.middle = _middle(channels)
        layers: list[nn.Module] = []
        for size, multiple in enumerate(reversed(MULTIPLES)):
            if size:
                layers.append(Grow(channels, tuple(reversed(IN_TIME))[size - 1]))
                channels //= 2
            for _ in range(BLOCKS + 1):
                layers.append(Residual(channels, multiple * width))
                channels = multiple * width
        self.upsamples = nn.Sequential(*layers)
        self.head = _head(channels, 3)

    def stream(self, x_BCTHW: Tensor, memory: _Memory) -> Tensor:
        """`[B, 16, T, h, w]` to `[B, 3, T', 8h, 8w]`."""
        x = self.conv1.stream(x_BCTHW, memory)
        for layers in (self.middle, self.upsamples, self.head):
            x = _through(layers, x, memory)
        return x


class WanVAE(nn.Module):
    """Streaming autoencoder; `encode` and `decode` take the state of a stream and return the next one."""

    def __init__(self, arch: WanVAEArch = WAN_VAE) -> None:
        super().__init__()
        self.arch = arch
        self.encoder = Encoder(arch.width)
        self.conv1 = nn.Conv3d(2 * LATENT_CHANNELS, 2 * LATENT_CHANNELS, 1)
        self.conv2 = nn.Conv3d(LATENT_CHANNELS, LATENT_CHANNELS, 1)
        self.decoder = Decoder(arch.width)

    def frames_for(self, latents: int, first: bool) -> int:
        """How many pictures encode to this many latents, at the start of a stream or later."""
        return FRAMES_PER_LATENT * latents - (FRAMES_PER_LATENT - 1) * first

    def pictures_of(self, latents: int, first: bool) -> int:
        """How many pictures this many latents decode to, at the start of a stream or later."""
        return self.frames_for(latents, first)

    def encode(self, video_BFCHW: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Encode pictures `[B, F, 3, H, W]` in [-1, 1] to normalised latents `[B, F', 16, H/8, W/8]`.

        `state` is what the previous call of the same stream returned, None at its start, where F must be
        1, 5, 9, ... and F' is (F + 3) / 4; later F must be a multiple of four and F' is F / 4. H and W must
        be multiples of 8. EngineError for another number of pictures: it would shift all that follow.
        """
        frames = video_BFCHW.shape[1]
        if frames < 1 or (frames - (state is None)) % FRAMES_PER_LATENT:
            fitting = "1, 5, 9, 13 and so on" if state is None else "a multiple of four"
            where = "at the start of" if state is None else "within"
            raise EngineError(
                f"{frames} pictures do not fill the latents of the Wan autoencoder {where} a stream.",
                f"Give it {fitting}.",
            )
        return self.encode_unaligned(video_BFCHW, state)

    def encode_unaligned(self, video_BFCHW: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """`encode` without its check: pictures that fill no latent are remembered and shift the later ones.

        No stream of ours wants that; recordings of others do.
        """
        memory = _Memory(state)
        moments = self.conv1(self.encoder.stream(video_BFCHW.transpose(1, 2), memory))
        # The other half is the variance, which matters in training only.
        return normalised(moments[:, :LATENT_CHANNELS].transpose(1, 2)), tuple(memory.kept)

    def decode(self, latents_BFChw: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Decode normalised latents `[B, F, 16, h, w]` to pictures `[B, n, 3, 8h, 8w]` in [-1, 1].

        At the start of a stream (`state` None) n = 4F - 3, later n = 4F.
        """
        memory = _Memory(state)
        x = self.decoder.stream(self.conv2(raw(latents_BFChw).transpose(1, 2)), memory)
        return x.transpose(1, 2).clamp(-1, 1), tuple(memory.kept)

    def resume(self, picture_B3HW: Tensor) -> State:
        """Encoder state of a stream that begins in the middle of a show, as if this had always been seen.

        A picture that never changed is the same at every time step of every layer, so one step says it all.
        `picture_B3HW` in [-1, 1]; the next call of `encode` takes `frames_for(n, first=False)` pictures.
        """
        memory = _Memory(None, still=True)
        self.encoder.stream(picture_B3HW[:, :, None], memory)
        return tuple(memory.kept)

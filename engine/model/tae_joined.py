"""The tiny autoencoder as it plays: the same numbers in fewer and smaller steps.

Its layout has several layers in a row that are linear, and what is linear in a row is one layer:

* growing in time, doubling the size and the 3x3 convolution behind them are one transposed 4x4 convolution
  of stride 2. Each pixel of the large picture sees 2x2 pixels of the small one, which takes 4 products where
  the layout takes 9, and the large picture before the convolution never exists.
* pooling in time and the 3x3 convolution of stride 2 behind it are one such convolution of several pictures.

And where pictures are large, their feature maps are not moved about:

* the encoder's first convolution runs apart for the first and for the second pictures of the pairs that the
  pooling joins, which then adds up what it made of each: maps need not be laid side by side.
* the decoder's last convolution, whose three channels would fill less than half of a vector register, makes
  two neighbouring pixels at once.

Channels lie innermost, as the pictures bring them and as convolutions like them best.
Joined weights are made in fp32 from the network's own and are as good as those; training uses the layout.
Legend of shape suffixes: B batch, F pictures or latents, T time steps of a step, C channels, H/W picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.model.latent_space import State
from engine.model.tae_layers import MemoryBlock, SoftClamp, TimeGrow, TimePool

FEW = 3
"""Channels of a picture: a vector register holds eight numbers or more."""


class Step(Protocol):
    """One step of a network: `[T, C, H, W]`, channels innermost, to the same kind."""

    def __call__(self, x_TCHW: Tensor, stream: Stream) -> Tensor:  # noqa: D102
        ...


class Stream:
    """The memory of one call: the state that came in is read while the next one is written."""

    def __init__(self, batch: int, state: State | None, still: bool) -> None:
        """`still`: what comes has always been there."""
        self.kept: list[Tensor] = []
        self._batch, self._state, self._still = batch, state, still

    def before(self, x_TCHW: Tensor) -> Tensor:
        """The time step before each of these, in the next memory of the network."""
        steps_BTHWC = x_TCHW.permute(0, 2, 3, 1).unflatten(0, (self._batch, -1))
        if self._still:
            first_BHWC = steps_BTHWC[:, 0]
        elif self._state is None:
            first_BHWC = torch.zeros_like(steps_BTHWC[:, 0])
        else:
            first_BHWC = self._state[len(self.kept)].permute(0, 2, 3, 1)
        self.kept.append(steps_BTHWC[:, -1].permute(0, 3, 1, 2))
        past = torch.cat([first_BHWC[:, None], steps_BTHWC[:, :-1]], 1)
        return past.flatten(0, 1).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Conv:
    """A convolution, of several pictures at once where `joins` is more than 1, and what follows it.

    `grows`: how many time steps it makes of one; with `doubles` it is transposed and doubles the size.
    """

    weight: Tensor
    bias: Tensor | None = None
    stride: int = 1
    joins: int = 1
    grows: int = 1
    doubles: bool = False
    relu: bool = False

    def __call__(self, x_TCHW: Tensor, stream: Stream) -> Tensor:
        """Padded so that the size is kept, doubled, or divided by the stride."""
        del stream
        x = into_channels(x_TCHW, self.joins)
        if self.doubles:
            x = functional.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1)
        else:
            x = functional.conv2d(x, self.weight, self.bias, self.stride, padding=1)
        return out_of_channels(functional.relu_(x) if self.relu else x, self.grows)


@dataclass(frozen=True)
class Apart:
    """A convolution and the pooling one behind it, for each of the pictures that are joined by itself.

    `parts`: the pooling convolution's weight, cut into what it takes from the first of them, the second, ...
    """

    first: Conv
    parts: Sequence[Tensor]
    stride: int

    def __call__(self, x_TCHW: Tensor, stream: Stream) -> Tensor:
        """`[T, C, H, W]` to `[T/parts, D, H/stride, W/stride]`."""
        made: Tensor | None = None
        for index, weight in enumerate(self.parts):
            picture = x_TCHW[index :: len(self.parts)].contiguous(memory_format=torch.channels_last)
            pooled = functional.conv2d(self.first(picture, stream), weight, None, self.stride, padding=1)
            made = pooled if made is None else made.add_(pooled)
        if made is None:
            raise TypeError("nothing to join")
        return made


@dataclass(frozen=True)
class Pairs:
    """A 3x3 convolution that makes two neighbouring pixels at once, of the 3x4 pixels that both see.

    `weight` `[2*D, C, 3, 4]`, `bias` `[2*D]`: the left pixel's channels, then the right one's.
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, x_TCHW: Tensor, stream: Stream) -> Tensor:
        """`[T, C, H, W]`, W even, to `[T, D, H, W]`, channels innermost."""
        del stream
        pairs = functional.conv2d(x_TCHW, self.weight, self.bias, (1, 2), padding=1)
        pairs_THWD = pairs.permute(0, 2, 3, 1).contiguous()
        return pairs_THWD.unflatten(3, (2, -1)).flatten(2, 3).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Remember:
    """A memory block: convolutions over each feature map and the one before it, added to it."""

    convs: Sequence[Conv]

    def __call__(self, x_TCHW: Tensor, stream: Stream) -> Tensor:
        """The same shape."""
        both = [x.permute(0, 2, 3, 1) for x in (x_TCHW, stream.before(x_TCHW))]
        made = torch.cat(both, -1).permute(0, 3, 1, 2)  # so that channels stay innermost
        for conv in self.convs:
            made = conv(made, stream)
        return functional.relu_(made.add_(x_TCHW))


@dataclass(frozen=True)
class Squeeze:
    """The soft clamp in front of the decoder."""

    clamp: SoftClamp

    def __call__(self, x_TCHW: Tensor, stream: Stream) -> Tensor:
        """The same shape."""
        del stream
        squeezed: Tensor = self.clamp(x_TCHW)
        return squeezed


@torch.no_grad()
def joined(network: nn.Sequential) -> tuple[Step, ...]:
    """The steps of one side of the autoencoder, with weights of their own."""
    steps: list[Step] = []
    layers = [layer for layer in network if not isinstance(layer, nn.Identity)]
    while layers:
        layer = layers.pop(0)
        if isinstance(layer, TimeGrow):
            steps.append(_grow(layer, _following(layers)))
        elif isinstance(layer, TimePool):
            steps.append(_pool(layer, _following(layers)))
        elif isinstance(layer, MemoryBlock):
            convs = [conv for conv in layer.conv if isinstance(conv, nn.Conv2d)]
            steps.append(Remember([_conv(conv, relu=conv is not convs[-1]) for conv in convs]))
        elif isinstance(layer, SoftClamp):
            steps.append(Squeeze(layer))
        elif isinstance(layer, nn.Conv2d):
            steps.append(_conv(layer))
        else:
            steps[-1] = _rectified(steps[-1])
    return tuple(_beside(_apart(steps)))


def _apart(steps: list[Step]) -> list[Step]:
    """The steps with a first convolution that pooling follows made into one."""
    first, pool = steps[:2]
    if not isinstance(first, Conv) or not isinstance(pool, Conv) or pool.joins == 1:
        return steps
    parts = [_laid(part, part) for part in pool.weight.chunk(pool.joins, dim=1)]
    return [Apart(first, parts, pool.stride), *steps[2:]]


def _beside(steps: list[Step]) -> list[Step]:
    """The steps with a last convolution of few channels made for two pixels at once."""
    last = steps[-1]
    if not isinstance(last, Conv) or last.bias is None or len(last.weight) > FEW or last.relu:
        return steps
    left = functional.pad(last.weight, (0, 1))
    right = functional.pad(last.weight, (1, 0))
    weight = _laid(torch.cat((left, right)), last.weight)
    return [*steps[:-1], Pairs(weight, last.bias.detach().repeat(2))]


def _following(layers: list[nn.Module]) -> nn.Conv2d:
    """Take the convolution that follows."""
    layer = layers.pop(0)
    if not isinstance(layer, nn.Conv2d) or layer.bias is not None:
        raise TypeError(f"{layer} cannot be joined with what is before it")
    return layer


def _conv(layer: nn.Conv2d, relu: bool = False) -> Conv:
    return Conv(_laid(layer.weight, layer.weight), layer.bias, layer.stride[0], relu=relu)


def _grow(grow: TimeGrow, conv: nn.Conv2d) -> Conv:
    weight = grown(grow.conv.weight, conv.weight, grow.stride, grow.subpixel)
    return Conv(_laid(weight, conv.weight), grows=grow.stride, doubles=True)


def _pool(pool: TimePool, conv: nn.Conv2d) -> Conv:
    weight = pooled(pool.conv.weight, conv.weight)
    return Conv(_laid(weight, conv.weight), stride=conv.stride[0], joins=pool.stride)


def _rectified(step: Step) -> Conv:
    """A convolution with the ReLU that follows it."""
    if not isinstance(step, Conv):
        raise TypeError(f"{step} is followed by a ReLU")
    return replace(step, relu=True)


def _laid(weight: Tensor, like: Tensor) -> Tensor:
    """A weight with its channels innermost, in the number type of another."""
    return weight.detach().to(like.dtype).contiguous(memory_format=torch.channels_last)


def run(
    steps: Sequence[Step], x_BFCHW: Tensor, state: State | None, *, still: bool = False
) -> tuple[Tensor, State]:
    """Run a stream's next pictures or latents through a network; returns what comes out and the next state.

    `still`: what comes has always been there.
    """
    stream = Stream(len(x_BFCHW), state, still)
    x = x_BFCHW.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    for step in steps:
        x = step(x, stream)
    return x.unflatten(0, (len(x_BFCHW), -1)), tuple(stream.kept)


def into_channels(x_TCHW: Tensor, count: int) -> Tensor:
    """`[T, C, H, W]` to `[T/count, count*C, H, W]`: neighbouring time steps side by side."""
    if count == 1:
        return x_TCHW
    x_THWC = x_TCHW.permute(0, 2, 3, 1).unflatten(0, (-1, count))
    return x_THWC.permute(0, 2, 3, 1, 4).flatten(3).permute(0, 3, 1, 2)


def out_of_channels(x_TCHW: Tensor, count: int) -> Tensor:
    """The way back: `[T, count*C, H, W]` to `[T*count, C, H, W]`."""
    if count == 1:
        return x_TCHW
    x_THWC = x_TCHW.permute(0, 2, 3, 1).unflatten(3, (count, -1))
    return x_THWC.permute(0, 3, 1, 2, 4).flatten(0, 1).permute(0, 3, 1, 2)


def grown(grow: Tensor, conv: Tensor, times: int, subpixel: bool) -> Tensor:
    """Weight `[C, times*D, 4, 4]` of the transposed convolution that growing and a convolution are together.

    `grow` `[times*C (*4 subpixel), C, 1, 1]`: the 1x1 convolution; `conv` `[D, C, 3, 3]`: what follows once
    the size is doubled. Row 2y + a of the large picture comes from row y; with tap i of the convolution it
    reaches row 2y + a + 1 - i, which the transposed one reaches from y with tap a + 2 - i.
    """
    channels = conv.shape[1]
    grow, conv = grow.float(), conv.float()
    if subpixel:
        parts = grow.view(times, channels, 2, 2, channels)
    else:
        parts = grow.view(times, channels, 1, 1, channels).expand(-1, -1, 2, 2, -1)
    products = torch.einsum("ockl,tcabi->itoabkl", conv, parts)
    joined = products.new_zeros(channels, times, len(conv), 4, 4)
    for a, b, row, column in torch.cartesian_prod(*map(torch.arange, (2, 2, 3, 3))).tolist():
        joined[..., a + 2 - row, b + 2 - column] += products[:, :, :, a, b, row, column]
    return joined.flatten(1, 2)


def pooled(pool: Tensor, conv: Tensor) -> Tensor:
    """Weight `[D, times*C, 3, 3]` of pooling `[C, times*C, 1, 1]` and a convolution `[D, C, 3, 3]` in one."""
    return torch.einsum("ockl,ci->oikl", conv.float(), pool.float()[:, :, 0, 0])

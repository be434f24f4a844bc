"""A first autoencoder without training: principal components, stage by stage, written into the TAE's layers.

A small network needs long to find out where inside its 8x8 patches a line lies. Linear algebra knows at once:
each stage of the encoder keeps the strongest components of 2x2 pixels (and of two moments), each stage of the
decoder is the transpose. Both are trained further (`train_tae`); that is where sharpness comes from.

The offsets. Every stage ends in a rectifier, which would cut off the negative half of a component. So each
component carries an offset there that keeps it positive on the sample pictures, and the rectifier does
nothing until training finds a use for it. In the encoder the biases of the memory blocks put offsets on and
the last convolution takes the last ones off. Growing layers have no bias: one more channel of the decoder
carries a constant 1, and its weights are the constants that take one stage's offsets off and put the next
one's on.

Letters: N pictures, C channels, P = 4 pixels of a 2x2 patch, K components, W width of the encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from engine.model.tae import LATENT_CHANNELS, TAE, MemoryBlock, TimeGrow, TimePool

SPREAD = 0.15
"""Latent channels get a deviation of (their own) ** SPREAD: weaker ones stay weaker, but are not lost."""

LEAST = 0.05
"""The smallest value of a feature on the sample pictures, after its offset."""

QUIET = 0.05
"""What is left of the random weights that no component fills; training grows from them."""

COLORS = 3
Layer = TypeVar("Layer", bound=nn.Module)


@dataclass(frozen=True)
class Components:
    """Strongest components `basis` `[K, D]` of D numbers, whose mean was `mean` `[D]`."""

    basis: Tensor
    mean: Tensor


@dataclass(frozen=True)
class Stage:
    """One stage: features = basis @ (the 4*C numbers of a patch). The decoder carries features + offset."""

    patch: Components
    offset: Tensor


@dataclass(frozen=True)
class Encoding:
    """All that the decoder has to undo. `moments` joins two moments before the second stage.

    latents = (features of the third stage - `middle`) * `scale`; features beyond the latents' number are
    lost, and `left_out` are their means.
    """

    stages: tuple[Stage, Stage, Stage]
    moments: Components
    middle: Tensor
    scale: Tensor
    left_out: Tensor


@torch.no_grad()
def start(tae: TAE, video: Tensor) -> None:
    """Fill a TAE of Pocket's layout from sample pictures `[B, F, 3, H, W]` in [-1, 1].

    That is: sub-pixel, one memory block a stage. F must be a multiple of
    4; together the pictures need more 8x8 patches than a stage has components. The weights that are not
    replaced stay random, much smaller.
    """
    for block in (layer for layer in tae.modules() if isinstance(layer, MemoryBlock)):
        _quiet(block)
    _decoder(tae, _encoder(tae, (video.flatten(0, 1) + 1) / 2))


def _encoder(tae: TAE, x_NCHW: Tensor) -> Encoding:
    """Fill the encoder, stage by stage, each measured on what the ones before give for pictures in 0..1."""
    network, width = tae.encoder, tae.arch.encoder
    colors = _layer(network, 0, nn.Conv2d)
    _center(colors, torch.eye(COLORS))
    pairs = _layer(network, 2, TimePool)
    _join(pairs, _both_moments(width))
    first, x = _halve(network, 3, pairs(colors(x_NCHW).relu())[:, : 2 * COLORS], width)

    _lift(network, 4, first.offset)

    joined = x.unflatten(0, (-1, 2)).flatten(1, 2)
    moments = _components(joined.permute(0, 2, 3, 1).flatten(0, 2), width)
    pairs = _layer(network, 5, TimePool)
    _join(pairs, moments.basis)
    second, x = _halve(network, 6, pairs(x), width)
    _lift(network, 7, second.offset - _carried(nn.Sequential(network[5], network[6]), first.offset, 2))

    _join(_layer(network, 8, TimePool), torch.eye(width))
    third, x = _halve(network, 9, x, width)
    _lift(network, 10, third.offset - _carried(nn.Sequential(network[8], network[9]), second.offset, 1))

    last = _layer(network, 11, nn.Conv2d)
    kept = x[:, :LATENT_CHANNELS]
    middle, deviation = kept.mean((0, 2, 3)), kept.std((0, 2, 3))
    scale = deviation.pow(SPREAD) / deviation * 0.8 / deviation.pow(2 * SPREAD).mean().sqrt()
    _center(last, torch.diag(scale))
    _bias(last).copy_(-(middle + third.offset[:LATENT_CHANNELS]) * scale)
    left_out = x.mean((0, 2, 3))[LATENT_CHANNELS:]
    return Encoding((first, second, third), moments, middle, scale, left_out)


def _both_moments(width: int) -> Tensor:
    """Takes the colours of two moments out of `[2*W]` channels: `[6, 2*W]`."""
    matrix = torch.zeros(2 * COLORS, 2 * width)
    for moment in range(2):
        for color in range(COLORS):
            matrix[moment * COLORS + color, moment * width + color] = 1
    return matrix


def _halve(network: nn.Sequential, index: int, x_NCHW: Tensor, width: int) -> tuple[Stage, Tensor]:
    """Fill the strided convolution at `index`; the stage, and the features after it."""
    down = _layer(network, index, nn.Conv2d)
    channels = x_NCHW.shape[1]
    patches = nn.functional.unfold(x_NCHW, 2, stride=2)  # [N, C*P, positions]
    rows = patches.permute(0, 2, 1).flatten(0, 1)
    patch = _components(rows, min(width, rows.shape[1]))
    count = len(patch.basis)
    # The convolution sees 3x3 pixels, from one above and left of a patch: its first row and column are empty.
    down.weight.zero_()
    down.weight[:count, :channels, 1:, 1:] = patch.basis.unflatten(1, (channels, 2, 2))
    made = nn.functional.conv2d(x_NCHW, down.weight[:, :channels], stride=2, padding=1)
    offset = LEAST - made.amin((0, 2, 3))
    offset[count:] = 0
    return Stage(patch, offset), made


def _decoder(tae: TAE, encoding: Encoding) -> None:
    """Fill the decoder with the transposes; the channel behind the features is the constant 1."""
    network, width = tae.decoder, tae.arch.encoder
    first, second, third = encoding.stages
    _features_of_latents(_layer(network, 1, nn.Conv2d), encoding, width)

    # Features of the third stage -> four pixels of the second.
    back, mean = third.patch.basis.T, third.patch.mean
    constant = mean - back @ (third.patch.basis @ mean) - back @ third.offset
    constant = constant + second.offset.repeat_interleave(4)
    _grow(_layer(network, 5, TimeGrow), back, constant, 1, width)
    _center(_layer(network, 6, nn.Conv2d), torch.eye(width + 1))

    # Features of the second stage -> four pixels of two moments of the first.
    _grow(_layer(network, 9, TimeGrow), *_two_moments(second, encoding.moments, first.offset), 2, width)
    _center(_layer(network, 10, nn.Conv2d), torch.eye(width + 1))

    # Features of the first stage -> four pixels of two moments of red, green and blue.
    count, mean = len(first.patch.basis), first.patch.mean
    back = nn.functional.pad(first.patch.basis.T, (0, width - count))
    constant = mean - back[:, :count] @ (first.patch.basis @ mean) - back @ first.offset
    _grow(_layer(network, 13, TimeGrow), back, constant, 2, COLORS)
    _center(_layer(network, 14, nn.Conv2d), torch.eye(COLORS))
    _center(_layer(network, 16, nn.Conv2d), torch.eye(COLORS))


def _features_of_latents(first: nn.Conv2d, encoding: Encoding, width: int) -> None:
    """Undo the latents' scale; what was lost gets its mean, the constant channel its 1."""
    scale = torch.diag(1 / encoding.scale)
    _center(first, torch.cat([scale, torch.zeros(width + 1 - LATENT_CHANNELS, LATENT_CHANNELS)]))
    bias = _bias(first)
    bias[:width] = torch.cat([encoding.middle, encoding.left_out]) + encoding.stages[2].offset
    bias[width] = 1


def _two_moments(stage: Stage, moments: Components, offset: Tensor) -> tuple[Tensor, Tensor]:
    """The map `[2*W*P, W]` from features to four pixels of two moments, and its constant `[2*W*P]`.

    `offset` `[W]` is what the features of either moment carry.
    """
    width = len(offset)
    lift = moments.basis.T  # [2*W, W]
    back = stage.patch.basis.T.unflatten(0, (width, 4))  # [W, P, W]
    matrix = torch.einsum("oc,cpf->opf", lift, back)
    still = stage.patch.mean.unflatten(0, (width, 4)) - torch.einsum(
        "cpf,f->cp", back, stage.patch.basis @ stage.patch.mean + stage.offset
    )
    even = moments.mean - lift @ (moments.basis @ moments.mean) + offset.repeat(2)
    return matrix.flatten(0, 1), (lift @ still + even[:, None]).flatten()


def _components(rows_ND: Tensor, count: int) -> Components:
    """The strongest components of samples `[N, D]`, the strongest first."""
    mean = rows_ND.mean(0)
    _, vectors = torch.linalg.eigh(torch.cov((rows_ND - mean).T))
    return Components(vectors.T.flip(0)[:count].contiguous(), mean)


def _layer(network: nn.Sequential, index: int, kind: type[Layer]) -> Layer:
    """A layer of the TAE by its place; another kind there means a layout this file was not written for."""
    layer = network[index]
    assert isinstance(layer, kind), f"layer {index} is a {type(layer).__name__}, not a {kind.__name__}"
    return layer


def _bias(conv: nn.Conv2d) -> Tensor:
    """The bias of a convolution that has one."""
    assert conv.bias is not None
    return conv.bias


def _final(block: MemoryBlock) -> nn.Conv2d:
    """The last convolution of a memory block, whose result is added to the block's input."""
    return _layer(block.conv, 4, nn.Conv2d)


def _quiet(block: MemoryBlock) -> None:
    """A memory block that passes its input on, with small random thoughts of its own to grow from."""
    final = _final(block)
    final.weight.mul_(0.02)
    _bias(final).zero_()


def _lift(network: nn.Sequential, index: int, offset: Tensor) -> None:
    """Let the memory block at `index` add an offset `[W]` to its input."""
    _bias(_final(_layer(network, index, MemoryBlock))).copy_(offset)


def _carried(layers: nn.Sequential, offset: Tensor, moments: int) -> Tensor:
    """What linear layers that join `moments` and halve the size make of offsets `[W]`, `[W]`."""
    even: Tensor = layers(offset[None, :, None, None].expand(moments, -1, 4, 4))
    return even[0, :, 1, 1]


def _join(pool: TimePool, matrix: Tensor) -> None:
    """Write a linear map into the 1x1 convolution of a TimePool."""
    pool.conv.weight.zero_()
    pool.conv.weight[: matrix.shape[0], : matrix.shape[1], 0, 0] = matrix


def _center(conv: nn.Conv2d, matrix: Tensor) -> None:
    """Write a linear map into the centre tap of a 3x3 convolution; other outputs stay small and random."""
    conv.weight.mul_(QUIET)
    conv.weight[: matrix.shape[0]] = 0
    conv.weight[: matrix.shape[0], : matrix.shape[1], 1, 1] = matrix
    if conv.bias is not None:
        conv.bias.zero_()


def _grow(layer: TimeGrow, matrix: Tensor, constant: Tensor, moments: int, channels: int) -> None:
    """Write a map `[moments*channels*P, K]` from features, and its constant, into a TimeGrow.

    Channel K of its input is the constant 1; the 1 goes on in the channel behind the new ones, except into a
    picture, which has no offsets.
    """
    weight = layer.conv.weight
    wide, features = weight.shape[1], matrix.shape[1]
    weight.mul_(QUIET)
    grid = weight[..., 0, 0].unflatten(0, (moments, wide, 4))  # a view: [moments, wide, P, wide]
    grid[:, : channels + 1] = 0
    grid[:, :channels, :, :features] = matrix.unflatten(0, (moments, channels, 4))
    grid[:, :channels, :, features] = constant.unflatten(0, (moments, channels, 4))
    if channels > COLORS:
        grid[:, channels, :, features] = 1

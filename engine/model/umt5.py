"""The UMT5 encoder: token numbers to embeddings, with the key names of the public files.

A transformer without absolute positions: every block adds a learned bias to its attention scores, chosen
by the distance between two tokens (T5, arXiv 1910.10683; one table per block as in UMT5, arXiv 2304.09151).

Axes: B batch, L tokens, D width, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.core.errors import WeightsError

EPS = 1e-6
FIX = "Get the encoder's file under its public name: umt5-xxl-enc-fp8_e4m3fn or models_t5_umt5-xxl-enc-bf16."


@dataclass(frozen=True)
class Umt5Arch:
    """Sizes of an encoder. Distances from `farthest` tokens on share the last of the bias `buckets`."""

    vocabulary: int
    dim: int
    attention_dim: int
    ffn_dim: int
    heads: int
    layers: int
    buckets: int = 32
    farthest: int = 128


UMT5_XXL = Umt5Arch(
    vocabulary=256384, dim=4096, attention_dim=4096, ffn_dim=10240, heads=64, layers=24
)  # fmt: skip
"""The text encoder of all Wan2.1 models."""


def umt5_arch(shapes: Mapping[str, tuple[int, ...]]) -> Umt5Arch:
    """Sizes of an encoder from the shapes of its tensors. Raises WeightsError naming what does not fit."""
    vocabulary, dim = _shape(shapes, "token_embedding.weight")
    attention_dim = _shape(shapes, "blocks.0.attn.q.weight")[0]
    buckets, heads = _shape(shapes, "blocks.0.pos_embedding.embedding.weight")
    if attention_dim % heads:
        raise WeightsError(f"{heads} heads cannot share {attention_dim} channels.", FIX)
    if buckets < 4 or buckets % 4:
        raise WeightsError(f"{buckets} position buckets cannot be told apart by distance.", FIX)
    numbers = {
        int(word) for key in shapes if key.startswith("blocks.") and (word := key.split(".")[1]).isdecimal()
    }
    if numbers != set(range(len(numbers))):
        raise WeightsError(f"The encoder's blocks are not numbered from 0 to {len(numbers) - 1}.", FIX)
    return Umt5Arch(
        vocabulary=vocabulary,
        dim=dim,
        attention_dim=attention_dim,
        ffn_dim=_shape(shapes, "blocks.0.ffn.fc1.weight")[0],
        heads=heads,
        layers=len(numbers),
        buckets=buckets,
    )


def _shape(shapes: Mapping[str, tuple[int, ...]], key: str) -> tuple[int, int]:
    if key not in shapes:
        raise WeightsError(f"The file has no {key}: it is no UMT5 encoder with the public names.", FIX)
    shape = shapes[key]
    if len(shape) != 2 or 0 in shape:
        raise WeightsError(f"{key} has shape {list(shape)}, expected 2 dimensions.", FIX)
    return shape[0], shape[1]


class Umt5(nn.Module):
    """The whole encoder.

    Weights may be stored in any floating-point type, eight-bit ones without scales included; each is cast
    where it is used, so that memory stays that of the file plus one matrix.
    """

    def __init__(self, arch: Umt5Arch) -> None:
        super().__init__()
        self.arch = arch
        self.token_embedding = _Table(arch.vocabulary, arch.dim)
        self.blocks = nn.ModuleList(_Block(arch) for _ in range(arch.layers))
        self.norm = _Norm(arch.dim)

    def forward(
        self, ids_BL: Tensor, true_BL: Tensor | None = None, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Embeddings `[B, L, dim]`, fp32.

        true_BL: which tokens are there; the others are seen by none, and their own outputs mean nothing.
        None: all. Leaving absent tokens out gives the same numbers for the true ones. dtype: of the matrix
        products; sums over blocks stay fp32, which 16 bits would spoil: they grow to tens of thousands.
        """
        length = ids_BL.shape[1]
        buckets_LL = distance_buckets(length, self.arch).to(ids_BL.device)
        unseen = None if true_BL is None else ~true_BL.bool()[:, None, None, :]
        x_BLD = self.token_embedding(ids_BL).float()
        for block in self.blocks:
            x_BLD = block(x_BLD, buckets_LL, unseen, dtype)
        result: Tensor = self.norm(x_BLD, torch.float32)
        return result


def distance_buckets(length: int, arch: Umt5Arch) -> Tensor:
    """Row of the bias table `[L, L]` for each query (first axis) and key.

    Half of the buckets are for keys that come later. Of each half, the nearer half has one bucket for every
    distance, the rest grows with the logarithm of the distance up to `farthest`. Made on the CPU, because a
    device that rounds logarithms otherwise would move the borders.
    """
    half = arch.buckets // 2
    exact = half // 2
    positions = torch.arange(length)
    relative = positions[None, :] - positions[:, None]
    distance = relative.abs()
    growth = torch.log(distance.clamp(min=1).float() / exact) / math.log(arch.farthest / exact)
    far = (exact + (growth * (half - exact)).long()).clamp(max=half - 1)
    return torch.where(distance < exact, distance, far) + half * (relative > 0)


class _Stored(nn.Module):
    """A weight in the type its file has; holds numbers, not gradients."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape), requires_grad=False)


class _Linear(_Stored):
    """A matrix `[out, in]`, cast to the type of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight.to(x.dtype))


class _Table(_Stored):
    """Rows picked by number, in the type they are stored in."""

    def forward(self, ids: Tensor) -> Tensor:
        return functional.embedding(ids, self.weight)


class _Norm(_Stored):
    """Division by the root mean square over the channels, and a gain; fp32 in, `dtype` out."""

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        scaled = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)
        return (scaled * self.weight.float()).to(dtype)


class _Block(nn.Module):
    """Attention and a gated feed-forward net, each added to what came in."""

    def __init__(self, arch: Umt5Arch) -> None:
        super().__init__()
        self.norm1 = _Norm(arch.dim)
        self.attn = _Attention(arch)
        self.norm2 = _Norm(arch.dim)
        self.ffn = _FeedForward(arch)
        self.pos_embedding = _Positions(arch)

    def forward(self, x_BLD: Tensor, buckets_LL: Tensor, unseen: Tensor | None, dtype: torch.dtype) -> Tensor:
        bias = self.pos_embedding(buckets_LL, dtype)
        if unseen is not None:
            bias = bias.masked_fill(unseen, torch.finfo(dtype).min)
        x_BLD = x_BLD + self.attn(self.norm1(x_BLD, dtype), bias).float()
        result: Tensor = x_BLD + self.ffn(self.norm2(x_BLD, dtype)).float()
        return result


class _Positions(nn.Module):
    """The bias on attention scores of one block."""

    def __init__(self, arch: Umt5Arch) -> None:
        super().__init__()
        self.embedding = _Table(arch.buckets, arch.heads)

    def forward(self, buckets_LL: Tensor, dtype: torch.dtype) -> Tensor:
        """Bias `[1, H, L, L]`."""
        bias: Tensor = self.embedding(buckets_LL).to(dtype).permute(2, 0, 1)[None]
        return bias


class _Attention(nn.Module):
    """Self attention; scores are not divided by the root of the head's width (T5 trained without)."""

    def __init__(self, arch: Umt5Arch) -> None:
        super().__init__()
        self.heads = arch.heads
        self.q = _Linear(arch.attention_dim, arch.dim)
        self.k = _Linear(arch.attention_dim, arch.dim)
        self.v = _Linear(arch.attention_dim, arch.dim)
        self.o = _Linear(arch.dim, arch.attention_dim)

    def forward(self, x_BLD: Tensor, bias: Tensor) -> Tensor:
        q, k, v = (
            part(x_BLD).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v)
        )
        heard = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        result: Tensor = self.o(heard.transpose(1, 2).flatten(2))
        return result


class _FeedForward(nn.Module):
    """Two matrices, the first gated by a third through a GELU (tanh form)."""

    def __init__(self, arch: Umt5Arch) -> None:
        super().__init__()
        self.gate = nn.Sequential(_Linear(arch.ffn_dim, arch.dim), nn.GELU(approximate="tanh"))
        self.fc1 = _Linear(arch.ffn_dim, arch.dim)
        self.fc2 = _Linear(arch.dim, arch.ffn_dim)

    def forward(self, x_BLD: Tensor) -> Tensor:
        result: Tensor = self.fc2(self.fc1(x_BLD) * self.gate(x_BLD))
        return result

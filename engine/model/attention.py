"""Attention: one backend signature, and the two attention layers of a Wan block.

The backend is a plain function, so that it can be exchanged (by compute capability, or by a test).
Shape letters: B batch, N query tokens, M key tokens, C channels, H heads, D head channels, L text rows.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.model.cache import Cache
from engine.model.policies import CachePlan
from engine.model.rope import Rope, rotate
from engine.model.spec import Arch


class Attend(Protocol):
    """An attention kernel: full softmax, scale 1/sqrt(D)."""

    def __call__(
        self, q_BNHD: Tensor, k_BMHD: Tensor, v_BMHD: Tensor, bias_M: Tensor | None = None, /
    ) -> Tensor:
        """Give [B, N, H, D]; a bias, in q's dtype, is added to the logits of each key."""
        ...


TextKV = tuple[Tensor, Tensor]
"""Keys and values of the text for one layer, each [B, L, H, D]."""


def attend(q_BNHD: Tensor, k_BMHD: Tensor, v_BMHD: Tensor, bias_M: Tensor | None = None, /) -> Tensor:
    """Attend with torch's own kernels."""
    q, k, v = (x.transpose(1, 2) for x in (q_BNHD, k_BMHD, v_BMHD))
    bias_1M = None if bias_M is None else bias_M[None]
    return functional.scaled_dot_product_attention(q, k, v, bias_1M).transpose(1, 2)


@dataclass(frozen=True)
class View:
    """What the queries of one forward see, made once and handed to every self-attention layer."""

    rope_q: Rope
    rope_k: Rope
    attend: Attend
    past: tuple[Cache, CachePlan] | None = None
    bias_M: Tensor | None = None


@dataclass(frozen=True)
class Parted:
    """The text of one layer, said in one way inside a mask and in another outside it.

    `inside_N`: how far each token of the layer's input, or of the rows before them too, lies inside, 0..1.
    """

    inside: TextKV
    outside: TextKV
    inside_N: Tensor


class RMSNorm(nn.Module):
    """Root-mean-square norm over all channels, fp32 inside, dtype kept."""

    def __init__(self, dim: int, eps: float) -> None:
        """One weight per channel, applied after the norm."""
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        return functional.rms_norm(x, x.shape[-1:], self.weight.to(x.dtype), self.eps).to(x.dtype)


class _Projections(nn.Module):
    """q, k, v, o and the norms of q and k (over all channels, before the split into heads)."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        self.heads = arch.heads
        self.q = nn.Linear(arch.dim, arch.dim)
        self.k = nn.Linear(arch.dim, arch.dim)
        self.v = nn.Linear(arch.dim, arch.dim)
        self.o = nn.Linear(arch.dim, arch.dim)
        self.norm_q = RMSNorm(arch.dim, arch.eps)
        self.norm_k = RMSNorm(arch.dim, arch.eps)

    def _split(self, x_BNC: Tensor) -> Tensor:
        batch, tokens, _ = x_BNC.shape
        return x_BNC.view(batch, tokens, self.heads, -1)


class SelfAttention(_Projections):
    """Attention of the chunk's tokens to themselves and to the cached past."""

    def forward(self, x_BNC: Tensor, layer: int, view: View) -> Tensor:
        """Attend as `view` says; un-roped keys pass through the cache, RoPE is applied on reading."""
        q = self._split(self.norm_q(self.q(x_BNC)))
        k = self._split(self.norm_k(self.k(x_BNC)))
        v = self._split(self.v(x_BNC))
        if view.past is not None:
            cache, plan = view.past
            k, v = cache.write(layer, k, v, plan)
        seen_BNHD = view.attend(rotate(q, view.rope_q), rotate(k, view.rope_k), v, view.bias_M)
        out: Tensor = self.o(seen_BNHD.flatten(2))
        return out

    def leave(self, x_BNC: Tensor, layer: int, view: View) -> None:
        """Write the keys and values of these tokens into the cache, and attend to nothing."""
        if view.past is not None:
            cache, plan = view.past
            cache.write(layer, self._split(self.norm_k(self.k(x_BNC))), self._split(self.v(x_BNC)), plan)


class CrossAttention(_Projections):
    """Attention of the chunk's tokens to the text; no RoPE, no mask."""

    def text_kv(self, text_BLC: Tensor) -> TextKV:
        """Keys and values of an embedded text."""
        return self._split(self.norm_k(self.k(text_BLC))), self._split(self.v(text_BLC))

    def forward(self, x_BNC: Tensor, text: TextKV | Parted) -> Tensor:
        """Attend to the text's keys and values; where it is parted, to both, each token in its shares."""
        q = self._split(self.norm_q(self.q(x_BNC)))
        if isinstance(text, Parted):
            share_N11 = text.inside_N.to(q.dtype)[:, None, None]
            seen_BNHD = torch.lerp(attend(q, *text.outside), attend(q, *text.inside), share_N11)
        else:
            seen_BNHD = attend(q, *text)
        out: Tensor = self.o(seen_BNHD.flatten(2))
        return out

"""The KV cache: tensors allocated once, written in place, read without a copy.

Keys are stored without RoPE: a latent's position is a matter of the plan, not of the stored numbers.
Shape letters: B batch, N tokens of the chunk, M tokens seen, H heads, D head channels.
"""

from typing import Protocol

import torch
from torch import Tensor

from engine.model.policies import CachePlan, Fold, Span


class Cache(Protocol):
    """What a self-attention layer needs from a cache."""

    def write(self, layer: int, k_BNHD: Tensor, v_BNHD: Tensor, plan: CachePlan) -> tuple[Tensor, Tensor]:
        """Take the chunk's un-roped keys and values; return all [B, M, H, D] that its queries see.

        The M tokens lie in the order of `plan.key_positions` and include the chunk's own.
        """
        ...


class KVCache:
    """Ring of latents for inference; gradients do not pass through it."""

    def __init__(
        self,
        *,
        layers: int,
        slots: int,
        tokens_per_latent: int,
        heads: int,
        head_dim: int,
        batch: int = 1,
        folded: int = 0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Allocate `slots` latents for each of `layers` blocks.

        The first `folded` slots, when the others are half precision, have fp32 twins: a fold adds
        a thousandth of a number, which half precision rounds away.
        """
        self.tokens_per_latent = tokens_per_latent
        shape = (layers, batch, slots * tokens_per_latent, heads, head_dim)
        self.k_LBMHD = torch.zeros(shape, device=device, dtype=dtype)
        self.v_LBMHD = torch.zeros(shape, device=device, dtype=dtype)
        twins = 0 if dtype == torch.float32 else folded
        shape = (layers, batch, twins * tokens_per_latent, heads, head_dim)
        self._exact_k_LBMHD = torch.zeros(shape, device=device, dtype=torch.float32)
        self._exact_v_LBMHD = torch.zeros(shape, device=device, dtype=torch.float32)

    def write(self, layer: int, k_BNHD: Tensor, v_BNHD: Tensor, plan: CachePlan) -> tuple[Tensor, Tensor]:
        """Overwrite the plan's slots and return what it reads: a view when that is one span."""
        k_BMHD, v_BMHD = self.k_LBMHD[layer], self.v_LBMHD[layer]
        taken = 0
        for span in plan.write:
            first, stop = self.tokens(span)
            chunk = slice(taken, taken + stop - first)
            k_BMHD[:, first:stop] = k_BNHD[:, chunk]
            v_BMHD[:, first:stop] = v_BNHD[:, chunk]
            taken += stop - first
        return self._read(k_BMHD, plan.read), self._read(v_BMHD, plan.read)

    def fold(self, fold: Fold) -> None:
        """Average slots into others, in every layer; in fp32 where the slots have twins."""
        source, into = (slice(*self.tokens(span)) for span in (fold.source, fold.into))
        for x_LBMHD, exact_LBMHD in (
            (self.k_LBMHD, self._exact_k_LBMHD),
            (self.v_LBMHD, self._exact_v_LBMHD),
        ):
            for layer, x_BMHD in enumerate(x_LBMHD):
                slots = x_BMHD[:, into]
                twin = exact_LBMHD[layer][:, into] if exact_LBMHD.shape[2] else slots
                if fold.first and twin is not slots:
                    twin.copy_(slots)
                twin.lerp_(x_BMHD[:, source].to(twin.dtype), 1 - fold.keep)
                if twin is not slots:
                    slots.copy_(twin)

    def tokens(self, span: Span) -> Span:
        """The run of tokens that a run of slots holds."""
        return span[0] * self.tokens_per_latent, span[1] * self.tokens_per_latent

    def _read(self, x_BMHD: Tensor, spans: tuple[Span, ...]) -> Tensor:
        parts = [x_BMHD[:, first:stop] for first, stop in map(self.tokens, spans)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

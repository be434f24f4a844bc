"""The KV cache: tensors allocated once, written in place, read without a copy.

Keys are stored without RoPE: a latent's position is a matter of the plan, not of the stored numbers.
Shape letters: B batch, N tokens of the chunk, M tokens seen, H heads, D head channels.
"""

from typing import Protocol

import torch
from torch import Tensor

from engine.model.policies import CachePlan, Span


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
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Allocate `slots` latents for each of `layers` blocks."""
        self.tokens_per_latent = tokens_per_latent
        shape = (layers, batch, slots * tokens_per_latent, heads, head_dim)
        self.k_LBMHD = torch.zeros(shape, device=device, dtype=dtype)
        self.v_LBMHD = torch.zeros(shape, device=device, dtype=dtype)

    def write(self, layer: int, k_BNHD: Tensor, v_BNHD: Tensor, plan: CachePlan) -> tuple[Tensor, Tensor]:
        """Overwrite the plan's slots and return what it reads: a view when that is one span."""
        k_BMHD, v_BMHD = self.k_LBMHD[layer], self.v_LBMHD[layer]
        taken = 0
        for span in plan.write:
            first, stop = self._tokens(span)
            chunk = slice(taken, taken + stop - first)
            k_BMHD[:, first:stop] = k_BNHD[:, chunk]
            v_BMHD[:, first:stop] = v_BNHD[:, chunk]
            taken += stop - first
        return self._read(k_BMHD, plan.read), self._read(v_BMHD, plan.read)

    def _read(self, x_BMHD: Tensor, spans: tuple[Span, ...]) -> Tensor:
        parts = [x_BMHD[:, first:stop] for first, stop in map(self._tokens, spans)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _tokens(self, span: Span) -> Span:
        return span[0] * self.tokens_per_latent, span[1] * self.tokens_per_latent

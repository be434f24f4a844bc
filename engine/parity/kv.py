"""What recordings hold of KV caches, read out of ours: roped and ordered as the reference stores them."""

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from engine.model.cache import KVCache
from engine.model.rope import rope_table, rotate
from engine.parity.golden import Golden

Rows = Callable[[int], tuple[Tensor, Tensor]]
"""Layer -> its cached keys and values, as the reference stores them."""


def rows_of(
    cache: KVCache,
    slots: Sequence[int],
    positions: Sequence[int] | None,
    grid: tuple[int, int],
    length: int,
) -> Rows:
    """Slots of our un-roped cache in this order, roped at `positions` (None: as they are), `length` rows."""
    tokens, device = cache.tokens_per_latent, cache.k_LBMHD.device
    order = (torch.tensor(slots)[:, None] * tokens + torch.arange(tokens)).flatten()
    head_dim = cache.k_LBMHD.shape[-1]
    table = None if positions is None else rope_table(positions, *grid, head_dim, device)
    empty = (0, 0, 0, 0, 0, length - len(order))

    def rows(layer: int) -> tuple[Tensor, Tensor]:
        k_1MHD, v_1MHD = (x_LBMHD[layer][:, order] for x_LBMHD in (cache.k_LBMHD, cache.v_LBMHD))
        return pad(k_1MHD if table is None else rotate(k_1MHD, table), empty), pad(v_1MHD, empty)

    return rows


def layers_in(golden: Golden, prefix: str) -> list[tuple[str, int, int]]:
    """Tensors named <prefix>l<layer>.k or .v: their names, layers, and 0 for k or 1 for v."""
    found = [re.fullmatch(prefix + r"l(\d+)\.([kv])", key) for key in golden.keys("")]
    return [(match[0], int(match[1]), "kv".index(match[2])) for match in found if match]


def digest(rows: Rows, layers: Sequence[int]) -> Tensor:
    """Three sums per row of some layers: plain, absolute, weighted by the cosine of the channel index."""
    values = torch.stack([torch.stack([x_1MHD[0].flatten(1) for x_1MHD in rows(layer)]) for layer in layers])
    wave = torch.arange(values.shape[-1]).cos()
    return torch.stack((values.sum(-1), values.abs().sum(-1), (values * wave).sum(-1)), dim=-1)

"""The memory bank: which latents a stream remembers beyond its window, chosen by the text.

Runs on the device without reading anything back. Shape letters: B batch, S slots of the bank, T tokens per
latent, H heads, D head channels, L text rows.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.model.attention import TextKV
from engine.model.cache import KVCache
from engine.model.policies import Commit, Span
from engine.model.rope import Rope, rope_table, rotate


class Bank:
    """Carries out `Commit`s on a KV cache whose latents are grids of rows x columns tokens."""

    def __init__(self, cache: KVCache, rows: int, columns: int) -> None:
        """Own nothing: the bank's slots lie in the cache."""
        self._cache = cache
        self._grid = rows, columns, cache.k_LBMHD.shape[-1], cache.k_LBMHD.device

    def commit(self, commit: Commit, text: Sequence[TextKV]) -> None:
        """Copy a slot into the bank of every layer; `text` (one per layer) decides who leaves a full one."""
        place = rope_table((0,), *self._grid)
        turn = rope_table((commit.turn,), *self._grid).turn_N1P * place.turn_N1P.conj()
        source = self._slots((commit.source, commit.source + 1))
        bank = self._slots(commit.bank)
        size = commit.bank[1] - commit.bank[0]
        free = commit.bank[0] + min(commit.filled, size - 1)
        into = self._slots((free, free + 1))
        for layer, (k_text_BLHD, _) in enumerate(text):
            k_BMHD, v_BMHD = self._cache.k_LBMHD[layer], self._cache.v_LBMHD[layer]
            if commit.filled >= size:
                scores_BS = fit(k_BMHD[:, bank], k_text_BLHD, place, size)
                _drop_worst(k_BMHD[:, bank], scores_BS)
                _drop_worst(v_BMHD[:, bank], scores_BS)
            new = k_BMHD[:, source]
            k_BMHD[:, into] = rotate(new, Rope(turn)) if commit.turn else new
            v_BMHD[:, into] = v_BMHD[:, source]

    def _slots(self, span: Span) -> slice:
        return slice(*self._cache.tokens(span))


def fit(k_BMHD: Tensor, k_text_BLHD: Tensor, place: Rope, size: int) -> Tensor:
    """How well each of `size` latents fits a text, [B, S] fp32.

    Mean over text rows, heads and tokens of (text key . latent key) / sqrt(D), the latents' keys turned by
    rows and columns as attention sees them (MemFlow's rule). A mean of products over all pairs of rows is
    the product of the two means.
    """
    scale = k_BMHD.shape[-1] ** -0.5 / k_BMHD.shape[2]
    text_BHD = k_text_BLHD.float().mean(1)
    latents = k_BMHD.chunk(size, dim=1)
    means = [rotate(k_BTHD.float(), place).mean(1) for k_BTHD in latents]
    return torch.stack([(mean * text_BHD).sum((1, 2)) * scale for mean in means], dim=1)


def _drop_worst(x_BMHD: Tensor, scores_BS: Tensor) -> None:
    """Move all latents but the worst to the front, oldest first; the last place is free then."""
    batch, size = scores_BS.shape
    x_BSTHD = x_BMHD.unflatten(1, (size, -1))
    kept = scores_BS.topk(size - 1, dim=1).indices.sort(dim=1).values
    x_BSTHD[:, :-1] = x_BSTHD.take_along_dim(kept.view(batch, size - 1, 1, 1, 1), dim=1)

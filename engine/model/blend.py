"""Mixing prompts: weighted blends of embeddings, and the way from one prompt to the next over some chunks.

Embeddings are `[1, L, width]`; of different lengths, the shorter is continued by zero rows, which is what
the models read beyond the end of a text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from engine.core.errors import EngineError

Method = Literal["linear", "slerp"]
First = Literal["moves", "holds"]

PARALLEL = 1e-3
"""Radians between two rows below which the arc is the straight line to seven digits; fp32 tells no less."""


def blended(embeddings: Sequence[Tensor], weights: Sequence[float], method: Method = "linear") -> Tensor:
    """A mix of prompts `[1, longest L, width]`; only the weights' proportions count.

    linear: the weighted sum, scaled so that its Frobenius norm is the weighted mean of theirs: a mix of
    different prompts would otherwise be weaker than each. slerp: exactly two prompts, row by row
    along the arc.
    Raises EngineError where weights are negative, not finite, all zero or not one per prompt.
    """
    shares = _shares(len(embeddings), weights)
    rows = _same_length(embeddings)
    if method == "slerp":
        if len(rows) != 2:
            what = f"{len(rows)} prompts cannot be blended along an arc."
            raise EngineError(what, "Blend two prompts, or choose the linear blend.")
        return slerp(rows[0], rows[1], shares[1])
    mixed = torch.zeros_like(rows[0])
    for share, part in zip(shares, rows, strict=True):
        mixed = mixed + share * part
    wanted = torch.stack([share * part.norm() for share, part in zip(shares, rows, strict=True)]).sum()
    norm = mixed.norm()
    return mixed * torch.where(norm > 0, wanted / norm, torch.ones_like(norm))


def lerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """The straight way from a (t = 0) to b (t = 1)."""
    return (1 - t) * a + t * b


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """The way from a to b along the arc between each pair of rows (Shoemake 1985, un-normalised rows).

    Rows that point the same way or exactly apart have no one arc: they go straight.
    """
    cosine = (functional.normalize(a, dim=-1) * functional.normalize(b, dim=-1)).sum(-1, keepdim=True)
    angle = cosine.clamp(-1, 1).acos()
    straight = (angle < PARALLEL) | (angle > math.pi - PARALLEL)
    sine = torch.where(straight, torch.ones_like(angle), angle.sin())
    arc = (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / sine
    return torch.where(straight, lerp(a, b, t), arc)


class Transition:
    """The embeddings of the next chunks on the way to another prompt.

    `chunks` chunks lead from `source` to `target`, the last is the target itself. With `first` "moves" the
    first chunk already is a step on the way: a performer who changes the prompt sees it with the next chunk,
    and a transition over one chunk is a plain change. With "holds" the first chunk is still the source, as
    the reference counts. Not thread-safe: belongs to the thread that makes chunks.
    """

    def __init__(
        self, source: Tensor, target: Tensor, chunks: int, method: Method = "linear", first: First = "moves"
    ) -> None:
        self.target = target
        self._source, self._end = _same_length((source, target))
        self._method: Method = method
        self._left = _places(chunks, first)
        self._now = source if self._left else target

    @property
    def done(self) -> bool:
        """Whether the target has been reached: every following chunk is the target."""
        return not self._left

    @property
    def now(self) -> Tensor:
        """Embeddings of the chunk that was made last; of the source before the first."""
        return self._now

    def next(self) -> Tensor:
        """Embeddings for the next chunk."""
        if self._left:
            t = self._left.pop(0)
            way = slerp if self._method == "slerp" else lerp
            self._now = way(self._source, self._end, t) if self._left else self.target
        return self._now

    def towards(
        self, target: Tensor, chunks: int, method: Method = "linear", first: First = "moves"
    ) -> Transition:
        """A transition to another prompt that starts where this one is: a new prompt cancels the old way."""
        return Transition(self._now, target, chunks, method, first)


def _places(chunks: int, first: First) -> list[float]:
    """How far the way is gone in each chunk, 0 to 1; the last is the target."""
    if first == "holds" and chunks > 1:
        return [k / (chunks - 1) for k in range(chunks)]
    return [(k + 1) / chunks for k in range(chunks)]


def _shares(count: int, weights: Sequence[float]) -> list[float]:
    total = math.fsum(weights) if all(map(math.isfinite, weights)) else 0.0
    if count != len(weights) or total <= 0 or min(weights) < 0:
        what = f"{count} prompts cannot be blended with the weights {', '.join(f'{w:g}' for w in weights)}."
        raise EngineError(what, "Give one weight of at least 0 for each prompt, and one above 0.")
    return [weight / total for weight in weights]


def _same_length(embeddings: Sequence[Tensor]) -> list[Tensor]:
    """All continued by zero rows to the longest."""
    longest = max(part.shape[1] for part in embeddings)
    return [functional.pad(part, (0, 0, 0, longest - part.shape[1])) for part in embeddings]

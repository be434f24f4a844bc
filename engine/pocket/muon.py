"""Muon: steps of matrices, made orthogonal, which small transformers learn from much faster than from Adam's.

The method is Keller Jordan's (2024): momentum, then five Newton-Schulz iterations that push all singular
values of a matrix's step towards 1. `torch.optim.Muon` is the same in bfloat16, which processors without it
emulate twenty times slower; here it is fp32, and all matrices of one shape go at once. With its step scaled
as below, rates mean what they mean for Adam (Moonshot AI, "Muon is scalable for LLM training", 2025).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

ITERATIONS = 5
QUINTIC = (3.4445, -4.7750, 2.0315)
"""The iteration x -> a x + b x^3 + c x^5 on singular values: steep at 0, and it need not reach 1 exactly."""

LIKE_ADAM = 0.2
"""Root mean square of a step, as Adam's usually is, before the rate."""


class Muon(Optimizer):
    """For matrices `[M, N]` inside a network; embeddings, heads, norms and biases belong to Adam."""

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        """`momentum` 0..1 is that of Nesterov. ValueError for a parameter that is no matrix."""
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        if any(p.ndim != 2 for group in self.param_groups for p in group["params"]):
            raise ValueError("Muon is for matrices only")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step from the gradients; `closure` is not supported."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    alike[p.shape].append(p)
            for shape, params in alike.items():
                wanted = torch.stack([self._momentum(p, group["momentum"]) for p in params])
                scale = LIKE_ADAM * max(shape) ** 0.5
                for p, direction in zip(params, orthogonal(wanted), strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.sub_(direction, alpha=group["lr"] * scale)

    def _momentum(self, p: Tensor, momentum: float) -> Tensor:
        """The gradient with Nesterov's look ahead."""
        grad = p.grad
        assert grad is not None
        state = self.state[p]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(p)
        moving: Tensor = state["momentum"]
        moving.lerp_(grad, 1 - momentum)
        return grad.lerp(moving, momentum)


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices `[B, M, N]` with the same singular directions and singular values near 1 (0.7 to 1.2)."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.flatten(1).norm(dim=1).clamp_min(1e-7)[:, None, None]
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + torch.baddbmm(square, square, square, beta=b, alpha=c) @ x
    return x.mT if tall else x

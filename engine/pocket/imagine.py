"""What the transformer makes of a context, as it does live: few steps, chunk after chunk, its own past."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.pocket.latents import CHUNK
from engine.pocket.network import Pocket, remember
from engine.pocket.train_dit import SHIFT


def levels(steps: int) -> tuple[float, ...]:
    """The noise levels of a schedule of evenly spaced steps, the first one pure noise."""
    parts = [1 - step / steps for step in range(steps)]
    return tuple(SHIFT * part / (1 + (SHIFT - 1) * part) for part in parts)


@torch.no_grad()
def imagine(model: Pocket, context: Tensor, prompts: list[str], steps: int) -> Tensor:
    """Clean latents `[B, 6, 16, h, w]` of two chunks for a context `[B, 96, 6, h, w]` at scale 1."""
    text = model.embed(prompts)
    first = _chunk(model, context[:, :, :CHUNK], text, steps, None)
    second = _chunk(model, context[:, :, CHUNK:], text, steps, first)
    return torch.cat([first, second], 1)


def _chunk(model: Pocket, context: Tensor, text: Tensor, steps: int, past: Tensor | None) -> Tensor:
    cache, plan = (None, None) if past is None else remember(model, past, text)
    batch, _, latents, height, width = context.shape
    x = torch.randn(batch, latents, 16, height, width)
    for index, sigma in enumerate(levels(steps)):
        if index:
            x = (1 - sigma) * x + sigma * torch.randn_like(x)
        t = torch.full((batch, latents), 1000 * sigma)
        x = model.dit(x, t, text, cache=cache, plan=plan, context=context)
    return x

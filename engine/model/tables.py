"""What a plan means in numbers on the device: made once per chunk, used by every forward of it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.model.policies import CachePlan
from engine.model.rope import Rope, rope_table
from engine.model.spec import Arch


@dataclass(frozen=True)
class Tables:
    """Rotations of a chunk's queries, of the keys they see, and of the chunk by itself (from position 0).

    `alone` begins with the references, where there are any: R of them at positions -R to -1. So they are as
    far from the chunk as in VACE's training, where they lead the sequence, and the chunk stays where it is.

    `bias_M`: fp32, one number per token seen; None where the plan has no bias.
    """

    queries: Rope
    keys: Rope
    alone: Rope
    bias_M: Tensor | None = None


def make_tables(
    plan: CachePlan | None,
    latents: int,
    arch: Arch,
    height: int,
    width: int,
    device: torch.device,
    references: int = 0,
) -> Tables:
    """Tables of a chunk of `latents`, each `height` x `width` (latent pixels); no plan: it sees itself."""
    _, patch_height, patch_width = arch.patch
    rows, columns = height // patch_height, width // patch_width
    grid = (rows, columns, arch.head_dim, device)
    chunk = tuple(range(latents))
    itself = rope_table(chunk, *grid)
    alone = rope_table(tuple(range(-references, latents)), *grid) if references else itself
    if plan is None:
        return Tables(itself, itself, alone)
    queries = itself if plan.query_positions == chunk else rope_table(plan.query_positions, *grid)
    bias_M = None
    if plan.key_bias:
        bias_M = torch.tensor(plan.key_bias, device=device).repeat_interleave(rows * columns)
    return Tables(queries, rope_table(plan.key_positions, *grid), alone, bias_M)

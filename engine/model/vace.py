"""The VACE branch: blocks that turn context tokens into one hint per chosen main block.

Shape letters: B batch, F latents of the chunk, N tokens of the chunk, K tokens of the context, C channels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.model.block import Block, per_latent
from engine.model.spec import Arch


@dataclass(frozen=True, eq=False)
class References:
    """Reference pictures as the branch sees them, one latent each, before the chunk.

    `context`: [B, 96, R, h, w]. `noisy`: [B, R, 16, h, w], the references themselves at the noise level of
    the chunk, for VACE was trained with the references' places denoised together with the video's.
    """

    context: Tensor
    noisy: Tensor

    @property
    def count(self) -> int:
        """How many there are."""
        return self.noisy.shape[1]


class VaceBlock(Block):
    """A Wan block with a projection out (the hint) and, in the first one, a projection in."""

    def __init__(self, arch: Arch, first: bool) -> None:
        """Only the first block owns `before_proj`, as in the public checkpoints."""
        super().__init__(arch)
        if first:
            self.before_proj = nn.Linear(arch.dim, arch.dim)
        self.after_proj = nn.Linear(arch.dim, arch.dim)


def fit_context(context_BKC: Tensor, tokens: int) -> Tensor:
    """Cut the context to the chunk's tokens, or fill up with zero tokens (not embedded zeros)."""
    missing = tokens - context_BKC.shape[1]
    if missing <= 0:
        return context_BKC[:, :tokens]
    return torch.nn.functional.pad(context_BKC, (0, 0, 0, missing))


def scaled(hint_BNC: Tensor, scale: float | Tensor, latents: int) -> Tensor:
    """Hint times context scale; a tensor scale broadcasts to [B, F], one value per latent."""
    if not isinstance(scale, Tensor):
        return hint_BNC * scale
    scale_BF = scale.to(hint_BNC).expand(hint_BNC.shape[0], latents)
    return (per_latent(hint_BNC, latents) * scale_BF[:, :, None, None]).flatten(1, 2)

"""Where in the picture a LoRA acts: everywhere, inside a mask, or outside it.

A LoRA that acts in a part of the picture cannot be merged. Beside a linear layer it adds, to token n,

    w_n * strength * up(down(x_n))

with the token's weight w_n in 0..1: the share of the token's own pixels, in all frames of its latent, that
lie inside the mask (outside: 1 - w_n). So w = 1 is the LoRA as it always acts and w = 0 is none at all.
Keys and values of the text have no place in the picture, and the norm of the keys is not linear. So a text is
said in two ways, with and without the LoRA; every token attends to both, and takes w_n of the one and 1 - w_n
of the other. That is exact inside and outside, and a mix on the mask's border.
What belongs to the whole picture (the timestep's embedding, norms, biases) changes by the mean of w.

Other tokens still see those inside through self-attention, now and in the cache: so what the LoRA does there
reaches them a little, as any part of a picture reaches the others.
Shape letters: F latents of the chunk, N tokens of the chunk, M tokens with those of references before them,
R rank.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.model.latent_space import FRAMES_PER_LATENT

Region = Literal["everywhere", "inside", "outside"]
REGIONS: tuple[Region, ...] = get_args(Region)
"""In the order in which gains stand beside each other."""

_FINENESS = 64  # a mask that trembles by less of the picture leaves what belongs to the whole as it is


def token_weights(mask: NDArray[np.uint8], latents: int, rows: int, columns: int) -> Tensor:
    """The share of each token's pixels that lie inside a mask u8 `[F, H, W]`, fp32 `[latents * T]`.

    `rows` and `columns` of tokens divide the picture's. Frames are counted from the end: four for each
    latent, and what is left for the first.
    """
    frames, height, width = mask.shape
    pixels = torch.from_numpy(np.ascontiguousarray(mask)).float() / 255
    tiles = pixels.view(frames, rows, height // rows, columns, width // columns).mean((2, 4))
    later = [FRAMES_PER_LATENT] * (latents - 1)
    parts = tiles.split([frames - sum(later), *later])
    return torch.stack([part.mean(0) for part in parts]).flatten()


def share_of(mask: NDArray[np.uint8] | None) -> float:
    """How much of the picture lies inside a mask u8 `[F, H, W]`, in steps of 1/64; 0 without one.

    Only a mask that is white everywhere is 1, and only one that is black everywhere is 0.
    """
    if mask is None:
        return 0.0
    steps = float(mask.mean()) / 255 * _FINENESS
    if 0 < steps < _FINENESS:
        steps = min(max(round(steps), 1), _FINENESS - 1)
    return steps / _FINENESS


def share_within(region: Region, inside: float) -> float:
    """How much of the picture a region covers when the mask covers `inside` of it."""
    return {"everywhere": 1.0, "inside": inside, "outside": 1 - inside}[region]


class Places:
    """Where the rows lie that the layers of a model are given now: set by each forward, read by side paths.

    One for each model. Without a mask all lies outside of it.
    """

    def __init__(self) -> None:
        self.apart = False
        """Whether a text is said in another way inside the mask than outside."""
        self._at: Tensor | Region = "outside"

    def lie(self, inside_N: Tensor | None, before: int = 0) -> Tensor | None:
        """The rows of the coming layers are the tokens of a chunk, each so far inside the mask.

        `before` more rows, of no place in the picture, may lead them: they take the mean. Returns the weights
        of all `[before + N]`.
        """
        if inside_N is None:
            self._at = "outside"
            return None
        inside_M = inside_N
        if before:
            inside_M = torch.cat((inside_N.mean().expand(before), inside_N))
        self._at = inside_M
        return inside_M

    @contextmanager
    def wholly(self, region: Region) -> Iterator[None]:
        """All rows of the layers that run meanwhile lie inside the mask, or all outside."""
        before, self._at = self._at, region
        try:
            yield
        finally:
            self._at = before

    def gain(self, gain_3R: Tensor, rows: int, timed: bool = False) -> Tensor:
        """What the last `rows` rows get of gains that act everywhere, inside and outside: [N, R] or [R].

        `timed`: the rows are no tokens but timesteps.
        """
        everywhere_R, inside_R, outside_R = gain_3R
        if not isinstance(self._at, Tensor):
            return everywhere_R + (inside_R if self._at == "inside" else outside_R)
        weight = self._at.mean() if timed else self._at[-rows:, None]
        return everywhere_R + torch.lerp(outside_R, inside_R, weight)

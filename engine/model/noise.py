"""What a chunk starts from: noise of its own, and, for video-to-video, how much of the camera's picture.

Noise is drawn on the CPU, so that every device makes the same picture of a seed. Nothing here knows a
session, an autoencoder or a network. Shape letters: F pictures or latents, H and W pixels, h and w latent
pixels.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.core.errors import EngineError
from engine.model.schedule import ENTRIES, Schedule, Step, noised

STRIDE = 1_000_003
"""Chunks from the noise of a seed to that of the next one: days of playing."""

FULL_MOVEMENT = 0.2
"""Root-mean-square change between pictures in [-1, 1] that counts as full movement (StreamDiffusionV2)."""

NEW_SHARE = 0.9
"""What a new chunk counts in the running movement; the past keeps the rest (StreamDiffusionV2)."""

_LOOKED_AT = 64
_BLOCK = 4


def chunk_generator(seed: int, chunk: int) -> torch.Generator:
    """Source of all draws of one chunk: first its noise, then one draw for each renoise.

    For one seed no two of 4 billion chunks share a source: torch's CPU generator tells 2**32 of them apart,
    and each chunk takes the next one.
    """
    return torch.Generator().manual_seed((seed * STRIDE + chunk) & 0xFFFFFFFF)


class ChunkNoise:
    """The noise of a running session: the same for the same seed and chunk, and new in every chunk.

    A reset of the stream leaves this alone, so the picture after it is a new one. `replay` is for those who
    ask for the old one. A new session begins at chunk 0: the same seed and inputs give the same pictures.
    """

    def __init__(self, size: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> None:
        """`size`: channels, height and width of one latent."""
        self._size, self._device, self._dtype = size, device, dtype
        self._chunk = 0
        self._generator: torch.Generator | None = None

    def begin(self, seed: int) -> None:
        """Go on to the next chunk. A chunk that fails half-way has used up its noise."""
        self._generator = chunk_generator(seed, self._chunk)
        self._chunk += 1

    def draw(self, latents: int) -> Tensor:
        """The chunk's next noise, [1, F, 16, h, w] on the device; every draw is another."""
        if self._generator is None:
            raise EngineError("Noise was drawn before a chunk began.", "Call begin() first.")
        shape = (1, latents, *self._size)
        return torch.randn(shape, generator=self._generator).to(self._device, self._dtype)

    def replay(self) -> None:
        """The next chunk gets the noise of the session's first one again."""
        self._chunk = 0
        self._generator = None


def mixed(latents: Tensor, noise: Tensor, strength: float | Tensor) -> Tensor:
    """Latents of a video at the noise level `strength` (0: the video, 1: noise alone); dtype of `latents`."""
    return noised(latents, noise, strength)


def strength_steps(schedule: Schedule, steps: tuple[Step, ...], strength: float) -> tuple[Step, ...]:
    """The steps of a chunk that starts from a video, mixed to the noise level of the first one.

    All noise levels shrink by `strength`, so there are as many steps as before: speed stays the same, and
    the picture follows the knob without a jump. The first timestep is the one of the level that the latents
    are at (the reference shows the network one that is 100 lower). Strength 1 leaves the steps as they are;
    0 keeps the video as far as the model can: the first step is at the lowest level of its table.
    Raises EngineError for a strength outside 0..1.
    """
    if not 0 <= strength <= 1:
        raise EngineError(f"A noise strength of {strength} is not possible.", "Use a number from 0 to 1.")
    if strength == 1:
        return steps
    least = float(schedule.sigmas[-1]) / steps[0].sigma
    levels = [max(strength, least) * step.sigma for step in steps]
    return tuple(Step(ENTRIES * sigma, sigma) for sigma in levels)


def change(before: Tensor, after: Tensor) -> float:
    """Largest movement from a picture to the one beside it, 0 (still) to 1; both [F, ...] in [-1, 1]."""
    difference = (after.float() - before.float()).flatten(1)
    largest = difference.square().mean(dim=1).sqrt().amax()
    return min(float(largest) / FULL_MOVEMENT, 1.0)


class MotionController:
    """Lowers the noise where the camera's picture moves, so that the generated one can follow.

    The performer's strength s keeps its whole range and its direction: it becomes s - k * s * (1 - s), where
    k is the movement (0..1, smoothed over chunks) times how much of it the performer wants. So 0 stays 0, 1
    stays 1, a still picture leaves s alone, and nothing is lowered by more than k/4: by up to 0.21 at 0.7.
    That is as far as the reference goes, whose knob has only a tenth of its effect meanwhile.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the video, where it is another one or begins anew."""
        self.movement = 0.0
        self._last: Tensor | None = None

    def strength(self, video: NDArray[np.uint8], strength: float, amount: float = 1.0) -> float:
        """Strength for the chunk of this video.

        video: u8 [F, H, W, 3], the next pictures of the stream. strength: 0..1, the performer's.
        amount: 0..1, how much movement counts; at 0 the movement is still followed, but not heard.
        """
        pictures = _small(video)
        seen = pictures if self._last is None else torch.cat((self._last, pictures))
        if len(seen) > 1:
            movement = change(seen[:-1], seen[1:])
            share = 1.0 if self._last is None else NEW_SHARE
            self.movement = share * movement + (1 - share) * self.movement
        self._last = pictures[-1:]
        return lowered(strength, self.movement * amount)


def lowered(strength: float, by: float) -> float:
    """A strength lowered by 0 (not) to 1 (most): 0 and 1 stay, and more strength is never less."""
    if not (math.isfinite(by) and 0 <= by <= 1):
        raise EngineError(f"Movement of {by} cannot lower the noise.", "Use a number from 0 to 1.")
    return strength - by * strength * (1 - strength)


def _small(video: NDArray[np.uint8]) -> Tensor:
    """Pictures [F, 3, rows, columns] in [-1, 1] of a size at which movement is cheap to see.

    Every block of 4 x 4 looked-at pixels becomes one: camera noise averages out there, movement does not.
    """
    step = max(1, min(video.shape[1:3]) // _LOOKED_AT)
    looked_at = torch.from_numpy(np.ascontiguousarray(video[:, ::step, ::step])).permute(0, 3, 1, 2)
    blocks = torch.nn.functional.avg_pool2d(looked_at.float(), _BLOCK, ceil_mode=True)
    return blocks / 127.5 - 1

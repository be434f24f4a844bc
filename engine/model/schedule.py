"""Noise schedule and the arithmetic of a few-step sampler.

A latent at noise level sigma is (1 - sigma) * clean + sigma * noise; the network estimates
flow = noise - clean. All arithmetic is fp32; results keep the latents' dtype. Nothing here reads a
device tensor back to the host: steps are plain numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from engine.core.errors import EngineError

ENTRIES = 1000

Prediction = Literal["flow", "clean"]
"""What a network's output means: flow (noise minus clean), or the clean latents themselves."""


@dataclass(frozen=True)
class Step:
    """One denoising step: the timestep shown to the network and the noise level it stands for."""

    t: float
    sigma: float


class Schedule:
    """Table of 1000 noise levels for one `shift`, from pure noise (1.0) to almost clean."""

    def __init__(self, shift: float) -> None:
        """Larger shifts spend more entries on high noise; the models here use 5 or 8."""
        unshifted = torch.linspace(1, 0, ENTRIES + 1)[:-1]
        self.shift = shift
        self.sigmas = shift * unshifted / (1 + (shift - 1) * unshifted)
        self.timesteps = 1000 * self.sigmas

    def index(self, t: Tensor) -> Tensor:
        """Entry whose timestep is nearest to each t (the first one on a tie)."""
        return (self.timesteps.to(t.device) - t.unsqueeze(-1)).abs().argmin(dim=-1)

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level of each t: that of the nearest entry."""
        return self.sigmas.to(t.device)[self.index(t)]

    def warp(self, listed: Sequence[int]) -> tuple[float, ...]:
        """Timesteps that a list of nominal ones (0..1000) means to a model trained with this shift."""
        for nominal in listed:
            if not 0 <= nominal <= ENTRIES:
                what = f"Denoising step {nominal} is outside 0..{ENTRIES}."
                raise EngineError(what, "Correct the step list.")
        timesteps = [*self.timesteps.tolist(), 0.0]
        return tuple(timesteps[ENTRIES - nominal] for nominal in listed)

    def steps(self, listed: Sequence[int], warped: bool = True) -> tuple[Step, ...]:
        """Steps of a chunk. Models are trained for the warped list; literal timesteps are for parity."""
        timesteps = self.warp(listed) if warped else tuple(map(float, listed))
        sigmas = self.sigma(torch.tensor(timesteps))
        return tuple(Step(t, sigma) for t, sigma in zip(timesteps, sigmas.tolist(), strict=True))

    def following_sigma(self, t: Tensor) -> Tensor:
        """Noise level one table entry further than t's; 0 after the last."""
        return torch.cat((self.sigmas, torch.zeros(1))).to(t.device)[self.index(t) + 1]

    def training_weights(self) -> Tensor:
        """Loss weight [1000] of each entry, a bell around the middle timesteps, with mean 1."""
        bell = torch.exp(-2 * ((self.timesteps - ENTRIES / 2) / ENTRIES) ** 2)
        bell = bell - bell.min()
        return bell * (ENTRIES / bell.sum())


def noised(clean: Tensor, noise: Tensor, sigma: float | Tensor) -> Tensor:
    """Latents at noise level sigma (a tensor sigma broadcasts to the latents)."""
    return ((1 - sigma) * clean.float() + sigma * noise.float()).to(clean.dtype)


def denoised(x: Tensor, flow: Tensor, sigma: float | Tensor) -> Tensor:
    """Clean estimate x0 from latents at noise level sigma and their flow."""
    return (x.float() - sigma * flow.float()).to(x.dtype)


def clean_estimate(prediction: Prediction, x: Tensor, output: Tensor, sigma: float | Tensor) -> Tensor:
    """Clean latents from what a network made of latents `x` at noise level sigma."""
    return output if prediction == "clean" else denoised(x, output, sigma)


def flow_between(x: Tensor, clean: Tensor, sigma: float | Tensor) -> Tensor:
    """The flow that leads from `clean` to `x` at noise level sigma (which must not be 0)."""
    return ((x.float() - clean.float()) / sigma).to(x.dtype)


def advanced(x: Tensor, flow: Tensor, sigma: float | Tensor, following: float | Tensor) -> Tensor:
    """One Euler step from noise level `sigma` to `following`."""
    return (x.float() + flow.float() * (following - sigma)).to(x.dtype)

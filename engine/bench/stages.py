"""Where the time of a chunk goes: seconds of each stage, taken by listening to the networks of a pipeline.

The device is waited for at every change of stage, so that each stage gets what is its own. That keeps stages
from overlapping: totals come from a run without it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from engine.model.latent_space import State
from engine.model.load import Pipeline
from engine.model.vae import VAE

STAGES = ("context encode", "recache", "denoise", "clean pass", "decode")
"""Of a chunk, in order; what is left is the host's. Hints are a part of denoise."""
HINTS = "of which hints"


class StageClock:
    """Adds up the seconds of each stage; `phase` is what a pass of the transformer belongs to now."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.phase = "recache"
        self.restart()

    def restart(self) -> None:
        """All stages at 0, before a chunk."""
        self.seconds = dict.fromkeys((*STAGES, HINTS), 0.0)
        self.phase = "recache"

    @contextmanager
    def during(self, stage: str) -> Iterator[None]:
        """Count the time in here for a stage."""
        synchronize(self.device)
        begin = time.perf_counter()
        yield
        synchronize(self.device)
        self.seconds[stage] += time.perf_counter() - begin


class _Heard:
    """An autoencoder whose calls are timed; the face of a VAE."""

    def __init__(self, vae: VAE, clock: StageClock) -> None:
        self._vae, self._clock = vae, clock

    def frames_for(self, latents: int, first: bool) -> int:
        return self._vae.frames_for(latents, first)

    def pictures_of(self, latents: int, first: bool) -> int:
        return self._vae.pictures_of(latents, first)

    def encode(self, video_BFCHW: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        with self._clock.during("context encode"):
            return self._vae.encode(video_BFCHW, state)

    def decode(self, latents_BFChw: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        with self._clock.during("decode"):
            return self._vae.decode(latents_BFChw, state)

    def resume(self, picture_B3HW: Tensor) -> State:
        with self._clock.during("context encode"):
            return self._vae.resume(picture_B3HW)

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        return self._vae.parameters(recurse)


class _Ear:
    """Times the calls of a module: hooks before and after it."""

    def __init__(self, clock: StageClock, stage: str | None = None) -> None:
        self._clock, self._stage = clock, stage
        self._begin = 0.0

    def before(self, module: nn.Module, given: object) -> None:
        del module, given
        synchronize(self._clock.device)
        self._begin = time.perf_counter()

    def after(self, module: nn.Module, given: object, output: object) -> None:
        del module, given, output
        synchronize(self._clock.device)
        self._clock.seconds[self._stage or self._clock.phase] += time.perf_counter() - self._begin


@contextmanager
def listening(pipeline: Pipeline, clock: StageClock) -> Iterator[Pipeline]:
    """The same pipeline with its networks' times told to the clock, for as long as the context lasts."""
    handles: list[RemovableHandle] = []
    vace = pipeline.dit.vace_blocks if pipeline.dit.vace_layers else ()
    modules = [(pipeline.dit, _Ear(clock)), *((block, _Ear(clock, HINTS)) for block in vace)]
    for module, ear in modules:
        handles += [module.register_forward_pre_hook(ear.before), module.register_forward_hook(ear.after)]
    try:
        # A recording runs no hooks, and nothing may be waited for while it is made.
        yield replace(pipeline, vae=_Heard(pipeline.vae, clock), graphs=None)
    finally:
        for handle in handles:
            handle.remove()


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()

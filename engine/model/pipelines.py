"""Pipelines as rows: an arch, a cache policy, a rhythm, and where its files are named.

A new pipeline is one more row; no code asks for a pipeline's name. `load` turns a row into networks.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.core.errors import EngineError
from engine.model.policies import ContextRecompute, EmaSink, MemoryBank, Policy, SinkWindow
from engine.model.schedule import Prediction
from engine.model.spec import POCKET, WAN_1_3B, WAN_14B, Arch
from engine.model.tae import POCKET_TAE, TAEArch


@dataclass(frozen=True)
class PipelineSpec:
    """One pipeline: what distinguishes it from the others.

    `policy`: which of the past it sees. `shift`: of its noise schedule. `latents_per_chunk`, and in a
    stream's first chunk `first_latents` (None: the same). `warped`: it was trained with warped timesteps.
    `prediction`: what the transformer gives, flow in all public checkpoints. `steps`: how many denoising
    steps it wants; more bring nothing. `files`: its name in the model registry, None for one whose weights
    are bundled in the assets folder `bundled`; `tae` are the sizes of a bundled autoencoder. Height and width
    of its pictures are multiples of `size_multiple` pixels.
    """

    name: str
    label: str
    arch: Arch
    policy: Policy
    shift: float
    latents_per_chunk: int
    first_latents: int | None = None
    warped: bool = True
    prediction: Prediction = "flow"
    steps: int = 4
    size_multiple: int = 16
    files: str | None = None
    bundled: str = ""
    tae: TAEArch = POCKET_TAE

    def latents(self, first: bool) -> int:
        """Latents of a chunk; `first`: of the first one of a stream."""
        return self.first_latents if first and self.first_latents is not None else self.latents_per_chunk


def _rows(*rows: PipelineSpec) -> dict[str, PipelineSpec]:
    return {row.name: row for row in rows}


PIPELINES: dict[str, PipelineSpec] = _rows(
    PipelineSpec(
        name="pocket", label="Pocket (embedded, small)", arch=POCKET, bundled="pocket",
        policy=SinkWindow(window=6, sink=0), shift=5.0, latents_per_chunk=3, prediction="clean", steps=2,
    ),
    PipelineSpec(
        name="longlive", label="LongLive 1.3B", arch=WAN_1_3B, files="longlive",
        policy=SinkWindow(window=12, sink=3, recaches=True), shift=5.0, latents_per_chunk=3,
    ),
    PipelineSpec(
        name="streamdiffusionv2", label="StreamDiffusionV2 1.3B", arch=WAN_1_3B, files="streamdiffusionv2",
        policy=SinkWindow(window=6, sink=3), shift=8.0, latents_per_chunk=1, first_latents=2, warped=False,
    ),
    PipelineSpec(
        name="memflow", label="MemFlow 1.3B", arch=WAN_1_3B, files="memflow",
        policy=MemoryBank(window=12, sink=3), shift=5.0, latents_per_chunk=3,
    ),
    PipelineSpec(
        name="reward_forcing", label="Reward Forcing 1.3B", arch=WAN_1_3B, files="reward_forcing",
        policy=EmaSink(window=9, sink=3), shift=5.0, latents_per_chunk=3,
    ),
    PipelineSpec(
        name="krea", label="Krea Realtime 14B", arch=WAN_14B, files="krea",
        policy=ContextRecompute(window=6, bias=0.3), shift=5.0, latents_per_chunk=3,
    ),
    PipelineSpec(
        name="self_forcing", label="Self-Forcing 1.3B", arch=WAN_1_3B, files="self_forcing",
        policy=SinkWindow(window=21, sink=0), shift=5.0, latents_per_chunk=3,
    ),
    PipelineSpec(
        name="causal_forcing", label="Causal Forcing++ 1.3B (frame by frame)", arch=WAN_1_3B,
        files="causal_forcing", policy=SinkWindow(window=21, sink=0), shift=5.0, latents_per_chunk=1,
    ),
)  # fmt: skip


def pipeline_spec(name: str) -> PipelineSpec:
    """The row of a name; EngineError naming the known ones otherwise."""
    if name not in PIPELINES:
        raise EngineError(f"There is no pipeline {name!r}.", f"Choose one of: {', '.join(PIPELINES)}.")
    return PIPELINES[name]

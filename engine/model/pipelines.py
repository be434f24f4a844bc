"""Pipelines as rows: an arch, its files, its rhythm. Loading a row gives networks ready for a session.

A new pipeline is one more row; no code asks for a pipeline's name.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.core.errors import EngineError
from engine.core.paths import assets_dir
from engine.model.policies import SinkWindow
from engine.model.schedule import Prediction, Schedule
from engine.model.spec import POCKET, Arch
from engine.model.tae import POCKET_TAE, TAE, TAEArch
from engine.model.text import VocabularyEncoder
from engine.model.wan import CausalWan
from engine.model.weights import load_strict, on_meta


@dataclass(frozen=True)
class PipelineSpec:
    """One pipeline: sizes, files (a folder of assets), cache policy, schedule shift, latents per chunk.

    Height and width of its pictures are multiples of `size_multiple` pixels. `prediction` is what the
    transformer was trained to give: flow in all public checkpoints.
    """

    name: str
    label: str
    arch: Arch
    tae: TAEArch
    folder: str
    policy: SinkWindow
    shift: float
    latents_per_chunk: int
    prediction: Prediction = "flow"
    size_multiple: int = 16


PIPELINES: dict[str, PipelineSpec] = {
    "pocket": PipelineSpec(
        name="pocket", label="Pocket (embedded, small)", arch=POCKET, tae=POCKET_TAE, folder="pocket",
        policy=SinkWindow(window=6, sink=0, relative=True), shift=5.0,
        latents_per_chunk=3, prediction="clean",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Pipeline:
    """A loaded pipeline: its row and its networks, on one device in one precision."""

    spec: PipelineSpec
    dit: CausalWan
    tae: TAE
    text: VocabularyEncoder
    schedule: Schedule
    device: torch.device
    dtype: torch.dtype


def pipeline_spec(name: str) -> PipelineSpec:
    """The row of a name; EngineError naming the known ones otherwise."""
    if name not in PIPELINES:
        raise EngineError(f"There is no pipeline {name!r}.", f"Choose one of: {', '.join(PIPELINES)}.")
    return PIPELINES[name]


def best_device() -> tuple[torch.device, torch.dtype]:
    """The fastest device of this machine and the precision to use on it."""
    if torch.cuda.is_available():
        return torch.device("cuda"), torch.bfloat16
    if torch.backends.mps.is_available():
        return torch.device("mps"), torch.float32
    return torch.device("cpu"), torch.float32


def load_pipeline(name: str) -> Pipeline:
    """Load a pipeline's weights, strictly. Raises EngineError (unknown name) or WeightsError (bad files)."""
    spec = pipeline_spec(name)
    device, dtype = best_device()
    folder = assets_dir() / spec.folder
    text = VocabularyEncoder.load(folder / "text.safetensors", spec.arch.text_dim, spec.arch.text_len)
    dit = on_meta(lambda: CausalWan(spec.arch))
    load_strict(dit, folder / "dit.safetensors", device=device, dtype=dtype)
    tae = on_meta(lambda: TAE(spec.tae))
    load_strict(tae, folder / "tae.safetensors", device=device, dtype=dtype)
    for network in (dit, tae):
        network.requires_grad_(False).eval()
    return Pipeline(spec, dit, tae, text, Schedule(spec.shift), device, dtype)

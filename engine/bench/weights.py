"""A pipeline to measure: the installed one, or one of the same sizes filled with random numbers in place."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from engine.bench.plan import Plan, Precision, Weights
from engine.core.errors import EngineError
from engine.core.paths import models_dir
from engine.model import registry
from engine.model.graphs import CudaRecorder, Graphs
from engine.model.kernels import choose
from engine.model.load import Choice, Pipeline, best_device, load_pipeline
from engine.model.pipelines import PipelineSpec, pipeline_spec
from engine.model.quantize import quantize_blocks
from engine.model.schedule import Schedule
from engine.model.spec import Arch
from engine.model.tae import LIGHTTAEW2_1, TAE, TAEW2_1
from engine.model.text import Conditioning
from engine.model.vae import VAEKind
from engine.model.wan import CausalWan
from engine.model.wan_vae import LIGHT_VAE, WAN_VAE, WanVAE
from engine.model.weights import on_meta

Network = TypeVar("Network", bound=nn.Module)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

VAES: dict[VAEKind, Callable[[], TAE | WanVAE]] = {
    "tae": lambda: TAE(TAEW2_1),
    "lighttae": lambda: TAE(LIGHTTAEW2_1),
    "wan": lambda: WanVAE(WAN_VAE),
    "lightvae": lambda: WanVAE(LIGHT_VAE),
}


class RandomText:
    """Embeddings drawn from the words themselves: the same for the same text, of the model's full length."""

    def __init__(self, arch: Arch) -> None:
        """Rows are as long and as many as `arch` reads."""
        self._shape = 1, arch.text_len, arch.text_dim

    def encode(self, text: str) -> Conditioning:
        """Conditioning of a prompt; no word is ignored."""
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
        rows = torch.randn(self._shape, generator=torch.Generator().manual_seed(seed))
        return Conditioning(text, rows, tuple(text.split()), ())


def make_pipeline(plan: Plan) -> tuple[Pipeline, Weights]:
    """The pipeline of a plan, ready for a session, and where its weights are from.

    Bundled pipelines have their own weights; others where all of them are installed. Raises EngineError, also
    where the attention kernel that was asked for is wrong here, or WeightsError.
    """
    pipeline, origin = _made(plan)
    arch = pipeline.spec.arch
    kernel = choose(arch.head_dim, pipeline.device, pipeline.dtype, name=plan.attention)
    return replace(pipeline, attention=kernel, graphs=_graphs(plan, pipeline.device)), origin


def _graphs(plan: Plan, device: torch.device) -> Graphs | None:
    """Where passes are to be recorded, if that was asked for."""
    if not plan.graphs:
        return None
    if device.type != "cuda":
        raise EngineError(f"CUDA graphs cannot be made on this device ({device.type}).", "Leave them off.")
    return Graphs(CudaRecorder())


def _made(plan: Plan) -> tuple[Pipeline, Weights]:
    """The networks of a plan."""
    spec = pipeline_spec(plan.pipeline)
    device, usual = best_device()
    dtype = DTYPES.get(plan.precision, usual)
    if spec.files is None:
        if plan.precision == "fp8":
            raise EngineError(f"{spec.label} has no FP8 form.", "Choose another precision.")
        return _cast(load_pipeline(plan.pipeline), dtype), "installed"
    if plan.weights == "installed" and _installed(spec.files, plan.vae):
        loaded = load_pipeline(plan.pipeline, Choice(plan.vae, fp8=plan.precision == "fp8"))
        return (loaded if plan.precision == "fp8" else _cast(loaded, dtype)), "installed"
    vae = VAES[plan.vae]
    return random_pipeline(spec, vae, device=device, dtype=dtype, precision=plan.precision), "random"


def random_pipeline(
    spec: PipelineSpec,
    vae: Callable[[], TAE | WanVAE],
    *,
    device: torch.device,
    dtype: torch.dtype,
    precision: Precision = "auto",
) -> Pipeline:
    """A pipeline of these sizes, its numbers drawn where they are used: no file is read, nothing is copied.

    `precision` matters only where it is FP8, in which case the blocks are quantised. Raises EngineError.
    """
    dit = _drawn(lambda: CausalWan(spec.arch), device, dtype)
    if precision == "fp8":
        quantize_blocks(dit, originals="none", device=device)
    autoencoder = _drawn(vae, device, dtype)
    return Pipeline(spec, dit, autoencoder, RandomText(spec.arch), Schedule(spec.shift), device, dtype)


def _drawn(make: Callable[[], Network], device: torch.device, dtype: torch.dtype) -> Network:
    """A network with random weights that keep the size of what goes through; ready to run, not to train."""
    network = on_meta(make).to(dtype).to_empty(device=device).requires_grad_(False).eval()
    draw = torch.Generator(device).manual_seed(0)
    for name, weight in network.named_parameters():
        _fill(name, weight, draw)
    return network


def _fill(name: str, weight: Tensor, draw: torch.Generator) -> None:
    """Matrices by their fan-in, gains 1, biases 0."""
    if weight.dim() > 1 and not name.endswith("gamma"):
        weight.normal_(0.0, 1 / math.sqrt(weight[0].numel()), generator=draw)
    else:
        weight.fill_(0.0 if name.endswith("bias") else 1.0)


def _installed(name: str, vae: VAEKind) -> bool:
    """Whether every file that the pipeline needs is in its place, text encoder included."""
    rows, models = registry.load(), models_dir()
    return not rows.missing(rows.files_of(name, vae, rows.chosen(models)[1]), models)


def _cast(pipeline: Pipeline, dtype: torch.dtype) -> Pipeline:
    """The same pipeline in another precision."""
    if dtype == pipeline.dtype:
        return pipeline
    for network in (pipeline.dit, pipeline.vae):
        if isinstance(network, nn.Module):
            network.to(dtype)
    return replace(pipeline, dtype=dtype)

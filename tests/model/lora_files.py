"""LoRA files of every naming, written from one set of numbers."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.model.conftest import TINY

RANK = 3
ALPHA = 6.0

LINEAR = (
    "blocks.0.self_attn.q", "blocks.0.self_attn.o", "blocks.1.cross_attn.k", "blocks.1.cross_attn.v",
    "blocks.2.ffn.0", "blocks.2.ffn.2",
)  # fmt: skip
"""The layers that the files change."""

DIFFUSERS = {
    "blocks.0.self_attn.q": "blocks.0.attn1.to_q",
    "blocks.0.self_attn.o": "blocks.0.attn1.to_out.0",
    "blocks.1.cross_attn.k": "blocks.1.attn2.to_k",
    "blocks.1.cross_attn.v": "blocks.1.attn2.to_v",
    "blocks.2.ffn.0": "blocks.2.ffn.net.0.proj",
    "blocks.2.ffn.2": "blocks.2.ffn.net.2",
}

PEFT = ("lora_A.weight", "lora_B.weight")
KOHYA = ("lora_down.weight", "lora_up.weight")


def kohya(module: str) -> str:
    return "lora_unet_" + module.replace(".", "_")


# How each naming writes a layer's name, and the two halves.
NAMINGS = {
    "bare": (lambda module: module, PEFT),
    "bare up/down": (lambda module: module, KOHYA),
    "comfy": (lambda module: f"diffusion_model.{module}", PEFT),
    "comfy up/down": (lambda module: f"diffusion_model.{module}", KOHYA),
    "kohya": (kohya, KOHYA),
    "kohya of diffusers": (lambda module: kohya(DIFFUSERS[module]), KOHYA),
    "peft": (lambda module: f"base_model.model.{module}", PEFT),
    "peft of a wrapped model": (lambda module: f"base_model.model.model.{module}", PEFT),
    "peft with the adapter's name": (
        lambda module: f"base_model.model.{module}",
        ("lora_A.default.weight", "lora_B.default.weight"),
    ),
    "diffusers": (lambda module: f"transformer.{DIFFUSERS[module]}", PEFT),
    "old diffusers": (
        lambda module: f"transformer.{DIFFUSERS[module]}",
        ("lora.down.weight", "lora.up.weight"),
    ),
}


def numbers(seed: int = 1, modules: tuple[str, ...] = LINEAR) -> dict[str, tuple[Tensor, Tensor]]:
    """Down and up halves for each layer."""
    draw = torch.Generator().manual_seed(seed)
    dim, ffn_dim = TINY.dim, TINY.ffn_dim
    sizes = {"ffn.0": (ffn_dim, dim), "ffn.2": (dim, ffn_dim), "head.head": (TINY.patch_features, dim)}
    halves = {}
    for module in modules:
        name = module if module in sizes else ".".join(module.split(".")[2:])
        out, channels = sizes.get(name, (dim, dim))
        halves[module] = (
            torch.randn(RANK, channels, generator=draw) / 4,
            torch.randn(out, RANK, generator=draw) / 4,
        )
    return halves


def named(
    naming: str, halves: Mapping[str, tuple[Tensor, Tensor]], alpha: float | None = None
) -> dict[str, Tensor]:
    """The contents of a file of the given naming."""
    name, (down, up) = NAMINGS[naming]
    tensors = {}
    for module, (down_RC, up_DR) in halves.items():
        tensors[f"{name(module)}.{down}"] = down_RC
        tensors[f"{name(module)}.{up}"] = up_DR
        if alpha is not None:
            tensors[f"{name(module)}.alpha"] = torch.tensor(alpha)
    return tensors


def write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    save_file(dict(tensors), path, metadata)
    return path


def with_weights_added(model: nn.Module, halves: Mapping[str, tuple[Tensor, Tensor]], factor: float) -> None:
    """Merge by hand."""
    with torch.no_grad():
        for module, (down, up) in halves.items():
            model.get_parameter(f"{module}.weight").add_(factor * (up @ down))

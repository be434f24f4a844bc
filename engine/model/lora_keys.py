"""Names in LoRA files, turned into the names of our own parameters.

Every training program names the same layers in its own way: with or without a prefix, with dots or with
underscores (kohya), by Wan's names or by those of diffusers. What a name means is decided here alone, from
tables of the layers that exist; nothing is guessed by replacing characters.
"""

import re
from typing import Literal, NamedTuple

Part = Literal["down", "up", "alpha", "weight", "bias", "modulation"]
"""What a tensor is: half of a low-rank pair, its alpha, or a whole change of that parameter."""

WHOLE: tuple[Part, ...] = ("weight", "bias", "modulation")
"""Parts that are a change of a parameter as it stands."""


class Name(NamedTuple):
    """A key of a LoRA file, understood."""

    module: str
    part: Part

    @property
    def parameter(self) -> str:
        """The parameter that is changed; pairs and alphas are about the layer's weight."""
        return f"{self.module}.{'weight' if self.part in ('down', 'up', 'alpha') else self.part}"


_ENDINGS: tuple[tuple[Part, re.Pattern[str]], ...] = (
    # PEFT may put the adapter's name between lora_A and weight; diffusers once wrote "to_q_lora.down".
    ("down", re.compile(r"(?:\.lora_down|\.lora_A(?:\.\w+)?|[._]lora(?:_linear_layer)?\.down)\.weight$")),
    ("up", re.compile(r"(?:\.lora_up|\.lora_B(?:\.\w+)?|[._]lora(?:_linear_layer)?\.up)\.weight$")),
    ("alpha", re.compile(r"\.alpha$")),
    ("weight", re.compile(r"\.diff$")),
    ("bias", re.compile(r"\.diff_b$")),
    # Written by ComfyUI users' extraction scripts for the modulation of a block or of the head.
    ("modulation", re.compile(r"\.diff_m$")),
)

_PREFIXES = (
    "base_model.model.", "diffusion_model.", "transformer.", "generator.", "pipe.dit.", "dit.", "model.",
    "module.", "lora_unet_", "lora_transformer_", "lycoris_",
)  # fmt: skip

# A block: Wan's own names, and diffusers' where they differ. Diffusers numbers the norms otherwise: its norm2
# is Wan's norm3. The two cannot be confused, because Wan's norm2 and diffusers' norm3 have no parameters.
_ATTENTION = ("q", "k", "v", "o", "norm_q", "norm_k")
_ATTENTION_IN_DIFFUSERS = ("to_q", "to_k", "to_v", "to_out.0", "norm_q", "norm_k")
_IN_BLOCK = {
    **{name: name for name in ("norm3", "ffn.0", "ffn.2", "before_proj", "after_proj")},
    **{f"{kind}.{name}": f"{kind}.{name}" for kind in ("self_attn", "cross_attn") for name in _ATTENTION},
    **{
        f"{theirs}.{a}": f"{ours}.{b}"
        for theirs, ours in (("attn1", "self_attn"), ("attn2", "cross_attn"))
        for a, b in zip(_ATTENTION_IN_DIFFUSERS, _ATTENTION, strict=True)
    },
    "norm2": "norm3", "ffn.net.0.proj": "ffn.0", "ffn.net.2": "ffn.2",
    "proj_in": "before_proj", "proj_out": "after_proj",
}  # fmt: skip
_OUTSIDE = {
    **{
        name: name
        for name in (
            "patch_embedding", "vace_patch_embedding", "text_embedding.0", "text_embedding.2",
            "time_embedding.0", "time_embedding.2", "time_projection.1", "head.head", "head",
        )
    },
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "proj_out": "head.head",
}  # fmt: skip


def _flat(name: str) -> str:
    """A name as kohya writes it. No two layers of Wan become one by this."""
    return name.replace(".", "_")


_FLAT_IN_BLOCK = {_flat(theirs): ours for theirs, ours in _IN_BLOCK.items()}
_FLAT_OUTSIDE = {_flat(theirs): ours for theirs, ours in _OUTSIDE.items()}
_BLOCK = re.compile(r"(blocks|vace_blocks)[._](\d{1,3})(?:[._](.+))?")

_UNSUPPORTED = {
    "DoRA": re.compile(r"dora_scale|lora_magnitude_vector"),
    "LoKr": re.compile(r"\.lokr_"),
    "LoHa": re.compile(r"\.hada_"),
    "OFT": re.compile(r"\.b?oft_|\.oft\."),
    "GLoRA": re.compile(r"\.[ab][12]\.weight$"),
    "IA3": re.compile(r"\bia3_l"),
    "VeRA": re.compile(r"\bvera_"),
    "LoCon with a middle matrix": re.compile(r"\.lora_mid\."),
}

_FOREIGN = {
    "Stable Diffusion (an image model)": re.compile(r"(?:down|up|input|output|mid|middle)_blocks?[._]"),
    "Flux or HunyuanVideo": re.compile(r"(?:double|single|single_transformer)_blocks[._]"),
    "Stable Diffusion 3 (an image model)": re.compile(r"joint_blocks[._]"),
    "another transformer (LTX, CogVideoX, Qwen-Image, ...)": re.compile(r"transformer_blocks[._]"),
    "a text encoder alone": re.compile(r"lora_te\d?_|text_encoder"),
}


def understood(key: str) -> Name | None:
    """What a key of a LoRA file is about; None when it names no layer of a Wan model."""
    for part, ending in _ENDINGS:
        found = ending.search(key)
        if found:
            module = wan_module(key[: found.start()], bare_block=part == "modulation")
            return None if module is None else Name(module, part)
    return None


def wan_module(name: str, bare_block: bool = False) -> str | None:
    """Our name of a layer written in any of the namings, or None when we have no such layer.

    `bare_block`: the name may end at the block's number (the modulation belongs to the block itself).
    """
    name = _without_prefixes(name)
    found = _BLOCK.fullmatch(name)
    if found is None:
        return _FLAT_OUTSIDE.get(_flat(name))
    stack, number, layer = found.groups()
    if layer is None:
        return f"{stack}.{int(number)}" if bare_block else None
    inside = _FLAT_IN_BLOCK.get(_flat(layer))
    return None if inside is None else f"{stack}.{int(number)}.{inside}"


def unsupported(keys: list[str]) -> str | None:
    """The kind of adapter the keys belong to, if it is one that cannot be played: it is no plain LoRA."""
    return next((kind for kind, mark in _UNSUPPORTED.items() if any(map(mark.search, keys))), None)


def foreign(keys: list[str]) -> str | None:
    """The family of models whose layers the keys name, if it is a known one that is not Wan."""
    return next((family for family, mark in _FOREIGN.items() if any(map(mark.search, keys))), None)


def _without_prefixes(name: str) -> str:
    prefix: str | None = ""
    while prefix is not None:
        name = name.removeprefix(prefix)
        prefix = next((one for one in _PREFIXES if name.startswith(one)), None)
    return name

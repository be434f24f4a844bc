"""How strongly a low-rank pair counts: alpha over rank.

Alpha is a tensor in the file, or it stands in the settings that PEFT and diffusers write beside the
numbers. Whichever way it is given, it is honoured; without any, the factor is 1 (alpha equals the rank).
"""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.core.errors import WeightsError
from engine.model.checkpoint import Checkpoint

DIFFUSERS_SETTINGS = "lora_adapter_metadata"
"""Word of a safetensors file's metadata under which diffusers keeps PEFT's settings, as JSON."""

PEFT_NAME = "adapter_model"
PEFT_SETTINGS = "adapter_config.json"
"""PEFT writes adapter_model.* and, beside it, its settings under this name."""

LONGEST_SETTINGS = 2**20
DAMAGED = "Get the LoRA again, with the files that belong to it."


@dataclass(frozen=True)
class Settings:
    """What a file's settings say of alpha; `alphas` are exceptions, by the end of the layer's name."""

    alpha: float | None = None
    alphas: Mapping[str, float] = field(default_factory=dict)
    root_of_rank: bool = False
    dora: bool = False

    def scale(self, names: Collection[str], rank: int) -> float:
        """Factor of one layer's pair when the file holds no alpha tensor for it.

        `names` of the layer: exceptions may be written in the file's own naming or in ours.
        """
        alpha = self.alpha
        for end, value in self.alphas.items():
            if any(name == end or name.endswith(f".{end}") for name in names):
                alpha = value
        if alpha is None:
            return 1.0
        return alpha / (math.sqrt(rank) if self.root_of_rank else rank)


def settings_of(checkpoint: Checkpoint) -> Settings:
    """The settings that go with a LoRA file; empty when there are none. Raises WeightsError."""
    name = checkpoint.path.name
    beside = checkpoint.path.with_name(PEFT_SETTINGS)
    if DIFFUSERS_SETTINGS in checkpoint.metadata:
        words = _parsed(name, checkpoint.metadata[DIFFUSERS_SETTINGS])
        # Settings of the transformer; those of a text encoder in the same file begin otherwise.
        words = {key.removeprefix("transformer."): value for key, value in words.items()}
    elif checkpoint.path.stem == PEFT_NAME and beside.is_file():
        name, words = beside.name, _parsed(beside.name, _text(beside))
    else:
        return Settings()
    alpha = words.get("lora_alpha")
    alphas = words.get("alpha_pattern") or {}
    if not isinstance(alphas, dict):
        raise WeightsError(f"{name}: alpha_pattern is no table.", DAMAGED)
    return Settings(
        None if alpha is None else _number(name, alpha),
        {str(end): _number(name, value) for end, value in alphas.items()},
        bool(words.get("use_rslora")),
        bool(words.get("use_dora")),
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_SETTINGS + 1)
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path.name} cannot be read.", DAMAGED) from error


def _parsed(name: str, text: str) -> dict[str, object]:
    """Settings as a table."""
    if len(text) > LONGEST_SETTINGS:
        raise WeightsError(f"{name}: the LoRA's settings are too long.", DAMAGED)
    try:
        words = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{name}: the LoRA's settings are damaged.", DAMAGED) from error
    if not isinstance(words, dict):
        raise WeightsError(f"{name}: the LoRA's settings are no table.", DAMAGED)
    return words


def _number(name: str, value: object) -> float:
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= 1000:
        return float(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise WeightsError(f"{name}: the LoRA's alpha is no number.", DAMAGED)

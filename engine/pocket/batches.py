"""Batches for the transformer, cut from shards of latents: chunks, contexts, pasts, references, words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.pocket.latents import CHUNK, REFERENCES, Shard, read_shard
from engine.pocket.styles import without_material

EXTENDED_SHARE = 0.12
"""How many first chunks get key frames: the first latent is given, the last, or both."""

REFERRED_SHARE = 0.2
"""How many batches have references beside their control, one or two; `_words` tells what is then said."""

PAST_SHARE = 0.7
"""How many second chunks see the first. With more, it learns to copy the past, not to follow the control."""


@dataclass(frozen=True)
class Batch:
    """`clean` `[B, 3, 16, h, w]`, `context` `[B, 96, 3, h, w]`, one prompt each; `past` the chunk before.

    `references` `[B, R, 16, h, w]` lie beside the context where there are any.
    """

    clean: Tensor
    context: Tensor
    prompts: list[str]
    past: Past | None
    references: Tensor | None = None


@dataclass(frozen=True)
class Past:
    """The chunk before a batch: `clean` `[B, 3, 16, h, w]` and its `context` `[B, 96, 3, h, w]`."""

    clean: Tensor
    context: Tensor


class Library:
    """The shards of a folder: those that are there now, and after `look` those that have come."""

    def __init__(self, folder: Path) -> None:
        self.shards: list[Shard] = []
        self._folder, self._known = folder, set[Path]()
        self.look()

    def look(self) -> None:
        """Read what is new."""
        for path in sorted(self._folder.glob("shard_*.safetensors")):
            if path not in self._known:
                self._known.add(path)
                self.shards.append(read_shard(path))


def sample(shards: list[Shard], rng: np.random.Generator, tokens: int) -> Batch:
    """A batch of whole pictures or of crops, with about `tokens` tokens in its chunks."""
    height, width = shards[0].target.shape[-2:]
    crop_h, crop_w = (height, width) if rng.random() < 0.3 else (8, 14)
    size = max(1, tokens // (CHUNK * (crop_h // 2) * (crop_w // 2)))
    first = 0 if rng.random() < 0.5 else CHUNK
    remembers = first > 0 and rng.random() < PAST_SHARE
    shown = int(rng.integers(1, REFERENCES + 1)) if rng.random() < REFERRED_SHARE else 0
    references: list[Tensor] = []
    middle = (..., _middle(height, crop_h), _middle(width, crop_w))
    clean, past, past_context, context, prompts = [], [], [], [], []
    for _ in range(size):
        shard = shards[rng.integers(len(shards))]
        clip = int(rng.integers(len(shard.prompts)))
        top = 2 * int(rng.integers((height - crop_h) // 2 + 1))
        left = 2 * int(rng.integers((width - crop_w) // 2 + 1))
        area = (..., slice(top, top + crop_h), slice(left, left + crop_w))
        clean.append(shard.target[clip, first : first + CHUNK][area])
        past.append(shard.target[clip, :CHUNK][area])
        past_context.append(shard.context[clip, :, :CHUNK][area])
        control = shard.context[clip, :, first : first + CHUNK][area].float()
        if first == 0 and rng.random() < EXTENDED_SHARE:
            control = shard.extended[clip][area].float()
        context.append(control)
        prompts.append(_words(shard, clip, rng) if shown else shard.prompts[clip])
        references.append(shard.references[clip, :shown][middle])
    before = Past(torch.stack(past).float(), torch.stack(past_context).float()) if remembers else None
    beside = torch.stack(references).float() if shown else None
    return Batch(torch.stack(clean).float(), torch.stack(context), prompts, before, beside)


def _words(shard: Shard, clip: int, rng: np.random.Generator) -> str:
    """What is said beside references: half of the time all, a quarter no material, a quarter no look at all.

    The quarter matters: where it had only heard all or nothing, the model took a setting's name for a whole
    prompt, of which a missing material is a part, and asked no reference for it.
    """
    whole = shard.prompts[clip]
    return (whole, whole, without_material(whole), shard.plain[clip])[rng.integers(4)]


def _middle(side: int, cut: int) -> slice:
    """The middle `cut` of a side's length."""
    return slice((side - cut) // 2, (side - cut) // 2 + cut)

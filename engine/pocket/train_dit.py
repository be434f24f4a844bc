"""Train the transformer of Pocket on cached latents: `python -m engine.pocket.train_dit --work DIR`.

Chunks of three latents, noised, are to come out clean. The chunk before, clean and at t = 0, is the past that
the live KV cache would hold; it is dropped, disturbed or kept so that the model neither depends on it nor
drifts with its own faults. Most noise levels drawn are those that sampling visits. Resumable; reads shards of
`latents` as they appear.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.model.policies import CachePlan
from engine.model.spec import POCKET
from engine.model.tae import LATENT_CHANNELS, POCKET_TAE, TAE
from engine.model.text import VocabularyEncoder
from engine.model.wan import CausalWan
from engine.pocket.latents import Shard, read_shard
from engine.pocket.styles import VOCABULARY
from engine.pocket.synonyms import SYNONYMS
from engine.pocket.training import Stage

CHUNK = 3
SHIFT = 5.0
VISITED = tuple(SHIFT * u / (1 + (SHIFT - 1) * u) for u in (1.0, 0.75, 0.5, 0.25, 1 / 3, 2 / 3))
"""Noise levels of the one- to four-step schedules (engine/model/schedule.py)."""


PURE_SHARE = 0.5
"""How many samples start from nothing but noise, where only words and control can tell what is to be seen."""

SCALES = {"none": 0.12, "weak": 0.28, "full": 0.45, "more": 0.15}
"""How often a sample's context scale is 0, between 0 and 1, 1, and between 1 and 1.5."""

SOFT_REACH = 5
"""Latents a side over which `softened` averages: 40 pixels."""

SEAMS = 0.5
"""How much the steps between neighbouring latents count beside the latents themselves."""

PAST_SHARE = 0.4
"""How many second chunks see the first. With more, it learns to copy the past, not to follow the control."""


class PastCache:
    """A stand-in for `KVCache`: keeps one forward's keys and values, puts them in front of the next one's.

    It writes nothing in place, which gradients would not survive.
    """

    def __init__(self) -> None:
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}
        self.recording = True

    def write(self, layer: int, k_BNHD: Tensor, v_BNHD: Tensor, plan: CachePlan) -> tuple[Tensor, Tensor]:
        """Record while `recording`, else give the recorded past followed by the chunk's own."""
        if self.recording:
            self.kept[layer] = k_BNHD, v_BNHD
            return k_BNHD, v_BNHD
        k, v = self.kept[layer]
        return torch.cat([k, k_BNHD], 1), torch.cat([v, v_BNHD], 1)


@dataclass(frozen=True)
class Batch:
    """`clean` `[B, 3, 16, h, w]`, `past` the same or None, `context` `[B, 96, 3, h, w]`, one prompt each."""

    clean: Tensor
    past: Tensor | None
    context: Tensor
    prompts: list[str]


@torch.no_grad()
def wake(dit: CausalWan) -> None:
    """Initialise for learning everything from nothing in little time.

    The public recipe starts with gates, text and control near zero, which protects what is already learned.
    Here nothing is: behind those zeros words and control stay unheard for hundreds of steps. So gates start
    open, text at full strength, the control reaches the main blocks at once, and in the branch's input it is
    louder than the noise and the constant mask. On one fixed batch, 60 steps ended at an error of 0.14
    instead of 0.31.
    """
    for index in (0, 2):
        linear = dit.text_embedding[index]
        assert isinstance(linear, nn.Linear)
        nn.init.xavier_uniform_(linear.weight)
    dit.patch_embedding.weight.mul_(0.2)
    dit.vace_patch_embedding.weight[:, LATENT_CHANNELS : 2 * LATENT_CHANNELS] *= 5
    dit.vace_patch_embedding.weight[:, 2 * LATENT_CHANNELS :] *= 0.1
    for block in (*dit.blocks, *dit.vace_blocks):
        block.modulation[:, (2, 5)] = 0.7
    for index, block in enumerate(dit.vace_blocks):
        nn.init.orthogonal_(block.after_proj.weight, gain=0.5)
        if index == 0:
            nn.init.eye_(block.before_proj.weight)


class Pocket(nn.Module):
    """What is trained together: the transformer and the rows of the vocabulary."""

    def __init__(self) -> None:
        super().__init__()
        self.dit = CausalWan(POCKET)
        wake(self.dit)
        self.text = VocabularyEncoder(VOCABULARY, POCKET.text_dim, POCKET.text_len, SYNONYMS)

    def embed(self, prompts: list[str]) -> Tensor:
        """Zero-padded rows `[B, L, text_dim]` of prompts, words in a random order."""
        rows = torch.zeros(len(prompts), POCKET.text_len, POCKET.text_dim)
        for i, prompt in enumerate(prompts):
            known = self.text.parse(prompt)[0]
            if known:
                order = torch.randperm(len(known)).tolist()
                rows[i, : len(known)] = self.text.rows(tuple(known[j] for j in order))
        return rows


def sample(shards: list[Shard], rng: np.random.Generator, tokens: int) -> Batch:
    """A batch of whole pictures or of crops, with about `tokens` tokens in its chunks."""
    height, width = shards[0].target.shape[-2:]
    crop_h, crop_w = (height, width) if rng.random() < 0.3 else (8, 14)
    size = max(1, tokens // (CHUNK * (crop_h // 2) * (crop_w // 2)))
    first = 0 if rng.random() < 0.5 else CHUNK
    remembers = first > 0 and rng.random() < PAST_SHARE
    clean, past, context, prompts = [], [], [], []
    for _ in range(size):
        shard = shards[rng.integers(len(shards))]
        clip = int(rng.integers(len(shard.prompts)))
        top = 2 * int(rng.integers((height - crop_h) // 2 + 1))
        left = 2 * int(rng.integers((width - crop_w) // 2 + 1))
        area = (..., slice(top, top + crop_h), slice(left, left + crop_w))
        clean.append(shard.target[clip, first : first + CHUNK][area])
        past.append(shard.target[clip, :CHUNK][area])
        context.append(shard.context[clip, :, first : first + CHUNK][area])
        prompts.append(shard.prompts[clip])
    before = torch.stack(past).float() if remembers else None
    return Batch(torch.stack(clean).float(), before, torch.stack(context).float(), prompts)


def noise_levels(size: int) -> Tensor:
    """Sigma per sample `[B]`: half pure noise, of the others three quarters from the schedule."""
    visited = torch.tensor(VISITED)[torch.randint(len(VISITED), (size,))]
    level = torch.where(torch.rand(size) < 0.75, visited, torch.rand(size).clamp_min(0.02))
    return torch.where(torch.rand(size) < PURE_SHARE, torch.ones(size), level)


def context_scales(size: int) -> Tensor:
    """A context scale per sample `[B, 1]`, in the shares of `SCALES`."""
    kind = torch.multinomial(torch.tensor(list(SCALES.values())), size, replacement=True)
    ranges = torch.tensor([(0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 1.5)])[kind]
    low, high = ranges.unbind(-1)
    return (low + (high - low) * torch.rand(size))[:, None]


def softened(latents: Tensor, scale: Tensor) -> Tensor:
    """What a context scale `[B, 1]` below 1 asks for: latents `[B, F, 16, h, w]` with less of their detail.

    At 0 only the broad areas are left, which is all that words alone could tell; from 1 on everything stays.
    So the knob means something between its ends: without this the model draws every line as soon as it hears
    of it. A line at half its contrast is still seen as a line, so detail grows with the square of the scale.
    The autoencoder's encoder is linear, so the mix of latents is that of pictures.
    """
    flat = latents.flatten(0, 1)
    wide = nn.functional.pad(flat, (SOFT_REACH // 2,) * 4, mode="replicate")
    broad = nn.functional.avg_pool2d(wide, SOFT_REACH, stride=1).view_as(latents)
    return broad.lerp(latents, scale.clamp(max=1).square()[:, :, None, None, None])


def remember(model: Pocket, past: Tensor, text: Tensor) -> tuple[PastCache, CachePlan]:
    """What the live cache holds of a past `[B, 3, 16, h, w]`, and the plan of the chunk that follows.

    The past is disturbed by up to 0.3 of noise, as a generated one would be. No gradient goes through it: the
    model learns to read its memories, not to write them.
    """
    own, following = tuple(range(CHUNK)), tuple(range(CHUNK, 2 * CHUNK))
    disturbed = past + torch.randn_like(past) * torch.rand(len(past), 1, 1, 1, 1) * 0.3
    cache = PastCache()
    with torch.no_grad():
        model.dit(
            disturbed,
            torch.zeros(len(past), CHUNK),
            text,
            cache=cache,
            plan=CachePlan((), (), query_positions=own, key_positions=own),
        )
    cache.recording = False
    return cache, CachePlan((), (), query_positions=following, key_positions=own + following)


@torch.no_grad()
def channel_weights(tae: TAE, latents: Tensor) -> Tensor:
    """How much the error of each channel counts `[16]`, with a mean of 1: half equally, half as it is seen.

    Seen means: the change of the decoded pictures when a channel of `latents` `[B, F, 16, h, w]` is moved.
    The first ones carry brightness and colour and are seen ten times as much as the last; counted alike,
    every token gets a brightness of its own, and the picture falls into blocks.
    """
    shown, _ = tae.decode(latents)
    seen = []
    for channel in range(LATENT_CHANNELS):
        moved = latents.clone()
        moved[:, :, channel] += 0.1
        seen.append((tae.decode(moved)[0] - shown).square().mean())
    energy = torch.stack(seen)
    return 0.5 + 0.5 * energy / energy.mean()


def errors_of(clean: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Error per sample `[B]` of latents `[B, F, 16, h, w]`: of each, and of its step to its neighbours.

    A step between neighbours that is not in the target is a seam, which is seen before anything else.
    """
    error = (clean - target) * weights.sqrt()[:, None, None]
    seams = error.diff(dim=3).square().mean((1, 2, 3, 4)) + error.diff(dim=4).square().mean((1, 2, 3, 4))
    return error.square().mean((1, 2, 3, 4)) + SEAMS * seams


def loss_of(model: Pocket, batch: Batch, weights: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Mean error of the clean estimate, and two parts of it for the log; `weights` of the channels.

    "controlled" is the error of the samples with a context scale of 1 or more, "pure" of those among them
    that begin at pure noise; a part that no sample of the batch belongs to is left out.
    """
    size = len(batch.prompts)
    text = model.embed(batch.prompts)
    scale = context_scales(size)
    target = softened(batch.clean, scale)
    past = None if batch.past is None else softened(batch.past, scale)
    cache, plan = (None, None) if past is None else remember(model, past, text)
    sigma = noise_levels(size)
    noise = torch.randn_like(target)
    mix = sigma[:, None, None, None, None]
    noisy = (1 - mix) * target + mix * noise
    t = (1000 * sigma)[:, None].expand(-1, CHUNK)
    clean = model.dit(noisy, t, text, cache=cache, plan=plan, context=batch.context, context_scale=scale)
    error = errors_of(clean, target, weights)
    controlled = scale[:, 0] >= 1
    groups = {"controlled": controlled, "pure": controlled & (sigma == 1)}
    parts = {name: error[chosen].mean().item() for name, chosen in groups.items() if chosen.any()}
    return error.mean(), parts


def export(stage: Stage, model: Pocket, folder: Path) -> None:
    """Write the averaged weights as the two files the pipeline loads."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = stage.average.weights
    dit = {k.removeprefix("dit."): v.contiguous() for k, v in weights.items() if k.startswith("dit.")}
    text = {k.removeprefix("text."): v.contiguous() for k, v in weights.items() if k.startswith("text.")}
    save_file(dit, folder / "dit.safetensors", {"steps": str(stage.step)})
    save_file(
        text, folder / "text.safetensors", {"words": json.dumps(VOCABULARY), "synonyms": json.dumps(SYNONYMS)}
    )


def main() -> None:
    """Command line of this stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="where the weights go; default WORK/out")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--minutes", type=float, help="end, cooled down, by then or at --steps")
    parser.add_argument("--tokens", type=int, default=4096, help="tokens of a batch")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    options = parser.parse_args()
    out = options.out or options.work / "out"
    torch.manual_seed(0)
    model = Pocket()
    stage = Stage(
        model,
        options.work / "dit",
        steps=options.steps,
        minutes=options.minutes,
        rate=options.rate,
        decay=0.995,
    )
    stage.begin()
    torch.manual_seed(1 + stage.step)
    rng = np.random.default_rng(1 + stage.step)
    shards: dict[Path, Shard] = {}
    tae = TAE(POCKET_TAE).eval()
    tae.load_state_dict(load_file(options.work / "tae.safetensors"))
    weights: Tensor | None = None
    while not stage.finished:
        if stage.step % 50 == 0 or not shards:
            for path in sorted((options.work / "latents").glob("shard_*.safetensors")):
                if path not in shards:
                    shards[path] = read_shard(path)
        if weights is None:
            weights = channel_weights(tae, next(iter(shards.values())).target[:8].float())
        loss, parts = loss_of(model, sample(list(shards.values()), rng, options.tokens), weights)
        stage.advance(loss, parts)
        if stage.step % stage.save_every == 0:
            export(stage, model, out)
    stage.save()
    export(stage, model, out)


if __name__ == "__main__":
    main()

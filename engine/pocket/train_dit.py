"""Train the transformer of Pocket on cached latents: `python -m engine.pocket.train_dit --work DIR`.

Chunks of three latents, noised, are to come out clean. The chunk before, clean and at t = 0, is the past that
the live KV cache would hold; it is dropped, disturbed or kept so that the model neither depends on it nor
drifts with its own faults. Most noise levels drawn are those that sampling visits. Resumable; reads shards of
`latents` as they appear.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
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
KEPT = ((0,), (CHUNK - 1,), (0, CHUNK - 1))
SHIFT = 5.0
VISITED = tuple(SHIFT * u / (1 + (SHIFT - 1) * u) for u in (1.0, 0.75, 0.5, 0.25, 1 / 3, 2 / 3))
"""Noise levels of the one- to four-step schedules (engine/model/schedule.py)."""


PURE_SHARE = 0.5
"""How many samples start from nothing but noise, where only words and control can tell what is to be seen."""

SCALES = {"none": 0.12, "weak": 0.28, "full": 0.45, "more": 0.15}
"""How often a sample's context scale is 0, between 0 and 1, 1, and between 1 and 1.5."""

SOFT_REACH = 5
"""Latents a side over which `softened` averages: 40 pixels."""

SEAMS = 0.75
"""How much the steps between neighbouring latents count beside the latents themselves."""

BROAD = 2.0
"""How much the mean error of 4x4 latents counts: a patch of a wrong colour is seen from afar."""

OWN_PAST_SHARE = 0.6
"""How many pasts the model makes itself, as it does live, instead of being given the true one."""

EXTENDED_SHARE = 0.06
"""How many samples get key frames instead of control: the first latent is given, the last, or both."""

PAST_SHARE = 0.5
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
    """`clean` `[B, 3, 16, h, w]`, `context` `[B, 96, 3, h, w]`, one prompt each; `past` the chunk before."""

    clean: Tensor
    context: Tensor
    prompts: list[str]
    past: Past | None


@dataclass(frozen=True)
class Past:
    """The chunk before a batch: `clean` `[B, 3, 16, h, w]` and its `context` `[B, 96, 3, h, w]`."""

    clean: Tensor
    context: Tensor


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

    def matrices(self) -> list[nn.Parameter]:
        """The weights inside the blocks, which Muon trains."""
        blocks = (*self.dit.blocks, *self.dit.vace_blocks)
        return [p for block in blocks for p in block.parameters() if p.ndim == 2]

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
        if rng.random() < EXTENDED_SHARE and (control[2 * LATENT_CHANNELS :] == 1).all():
            control = key_frames(clean[-1].float(), control, KEPT[rng.integers(len(KEPT))])
        context.append(control)
        prompts.append(shard.prompts[clip])
    before = Past(torch.stack(past).float(), torch.stack(past_context).float()) if remembers else None
    return Batch(torch.stack(clean).float(), torch.stack(context), prompts, before)


def key_frames(clean: Tensor, context: Tensor, kept: tuple[int, ...]) -> Tensor:
    """The context `[96, 3, h, w]` of a chunk where some latents of `clean` `[3, 16, h, w]` are given.

    Nothing is told of the others. `context` is any of the same size that has a mask of ones: what it says
    about kept pictures is the latent of gray, which is what is told of the others here.
    """
    gray = context[:LATENT_CHANNELS]
    given = torch.zeros(CHUNK, 1, 1)
    given[list(kept)] = 1
    inactive = gray + (clean.transpose(0, 1) - gray) * given
    mask = (1 - given).expand(len(context) - 2 * LATENT_CHANNELS, *context.shape[1:])
    return torch.cat([inactive, gray, mask])


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
    The autoencoder's encoder is nearly linear, so the mix of latents is that of pictures.
    """
    flat = latents.flatten(0, 1)
    wide = nn.functional.pad(flat, (SOFT_REACH // 2,) * 4, mode="replicate")
    broad = nn.functional.avg_pool2d(wide, SOFT_REACH, stride=1).view_as(latents)
    return broad.lerp(latents, scale.clamp(max=1).square()[:, :, None, None, None])


@torch.no_grad()
def past_of(model: Pocket, past: Past, text: Tensor, scale: Tensor) -> Tensor:
    """What a chunk is told of the one before it: latents `[B, 3, 16, h, w]`.

    Most pasts the model makes itself, in one step from noise, so that it meets its own faults and does not
    build on them; the others are the true ones, disturbed by up to 0.3 of noise.
    """
    if torch.rand(()) < OWN_PAST_SHARE:
        noise = torch.randn_like(past.clean)
        t = torch.full((len(noise), CHUNK), 1000.0)
        own: Tensor = model.dit(noise, t, text, context=past.context, context_scale=scale)
        return own
    truth = softened(past.clean, scale)
    return truth + torch.randn_like(truth) * torch.rand(len(truth), 1, 1, 1, 1) * 0.3


@torch.no_grad()
def remember(model: Pocket, shown: Tensor, text: Tensor) -> tuple[PastCache, CachePlan]:
    """What the live cache holds after a chunk `[B, 3, 16, h, w]`, and the plan of the one that follows.

    No gradient goes through it: the model learns to read its memories, not to write them.
    """
    own, following = tuple(range(CHUNK)), tuple(range(CHUNK, 2 * CHUNK))
    cache = PastCache()
    plan = CachePlan((), (), query_positions=own, key_positions=own)
    model.dit(shown, torch.zeros(len(shown), CHUNK), text, cache=cache, plan=plan)
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
    """Error per sample `[B]` of latents `[B, F, 16, h, w]`: of each, its steps to neighbours, patches.

    A step between neighbours that is not in the target is a seam, which is seen before anything else.
    """
    error = (clean - target) * weights.sqrt()[:, None, None]
    seams = error.diff(dim=3).square().mean((1, 2, 3, 4)) + error.diff(dim=4).square().mean((1, 2, 3, 4))
    broad = nn.functional.avg_pool2d(error.flatten(0, 1), 4).square().view(len(error), -1).mean(1)
    return error.square().mean((1, 2, 3, 4)) + SEAMS * seams + BROAD * broad


def loss_of(model: Pocket, batch: Batch, weights: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Mean error of the clean estimate, and two parts of it for the log; `weights` of the channels.

    "controlled" is the error of the samples with a context scale of 1 or more, "pure" of those among them
    that begin at pure noise; a part that no sample of the batch belongs to is left out.
    """
    size = len(batch.prompts)
    text = model.embed(batch.prompts)
    scale = context_scales(size)
    target = softened(batch.clean, scale)
    cache, plan = None, None
    if batch.past is not None:
        cache, plan = remember(model, past_of(model, batch.past, text, scale), text)
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


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of this stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--begin", type=Path, metavar="DIR", help="dit and text to begin with")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--minutes", type=float, help="end, cooled down, by then or at --steps")
    parser.add_argument("--tokens", type=int, default=4096, help="tokens of a batch")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    options = parser.parse_args(argv)
    out = options.work / "out"
    torch.manual_seed(0)
    model = Pocket()
    if options.begin:
        model.dit.load_state_dict(load_file(options.begin / "dit.safetensors"))
        model.text.load_state_dict(load_file(options.begin / "text.safetensors"))
    stage = Stage(
        model,
        options.work / "dit",
        steps=options.steps,
        minutes=options.minutes,
        rate=options.rate,
        decay=0.995,
        matrices=model.matrices(),
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
            weights = channel_weights(tae, next(iter(shards.values())).target[:3, :CHUNK].float())
        loss, parts = loss_of(model, sample(list(shards.values()), rng, options.tokens), weights)
        stage.advance(loss, parts)
        if stage.step % stage.save_every == 0:
            export(stage, model, out)
    stage.save()
    export(stage, model, out)


if __name__ == "__main__":
    main()

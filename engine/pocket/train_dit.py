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
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.model.context import CONTEXT_CHANNELS
from engine.model.tae import FRAMES_PER_LATENT, LATENT_CHANNELS, POCKET_TAE, TAE
from engine.model.vace import References
from engine.pocket.batches import Batch, Library, Past, sample
from engine.pocket.latents import CHUNK
from engine.pocket.network import Pocket, remember
from engine.pocket.peers import Peers, together
from engine.pocket.styles import VOCABULARY
from engine.pocket.synonyms import SYNONYMS
from engine.pocket.training import Stage

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

HEARD = 0.6
"""The least context scale of samples with references."""

FADE = (0.5, 0.2, 0.05)
"""How much of the past's error may still be seen in each latent of a chunk."""

OWN_PAST_SHARE = 0.6
"""How many pasts the model makes itself, as it does live, instead of being given the true one."""


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
    of it. A line at a quarter of its contrast is still seen as one, so detail grows with the cube of the
    scale. A mix of latents decodes to nearly the mix of their pictures.
    """
    flat = latents.flatten(0, 1)
    wide = nn.functional.pad(flat, (SOFT_REACH // 2,) * 4, mode="replicate")
    broad = nn.functional.avg_pool2d(wide, SOFT_REACH, stride=1).view_as(latents)
    return broad.lerp(latents, scale.clamp(max=1).pow(3)[:, :, None, None, None])


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


def fading(error: Tensor) -> Tensor:
    """What is left in a chunk `[B, 3, 16, h, w]` of the error `[B, 1, 16, h, w]` at the end of the past.

    Asked for the bare truth after a past that is wrong, the model would jump there, and borders of chunks
    would be seen. It is to come back over the chunk instead; so little is left at its end that nothing builds
    up.
    """
    return error * torch.tensor(FADE).view(1, CHUNK, 1, 1, 1)


@torch.no_grad()
def channel_weights(tae: TAE, latents: Tensor) -> Tensor:
    """How much the error of each channel counts `[16]`, 1 in the mean: for itself, and by what is seen of it.

    Seen means: the change of the decoded pictures when a channel of `latents` `[B, F, 16, h, w]` is moved.
    The first ones carry brightness and colour and are seen ten times as much as the last; counted alike,
    every token gets a brightness of its own, and the picture falls into blocks. What moves between the
    pictures of one latent is weak and is carried by others; counted for nothing, they would stand still.
    """
    shown, _ = tae.decode(latents)
    seen, moves = [], []
    for channel in range(LATENT_CHANNELS):
        moved = latents.clone()
        moved[:, :, channel] += 0.1
        change = tae.decode(moved)[0] - shown
        seen.append(change.square().mean())
        moves.append(change.unflatten(1, (-1, FRAMES_PER_LATENT)).diff(dim=2).square().mean())
    return 0.4 + 0.4 * _shares(seen) + 0.2 * _shares(moves)


def _shares(energies: list[Tensor]) -> Tensor:
    """Numbers in parts of their mean."""
    energy = torch.stack(energies)
    return energy / energy.mean()


def errors_of(clean: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Error per sample `[B]` of latents `[B, F, 16, h, w]`: of each, its steps to neighbours, patches.

    A step between neighbours that is not in the target is a seam, which is seen before anything else.
    """
    error = (clean - target) * weights.sqrt()[:, None, None]
    seams = error.diff(dim=3).square().mean((1, 2, 3, 4)) + error.diff(dim=4).square().mean((1, 2, 3, 4))
    broad = nn.functional.avg_pool2d(error.flatten(0, 1), 4).square().view(len(error), -1).mean(1)
    return error.square().mean((1, 2, 3, 4)) + SEAMS * seams + BROAD * broad


def beside(references: Tensor | None, mix: Tensor) -> References | None:
    """References `[B, R, 16, h, w]` as the branch sees them: at the noise level `mix` of the chunk."""
    if references is None:
        return None
    rest = CONTEXT_CHANNELS - LATENT_CHANNELS
    context = nn.functional.pad(references.transpose(1, 2), (0, 0, 0, 0, 0, 0, 0, rest))
    return References(context, (1 - mix) * references + mix * torch.randn_like(references))


def loss_of(model: Pocket, batch: Batch, weights: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Mean error of the clean estimate, and two parts of it for the log; `weights` of the channels.

    "controlled" is the error of the samples with a context scale of 1 or more, "pure" of those among them
    that begin at pure noise; a part that no sample of the batch belongs to is left out.
    """
    size = len(batch.prompts)
    text = model.embed(batch.prompts)
    scale = context_scales(size)
    if batch.references is not None:  # a look that only they tell needs to be heard
        scale = scale.clamp_min(HEARD)
    target = softened(batch.clean, scale)
    cache, plan = None, None
    if batch.past is not None:
        before = past_of(model, batch.past, text, scale)
        cache, plan = remember(model, before, text)
        target = target + fading(before[:, -1:] - softened(batch.past.clean, scale)[:, -1:])
    sigma = noise_levels(size)
    mix = sigma[:, None, None, None, None]
    noisy = (1 - mix) * target + mix * torch.randn_like(target)
    t = (1000 * sigma)[:, None].expand(-1, CHUNK)
    clean = model.dit(
        noisy, t, text, cache=cache, plan=plan, context=batch.context, context_scale=scale,
        references=beside(batch.references, mix),
    )  # fmt: skip
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
    parser.add_argument("--processes", type=int, default=1, help="that share the tokens, a core each")
    options = parser.parse_args(argv)
    together(options.processes, partial(train, options))


def train(options: argparse.Namespace, peers: Peers) -> None:
    """What each of the processes does that train together, as the command line's `options` say."""
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
        peers=peers,
    )
    stage.begin()
    tae = TAE(POCKET_TAE).eval()
    tae.load_state_dict(load_file(options.work / "tae.safetensors"))
    library = Library(options.work / "latents")
    weights = channel_weights(tae, library.shards[0].target[:3, :CHUNK].float())

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        if stage.step % 50 == 0:
            library.look()
        return loss_of(model, sample(library.shards, rng, options.tokens // peers.count), weights)

    stage.run(loss, lambda: export(stage, model, out))


if __name__ == "__main__":
    main()

"""The decoder's last lesson: `python -m engine.pocket.refine --work DIR`.

Until now it saw latents of true pictures with noise. Here it sees what the transformer really makes of a
control, and learns to show the picture that was asked for: edges between tokens vanish, soft places become
sharp. The encoder and the transformer stay as they are. Resumable.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from engine.model.tae import POCKET_TAE, TAE
from engine.pocket.imagine import imagine
from engine.pocket.latents import FIRST_SEED, SHARD, drawn, read_shard, to_video
from engine.pocket.network import Pocket
from engine.pocket.picture_error import picture_error
from engine.pocket.train_tae import export
from engine.pocket.training import Stage

STEPS = (2, 3, 4)
"""Lengths of the schedules that the latents are made with, one after the other."""

CROP = 8  # latents a side
TRUE_SHARE = 0.25
"""How many samples are still latents of true pictures: extensions and kept pixels need those."""


@dataclass(frozen=True)
class Pairs:
    """Generated and true latents f16 `[N, 6, 16, h, w]` and the pictures u8 `[N, 24, H, W, 3]` they mean."""

    made: Tensor
    true: Tensor
    pictures: NDArray[np.uint8]


def make_pairs(work: Path, shards: int) -> Pairs:
    """What the trained transformer makes of the first shards, beside what it was to make."""
    made, true, pictures = [], [], []
    model = Pocket()
    model.dit.load_state_dict(load_file(work / "out" / "dit.safetensors"))
    model.text.load_state_dict(load_file(work / "out" / "text.safetensors"))
    model.eval()
    with ProcessPoolExecutor(2) as pool:
        for number in range(shards):
            shard = read_shard(work / "latents" / f"shard_{number:04d}.safetensors")
            first = FIRST_SEED + number * SHARD
            examples = pool.map(drawn, range(first, first + len(shard.prompts)))
            steps = STEPS[number % len(STEPS)]
            for at in range(0, len(shard.prompts), 6):
                part = slice(at, at + 6)
                made.append(imagine(model, shard.context[part].float(), shard.prompts[part], steps).half())
            true.append(shard.target)
            pictures += [example.clip.target for example in examples]
    return Pairs(torch.cat(made), torch.cat(true), np.stack(pictures))


def sample(pairs: Pairs, batch: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Latents `[B, 6, 16, 8, 8]` and the pictures `[B, 24, 3, 64, 64]` in [-1, 1] they are to become.

    Whole clips: in a stream all but the very first latent are decoded with a past.
    """
    latents, pictures = [], []
    scale = pairs.pictures.shape[2] // pairs.made.shape[3]
    for _ in range(batch):
        source = pairs.true if rng.random() < TRUE_SHARE else pairs.made
        clip = int(rng.integers(len(source)))
        top, left = (int(rng.integers(0, side - CROP + 1)) for side in source.shape[3:])
        latents.append(source[clip, :, :, top : top + CROP, left : left + CROP].float())
        rows, columns = (slice(at * scale, (at + CROP) * scale) for at in (top, left))
        pictures.append(to_video(pairs.pictures[clip, :, rows, columns])[0])
    return torch.stack(latents), torch.stack(pictures)


def loss_of(tae: TAE, latents: Tensor, video: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The error of the pictures that a decoder makes of latents."""
    return picture_error(tae.decode_unclamped(latents)[0], video)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of this stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=6)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--minutes", type=float, help="end, cooled down, by then or at --steps")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rate", type=float, default=5e-4)
    options = parser.parse_args(argv)
    torch.manual_seed(0)
    pairs = make_pairs(options.work, options.shards)
    tae = TAE(POCKET_TAE)
    tae.load_state_dict(load_file(options.work / "tae.safetensors"))
    tae.encoder.requires_grad_(False)
    stage = Stage(
        tae,
        options.work / "refine",
        steps=options.steps,
        minutes=options.minutes,
        rate=options.rate,
        decay=0.995,
    )
    stage.begin()
    stage.run(
        lambda rng: loss_of(tae, *sample(pairs, options.batch, rng)),
        lambda: export(stage.average.weights, options.work / "out" / "tae.safetensors"),
    )


if __name__ == "__main__":
    main()

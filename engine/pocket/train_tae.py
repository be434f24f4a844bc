"""The autoencoder of Pocket: `python -m engine.pocket.train_tae --work DIR`.

It begins with linear algebra over drawn clips (`tae_start`) or with other weights (`--begin`), and both
halves learn. Pictures and control pictures pass through it, so both are in the data. Noise on the latents
prepares the decoder for what diffusion hands it: a little everywhere, and steps from one token of the
transformer to the next, which it learns to smooth.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.model.tae import POCKET_TAE, TAE
from engine.pocket.clips import draw_clip
from engine.pocket.picture_error import picture_error
from engine.pocket.tae_start import start
from engine.pocket.training import Stage

FRAMES = 12
SIZE = (128, 224)
CROP = 64
FIRST_SEED = 10_000
LATENT_NOISE = 0.05
TOKEN_NOISE = 0.25
"""Largest deviation of what each token (2x2 latents) is off by as a whole; most clips get much less of it."""

SHARES = (1.0, 1.0, 0.35)
"""How much each of a clip's three videos counts: its picture, its control, what the camera sees."""

MOST_MOTION = 8.0
"""Mean change of a pixel (of 255) from picture to picture above which a clip is not drawn more often."""

LOUDEST = 2.0
"""Latents beyond this are held down: the decoder squeezes all above 3, and with them the strong colours."""


def draw_pool(work: Path, clips: int) -> NDArray[np.uint8]:
    """All pictures of `clips` clips as one array `[N, F, H, W, 3]`, drawn once and kept on disk."""
    file = work / f"pool_{clips}.npy"
    if not file.exists():
        work.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(2) as pool:
            drawn = pool.map(_draw, range(FIRST_SEED, FIRST_SEED + clips), chunksize=8)
            rows = list(itertools.chain.from_iterable(drawn))
        np.save(file, np.stack(rows))
    loaded: NDArray[np.uint8] = np.load(file, mmap_mode="r")
    return loaded


def _draw(seed: int) -> list[NDArray[np.uint8]]:
    """A clip's picture, its control, and what the camera sees: kept pixels and references look like that."""
    clip = draw_clip(seed, FRAMES, *SIZE)
    return [clip.target, clip.control, clip.camera]


def chances(pool: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How often each clip of a pool `[N, F, H, W, 3]` is drawn: the more, the more it moves, up to a limit.

    Most clips are nearly still, and from them nothing is learned of motion. What the camera sees is full of
    noise, which only looks like motion.
    """
    coarse = pool[:, :, ::4, ::4]
    moves = np.array([np.abs(np.diff(clip.astype(np.int16), axis=0)).mean() for clip in coarse])
    often = (1 + np.minimum(moves, MOST_MOTION)) * np.resize(SHARES, len(pool))
    share: NDArray[np.float64] = often / often.sum()
    return share


def sample(
    pool: NDArray[np.uint8], batch: int, rng: np.random.Generator, share: NDArray[np.float64] | None = None
) -> Tensor:
    """Random crops `[B, F, 3, 64, 64]` in [-1, 1], of clips as often as `share` says; None: all alike."""
    crops = []
    for clip in rng.choice(len(pool), batch, p=share):
        top, left = (int(rng.integers(0, side - CROP + 1)) for side in SIZE)
        crop = pool[clip, :, top : top + CROP, left : left + CROP]
        crops.append(crop[:, :, ::-1] if rng.random() < 0.5 else crop)
    return torch.from_numpy(np.stack(crops)).permute(0, 1, 4, 2, 3).float() / 127.5 - 1


def disturbed(latents: Tensor) -> Tensor:
    """Latents `[B, F, 16, h, w]` (h and w even) as a transformer of 2x2 tokens gets them nearly right."""
    batch, frames, channels, height, width = latents.shape
    steps = torch.randn(batch, frames, channels, height // 2, width // 2)
    steps = steps.repeat_interleave(2, 3).repeat_interleave(2, 4)
    strength = TOKEN_NOISE * torch.rand(batch, 1, 1, 1, 1) ** 3
    return latents + LATENT_NOISE * torch.randn_like(latents) + strength * steps


def loss_of(tae: TAE, video: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The error of the pictures that come back, and of latents that are too large."""
    latents, _ = tae.encode(video)
    loud = (latents.abs() - LOUDEST).clamp_min(0).square().mean()
    decoded, _ = tae.decode_unclamped(disturbed(latents))
    error, parts = picture_error(decoded, video)
    return error + loud, {**parts, "loud": loud.item()}


def export(weights: dict[str, Tensor], path: Path) -> None:
    """Write a network's weights."""
    save_file({k: v.contiguous() for k, v in weights.items()}, path)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of this stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=240)
    parser.add_argument("--begin", type=Path, metavar="FILE", help="weights to begin with")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--minutes", type=float, help="end, cooled down, by then or at --steps")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=4e-4)
    options = parser.parse_args(argv)
    torch.manual_seed(0)
    pool = draw_pool(options.work, options.clips)
    share = chances(pool)
    tae = TAE(POCKET_TAE)
    if options.begin:
        tae.load_state_dict(load_file(options.begin))
    else:
        start(tae, sample(pool, 160, np.random.default_rng(0)))
    out = options.work / "tae.safetensors"
    stage = Stage(
        tae,
        options.work / "tae",
        steps=options.steps,
        minutes=options.minutes,
        rate=options.rate,
        decay=0.995,
    )
    stage.begin()
    if stage.step == 0:
        export(tae.state_dict(), out)
    stage.run(
        lambda rng: loss_of(tae, sample(pool, options.batch, rng, share)),
        lambda: export(stage.average.weights, out),
    )


if __name__ == "__main__":
    main()

"""The training set of the transformer: drawn clips as latents and VACE contexts, kept on disk in shards.

Drawing and encoding are paid once; training reads shards as they appear, so it can start on the first one.
`python -m engine.pocket.latents --work DIR` makes them; started again it continues.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.model.context import assemble, fold_mask, split
from engine.model.tae import POCKET_TAE, TAE
from engine.pocket.clips import Clip, draw_clip

FRAMES = 24
SIZE = (128, 224)
SHARD = 24
FIRST_SEED = 1_000_000
"""The transformer sees no clip of a smaller seed, the autoencoder none below 10 000: those are for tests."""


@dataclass(frozen=True)
class Shard:
    """Some clips: `target` `[N, 6, 16, h, w]`, `context` `[N, 96, 6, h, w]` and the prompt of each."""

    target: Tensor
    context: Tensor
    prompts: list[str]


def to_video(pictures: NDArray[np.uint8]) -> Tensor:
    """u8 `[F, H, W, 3]` to `[1, F, 3, H, W]` in [-1, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)[None].float() / 127.5 - 1


@torch.inference_mode()
def encode_clip(tae: TAE, clip: Clip) -> tuple[Tensor, Tensor]:
    """Target latents `[6, 16, h, w]` and the context `[96, 6, h, w]` of a clip."""
    control = to_video(clip.control)
    if clip.mask is None:  # all is to be generated: of the kept part, the shortest gray clip says everything
        weights = torch.ones(1, *clip.control.shape[:3])
        gray = tae.encode(torch.zeros_like(control[:, :4]))[0]
        kept, reactive = gray.expand(-1, len(clip.control) // 4, -1, -1, -1), control
    else:
        weights = torch.from_numpy(clip.mask)[None].float() / 255
        inactive, reactive = split(control, weights)
        kept = tae.encode(inactive)[0]
    context = assemble(kept, tae.encode(reactive)[0], fold_mask(weights))
    return tae.encode(to_video(clip.target))[0][0], context[0]


def drawn(seed: int) -> Clip:
    """A clip of the training set."""
    return draw_clip(seed, FRAMES, *SIZE)


def make_shard(tae: TAE, clips: list[Clip], path: Path) -> None:
    """Encode clips and write them as one file of half-precision tensors."""
    pairs = [encode_clip(tae, clip) for clip in clips]
    tensors = {
        "target": torch.stack([target for target, _ in pairs]).half().contiguous(),
        "context": torch.stack([context for _, context in pairs]).half().contiguous(),
    }
    fresh = path.with_suffix(".new")
    save_file(tensors, fresh, {"prompts": json.dumps([clip.prompt for clip in clips])})
    fresh.replace(path)


def read_shard(path: Path) -> Shard:
    """Load a shard into memory (half precision)."""
    with safe_open(path, "pt") as file:
        prompts = json.loads(file.metadata()["prompts"])
    tensors = load_file(path)
    return Shard(tensors["target"], tensors["context"], prompts)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of this stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=40)
    parser.add_argument("--clips", type=int, default=SHARD, help="of a shard, at most %(default)s")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(argv)
    tae = TAE(POCKET_TAE).eval()
    tae.load_state_dict(load_file(options.work / "tae.safetensors"))
    folder = options.work / "latents"
    folder.mkdir(exist_ok=True)
    with ProcessPoolExecutor(options.processes) as pool:
        for number in range(options.shards):
            path = folder / f"shard_{number:04d}.safetensors"
            if not path.exists():
                first = FIRST_SEED + number * SHARD
                make_shard(tae, list(pool.map(drawn, range(first, first + options.clips))), path)
                print(path.name, flush=True)


if __name__ == "__main__":
    main()

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

from engine.model.context import ContextEncoder, assemble, fold_mask, split
from engine.model.key_frames import gray_control, place_key_frames
from engine.model.references import encode_references, fit_on_white
from engine.model.tae import LATENT_CHANNELS, POCKET_TAE, TAE
from engine.pocket.clips import Clip, draw_clip
from engine.pocket.styles import Look

CHUNK = 3
FRAMES = 24
KEPT = ((0,), (CHUNK - 1,), (0, CHUNK - 1))
"""Which latents of a chunk key frames may give: the first, the last, or both."""

SIZE = (128, 224)
SHARD = 24
REFERENCES = 2
REFERENCE_SEED = 500_000_000
"""The references of a clip are other scenes: those of its own seed and multiples of this."""

REFERENCE_KINDS = ("scribble", "gray")
"""Controls that fill the picture, so that a reference never shows the background alone."""

FIRST_SEED = 1_000_000
"""The transformer sees no clip of a smaller seed, the autoencoder none below 10 000: those are for tests."""


@dataclass(frozen=True)
class Shard:
    """Some clips: `target` `[N, 6, 16, h, w]`, `context` `[N, 96, 6, h, w]` and the prompt of each.

    `references` `[N, 2, 16, h, w]` show other scenes in the same look; `plain` are prompts that say nothing
    of the look, for a reference to tell it. `extended` `[N, 96, 3, h, w]` is the context of the first chunk
    with key frames of the target in it.
    """

    target: Tensor
    context: Tensor
    prompts: list[str]
    references: Tensor
    plain: list[str]
    extended: Tensor


def to_video(pictures: NDArray[np.uint8]) -> Tensor:
    """u8 `[F, H, W, 3]` to `[1, F, 3, H, W]` in [-1, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)[None].float() / 127.5 - 1


@torch.inference_mode()
def encode_clip(tae: TAE, clip: Clip) -> tuple[Tensor, Tensor]:
    """Target latents `[6, 16, h, w]` and the context `[96, 6, h, w]` of a clip."""
    control = to_video(clip.control)
    if clip.mask is None:  # all is to be generated: what is kept is gray
        weights = torch.ones(1, *clip.control.shape[:3])
        kept, reactive = tae.encode(torch.zeros_like(control))[0], control
    else:
        weights = torch.from_numpy(clip.mask)[None].float() / 255
        inactive, reactive = split(control, weights)
        kept = tae.encode(inactive)[0]
    context = assemble(kept, tae.encode(reactive)[0], fold_mask(weights))
    return tae.encode(to_video(clip.target))[0][0], context[0]


@torch.inference_mode()
def encode_extended(tae: TAE, clip: Clip, kept: tuple[int, ...], *, led: bool) -> Tensor:
    """Context `[96, 3, h, w]` of a clip's first chunk whose latents `kept` are given as key frames.

    `led`: the control goes on where nothing is given, else nothing is told of the rest.
    """
    gray, mask = gray_control(tae, CHUNK, *clip.target.shape[1:3], first=True)
    video = to_video(clip.control[: gray.shape[1]]) if led else gray
    ends = to_video(clip.target[[0, gray.shape[1] - 1]])[0]
    video, mask = place_key_frames(
        tae, video, mask, first=True, at_start=ends[0] if 0 in kept else None,
        at_end=ends[1] if CHUNK - 1 in kept else None,
    )  # fmt: skip
    return ContextEncoder(tae).encode_tensors(video, mask)[0]


@dataclass(frozen=True)
class Example:
    """A clip of the training set, pictures `[H, W, 3]` of other scenes in its look, and one of KEPT."""

    clip: Clip
    references: tuple[NDArray[np.uint8], ...]
    kept: tuple[int, ...]

    @property
    def plain(self) -> str:
        """The prompt without the words of the look."""
        return Look(subject=self.clip.look.subject).prompt


def drawn(seed: int) -> Example:
    """One example of the training set."""
    clip = draw_clip(seed, FRAMES, *SIZE)
    shown = (draw_reference(seed + (1 + i) * REFERENCE_SEED, clip.look) for i in range(REFERENCES))
    return Example(clip, tuple(shown), KEPT[seed % len(KEPT)])


def draw_reference(seed: int, look: Look) -> NDArray[np.uint8]:
    """One picture of a look `[H, W, 3]`, cut to some width: what a performer might give as a reference."""
    rng = np.random.default_rng(seed)
    picture = draw_clip(seed, 1, *SIZE, kind=str(rng.choice(REFERENCE_KINDS)), look=look).target[0]
    width = int(rng.uniform(0.45, 1.0) * SIZE[1])
    left = int(rng.integers(0, SIZE[1] - width + 1))
    return picture[:, left : left + width] if rng.random() < 0.5 else picture


@torch.inference_mode()
def encode_example(tae: TAE, example: Example) -> dict[str, Tensor]:
    """The tensors of one row of a shard, by their names."""
    target, context = encode_clip(tae, example.clip)
    fitted = [fit_on_white(picture, *SIZE) for picture in example.references]
    references = encode_references(tae, fitted)[0, :LATENT_CHANNELS].transpose(0, 1)
    led = example.clip.mask is None and example.clip.kind != "gray"
    extended = encode_extended(tae, example.clip, example.kept, led=led)
    return {"target": target, "context": context, "references": references, "extended": extended}


def make_shard(tae: TAE, examples: list[Example], path: Path) -> None:
    """Encode examples and write them as one file of half-precision tensors."""
    rows = [encode_example(tae, example) for example in examples]
    tensors = {name: torch.stack([row[name] for row in rows]).half().contiguous() for name in rows[0]}
    words = {"prompts": [e.clip.prompt for e in examples], "plain": [e.plain for e in examples]}
    fresh = path.with_suffix(".new")
    save_file(tensors, fresh, {name: json.dumps(said) for name, said in words.items()})
    fresh.replace(path)


def read_shard(path: Path) -> Shard:
    """Load a shard into memory (half precision)."""
    with safe_open(path, "pt") as file:
        words = {name: json.loads(said) for name, said in file.metadata().items()}
    return Shard(**load_file(path), prompts=words["prompts"], plain=words["plain"])


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

"""The whole recipe of Pocket in one command: `python -m engine.pocket.train --work DIR`.

Draws the scenes and trains everything from nothing: the autoencoder, the transformer with its words, then the
decoder once more on what the transformer makes. Every stage can be interrupted and is continued by the same
command; each writes its log beside its state (`DIR/tae`, `DIR/dit`, `DIR/refine`: log.jsonl). At the end the
weights lie in `DIR/pocket`; with `--publish` they take the place of those the program uses.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.core.paths import assets_dir
from engine.pocket import latents, refine, train_dit, train_tae
from engine.pocket.publish import publish


@dataclass(frozen=True)
class Size:
    """How much of everything: clips for the autoencoder, shards of latents, minutes and steps of a stage.

    `processes` share the transformer's tokens, `tokens` a step in all.
    """

    clips: int
    shards: int
    tae_minutes: float
    dit_minutes: float
    refine_minutes: float
    tokens: int
    refine_shards: int
    shard: int = latents.SHARD
    batch: int = 4
    steps: int = 1_000_000
    processes: int = 2


SIZES = {
    "full": Size(clips=480, shards=80, tae_minutes=45, dit_minutes=300, refine_minutes=30, tokens=4096,
                 refine_shards=8),
    "evening": Size(clips=240, shards=44, tae_minutes=15, dit_minutes=100, refine_minutes=8, tokens=3200,
                    refine_shards=6),
    "smoke": Size(clips=2, shards=1, tae_minutes=9, dit_minutes=9, refine_minutes=9, tokens=350,
                  refine_shards=1, shard=2, batch=1, steps=48, processes=1),
}  # fmt: skip
"""Minutes of two cores. `smoke` only shows that every stage works; it ends by its steps, after a
minute or two, and so learns as much on a machine that is busy.
"""


def train(work: Path, size: Size) -> Path:
    """Run all stages, continuing where they were interrupted; the folder with the finished weights."""
    folder = ["--work", str(work)]
    common = [*folder, "--steps", str(size.steps)]
    drawn = ["--clips", str(size.clips), "--batch", str(size.batch)]
    train_tae.main([*common, *drawn, "--minutes", str(size.tae_minutes)])
    latents.main([*folder, "--shards", str(size.shards), "--clips", str(size.shard)])
    shared = ["--tokens", str(size.tokens), "--processes", str(size.processes)]
    train_dit.main([*common, *shared, "--minutes", str(size.dit_minutes)])
    made = ["--shards", str(size.refine_shards), "--batch", str(max(1, size.batch // 2))]
    refine.main([*common, *made, "--minutes", str(size.refine_minutes)])
    publish(work, work / "pocket")
    return work / "pocket"


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--publish", action="store_true", help="use the weights from now on")
    options = parser.parse_args(argv)
    finished = train(options.work, SIZES[options.size])
    if options.publish:
        publish(options.work, assets_dir() / "pocket")
    print(f"trained: {finished}")


if __name__ == "__main__":
    main()

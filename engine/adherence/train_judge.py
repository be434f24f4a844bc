"""The judge's training: `python -m engine.adherence.train_judge --work DIR --minutes M`.

Its pictures are true renders of drawn scenes (seeds from 500 000 up, which neither Pocket's training nor any
measure uses), made a little worse on purpose: blurred, noisy, tinted, softened in blocks. It never sees a
picture that a model generated. Each head learns only from the kinds of control whose true render shows what
the head is to read. The pictures are drawn once and kept on disk; a run that was interrupted goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from engine.adherence.cases import tells
from engine.adherence.judge import CELL, SIZE, Judge, Network, Raw, as_input
from engine.adherence.metrics import depth_rmse, mask_ssim, pose_pck
from engine.core.paths import assets_dir
from engine.core.skeleton import BODY_POINTS
from engine.model.load import best_device
from engine.model.weights import save_weights
from engine.pocket.clips import Clip, draw_clip
from engine.pocket.styles import MATERIALS, PALETTES, SETTINGS, Look
from engine.pocket.training import Stage

FIRST_SEED = 500_000
HELD_OUT_SEED = 9_000
CYCLE = (
    "depth", "pose", "inpaint", "scribble", "depth", "layout", "inpaint", "edges", "depth", "pose", "gray",
    "flow", "depth", "scribble",
)  # fmt: skip
"""Kinds of control, in the order in which clips are drawn: as often as their heads need them."""
TELLS_DEPTH = ("depth",)
TELLS_MASK = ("inpaint", "pose", "flow", "layout")
TELLS_JOINTS = ("pose",)
DRAWN_SIZE = (128, 224)
"""Pictures are drawn as large as they are watched, and looked at in the judge's size."""
SPREAD = 0.8
"""Deviation of a joint's spot in its map, in the map's points."""
JOINTS_WEIGHT = 0.25
"""The error of a spot among 1792 points begins at 7.5; the others begin below 1 or at 2.5."""
WITH_PALETTE = 0.25
"""Part of the pictures whose look has a palette word."""
BATCH = 8


@dataclass(frozen=True)
class Samples:
    """True renders and their truth, N of each.

    `pictures` u8 `[N, 64, 112, 3]`; `depth` and `mask` u8 `[N, 64, 112]`, 0..255; `joints` f32 `[N, 14, 2]`
    in pixels of those, NaN where there are none or outside; `material` `[N]`, its number or -1; `kind` `[N]`,
    the control's.
    """

    pictures: NDArray[np.uint8]
    depth: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    joints: NDArray[np.float32]
    material: NDArray[np.int64]
    kind: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.pictures)

    def of(self, rows: NDArray[np.int64]) -> Samples:
        """Some of them, in memory."""
        return Samples(**{field.name: self.__dict__[field.name][rows] for field in fields(self)})


def draw_samples(folder: Path, first_seed: int, count: int) -> Samples:
    """True renders of `count` scenes, drawn once and kept in `folder`, read from there as they are needed."""
    done = folder / f"{first_seed}_{count}"
    if not done.is_dir():
        part = done.with_suffix(".part")
        part.mkdir(parents=True, exist_ok=True)
        drawn = [_drawn(first_seed + i, CYCLE[i % len(CYCLE)]) for i in range(count)]
        for name in drawn[0]:
            np.save(part / f"{name}.npy", np.stack([row[name] for row in drawn]))
        part.rename(done)
    return Samples(
        **{field.name: np.load(done / f"{field.name}.npy", mmap_mode="r") for field in fields(Samples)}
    )


def _drawn(seed: int, kind: str) -> dict[str, NDArray[np.generic]]:
    """One picture of a clip, as the row of every array."""
    look, number = random_look(seed)
    clip = draw_clip(seed, 1, *DRAWN_SIZE, kind=kind, look=look)
    mask = clip.subject[0] * np.uint8(255) if clip.mask is None else clip.mask[0]
    depth, joints = clip.depth[0], _visible(clip)
    return {
        "pictures": _small(clip.target[0]),
        "depth": _small((depth * 255 + 0.5).astype(np.uint8)),
        "mask": _small(mask),
        "joints": joints,
        "material": np.asarray(number if _shows(kind, depth, mask, joints) else -1),
        "kind": np.asarray(kind.ljust(8)),
    }


def _shows(
    kind: str, depth: NDArray[np.float32], mask: NDArray[np.uint8], joints: NDArray[np.float32]
) -> bool:
    """Whether a control asks for anything: a picture of nothing shows no material."""
    if kind == "pose":
        return pose_pck(joints, joints, *SIZE) is not None
    if kind in TELLS_MASK:
        return tells(mask.astype(np.float32) / np.float32(255))
    return kind != "depth" or tells(depth)


def random_look(seed: int) -> tuple[Look, int]:
    """A look, and the number of its material, -1 where it has a palette word.

    Such a word paints over the material's own colours: on a gray picture, red marble is red paper.
    """
    rng = np.random.default_rng(seed)
    number = int(rng.integers(len(MATERIALS)))
    palette = str(rng.choice(list(PALETTES))) if rng.random() < WITH_PALETTE else None
    look = Look(list(MATERIALS)[number], palette, str(rng.choice(list(SETTINGS))))
    return look, -1 if palette else number


def _small(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(plane, SIZE[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _visible(clip: Clip) -> NDArray[np.float32]:
    """The joints that a picture shows; NaN for the others."""
    if clip.joints is None:
        return np.full((BODY_POINTS, 2), np.nan, np.float32)
    at = (clip.joints[0] * (SIZE[0] / DRAWN_SIZE[0])).astype(np.float32)
    inside = ((at >= 0) & (at < SIZE[::-1])).all(1)
    return np.where(inside[:, None], at, np.float32(np.nan))


def worsened(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture u8 `[H, W, 3]` with the faults of generated ones: soft, in blocks, noisy, a little tinted."""
    seen: NDArray[np.float64] = picture.astype(np.float64)
    if rng.random() < 0.5:
        seen = np.asarray(cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.3, 1.1)), np.float64)
    if rng.random() < 0.4:
        side = int(rng.choice([2, 4, 8]))
        height, width = picture.shape[:2]
        small = cv2.resize(seen, (width // side, height // side), interpolation=cv2.INTER_AREA)
        way = cv2.INTER_NEAREST if rng.random() < 0.5 else cv2.INTER_LINEAR
        share = rng.uniform(0.1, 0.6)
        seen = seen * (1 - share) + share * cv2.resize(small, (width, height), interpolation=way)
    seen = seen * (rng.uniform(0.9, 1.1) * rng.uniform(0.95, 1.05, 3)) + rng.uniform(-8, 8)
    seen = seen + rng.normal(size=seen.shape) * rng.uniform(0, 12)
    return np.clip(seen + 0.5, 0, 255).astype(np.uint8)


def mirrored(samples: Samples, rng: np.random.Generator) -> Samples:
    """Half of them the other way round, but for bodies: their left would be their right."""
    turn = (rng.random(len(samples)) < 0.5) & np.isnan(samples.joints).all((1, 2))
    pick = turn[:, None, None]
    return Samples(
        np.where(pick[..., None], samples.pictures[:, :, ::-1], samples.pictures),
        np.where(pick, samples.depth[..., ::-1], samples.depth),
        np.where(pick, samples.mask[..., ::-1], samples.mask),
        samples.joints,
        samples.material,
        samples.kind,
    )


def loss_of(raw: Raw, samples: Samples) -> tuple[Tensor, dict[str, float]]:
    """The error of all heads, each over the samples whose picture tells what it is to read."""
    device = raw.depth.device
    depth_rows, mask_rows, joint_rows = (
        _rows(samples, kinds) for kinds in (TELLS_DEPTH, TELLS_MASK, TELLS_JOINTS)
    )
    depth = torch.from_numpy(samples.depth[depth_rows].astype(np.float32) / 255).to(device)
    mask = torch.from_numpy(samples.mask[mask_rows].astype(np.float32) / 255).to(device)
    joints = torch.from_numpy(samples.joints[joint_rows]).to(device)
    named = np.flatnonzero(samples.material >= 0)
    material = torch.from_numpy(samples.material[named]).to(device)
    parts = {
        "depth": 2 * _mean((raw.depth[depth_rows].sigmoid() - depth).abs()),
        "mask": _mean(
            functional.binary_cross_entropy_with_logits(raw.mask[mask_rows], mask, reduction="none")
        ),
        "joints": JOINTS_WEIGHT * _mean(_spot_errors(raw.joints[joint_rows], joints)),
        "material": _mean(functional.cross_entropy(raw.material[named], material, reduction="none")),
    }
    total = torch.stack(list(parts.values())).sum()
    return total, {name: float(value.detach()) for name, value in parts.items()}


def _rows(samples: Samples, kinds: Sequence[str]) -> NDArray[np.int64]:
    """Which samples are of these kinds."""
    return np.flatnonzero([str(kind).strip() in kinds for kind in samples.kind])


def _mean(values: Tensor) -> Tensor:
    """The mean; 0 where a batch has nothing to teach."""
    return values.mean() if values.numel() else values.sum()


def _spot_errors(maps_BJHW: Tensor, joints_BJ2: Tensor) -> Tensor:
    """Cross entropy of every visible joint's map with a round spot where it is, `[visible]`."""
    at = joints_BJ2 / CELL - 0.5
    seen = at.isfinite().all(2)
    rows = torch.arange(maps_BJHW.shape[2], device=at.device).view(1, -1, 1)
    columns = torch.arange(maps_BJHW.shape[3], device=at.device).view(1, 1, -1)
    x, y = at[seen][:, 0, None, None], at[seen][:, 1, None, None]
    spot = (-((columns - x) ** 2 + (rows - y) ** 2) / (2 * SPREAD**2)).flatten(1).softmax(1)
    return -(spot * maps_BJHW[seen].flatten(1).log_softmax(1)).sum(1)


def accuracy(judge: Judge, samples: Samples) -> dict[str, float]:
    """What the judge reads from true renders that it has not seen: the ceiling of every measure with it."""
    found: dict[str, list[float]] = {"material": [], "depth_rmse": [], "mask_ssim": [], "pose_pck": []}
    for row in range(len(samples)):
        one = samples.of(np.array([row]))
        reading = judge.read(one.pictures)
        kind = str(one.kind[0]).strip()
        if one.material[0] >= 0:
            found["material"].append(float(reading.material[0].argmax() == one.material[0]))
        if kind in TELLS_DEPTH:
            found["depth_rmse"].append(depth_rmse(reading.depth[0], one.depth[0] / np.float32(255)))
        if kind == "inpaint" and tells(one.mask[0] / np.float32(255)):
            found["mask_ssim"].append(mask_ssim(reading.subject[0], (one.mask[0] > 127).astype(np.float32)))
        if kind in TELLS_JOINTS:
            part = pose_pck(reading.joints[0], one.joints[0], *SIZE)
            found["pose_pck"] += [] if part is None else [part]
    return {name: float(np.mean(values)) for name, values in found.items() if values}


def train(
    work: Path, *, samples: int, minutes: float | None, steps: int, rate: float, batch: int = BATCH
) -> Judge:
    """Draw, train until the steps or the minutes are spent, and return the judge with its mean weights."""
    torch.manual_seed(0)
    data = draw_samples(work, FIRST_SEED, samples)
    device = best_device()[0]
    network = Network(len(MATERIALS)).to(device)
    stage = Stage(network, work / "judge", steps=steps, rate=rate, minutes=minutes, decay=0.998)
    stage.begin()

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        chosen = mirrored(data.of(np.sort(rng.choice(len(data), batch, replace=False))), rng)
        worse = np.stack([worsened(picture, rng) for picture in chosen.pictures])
        return loss_of(network(as_input(worse).to(device)), chosen)

    stage.run(loss)
    network.load_state_dict(stage.average.weights)
    return Judge(network.cpu(), tuple(MATERIALS))


def main() -> None:
    """Command line of this training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--out", type=Path, default=assets_dir() / "judge" / "judge.safetensors")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    judge = train(
        options.work, samples=options.samples, minutes=options.minutes, steps=options.steps, rate=options.rate
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(options.out, judge.network.state_dict(), metadata={"materials": " ".join(judge.materials)})
    held_out = draw_samples(options.work, HELD_OUT_SEED, 600)
    for name, value in accuracy(Judge.load(options.out), held_out).items():
        print(f"{name}: {value:.4f}")


if __name__ == "__main__":
    main()

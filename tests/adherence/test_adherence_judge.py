"""The judge: what it learns from, what it gives, and that it reads true renders it has not seen."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.adherence.judge import CELL, SIZE, Judge, Network, as_input, peaks
from engine.adherence.train_judge import (
    CYCLE,
    Samples,
    accuracy,
    draw_samples,
    loss_of,
    mirrored,
    train,
    worsened,
)
from engine.core.errors import WeightsError
from engine.core.paths import assets_dir
from engine.model.weights import save_weights
from engine.pocket.styles import MATERIALS

SEED, COUNT = 8_000, 36  # nobody trains on these


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Samples]:
    work = tmp_path_factory.mktemp("judge")
    return work, draw_samples(work, SEED, COUNT)


def test_samples_are_drawn_once_and_hold_the_truth(drawn: tuple[Path, Samples]) -> None:
    work, samples = drawn
    assert samples.pictures.shape == (COUNT, *SIZE, 3)
    assert [str(kind).strip() for kind in samples.kind[: len(CYCLE)]] == list(CYCLE)
    poses = [row for row in range(COUNT) if CYCLE[row % len(CYCLE)] == "pose"]
    assert np.isfinite(samples.joints[poses]).any((1, 2)).mean() > 0.6
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*.npy")}
    draw_samples(work, SEED, COUNT)
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*.npy")} == before


def test_worse_pictures_are_still_the_same_pictures(drawn: tuple[Path, Samples]) -> None:
    rng = np.random.default_rng(0)
    picture = drawn[1].pictures[0]
    worse = [worsened(picture, rng).astype(float) for _ in range(8)]
    errors = [np.abs(other - picture).mean() for other in worse]
    assert all(0 < error < 45 for error in errors) and len(set(errors)) == 8


def test_bodies_are_not_mirrored_and_the_others_are_with_their_truth(drawn: tuple[Path, Samples]) -> None:
    samples = drawn[1].of(np.arange(COUNT))
    bodies = np.isfinite(samples.joints).any((1, 2))
    turned = mirrored(samples, np.random.default_rng(0))
    same = np.array([np.array_equal(a, b) for a, b in zip(turned.pictures, samples.pictures, strict=True)])
    assert same[bodies].all() and not same[~bodies].all()
    row = int(np.flatnonzero(~same)[0])
    assert np.array_equal(turned.depth[row], samples.depth[row, :, ::-1])


def test_a_head_learns_only_from_the_kinds_that_show_what_it_reads(drawn: tuple[Path, Samples]) -> None:
    samples = drawn[1].of(np.arange(COUNT))
    lines = samples.of(np.flatnonzero([str(kind).strip() == "scribble" for kind in samples.kind]))
    _, parts = loss_of(Network(len(MATERIALS))(as_input(lines.pictures)), lines)
    assert parts["depth"] == parts["mask"] == parts["joints"] == 0 and parts["material"] > 0


def test_a_spot_between_two_points_is_found_between_them() -> None:
    maps = torch.full((1, 14, SIZE[0] // CELL, SIZE[1] // CELL), -20.0)
    maps[:, :, 10, 20] = maps[:, :, 10, 21] = 0
    at = peaks(maps)[0]
    assert at.shape == (14, 2)
    assert at[0].tolist() == pytest.approx([CELL * 21.0, CELL * 10.5], abs=1e-3)


def test_a_reading_has_the_size_of_the_pictures() -> None:
    judge = Judge(Network(3), ("gold", "ice", "moss"))
    reading = judge.read(np.random.default_rng(0).integers(0, 256, (2, 96, 160, 3)).astype(np.uint8))
    assert reading.depth.shape == reading.subject.shape == (2, 96, 160)
    assert reading.joints.shape == (2, 14, 2) and reading.material.shape == (2, 3)
    assert reading.material.sum(1) == pytest.approx(1, abs=1e-5)
    assert set(np.unique(reading.subject)) <= {0.0, 1.0}


def test_a_short_training_goes_on_where_it_stopped_and_learns(
    drawn: tuple[Path, Samples], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path, samples=COUNT, minutes=None, steps=20, rate=2e-3, batch=4)
    judge = train(tmp_path, samples=COUNT, minutes=None, steps=200, rate=2e-3, batch=4)
    logged = [ast.literal_eval(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["step"] for row in logged] == list(range(20, 201, 20))
    samples = drawn[1].of(np.arange(COUNT))
    pictures = as_input(samples.pictures)
    torch.manual_seed(0)
    before, after = (
        loss_of(network.eval()(pictures), samples)[0] for network in (Network(len(MATERIALS)), judge.network)
    )
    assert after < 0.85 * before
    assert set(accuracy(judge, drawn[1])) == {"material", "depth_rmse", "mask_ssim", "pose_pck"}


def test_a_file_without_the_words_of_its_materials_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "judge.safetensors"
    save_weights(path, Network(3).state_dict())
    with pytest.raises(WeightsError, match="names no materials"):
        Judge.load(path)


def test_the_judge_of_the_program_knows_the_words_and_is_small() -> None:
    assert Judge.load().materials == tuple(MATERIALS)
    assert (assets_dir() / "judge" / "judge.safetensors").stat().st_size < 3 * 2**20


def test_the_judge_reads_true_renders_it_has_not_seen(drawn: tuple[Path, Samples]) -> None:
    found = accuracy(Judge.load(), drawn[1])
    assert found["material"] >= 0.9
    assert found["pose_pck"] >= 0.6
    assert found["depth_rmse"] <= 0.15

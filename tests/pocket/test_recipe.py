"""The whole recipe at a tiny size: every stage works, the loss falls, the program loads what comes out."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from engine.chunk import nominal_steps
from engine.model.load import load_pipeline
from engine.model.schedule import Schedule
from engine.pocket.batches import sample as sample_chunks
from engine.pocket.imagine import imagine, levels
from engine.pocket.latents import CHUNK, read_shard
from engine.pocket.network import Pocket
from engine.pocket.refine import CROP, Pairs, sample
from engine.pocket.train import SIZES, train
from engine.pocket.train_dit import SHIFT, loss_of


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_the_decoder_learns_from_the_steps_that_are_played(steps: int) -> None:
    played = [step.sigma for step in Schedule(SHIFT).steps(nominal_steps(steps))]
    assert levels(steps) == pytest.approx(played, abs=2e-3)


def test_the_second_chunk_remembers_the_first(pocket: Pocket) -> None:
    context = torch.randn(2, 96, 2 * CHUNK, 4, 8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    made = imagine(pocket, context, ["gold", "ice"], 2)
    assert made.shape == (2, 2 * CHUNK, 16, 4, 8) and made.isfinite().all()
    torch.manual_seed(1)
    other_start = context.clone()
    other_start[:, :, :CHUNK] += 1
    other = imagine(pocket, other_start, ["gold", "ice"], 2)
    assert not torch.allclose(other[:, CHUNK:], made[:, CHUNK:])


def test_latents_and_pictures_for_the_decoder_are_cut_alike() -> None:
    """Every number says where it stands."""
    rows, columns, frames = np.meshgrid(range(16), range(28), range(6), indexing="ij")
    place = torch.from_numpy(rows + 28 * columns + 1000 * frames).permute(2, 0, 1)[None, :, None]
    latents = place.expand(2, -1, 16, -1, -1).float()
    seen = (rows + columns + frames).transpose(2, 0, 1)
    pictures = seen.repeat(4, 0).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    pairs = Pairs(latents, latents, pictures[None, ..., None].repeat(2, 0).repeat(3, 4))
    cut, video = sample(pairs, 5, np.random.default_rng(0))
    assert cut.shape == (5, 6, 16, CROP, CROP) and video.shape == (5, 24, 3, 8 * CROP, 8 * CROP)
    for latent, picture in zip(cut, video, strict=True):
        first = int(latent[0, 0, 0, 0].item())
        frame, (column, row) = first // 1000, divmod(first % 1000, 28)
        level = (picture[0, 0, 0, 0].item() + 1) * 127.5
        assert round(level) == frame + column + row


def test_the_recipe_learns_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = train(tmp_path, SIZES["smoke"])
    shard = read_shard(tmp_path / "latents" / "shard_0000.safetensors")
    batch = sample_chunks([shard], np.random.default_rng(0), 700)
    errors = []
    for weights in (None, finished):
        torch.manual_seed(0)
        model = Pocket()
        if weights:
            model.dit.load_state_dict(load_file(weights / "dit.safetensors"))
            model.text.load_state_dict(load_file(weights / "text.safetensors"))
        torch.manual_seed(1)
        with torch.no_grad():
            errors.append(loss_of(model, batch, torch.ones(16))[0].item())
    assert errors[1] < 0.9 * errors[0]
    for stage in ("tae", "dit", "refine"):
        rows = [json.loads(line) for line in (tmp_path / stage / "log.jsonl").read_text().splitlines()]
        assert [row["step"] for row in rows] == [20, 40] and all(np.isfinite(row["loss"]) for row in rows)
    (tmp_path / "assets").mkdir()
    finished.rename(tmp_path / "assets" / "pocket")
    monkeypatch.setattr("engine.model.load.assets_dir", lambda: tmp_path / "assets")
    assert load_pipeline("pocket").text.encode("golden dancer").known == ("gold", "figure")

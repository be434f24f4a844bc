"""A training stage: interrupted and resumed, it ends as if nothing had happened."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.pocket.training import Average, Stage

DATA = torch.Generator().manual_seed(0)
BATCHES = [torch.randn(16, 4, generator=DATA) for _ in range(4)]


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 4))


def stage_in(folder: Path, steps: int = 4, save_every: int = 2, *, muon: bool = False) -> Stage:
    model = network()
    matrices = [p for p in model.parameters() if p.ndim == 2] if muon else []
    stage = Stage(model, folder, steps=steps, rate=0.05, decay=0.9, save_every=save_every, matrices=matrices)
    stage.begin()
    return stage


def advance(stage: Stage, until: int) -> None:
    while stage.step < until:
        batch = BATCHES[stage.step % len(BATCHES)]
        stage.advance((stage.model(batch) - batch.flip(1)).pow(2).mean())


@pytest.mark.parametrize("muon", [False, True])
def test_two_steps_a_resume_and_two_more_are_four_steps(tmp_path: Path, muon: bool) -> None:
    straight = stage_in(tmp_path / "straight", muon=muon)
    advance(straight, 4)
    advance(stage_in(tmp_path / "broken", muon=muon), 2)
    resumed = stage_in(tmp_path / "broken", muon=muon)
    assert resumed.step == 2 and not resumed.finished
    advance(resumed, 4)
    assert resumed.finished and straight.finished
    pairs = [
        (straight.model.state_dict(), resumed.model.state_dict()),
        (straight.average.weights, resumed.average.weights),
    ]
    assert len(straight.optimizers) == (2 if muon else 1)
    for ours, theirs in zip(straight.optimizers, resumed.optimizers, strict=True):
        for index, state in ours.state_dict()["state"].items():
            pairs.append((state, theirs.state_dict()["state"][index]))
    for ours, theirs in pairs:
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    for ours, theirs in zip(straight.optimizers, resumed.optimizers, strict=True):
        assert ours.param_groups[0]["lr"] == theirs.param_groups[0]["lr"]


def test_steps_after_the_last_save_are_forgotten(tmp_path: Path) -> None:
    advance(stage_in(tmp_path, steps=10), 3)
    assert stage_in(tmp_path, steps=10).step == 2
    assert [file.name for file in tmp_path.iterdir()] == ["stage.pt"]


def test_a_save_that_breaks_off_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stage_in(tmp_path, steps=10)
    advance(stage, 2)

    def full(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="no space"):
        advance(stage, 4)
    assert stage_in(tmp_path, steps=10).step == 2


def test_time_spent_counts_on_and_ends_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("engine.pocket.training.time.monotonic", lambda: now[0])

    def started() -> Stage:
        stage = Stage(network(), tmp_path, steps=1000, rate=0.05, save_every=1, minutes=2)
        stage.begin()
        return stage

    stage = started()
    now[0] = 60
    advance(stage, 1)
    assert stage.progress == pytest.approx(0.5) and not stage.finished
    now[0] = 500  # the machine was off in between
    stage = started()
    assert stage.progress == pytest.approx(0.5)
    now[0] = 560
    assert stage.finished


def test_the_rate_warms_up_and_cools_down(tmp_path: Path) -> None:
    stage = stage_in(tmp_path, steps=200, save_every=1000)
    rates = []
    for step in range(1, 201):
        advance(stage, step)
        rates.append(stage.optimizers[0].param_groups[0]["lr"] / 0.05)
    peak = rates.index(max(rates))
    assert rates[0] == pytest.approx(1 / 40, rel=0.01) and 30 <= peak <= 45 and rates[peak] > 0.85
    assert rates[peak:] == sorted(rates[peak:], reverse=True) and rates[-1] < 0.05
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(20, 201, 20))
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_the_average_follows_slowly_and_at_first_faster() -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0)
    average = Average(model, decay=0.9)
    with torch.no_grad():
        model.weight.fill_(1)
    average.update(model, step=1)
    assert average.weights["weight"].item() == pytest.approx(1 - 2 / 11)
    for step in (1000, 1001):
        average.update(model, step=step)
    assert average.weights["weight"].item() == pytest.approx(1 - 2 / 11 * 0.81)

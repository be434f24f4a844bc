"""Processes that train together end as one process would that saw all of their samples."""

import json
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.pocket.peers import Peers, together
from engine.pocket.training import Stage

STEPS = 20
DATA = torch.randn(2, STEPS, 16, 4, generator=torch.Generator().manual_seed(0))
"""Batches by process and step."""


def stage_in(folder: Path, peers: Peers) -> Stage:
    torch.manual_seed(3)
    model = nn.ModuleDict({"used": nn.Linear(4, 4), "spare": nn.Linear(4, 4)})
    stage = Stage(model, folder, steps=STEPS, rate=0.05, save_every=STEPS, minutes=60, peers=peers)
    stage.begin()
    return stage


def error(stage: Stage, rank: int) -> torch.Tensor:
    """The processes take turns with the spare layer."""
    batch = DATA[rank, stage.step]
    made: torch.Tensor = stage.model["used"](batch)  # type: ignore[index,operator]
    if (stage.step + rank) % 2:
        made = made + stage.model["spare"](batch)  # type: ignore[index,operator]
    return (made - batch.flip(1)).pow(2).mean()


def train(folder: Path, peers: Peers) -> None:
    stage = stage_in(folder / "stage", peers)
    while not stage.finished:
        stage.advance(error(stage, peers.rank))
    torch.save(stage.model.state_dict(), folder / f"{peers.rank}.pt")


def test_two_processes_are_one_with_the_mean_of_their_gradients(tmp_path: Path) -> None:
    together(2, partial(train, tmp_path))
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    alone = stage_in(tmp_path / "alone", Peers())
    while not alone.finished:
        alone.advance((error(alone, 0) + error(alone, 1)) / 2)
    for name, weights in alone.model.state_dict().items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], weights, rtol=1e-4, atol=1e-5)
    assert sorted(path.name for path in (tmp_path / "stage").iterdir()) == ["log.jsonl", "stage.pt"]
    rows = [json.loads(line) for line in (tmp_path / "stage" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [STEPS], "one process keeps the log"


def fail_second(peers: Peers) -> None:
    peers.mean([torch.ones(3)])
    if peers.rank == 1:
        raise ValueError("no such shard")
    time.sleep(600)


def test_one_that_fails_ends_all() -> None:
    with pytest.raises(Exception, match="no such shard"):
        together(2, fail_second)


def test_alone_nothing_is_shared() -> None:
    seen = []
    together(1, seen.append)
    assert seen == [Peers()] and seen[0].leads
    tensor = torch.ones(3)
    seen[0].mean([tensor])
    assert torch.equal(tensor, torch.ones(3))

"""Muon: steps with equal singular values, of the size of Adam's, that arrive."""

import pytest
import torch
from torch import nn

from engine.pocket.muon import LIKE_ADAM, Muon, orthogonal

DRAW = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("shape", [(12, 12), (8, 30), (30, 8)])
def test_directions_stay_and_their_strengths_become_alike(shape: tuple[int, int]) -> None:
    matrices = torch.randn(3, *shape, generator=DRAW)
    made = orthogonal(matrices)
    assert made.shape == matrices.shape
    for before, after in zip(matrices, made, strict=True):
        u, strengths, v = torch.linalg.svd(before, full_matrices=False)
        seen = u.T @ after @ v.T
        assert (seen - torch.diag(seen.diagonal())).abs().max() < 0.05
        assert strengths.max() / strengths.min() > 1.5
        assert seen.diagonal().min() > 0.6 and seen.diagonal().max() < 1.3


@pytest.mark.parametrize("shape", [(16, 16), (16, 64)])
def test_a_step_is_as_large_as_one_of_adam(shape: tuple[int, int]) -> None:
    weight = nn.Parameter(torch.randn(shape, generator=DRAW))
    before = weight.detach().clone()
    weight.grad = 1000 * torch.randn(shape, generator=DRAW)
    Muon([weight], lr=0.01, weight_decay=0).step()
    step = (weight.detach() - before).square().mean().sqrt().item()
    assert step == pytest.approx(0.01 * LIKE_ADAM, rel=0.25)


def test_it_finds_a_matrix() -> None:
    wanted = torch.randn(6, 10, generator=DRAW)
    weight = nn.Parameter(torch.zeros(6, 10))
    optimizer = Muon([weight], lr=0.1, weight_decay=0)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 400)
        optimizer.zero_grad()
        (weight - wanted).square().mean().backward()
        optimizer.step()
    assert (weight - wanted).abs().mean() < 0.1 * wanted.abs().mean()


def test_weights_without_a_gradient_stay() -> None:
    weight = nn.Parameter(torch.ones(3, 3))
    Muon([weight], lr=0.1).step()
    assert torch.equal(weight, torch.ones(3, 3))


def test_a_vector_is_refused() -> None:
    with pytest.raises(ValueError, match="matrices"):
        Muon([nn.Parameter(torch.zeros(3))], lr=0.1)

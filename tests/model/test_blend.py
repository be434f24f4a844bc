"""Blends of prompts and the way from one to the next."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from engine.core.errors import EngineError
from engine.model.blend import Transition, blended, slerp

DRAW = torch.Generator().manual_seed(5)
A, B, C = (torch.randn(1, 4, 16, generator=DRAW) for _ in range(3))


def test_a_linear_blend_keeps_the_weighted_norm_and_only_proportions_count() -> None:
    mixed = blended([A, B, C], [1, 2, 1])
    assert mixed.norm().item() == pytest.approx((A.norm() + 2 * B.norm() + C.norm()).item() / 4, rel=1e-5)
    assert torch.allclose(mixed, blended([A, B, C], [10, 20, 10]))
    assert torch.allclose(blended([A, B], [1, 0]), A)


def test_prompts_that_cancel_each_other_blend_to_nothing_not_to_nan() -> None:
    assert torch.equal(blended([A, -A], [1, 1]), torch.zeros_like(A))


def test_a_shorter_prompt_is_continued_by_zeros() -> None:
    short = A[:, :2]
    padded = torch.cat([short, torch.zeros_like(short)], 1)
    for method in ("linear", "slerp"):
        assert torch.equal(blended([short, B], [1, 3], method), blended([padded, B], [1, 3], method))


def test_slerp_keeps_the_length_between_rows_of_equal_length() -> None:
    a, b = (part / part.norm(dim=-1, keepdim=True) for part in (A, B))
    assert torch.allclose(slerp(a, b, 0.3).norm(dim=-1), torch.ones(1, 4), atol=1e-6)
    assert torch.allclose(slerp(A, B, 0.0), A, atol=1e-6) and torch.allclose(slerp(A, B, 1.0), B, atol=1e-6)


@pytest.mark.parametrize("other", [A, -A, 2 * A, torch.zeros_like(A)])
def test_rows_without_an_arc_stay_finite(other: Tensor) -> None:
    mixed = slerp(A, other, 0.25)
    assert mixed.isfinite().all()
    if other is not A and (other * A).sum() != 0:
        assert torch.allclose(mixed, 0.75 * A + 0.25 * other, atol=1e-5)


@pytest.mark.parametrize("weights", [[1.0], [0.0, 0.0], [-1.0, 2.0], [math.nan, 1.0], [math.inf, 1.0], []])
def test_impossible_weights_are_named(weights: list[float]) -> None:
    with pytest.raises(EngineError, match="2 prompts cannot be blended"):
        blended([A, B], weights)


def test_an_arc_joins_two_prompts_only() -> None:
    with pytest.raises(EngineError, match="3 prompts cannot be blended along an arc"):
        blended([A, B, C], [1, 1, 1], "slerp")


@pytest.mark.parametrize("method", ["linear", "slerp"])
def test_the_first_chunk_already_moves_and_the_last_is_the_new_prompt(method: str) -> None:
    """The reference's first step is the old prompt: the performer would wait a chunk for nothing.

    Over one chunk it would even never arrive; here that is a plain change.
    """
    way = Transition(A, B, 4, "slerp" if method == "slerp" else "linear")
    assert way.now is A
    steps = [way.next() for _ in range(4)]
    assert not torch.allclose(steps[0], A, atol=0.1)
    assert steps[3] is B and way.done
    gone = torch.stack([A, *steps]).diff(dim=0).flatten(1).norm(dim=1)
    assert gone.min() > 0.5 * gone.max()
    assert way.next() is B
    assert Transition(A, B, 1).next() is B


def test_linear_steps_are_even() -> None:
    way = Transition(A, B, 4)
    for share in (0.25, 0.5, 0.75, 1.0):
        assert torch.allclose(way.next(), A + share * (B - A), atol=1e-6)


def test_held_the_first_chunk_is_the_old_prompt() -> None:
    way = Transition(A, B, 3, first="holds")
    first, middle, last = (way.next() for _ in range(3))
    assert torch.equal(first, A) and torch.allclose(middle, (A + B) / 2, atol=1e-6) and last is B
    assert Transition(A, B, 1, first="holds").next() is B


def test_no_chunks_is_an_immediate_change() -> None:
    way = Transition(A, B, 0)
    assert way.done and way.now is B and way.next() is B


def test_a_new_prompt_cancels_the_way_and_starts_where_it_was() -> None:
    way = Transition(A, B, 4)
    way.next()
    half = way.next()
    turned = way.towards(C, 2)
    assert turned.now is half
    assert torch.allclose(turned.next(), (half + C) / 2, atol=1e-6)
    assert turned.next() is C


def test_the_end_is_the_new_prompt_as_it_is_though_the_old_was_longer() -> None:
    short = B[:, :1]
    way = Transition(A, short, 2)
    assert way.next().shape == A.shape
    assert way.next() is short

"""The encoder network: what its outputs depend on, how its weights are kept, and which files it refuses."""

from __future__ import annotations

import pytest
import torch

from engine.core.errors import WeightsError
from engine.model.umt5 import UMT5_XXL, Umt5, Umt5Arch, distance_buckets, umt5_arch
from engine.model.weights import on_meta
from engine.parity.golden import filled

ARCH = Umt5Arch(vocabulary=50, dim=24, attention_dim=32, ffn_dim=40, heads=4, layers=3)
IDS = torch.tensor([[7, 3, 41, 3, 9, 1]])


@pytest.fixture(scope="module")
def network() -> Umt5:
    return filled(lambda: Umt5(ARCH), salt=3)


def shapes() -> dict[str, tuple[int, ...]]:
    state = on_meta(lambda: Umt5(ARCH)).state_dict()
    return {key: tuple(value.shape) for key, value in state.items()}


def test_sizes_are_read_from_shapes() -> None:
    assert umt5_arch(shapes()) == ARCH
    full = on_meta(lambda: Umt5(UMT5_XXL)).state_dict()
    assert umt5_arch({key: tuple(value.shape) for key, value in full.items()}) == UMT5_XXL
    assert sum(value.numel() for value in full.values()) == 5_680_910_336


@torch.no_grad()
def test_padding_changes_nothing_for_the_true_tokens(network: Umt5) -> None:
    padded = torch.cat([IDS, torch.zeros(1, 5, dtype=torch.long)], 1)
    true = torch.arange(11)[None] < 6
    assert torch.allclose(network(padded, true)[:, :6], network(IDS), atol=1e-5)
    other = torch.where(true, padded, 17)
    assert torch.equal(network(other, true)[:, :6], network(padded, true)[:, :6])


@torch.no_grad()
def test_the_order_of_words_matters(network: Umt5) -> None:
    assert not torch.allclose(network(IDS), network(IDS.flip(1)).flip(1), atol=1e-2)


@torch.no_grad()
def test_eight_bit_weights_stay_so_and_give_what_their_values_give(network: Umt5) -> None:
    stored = filled(lambda: Umt5(ARCH), salt=3)
    small = {k: v.to(torch.float8_e4m3fn) if v.ndim == 2 else v for k, v in stored.state_dict().items()}
    stored.load_state_dict(small, assign=True)
    plain = filled(lambda: Umt5(ARCH), salt=3)
    plain.load_state_dict({key: value.float() for key, value in small.items()}, assign=True)
    assert torch.equal(stored(IDS), plain(IDS))
    assert stored.state_dict()["blocks.0.attn.q.weight"].dtype == torch.float8_e4m3fn
    difference = (stored(IDS) - network(IDS)).norm() / network(IDS).norm()
    assert 0 < difference < 0.3


@torch.no_grad()
def test_sixteen_bit_products_stay_near(network: Umt5) -> None:
    near = network(IDS, dtype=torch.bfloat16)
    assert near.dtype == torch.float32
    assert 0 < (near - network(IDS)).norm() / network(IDS).norm() < 0.05


def test_buckets_are_symmetric_but_for_the_side_and_end_at_the_farthest() -> None:
    buckets = distance_buckets(300, ARCH)
    assert buckets[0, :8].tolist() == [0, 17, 18, 19, 20, 21, 22, 23]
    assert buckets[200, 192:200].tolist() == [8, 7, 6, 5, 4, 3, 2, 1]
    assert torch.equal(buckets.T[buckets > 15], buckets[buckets > 15] - 16)
    assert set(buckets[0, 128:].tolist()) == {31} and buckets[0, 90] == 30
    assert (buckets[0, 1:].diff() >= 0).all()


BROKEN = {
    "no embedding": ("token_embedding.weight", None, "no UMT5 encoder"),
    "names of another library": ("blocks.0.attn.q.weight", None, "no blocks.0.attn.q.weight"),
    "no position table per block": ("blocks.0.pos_embedding.embedding.weight", None, "pos_embedding"),
    "flat": ("token_embedding.weight", (50,), "expected 2 dimensions"),
    "empty": ("blocks.0.ffn.fc1.weight", (0, 24), "expected 2 dimensions"),
    "heads that do not divide": ("blocks.0.pos_embedding.embedding.weight", (32, 5), "5 heads"),
    "odd buckets": ("blocks.0.pos_embedding.embedding.weight", (7, 4), "7 position buckets"),
    "a block far away": ("blocks.900000.norm1.weight", (24,), "not numbered from 0"),
}


@pytest.mark.parametrize(("key", "shape", "said"), BROKEN.values(), ids=BROKEN)
def test_files_of_other_models_are_refused(key: str, shape: tuple[int, ...] | None, said: str) -> None:
    changed = shapes()
    if shape is None:
        del changed[key]
    else:
        changed[key] = shape
    with pytest.raises(WeightsError, match=said) as caught:
        umt5_arch(changed)
    assert "\n" not in str(caught.value) and caught.value.fix

"""A small network on a processor runs on one thread, every time, and leaves torch as it was."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from engine.model.spec import Arch
from engine.model.threads import SMALL, threads_for

TINY = Arch(dim=32, ffn_dim=64, heads=2, layers=2, vace_layers=(), text_len=8, text_dim=16, freq_dim=16)


@pytest.fixture(autouse=True)
def three() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_a_small_network_runs_on_one_thread_and_the_others_come_back() -> None:
    with threads_for(TINY, torch.device("cpu")):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


def test_they_come_back_after_a_fault() -> None:
    with pytest.raises(RuntimeError, match="fault"), threads_for(TINY, torch.device("cpu")):
        raise RuntimeError("fault")
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("arch", "device"), [(replace(TINY, dim=SMALL + 32), "cpu"), (TINY, "cuda"), (TINY, "mps")]
)
def test_a_large_network_and_a_card_keep_all(arch: Arch, device: str) -> None:
    with threads_for(arch, torch.device(device)):
        assert torch.get_num_threads() == 3

"""On how many threads a network on a processor runs: a small one on one.

A pass of a small transformer is hundreds of short operations. Threads that share one of them fall asleep
before the next, and waking them takes longer than they save; beside a window, a camera and an annotator they
wait for a core as well. The number depends on nothing but the network: sums that are shared out differently
round differently, and a seed is to give the same frames every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from engine.model.spec import Arch

SMALL = 256
"""Channels up to which a transformer is a small one: Pocket has 128, the smallest public one 1536."""


@contextmanager
def threads_for(arch: Arch, device: torch.device) -> Iterator[None]:
    """Run what is inside on as many threads as serve such a network; those of before come back after it."""
    if device.type != "cpu" or arch.dim > SMALL:
        yield
        return
    with one_thread():
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Run what is inside on one thread of torch; as many as before come back after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""Processes that train one model together: each on samples of its own, then one mean of their gradients.

A network this small leaves a second thread of one process half idle: its matrices are done before the work
is dealt out. Two processes of one thread each see a fifth more samples a second than one with two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import spawn


@dataclass(frozen=True)
class Peers:
    """Who trains together: `count` processes, of which this one is `rank`, from 0."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process keeps the log, the state and the weights."""
        return self.rank == 0

    def mean(self, tensors: Sequence[Tensor]) -> None:
        """Make each tensor its mean over all processes, in place, the same to the bit for all of them."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self.count
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))


def together(count: int, work: Callable[[Peers], None]) -> None:
    """Run `work` in so many processes at once, and wait for all; one alone runs here.

    `work` must be one that can be pickled. Where one fails, the others end and an error of theirs is raised.
    """
    if count == 1:
        work(Peers())
        return
    with TemporaryDirectory(prefix="cuelight-") as folder:
        spawn(_join, (count, Path(folder), work), nprocs=count)


def _join(rank: int, count: int, folder: Path, work: Callable[[Peers], None]) -> None:
    """What one process does: meet the others in a folder, then the work, on one thread."""
    torch.set_num_threads(1)
    meeting = (folder / "meeting").as_uri()
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=count)
    try:
        work(Peers(rank, count))
    finally:
        distributed.destroy_process_group()

"""What this machine could do at best: a large matrix product and a large copy, measured here and now."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from engine.bench.stages import synchronize

TRIES = 8
SIDE = {"cuda": 8192, "mps": 4096}
COPIED = {"cuda": 2**30, "mps": 2**28}
SIDE_CPU, COPIED_CPU = 1024, 2**26


@dataclass(frozen=True)
class Roof:
    """Floating-point operations a second of a matrix product, bytes a second (read + written) of a copy."""

    flops: float
    bytes: float

    def seconds(self, operations: int, moved: int) -> float:
        """The least time for so many operations, and for so many bytes: whichever takes longer."""
        return max(operations / self.flops, moved / self.bytes)


def measure_roof(device: torch.device, dtype: torch.dtype) -> Roof:
    """The best of a few tries each, with as many threads as torch uses."""
    side = SIDE.get(device.type, SIDE_CPU)
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    product = _best(lambda: torch.mm(a, b, out=out), device)
    size = COPIED.get(device.type, COPIED_CPU)
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = _best(lambda: target.copy_(source), device)
    return Roof(2 * side**3 / product, 2 * size / copy)


def count_operations(run: Callable[[], object]) -> int:
    """Floating-point operations of everything torch does in `run`.

    A recorded CUDA graph and the kernels of other packages are none of torch's doing: count without them.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_OF_THE_PROCESSOR)
    with counter:
        run()
    return counter.get_total_flops()


def _attention(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: object, **__: object
) -> int:
    """Operations of attention by the shapes of its tensors."""
    return int(sdpa_flop_count(query, key, value))


_OF_THE_PROCESSOR = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
"""What torch's counter has no formula for."""


def _best(run: Callable[[], object], device: torch.device) -> float:
    """Shortest seconds of a few calls, after two that warm up."""
    shortest = float("inf")
    for attempt in range(TRIES + 2):
        synchronize(device)
        begin = time.perf_counter()
        run()
        synchronize(device)
        if attempt >= 2:
            shortest = min(shortest, time.perf_counter() - begin)
    return shortest

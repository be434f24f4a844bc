"""A recorder for the processor that behaves as a CUDA graph does: the same operations on the same memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

READ_BACK = ("_local_scalar_dense", "item", "is_nonzero", "nonzero", "equal")
"""What a graph cannot hold: it would have to wait for a number."""


class Tape(TorchDispatchMode):
    """Takes down every operation with the tensors it read and wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.overloadpacket.__name__ in READ_BACK:
            raise RuntimeError(f"operation not permitted when stream is capturing: {func}")
        out = func(*args, **(kwargs or {}))
        self.taken.append((func, args, kwargs or {}, out))
        return out

    def play(self) -> None:
        """Run them again; what is made lies where it lay, whatever Python would do by now."""
        for func, args, kwargs, out in self.taken:
            read = {place(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
            again = func(*args, **kwargs)
            for before, now in zip(tree_leaves(out), tree_leaves(again), strict=True):
                if isinstance(before, Tensor) and place(before) not in read:  # neither a view nor in place
                    before.copy_(now)


class TapeRecorder:
    """Tapes by the face of a Recorder."""

    def __init__(self) -> None:
        self.tapes: list[Tape] = []
        self.played = 0

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        """Take down what a call does."""
        tape = Tape()
        with tape:
            run()
        self.tapes.append(tape)

        def play() -> None:
            self.played += 1
            with torch.inference_mode():
                tape.play()

        return play


def place(tensor: Tensor) -> int:
    """Where the memory of a tensor begins."""
    return tensor.untyped_storage().data_ptr()

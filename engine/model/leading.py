"""How reference pictures lead a chunk: a way is asked at three places, and may answer at any of them.

`InBranch` is the program's own way. Others are compared with it (`engine.adherence.reference_ways`); a
session takes whichever it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from engine.model.references import Reference
from engine.model.stream import LatentStream
from engine.model.wan import CrossCache

Led = Sequence[Reference]


class Way(Protocol):
    """How the references of a chunk reach the model. A way that keeps something belongs to one session."""

    def enter(
        self, stream: LatentStream, references: Led, text: CrossCache, scale: Callable[[], float]
    ) -> None:
        """Before the chunk begins: what the stream itself is to know. `scale`: the context scale now."""
        ...

    def inside(self, context_BCFhw: Tensor | None, references: Led) -> Tensor | None:
        """The chunk's context `[1, 96, n, h, w]` (None: nothing is asked) with what they are to be in it."""
        ...

    def beside(self, references: Led) -> tuple[Reference, ...]:
        """Those that lead the chunk in the VACE branch, beside its own latents."""
        ...


class InBranch:
    """All of them lead the chunk inside the VACE branch, and take no place in its time."""

    def enter(
        self, stream: LatentStream, references: Led, text: CrossCache, scale: Callable[[], float]
    ) -> None:
        """Nothing: the stream does not know them."""

    def inside(self, context_BCFhw: Tensor | None, references: Led) -> Tensor | None:
        """The context as it is."""
        return context_BCFhw

    def beside(self, references: Led) -> tuple[Reference, ...]:
        """All of them."""
        return tuple(references)

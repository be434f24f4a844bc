"""What the transformer is told, chunk by chunk: the prompt's embeddings as keys and values, on their way
from one prompt to the next.

Knows nothing of threads or caches of the past; it says when a new text is complete, so that its owner may
recache.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.model.blend import Method, Transition
from engine.model.quantize import exact
from engine.model.text import Conditioning
from engine.model.wan import CausalWan, CrossCache


@dataclass(frozen=True)
class Told:
    """Keys and values of what is said in a chunk; `arrived`: it is the first to say a new text in full."""

    text: CrossCache
    arrived: bool


class Speech:
    """The text of one stream. The keys and values of a text are made once, however many chunks it is said."""

    def __init__(self, dit: CausalWan, device: torch.device, dtype: torch.dtype) -> None:
        self._dit = dit
        self._device, self._dtype = device, dtype
        self._wanted: Conditioning | None = None
        self._said: Tensor | None = None
        self._transition: Transition | None = None
        self._told: CrossCache | None = None
        self._voice = 0

    def next(self, wanted: Conditioning, chunks: int, method: Method, voice: int = 0) -> Told:
        """What to say in the next chunk on the way to `wanted`.

        A text that was not wanted before is reached within `chunks` chunks (0: at once), starting from
        whatever is said now, the middle of an earlier transition included. The first text is said at once.
        `voice`: another number means that the model's weights changed, so that keys and values do.
        """
        if wanted is not self._wanted or self._told is None:
            arriving = self._said is not None
            self._set_out(wanted, chunks, method)
        elif self._transition is not None:
            arriving = True
        elif voice == self._voice:
            return Told(self._told, arrived=False)
        else:
            arriving = False
        self._said = self._move(wanted)
        self._voice = voice
        with exact(self._dit):  # made once per text, seen for as long as it is said
            self._told = self._dit.cross_cache(self._said)
        return Told(self._told, arrived=arriving and self._transition is None)

    def _set_out(self, wanted: Conditioning, chunks: int, method: Method) -> None:
        self._wanted = wanted
        self._transition = None
        if self._said is not None and chunks > 0:
            self._transition = Transition(self._said, self._rows(wanted), chunks, method)

    def _move(self, wanted: Conditioning) -> Tensor:
        if self._transition is None:
            return self._rows(wanted)
        embeddings = self._transition.next()
        if self._transition.done:
            self._transition = None
        return embeddings

    def _rows(self, conditioning: Conditioning) -> Tensor:
        """The embeddings `[1, text_len, text_dim]`, zero-padded so that any two texts can be mixed."""
        rows = conditioning.embeddings.to(self._device, self._dtype)
        missing = self._dit.arch.text_len - rows.shape[1]
        return torch.nn.functional.pad(rows, (0, 0, 0, missing)) if missing > 0 else rows

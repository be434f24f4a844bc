"""Passes of a network that are recorded once and played again: on a GPU as CUDA graphs, not call by call.

A recording repeats the very operations of one pass on the very memory it was made with; no Python runs and no
number of the host is looked at again. So everything that may differ from pass to pass must be a tensor that
was given (it is copied to where the recording reads it), or lie where it always lies: weights, the KV cache,
a LoRA's gains. Whatever else decides what is computed (shapes, slots of the cache, whether there is a
context) is part of the recording's kind, and another kind is another recording. What comes out is copied, so
that nothing a caller holds lies in memory that recordings share.

Knows nothing of chunks, policies or networks. The recorder is an argument: the one for CUDA is here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Protocol, TypeVar, cast

import torch
from torch import Tensor

KEPT = 48
"""Recordings: step kinds times states of a ring that fills and goes round, for a few sizes."""

Given = TypeVar("Given")
Made = TypeVar("Made")


class Recorder(Protocol):
    """Records what a call does on a device."""

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        """Take down `run` and return what plays it; RuntimeError where that is impossible.

        Whether `run` has had its effects by then is left open: it is always played afterwards.
        """
        ...


class CudaRecorder:
    """Recordings as CUDA graphs, which share one pool of memory. Only where there is CUDA."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        """Capture what `run` launches; it is not run by that."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            run()
        return graph.replay


@dataclass(frozen=True)
class _Recording:
    """What plays it, where it reads what is given, and where what it makes is found."""

    play: Callable[[], None]
    places: list[Tensor]
    made: object


class Graphs:
    """Recordings by kind. The first pass of a kind runs as it is, the second is recorded, later ones play."""

    refused = ""
    """Why recording was given up, empty while it was not: everything then runs as it is."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._kept: dict[Hashable, _Recording | None] = {}

    @property
    def recorded(self) -> int:
        """How many recordings there are."""
        return sum(recording is not None for recording in self._kept.values())

    def run(self, kind: Hashable, compute: Callable[[Given], Made], given: Given) -> Made:
        """What `compute(given)` gives, by a recording where there is one for this kind and outline.

        `given`: tensors, and tuples, mappings and dataclasses of such. What is no tensor in it belongs to the
        kind and must be hashable. `compute` must read nothing that changes but `given`.
        """
        if self.refused:
            return compute(given)
        key = kind, outline(given)
        if key not in self._kept:
            self._keep(key, None)
            return compute(given)
        recording = self._kept[key]
        if recording is None:
            try:
                recording = self._record(compute, given)
            except RuntimeError as error:
                self.refused = (str(error).splitlines() or [type(error).__name__])[0]
                return compute(given)
        self._keep(key, recording)
        torch._foreach_copy_(recording.places, tensors(given))
        recording.play()
        return changed(cast(Made, recording.made), torch.clone)

    def _record(self, compute: Callable[[Given], Made], given: Given) -> _Recording:
        placed = changed(given, torch.clone)
        made: list[Made] = []
        play = self._recorder.record(lambda: made.append(compute(placed)))
        return _Recording(play, tensors(placed), made[0])

    def _keep(self, key: Hashable, recording: _Recording | None) -> None:
        """The newest last; the oldest ones go."""
        self._kept.pop(key, None)
        self._kept[key] = recording
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]


def outline(value: object) -> Hashable:
    """Everything about a value but the numbers in its tensors."""
    if isinstance(value, Tensor):
        return value.shape, value.dtype, value.device
    if isinstance(value, tuple):
        return tuple(map(outline, value))
    if isinstance(value, Mapping):
        return tuple((key, outline(part)) for key, part in value.items())
    if is_dataclass(value) and not isinstance(value, type):
        return type(value), tuple(outline(vars(value)[field.name]) for field in fields(value))
    if isinstance(value, Hashable):
        return value
    raise TypeError(f"{type(value).__name__} cannot be part of what a recording is given")


def tensors(value: object) -> list[Tensor]:
    """The tensors of a value, in the order of its outline."""
    found: list[Tensor] = []

    def collect(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    changed(value, collect)
    return found


def changed(value: Given, change: Callable[[Tensor], Tensor]) -> Given:
    """The same value with every tensor exchanged."""
    result: object = value
    if isinstance(value, Tensor):
        result = change(value)
    elif isinstance(value, tuple):
        result = tuple(changed(part, change) for part in value)
    elif isinstance(value, Mapping):
        result = {key: changed(part, change) for key, part in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: changed(vars(value)[field.name], change) for field in fields(value)}
        result = replace(value, **parts)
    return cast(Given, result)

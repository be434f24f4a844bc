"""One recorded file: its inputs are taken, its outputs are compared, and every tensor is accounted for."""

import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from engine.core.errors import CuelightError
from engine.model.weights import on_meta

Model = TypeVar("Model", bound=nn.Module)

LIMIT = 2e-4
"""Largest difference that still is the same computation; a missed detail differs by 1e-2 or more."""


class Mismatch(CuelightError):
    """The recording and our numbers cannot be the same thing, or the recording cannot be read."""


class Golden:
    """A recorded file, ticked off tensor by tensor; `error` is the largest difference met so far."""

    def __init__(self, path: Path) -> None:
        """Read the whole file; raises Mismatch when it is damaged."""
        self.path = path
        self.error = 0.0
        try:
            with safe_open(path, framework="pt") as file:
                self._tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                self._metadata = {key: _value(text) for key, text in (file.metadata() or {}).items()}
        except (SafetensorError, OSError, ValueError) as error:
            raise Mismatch(f"unreadable: {error}") from error
        self._left = set(self._tensors)

    def __contains__(self, key: str) -> bool:
        return key in self._tensors

    def keys(self, prefix: str) -> list[str]:
        """Names of the tensors that begin with `prefix`, sorted."""
        return sorted(key for key in self._tensors if key.startswith(prefix))

    def meta(self, key: str) -> Any:
        """A value of the recorded configuration."""
        if key not in self._metadata:
            raise Mismatch(f"metadata lacks {key}")
        return self._metadata[key]

    def has_meta(self, key: str) -> bool:
        """Whether the recorded configuration has this value."""
        return key in self._metadata

    def take(self, key: str) -> Tensor:
        """An input; floating-point numbers come as fp32."""
        if key not in self._tensors:
            raise Mismatch(f"lacks the tensor {key}")
        self._left.discard(key)
        value: Tensor = self._tensors[key]
        return value.float() if value.is_floating_point() else value

    def compare(self, key: str, ours: Tensor) -> None:
        """An output: our numbers against the recorded ones, which must exist."""
        self.error = max(self.error, self.difference(key, ours))

    def difference(self, key: str, ours: Tensor) -> float:
        """Largest difference of a recorded tensor from ours; infinite where either is no number."""
        recorded = self.take(key)
        if recorded.shape != ours.shape:
            raise Mismatch(f"{key} is recorded as {list(recorded.shape)}, ours is {list(ours.shape)}")
        largest = (recorded.double() - ours.double()).abs().max().item()
        return math.inf if math.isnan(largest) else largest

    def compare_if_recorded(self, key: str, ours: Tensor) -> None:
        """An output that only some recordings of a kind hold."""
        if key in self:
            self.compare(key, ours)

    def agree(self, what: str, recorded: float, ours: float) -> None:
        """A number of the recorded configuration that is compared as an output."""
        difference = abs(recorded - ours)
        if not difference <= 1:
            raise Mismatch(f"{what} is recorded as {recorded}, ours is {ours}")
        self.error = max(self.error, difference)

    def expect(self, what: str, recorded: object, ours: object) -> None:
        """A number of the recorded configuration that we also derive."""
        if recorded != ours:
            raise Mismatch(f"{what} is recorded as {recorded}, ours is {ours}")

    def finish(self) -> None:
        """Refuse a recording with tensors that the replay knew nothing about."""
        if self._left:
            raise Mismatch(f"not compared: {', '.join(sorted(self._left)[:4])}")


def _value(text: str) -> Any:
    """Metadata is JSON where it can be, else plain words."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def fill(name: str, shape: tuple[int, ...], salt: int) -> Tensor:
    """The weights of the recordings: a hash of parameter name and index, scaled by the kind of parameter."""
    mask = np.uint64(0xFFFFFFFF)
    u = np.arange(math.prod(shape), dtype=np.uint64) * np.uint64(0x9E3779B1)
    u = (u + np.uint64(zlib.crc32(f"{salt}:{name}".encode()))) & mask
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        u ^= u >> np.uint64(shift)
        u = (u * np.uint64(factor)) & mask
    u ^= u >> np.uint64(16)
    uniform = (u.astype(np.float64) / 2**32 * 2 - 1).reshape(shape)
    return torch.from_numpy(_scaled(name, uniform).astype(np.float32))


def _scaled(name: str, uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Uniform numbers in [-1, 1) as weights of a sensible size for a parameter of this name."""
    last = name.rsplit(".", 1)[-1]
    if last == "modulation":
        return 0.3 * uniform
    if last == "bias":
        return 0.05 * uniform
    if last != "gamma" and (name.endswith("token_embedding.weight") or "pos_embedding" in name):
        return uniform
    if last == "gamma" or uniform.ndim == 1:
        return 1 + 0.1 * uniform
    return math.sqrt(3 / math.prod(uniform.shape[1:])) * uniform


def filled(make: Callable[[], Model], salt: int) -> Model:
    """A network with the weights of the recordings."""
    model = on_meta(make)
    weights = {key: fill(key, tuple(value.shape), salt) for key, value in model.state_dict().items()}
    model.load_state_dict(weights, assign=True)
    return model

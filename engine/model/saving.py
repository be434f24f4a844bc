"""Writing safetensors files one tensor at a time, and keeping pickled downloads in that form.

A reader finds the old file or the whole new one, never a part. Memory is bounded by the largest tensor.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from engine.core.errors import WeightsError
from engine.core.paths import replacing
from engine.model.checkpoint import DIGEST, ENTRIES, SAFETENSORS_DTYPES, open_checkpoint
from engine.model.outline import Stored
from engine.model.pickled import FETCH_AGAIN, shown

COPY = ".cuelight.safetensors"
SOURCE = "source"
"""Metadata word of a converted copy: what it was made of."""

_NAMES = {dtype: name for name, dtype in SAFETENSORS_DTYPES.items()}
_NO_DIGEST = "0" * 64
_AT_ONCE = 2**22


def write_tensors(
    path: Path, described: Mapping[str, Stored], read: Callable[[str], Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file of the tensors that `read` gives, with a digest of each in its metadata.

    `read(key)` must give the shape and number type that `described` says. Raises OSError, leaving nothing.
    """
    # The format wants each tensor aligned to its numbers: the widest first.
    order = sorted(described, key=lambda key: (-described[key].dtype.itemsize, key))
    digests = dict.fromkeys(order, _NO_DIGEST)
    with replacing(path) as file:
        file.write(_header(described, order, metadata, digests))
        for key in order:
            numbers = as_bytes(read(key))
            digests[key] = hashlib.sha256(numbers).hexdigest()
            file.write(numbers)
        file.seek(0)
        file.write(_header(described, order, metadata, digests))


def converted(path: Path, *, entry: Sequence[str] = ENTRIES, dtype: torch.dtype | None = None) -> Path:
    """The safetensors copy of a pickled file beside it, made when missing or stale.

    Floating-point tensors are kept in `dtype` (None: as stored). Other kinds of files, and folders that
    cannot be written to, give `path` back. Raises WeightsError when the file itself is bad.
    """
    if path.suffix == ".safetensors" or path.name.endswith(".index.json"):
        return path
    copy = path.with_name(path.name + COPY)
    with open_checkpoint(path, entry=entry) as checkpoint:
        status = path.stat()
        made_of = [status.st_size, status.st_mtime_ns, list(entry), str(dtype)]
        source = json.dumps(made_of)
        if _source_of(copy) == source:
            return copy
        kept = {key: _kept(stored, dtype) for key, stored in checkpoint.dtypes.items()}
        described = {key: Stored(shape, kept[key]) for key, shape in checkpoint.shapes.items()}

        def read(key: str) -> Tensor:
            value = checkpoint.own(key, kept[key])
            if not is_finite(value):
                raise WeightsError(f"{path.name}: {shown(key)} holds NaN or infinite numbers.", FETCH_AGAIN)
            return value

        try:
            write_tensors(copy, described, read, {**checkpoint.metadata, SOURCE: source})
        except OSError:  # no room, or not ours to write: the download itself still serves
            return path
    return copy


def is_finite(value: Tensor) -> bool:
    """Whether no number of a CPU tensor is NaN or infinite."""
    if not value.is_floating_point():
        return True
    eight_bit = value.dtype.itemsize == 1  # has no arithmetic of its own
    for part in value.reshape(-1).split(_AT_ONCE if eight_bit else max(1, value.numel())):
        # The extremes carry NaN along, and finding them needs no memory.
        low, high = (part.float() if eight_bit else part).aminmax() if part.numel() else (0.0, 0.0)
        if not (math.isfinite(low) and math.isfinite(high)):
            return False
    return True


def as_bytes(value: Tensor) -> memoryview:
    """The numbers of a CPU tensor in reading order."""
    numbers: memoryview = value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data
    return numbers


def _kept(stored: torch.dtype, wanted: torch.dtype | None) -> torch.dtype:
    """Eight-bit weights stay: widening them would only make a larger file."""
    return wanted if wanted is not None and stored.is_floating_point and stored.itemsize > 1 else stored


def _source_of(copy: Path) -> str | None:
    """What a copy says it was made of; None where there is none that can be read."""
    if not copy.is_file():
        return None
    try:
        with open_checkpoint(copy) as checkpoint:
            return checkpoint.metadata.get(SOURCE)
    except WeightsError:
        return None


def _header(
    described: Mapping[str, Stored],
    order: Sequence[str],
    metadata: Mapping[str, str],
    digests: Mapping[str, str],
) -> bytes:
    """Length and table of a safetensors file; of the same size whatever the digests are."""
    table: dict[str, object] = {"__metadata__": {**metadata, **{DIGEST + key: digests[key] for key in order}}}
    at = 0
    for key in order:
        stored = described[key]
        table[key] = {
            "dtype": _NAMES[stored.dtype],
            "shape": list(stored.shape),
            "data_offsets": [at, at + stored.bytes],
        }
        at += stored.bytes
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text

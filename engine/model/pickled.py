"""Reading .pt, .pth and .bin checkpoints of strangers: looked through first, then loaded by torch.

`torch.load(weights_only=True)` runs only the harmless part of a pickle, but that part can still ask for any
amount of memory. So the outline of the file (names, shapes, where the numbers lie) is made first and checked
against the file's real size. Only then torch reads it, memory-mapped where the format allows, and must find
exactly what the outline says.

Two formats: today's zip of uncompressed records, and the older bare sequence of pickles.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from engine.core.errors import WeightsError
from engine.model.outline import Refused, Storage, Stored, replay

FETCH_AGAIN = "Get the file again; a download may have been cut short."
NOT_WEIGHTS = "Do not use this file: get the weights from their publisher, as .safetensors if there is one."

LONGEST_PICKLE = 16 * 2**20
MOST_RECORDS = 100_000
LARGEST_NOTE = 4096
"""Bytes of a zip record that holds neither the pickle nor numbers (version, byte order)."""
DEEPEST_ENTRY = 4
LONGEST_NAME = 80
MOST_SHARING = 4
"""Tied weights are described twice and stored once; more than this many times the file is an attack."""

ZIP_START, PICKLE_START = b"PK\x03\x04", b"\x80"
LEGACY_PICKLES = 5
"""Magic number, protocol, machine, the state itself, order of the storages."""

# What replaying a damaged or hostile pickle can raise; the list is closed because each has been met in a test
# or in the reader's source. Anything else is a defect of ours and must be seen.
UNREADABLE = (
    pickle.UnpicklingError, EOFError, ValueError, KeyError, TypeError, IndexError, AttributeError,
    AssertionError, OverflowError, MemoryError, RecursionError, RuntimeError, NotImplementedError,
    struct.error, zipfile.BadZipFile, OSError,
)  # fmt: skip


def shown(name: object) -> str:
    """A name out of a stranger's file, fit for one line of a message."""
    text = str(name)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= LONGEST_NAME else text[:LONGEST_NAME] + "..."


class _Outline(NamedTuple):
    """The whole state as names and `Stored`; whether its numbers can be memory-mapped."""

    state: object
    mapped: bool


def _outline(path: Path) -> _Outline:
    """Look through a pickled checkpoint without running it. Raises one of UNREADABLE."""
    with path.open("rb") as file:
        start = file.read(len(ZIP_START))
    return _outline_of_zip(path) if start == ZIP_START else _outline_of_legacy(path)


def _outline_of_zip(path: Path) -> _Outline:
    _check_directory(path)
    with zipfile.ZipFile(path) as archive:
        records = _checked_records(archive.infolist(), path.stat().st_size)
        if records.get("byteorder") and archive.read(records["byteorder"]) != b"little":
            raise Refused("was written on a machine of another byte order")
        state, storages, _ = replay(archive.read(records["data.pkl"]))
    for storage in storages.values():
        record = records.get(f"data/{storage.key}")
        if record is None or record.file_size < storage.bytes:
            raise Refused(f"lacks the numbers of storage {shown(storage.key)}")
    return _Outline(state, mapped=True)


def _check_directory(path: Path) -> None:
    """Bound the list of records, which is read as a whole, by what the end of the file says of it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 2**16 - 22))
        tail = file.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) < at + 22:
            raise zipfile.BadZipFile("its list of records is missing")
        count, length, _ = struct.unpack("<HII", tail[at + 10 : at + 20])
        locator = tail[max(0, at - 20) : at]
        if locator[:4] == b"PK\x06\x07":  # the 64-bit form of the same list
            file.seek(min(size, struct.unpack("<Q", locator[8:16])[0]))
            count, length = struct.unpack("<QQ", file.read(56)[32:48])
    if count > MOST_RECORDS or length > MOST_RECORDS * 2**10:
        raise Refused(f"claims {count} records")


def _checked_records(infos: Sequence[zipfile.ZipInfo], size: int) -> dict[str, zipfile.ZipInfo]:
    """Records by name without the archive's own folder, none of them compressed, together within the file."""
    records: dict[str, zipfile.ZipInfo] = {}
    roots = {info.filename.partition("/")[0] for info in infos}
    for info in infos:
        name = info.filename.partition("/")[2]
        if not name or len(roots) != 1 or ".." in info.filename.split("/") or "\\" in info.filename:
            raise Refused(f"has a record outside its folder: {shown(info.filename)}")
        if name in records:
            raise Refused(f"has the record {shown(name)} twice")
        stored = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
        if not stored or info.flag_bits & 1:
            raise Refused(f"has a compressed or encrypted record: {shown(name)}")
        if name == "constants.pkl" or name.startswith("code/"):
            raise Refused("is a TorchScript program")
        if info.file_size > (LONGEST_PICKLE if name == "data.pkl" else LARGEST_NOTE) and name[:5] != "data/":
            raise Refused(f"has a record of {info.file_size} bytes: {shown(name)}")
        records[name] = info
    if "data.pkl" not in records:
        raise Refused("is a zip file, but no checkpoint")
    if sum(info.file_size for info in infos) > size:
        raise Refused("claims more bytes than it has")
    return records


def _outline_of_legacy(path: Path) -> _Outline:
    with path.open("rb") as file:
        head = file.read(LONGEST_PICKLE)
    if not head.startswith(PICKLE_START):
        raise pickle.UnpicklingError("neither a zip file nor a pickle")
    results: list[object] = []
    storages: dict[str, Storage] = {}
    for _ in range(LEGACY_PICKLES):
        result, named, length = replay(head)
        results.append(result)
        storages |= named
        head = head[length:]
        if len(results) == 1 and result != torch.serialization.MAGIC_NUMBER:
            raise Refused("is a pickle, but no checkpoint")
    order = results[-1]
    if not isinstance(order, list) or sorted(map(str, order)) != sorted(storages):
        raise Refused("has numbers that belong to no tensor")
    if sum(storage.bytes + 8 for storage in storages.values()) > path.stat().st_size:
        raise Refused("claims more bytes than it has")
    return _Outline(results[3], mapped=False)


def _entry(state: object, wanted: Sequence[str]) -> list[str]:
    """Names to follow from the top of a state to the dict of tensors; `wanted` in order of preference."""
    steps: list[str] = []
    while isinstance(state, dict):
        named = [name for name in wanted if isinstance(state.get(name), dict)]
        if not named and any(isinstance(value, Stored) for value in state.values()):
            break
        if not named:
            held = ", ".join(sorted(shown(key) for key in state)[:6]) or "nothing"
            raise Refused(f"holds {held}, but none of {', '.join(wanted)}")
        if len(steps) == DEEPEST_ENTRY:
            raise Refused("nests its entries too deeply")
        steps.append(named[0])
        state = state[named[0]]
    return steps


def _followed(state: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        state = state[step]
    return state


def _tensors(state: object, size: int) -> dict[str, Stored]:
    """The tensors of a flat dict; anything else in it is refused."""
    if not isinstance(state, dict):
        raise Refused("is no dict of tensors")
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Stored):
            raise Refused(f"holds {shown(key)}, which is no tensor")
    if sum(value.bytes for value in state.values()) > MOST_SHARING * size:
        raise Refused("describes far more numbers than it holds")
    return dict(state)


class PickledFile:
    """An opened .pt, .pth or .bin: `stored` names what can be asked for."""

    def __init__(self, path: Path, entry: Sequence[str]) -> None:
        """Look through the file and choose its entry. Raises WeightsError; nothing is read yet."""
        self.path = path
        self.metadata: Mapping[str, str] = {}
        self._state: dict[str, Tensor] | None = None
        self._shared: set[int] = set()
        try:
            self._stamp = stamp(path)
            outline = _outline(path)
            self._steps = _entry(outline.state, entry)
            self.stored = _tensors(_followed(outline.state, self._steps), self._stamp[0])
        except UNREADABLE as error:
            raise _complaint(path, error) from error
        self._mapped = outline.mapped

    def view(self, name: str) -> Tensor:
        """One tensor, in the file's own memory map where there is one: not to be written to."""
        return self._read(name)[name]

    def own(self, name: str, dtype: torch.dtype) -> Tensor:
        """One tensor that shares no memory with the file; a file that is in memory anyway gives it away."""
        if self._mapped:
            return self._read(name)[name].to(dtype, copy=True).contiguous()
        value = self._read(name).pop(name)
        return value.to(dtype, copy=value.untyped_storage().data_ptr() in self._shared).contiguous()

    def release(self) -> None:
        """Give mapped pages back to the system; they are read again when asked for."""
        if self._mapped:
            self._state = None

    def close(self) -> None:
        """Let go of the file."""
        self._state = None

    def _read(self, name: str) -> dict[str, Tensor]:
        """The tensors, `name` among them, read by torch and compared with the outline."""
        if self._state is not None and name in self._state:
            return self._state
        if stamp(self.path) != self._stamp:
            raise WeightsError(f"{self.path.name} changed while it was read.", "Try again.")
        try:
            whole = torch.load(self.path, map_location="cpu", weights_only=True, mmap=self._mapped)
            read = _followed(whole, self._steps)
            state: dict[str, Tensor] = {key: read[key].detach() for key in self.stored}
        except UNREADABLE as error:
            raise _complaint(self.path, error) from error
        for key, stored in self.stored.items():
            if (tuple(state[key].shape), state[key].dtype) != stored:
                what = f"{self.path.name} is damaged: {shown(key)} is not what it says."
                raise WeightsError(what, FETCH_AGAIN)
        self._state, self._shared = state, _shared(state)
        return state


def _shared(state: Mapping[str, Tensor]) -> set[int]:
    """Storages of several tensors, or of more numbers than their tensor shows."""
    found: dict[int, int] = {}
    for value in state.values():
        storage = value.untyped_storage()
        found[storage.data_ptr()] = found.get(storage.data_ptr(), storage.nbytes()) - value.nbytes
    return {place for place, unused in found.items() if unused}


def stamp(path: Path) -> tuple[int, int]:
    """Size and time of a file: whether it is still the one that was looked through."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _complaint(path: Path, error: BaseException) -> WeightsError:
    """One line about a file that could not be read."""
    if isinstance(error, Refused):
        return WeightsError(f"{path.name} {error}.", NOT_WEIGHTS)
    reason = shown(str(error).partition("\n")[0]) or type(error).__name__
    return WeightsError(f"{path.name} is damaged or no checkpoint ({reason}).", FETCH_AGAIN)

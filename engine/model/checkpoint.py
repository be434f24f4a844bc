"""One view of weights files, whatever they are: safetensors, its shards, or pickled checkpoints.

A `Checkpoint` tells names, shapes and number types before a number is read, with the wrappings of training
programs taken off, and hands out one tensor at a time from a memory map. It never decides what a tensor is
for: `weights.load_strict` does. All files are taken for hostile: whatever they hold, the worst outcome is a
WeightsError that names the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.core.errors import WeightsError
from engine.model.outline import Stored
from engine.model.pickled import FETCH_AGAIN, PickledFile, shown, stamp

ENTRIES = ("generator", "generator_ema", "generator_lora", "state_dict", "model")
"""Dicts within a pickled file that may hold the weights, in order of preference.

The plain generator comes first: it is what most pipelines run. A pipeline that is run with the averaged
weights says so.
"""

PICKLED = (".pt", ".pth", ".bin")
INDEX = ".index.json"
DIGEST = "sha256 "
"""A file's metadata may hold, under this plus a key, the digest of that key's bytes."""

PAGES_KEPT = 0.05
"""Part of the files that stays mapped while tensors are taken: mapped pages count as our memory."""
LONGEST_HEADER = 64 * 2**20
MOST_TENSORS = 100_000

# Names that training wrappers leave within keys, and the one in front of all of them.
WRAPPERS = re.compile(r"(?:_fsdp_wrapped_module|_checkpoint_wrapped_module|_orig_mod)\.")
OUTER = "model."

SAFETENSORS_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "I64": torch.int64, "I32": torch.int32,
    "I16": torch.int16, "I8": torch.int8, "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16,
    "U8": torch.uint8, "BOOL": torch.bool, "C64": torch.complex64,
}  # fmt: skip


class WeightsFile(Protocol):
    """One opened file of any format; names are its own, not yet unwrapped."""

    path: Path
    stored: dict[str, Stored]
    metadata: Mapping[str, str]

    def view(self, name: str) -> Tensor:
        """One tensor, not to be written to."""
        ...

    def own(self, name: str, dtype: torch.dtype) -> Tensor:
        """One tensor that shares no memory with the file."""
        ...

    def release(self) -> None:
        """Give mapped pages back to the system."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class _SafetensorsFile:
    """One .safetensors file."""

    def __init__(self, path: Path) -> None:
        """Check the header. Raises WeightsError."""
        self.path = path
        self.stored: dict[str, Stored] = {}
        self._open: Any = None
        try:
            self._stamp = stamp(path)
            with path.open("rb") as start:
                header = int.from_bytes(start.read(8), "little")
            if header > LONGEST_HEADER:
                raise WeightsError(f"{path.name} is damaged: its header claims {header} bytes.", FETCH_AGAIN)
            with safe_open(path, framework="pt") as file:
                self.metadata: Mapping[str, str] = file.metadata() or {}
                for name in _bounded(path, file.keys()):
                    self.stored[name] = self._described(name, file.get_slice(name))
        except (SafetensorError, OSError) as error:
            raise _damaged(path, error) from error

    def _described(self, name: str, part: Any) -> Stored:
        dtype = part.get_dtype()
        if dtype not in SAFETENSORS_DTYPES:
            what = f"{self.path.name}: {shown(name)} holds {dtype}, which cannot be read here."
            raise WeightsError(what, "Get the file in 16 bits.")
        return Stored(tuple(part.get_shape()), SAFETENSORS_DTYPES[dtype])

    def view(self, name: str) -> Tensor:
        """One tensor, in the file's own memory map: not to be written to."""
        try:
            if self._open is None:
                if stamp(self.path) != self._stamp:
                    raise WeightsError(f"{self.path.name} changed while it was read.", "Try again.")
                self._open = safe_open(self.path, framework="pt").__enter__()
            value: Tensor = self._open.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise _damaged(self.path, error) from error
        return value

    def own(self, name: str, dtype: torch.dtype) -> Tensor:
        """A copy of one tensor."""
        return self.view(name).to(dtype, copy=True).contiguous()

    def release(self) -> None:
        """Give mapped pages back to the system: they count as this program's memory while they are mapped."""
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = None

    def close(self) -> None:
        """Let go of the file."""
        self.release()


class Checkpoint:
    """A read-only view of one or several weights files, keys already unwrapped. Close it, or use `with`."""

    def __init__(self, path: Path, places: Mapping[str, tuple[WeightsFile, str]]) -> None:
        """`places`: for each key the file and the name it has there. Use `open_checkpoint`."""
        self.path = path
        self._places = dict(places)
        self._files = list({id(file): file for file, _ in places.values()}.values())
        self.shapes: Mapping[str, tuple[int, ...]] = {k: f.stored[n].shape for k, (f, n) in places.items()}
        self.dtypes: Mapping[str, torch.dtype] = {k: f.stored[n].dtype for k, (f, n) in places.items()}
        self._kept = PAGES_KEPT * sum(file.stored[name].bytes for file, name in places.values())
        self._read = 0
        self.metadata: Mapping[str, str] = {
            word: text
            for file in self._files
            for word, text in file.metadata.items()
            if not word.startswith(DIGEST)
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def tensor(self, key: str) -> Tensor:
        """One tensor on the CPU as it is stored, memory-mapped where possible: clone it before writing to it.

        Raises KeyError for a key that is not in `shapes`, WeightsError when the file turns out damaged.
        """
        file, name = self._places[key]
        return file.view(name)

    def own(self, key: str, dtype: torch.dtype | None = None) -> Tensor:
        """Like `tensor`, but sharing no memory with the file, which may then change or vanish.

        `dtype` None keeps the stored one. Pages of the file are given back on the way: a caller that takes
        the largest tensors first never holds much more than what it took.
        """
        file, name = self._places[key]
        value = file.own(name, self.dtypes[key] if dtype is None else dtype)
        self._read += self.bytes_of(key)
        if self._read > self._kept:
            self.release()
        return value

    def bytes_of(self, key: str) -> int:
        """Size of one tensor as it is stored."""
        file, name = self._places[key]
        return file.stored[name].bytes

    def file_of(self, key: str) -> str:
        """Name of the file that holds a key, for messages."""
        return self._places[key][0].path.name

    def digest_of(self, key: str) -> str | None:
        """SHA-256 of the tensor's bytes as the file gives it; files of others give none."""
        file, name = self._places[key]
        return file.metadata.get(DIGEST + name)

    @property
    def names(self) -> str:
        """The files' names, for messages."""
        return ", ".join(file.path.name for file in self._files) or self.path.name

    def only(self, *prefixes: str) -> Checkpoint:
        """The part whose keys begin with one of `prefixes`, e.g. the VACE blocks of a full VACE checkpoint.

        A view of the same files: closing either closes both. Raises WeightsError when nothing is left.
        """
        kept = {key: place for key, place in self._places.items() if key.startswith(prefixes)}
        if not kept:
            what = f"{self.names}: nothing in it begins with {' or '.join(prefixes)}."
            raise WeightsError(what, "Choose the file that goes with the pipeline.")
        return Checkpoint(self.path, kept)

    def without(self, prefix: str) -> Checkpoint:
        """The same keys with `prefix` taken from their front, if all have it; else this view itself."""
        if not prefix or not all(key.startswith(prefix) for key in self._places):
            return self
        return Checkpoint(self.path, {key.removeprefix(prefix): at for key, at in self._places.items()})

    def release(self) -> None:
        """Give the pages read so far back to the system; tensors handed out keep theirs."""
        for file in self._files:
            file.release()
        self._read = 0

    def close(self) -> None:
        """Let go of the files; tensors handed out stay valid."""
        for file in self._files:
            file.close()


def open_checkpoint(*paths: Path, entry: Sequence[str] = ENTRIES) -> Checkpoint:
    """Open weights files, several as a disjoint union; an `*.index.json` stands for its shards.

    `entry`: which dict of a pickled file holds the weights, in order of preference; a flat file needs none.
    Raises WeightsError naming the file: missing, damaged, hostile, or two files with the same key.
    """
    return checkpoint_of(*(file for path in paths for file in _opened(path, entry)))


def checkpoint_of(*files: WeightsFile) -> Checkpoint:
    """One view of opened files, their keys unwrapped. Raises WeightsError: the same key twice, or none."""
    places: dict[str, tuple[WeightsFile, str]] = {}
    for file in files:
        for key, name in _unwrapped(file).items():
            if key in places:
                what = f"{file.path.name}: {shown(key)} was already in another file."
                raise WeightsError(what, "Give files that complete each other.")
            places[key] = (file, name)
    if not places:
        raise WeightsError(f"{', '.join(file.path.name for file in files)} holds no weights.", FETCH_AGAIN)
    return Checkpoint(files[0].path, places)


def _opened(path: Path, entry: Sequence[str]) -> list[WeightsFile]:
    """The file, or the shards of an index."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise WeightsError(f"Weights file {path} {what}.", "Check the path, or get the file.")
    if path.name.endswith(INDEX):
        return _shards(path, entry)
    if path.suffix == ".safetensors":
        return [_SafetensorsFile(path)]
    if path.suffix in PICKLED:
        return [PickledFile(path, entry)]
    known = ", ".join((".safetensors", *PICKLED, INDEX))
    raise WeightsError(f"{path.name} is no weights file.", f"Weights files end in {known}.")


def _shards(path: Path, entry: Sequence[str]) -> list[WeightsFile]:
    """The files an index names, which must hold exactly what it says."""
    where = _weight_map(path)
    shards = sorted(set(where.values()))
    # A shard lies beside its index; a name that leads elsewhere is an attack.
    for shard in shards:
        if Path(shard).name != shard or "\\" in shard or not shard.endswith((".safetensors", *PICKLED)):
            what = f"{path.name} names the file {shown(shard)}, which is no weights file beside it."
            raise WeightsError(what, "Get the files again from their publisher.")
    files: list[WeightsFile] = []
    for shard in shards:
        files += _opened(path.parent / shard, entry)
        listed = {key for key, name in where.items() if name == shard}
        if listed != files[-1].stored.keys():
            wrong = sorted(listed ^ files[-1].stored.keys())
            raise WeightsError(f"{path.name} and {shard} disagree on {shown(wrong[0])}.", FETCH_AGAIN)
    return files


def _weight_map(path: Path) -> dict[str, str]:
    """The table of an index file: key to file name."""
    try:
        if path.stat().st_size > LONGEST_HEADER:
            raise WeightsError(f"{path.name} is too long for an index.", FETCH_AGAIN)
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    table = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(table, dict) or not table or not all(isinstance(name, str) for name in table.values()):
        raise WeightsError(f"{path.name} is damaged: it has no weight_map.", FETCH_AGAIN)
    return table


def _unwrapped(file: WeightsFile) -> dict[str, str]:
    """Plain key to stored name, without what training wrappers added."""
    plain = {name: WRAPPERS.sub("", name) for name in file.stored}
    if all(key.startswith(OUTER) for key in plain.values()):
        plain = {name: key.removeprefix(OUTER) for name, key in plain.items()}
    keys = {key: name for name, key in plain.items()}
    if len(keys) != len(plain):
        twice = next(name for name, key in plain.items() if keys[key] != name)
        raise WeightsError(f"{file.path.name} holds {shown(twice)} under two names.", FETCH_AGAIN)
    return keys


def _bounded(path: Path, names: Iterable[str]) -> list[str]:
    found = list(names)
    if len(found) > MOST_TENSORS:
        raise WeightsError(f"{path.name} claims {len(found)} tensors.", FETCH_AGAIN)
    return found


def _damaged(path: Path, error: Exception) -> WeightsError:
    """One line about a file that is not what its name says."""
    reason = shown(str(error).partition("\n")[0])
    kind = "safetensors file" if path.suffix == ".safetensors" else "index of weights files"
    return WeightsError(f"{path.name} is damaged or no {kind} ({reason}).", FETCH_AGAIN)

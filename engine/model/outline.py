"""Looking through a pickle without running it.

A pickle is a program. Here it is replayed with stand-ins: the only things it can reach are the functions of
this file, and what comes out is an outline, the names, shapes and storages of tensors. Instructions that
torch's own restricted reader does not know are refused before their arguments are read.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

MOST_INSTRUCTIONS = 2_000_000
"""A transformer's state with averages and critic takes a tenth of this."""
PROTOCOL = 2  # of all pickles that torch writes

# Only what torch's own restricted reader knows. Others (memo by copy, extension codes, ...) never occur.
OPCODES = frozenset((
    "APPEND", "APPENDS", "BINFLOAT", "BINGET", "BININT", "BININT1", "BININT2", "BINPERSID", "BINPUT",
    "BINUNICODE", "BUILD", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET", "EMPTY_TUPLE", "GLOBAL", "LONG1",
    "LONG_BINGET", "LONG_BINPUT", "MARK", "NEWFALSE", "NEWOBJ", "NEWTRUE", "NONE", "PROTO", "REDUCE",
    "SETITEM", "SETITEMS", "SHORT_BINSTRING", "STOP", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
))  # fmt: skip

_READ = {op.code.encode("latin-1"): op for op in pickletools.opcodes if op.name in OPCODES}


class Stored(NamedTuple):
    """What a file says of one tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """Size of its numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


class Refused(pickle.UnpicklingError):
    """The pickle wants something that weights do not need; the text completes "The file ..."."""


class _Kind(NamedTuple):
    """Stands for a storage class."""

    dtype: torch.dtype


class Storage(NamedTuple):
    """Stands for a run of numbers in the file."""

    key: str
    dtype: torch.dtype
    bytes: int


_MOST_DIMENSIONS = 64
"""Of a tensor; torch's own most."""


class _Entries(dict[Any, Any]):
    """Stands for OrderedDict; attributes that a pickle would set on it are dropped.

    It begins empty, as torch writes it: a pickle that copies a long list again and again fills no memory.
    """

    def __init__(self) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        """Ignore the attributes (torch keeps module versions there)."""


_STORAGES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool, "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}  # fmt: skip
_DTYPES = {
    str(dtype): dtype
    for dtype in (*_STORAGES.values(), torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32)
}


def _shape(values: object = ()) -> tuple[Any, ...]:
    """Stands for torch.Size: short, so that a pickle cannot copy a long list again and again."""
    if not isinstance(values, tuple | list) or len(values) > _MOST_DIMENSIONS:
        raise Refused("has a tensor whose shape is no list of whole numbers")
    return tuple(values)


def _tensor(storage: object, offset: object, size: object, stride: object, *_: object) -> Stored:
    """Stands for torch's rebuilding of a tensor from a storage of its own dtype."""
    if not isinstance(storage, Storage):
        raise Refused("has a tensor without storage")
    return _checked_view(storage, storage.dtype, offset, size, stride)


def _tensor_of_dtype(
    storage: object, offset: object, size: object, stride: object,
    _grad: object, _hooks: object, dtype: object, *_: object,
) -> Stored:  # fmt: skip
    """Stands for torch's rebuilding of a tensor from a storage of bytes."""
    if not isinstance(storage, Storage) or not isinstance(dtype, torch.dtype):
        raise Refused("has a tensor without storage or dtype")
    return _checked_view(storage, dtype, offset, size, stride)


def _parameter(value: object, *_: object) -> Stored:
    """Stands for a parameter, which is its tensor."""
    if not isinstance(value, Stored):
        raise Refused("has a parameter that is no tensor")
    return value


_STAND_INS: dict[str, object] = {
    "collections.OrderedDict": _Entries,
    "torch.Size": _shape,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.storage.UntypedStorage": _Kind(torch.uint8),
    **{f"torch.{name}": _Kind(dtype) for name, dtype in _STORAGES.items()},
    **_DTYPES,
}


def _checked_view(
    storage: Storage, dtype: torch.dtype, offset: object, size: object, stride: object
) -> Stored:
    """A tensor that lies inside its storage and has no more numbers than it."""
    shape, strides = _whole_numbers(size), _whole_numbers(stride)
    (start,) = _whole_numbers((offset,))
    if len(shape) != len(strides):
        raise Refused("has a tensor whose shape and strides disagree")
    held = storage.bytes // dtype.itemsize
    numbers = math.prod(shape)
    reach = start + 1 + sum((length - 1) * step for length, step in zip(shape, strides, strict=True))
    if numbers and (numbers > held or reach > held):
        raise Refused(f"has a tensor of shape {list(shape)} larger than its storage")
    return Stored(shape, dtype)


def _whole_numbers(values: object) -> tuple[int, ...]:
    """Sizes, strides or offsets: a tuple of whole numbers from 0 to 2^48."""
    if (
        not isinstance(values, tuple | list)
        or len(values) > _MOST_DIMENSIONS
        or not all(type(value) is int for value in values)
    ):
        raise Refused("has a tensor whose shape is no list of whole numbers")
    if not all(0 <= value < 2**48 for value in values):
        raise Refused("has a tensor of impossible size")
    return tuple(values)


class _Outliner(pickle.Unpickler):
    """Replays a pickle with stand-ins only."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a name, which is all a pickle can ever get to call."""
        wanted = f"{module}.{name}"
        if wanted not in _STAND_INS:
            raise Refused(f"wants to use {ascii(wanted[:80])[1:-1]}, which weights do not need")
        return _STAND_INS[wanted]

    def persistent_load(self, pid: Any) -> Storage:
        """A storage: ("storage", class, key, device, count) and, in the older format, a view (None)."""
        if type(pid) is not tuple or len(pid) not in {5, 6} or pid[0] != "storage":
            raise Refused("refers to something that is no storage")
        _, kind, key, _, count, *view = pid
        if view not in ([], [None]):
            raise Refused("has storages within storages")
        if not isinstance(kind, _Kind) or not isinstance(key, str):
            raise Refused("has a storage of unknown kind")
        storage = Storage(key, kind.dtype, _whole_numbers((count,))[0] * kind.dtype.itemsize)
        if self.storages.setdefault(key, storage).bytes != storage.bytes:
            raise Refused("describes one storage in two sizes")
        return storage


def _instructions(file: io.BytesIO) -> Iterator[tuple[str, object]]:
    """Names and arguments of a pickle's instructions, to its end; an unknown one is not even read."""
    while True:
        code = file.read(1)
        if not code:
            raise EOFError("it ends too early")
        if code not in _READ:
            raise Refused(f"uses a pickle instruction that weights do not need: 0x{code.hex()}")
        argument = _READ[code].arg
        if code == pickle.GLOBAL:
            # Two lines, looked at in `find_class`. Python's reader would warn of a backslash in them.
            yield "GLOBAL", (file.readline(), file.readline())
        else:
            yield _READ[code].name, argument.reader(file) if argument is not None else None
        if code == pickle.STOP:
            return


def replay(data: bytes) -> tuple[object, dict[str, Storage], int]:
    """One pickle at the start of `data`: its result, the storages it named, and its length in bytes."""
    file = io.BytesIO(data)
    count = last_put = 0
    for name, argument in _instructions(file):
        count += 1
        if count > MOST_INSTRUCTIONS:
            raise Refused("is a program without end")
        if name in {"BINPUT", "LONG_BINPUT"} and isinstance(argument, int):
            last_put = max(last_put, argument)
        if name == "PROTO" and argument != PROTOCOL:
            raise Refused(f"is a pickle of protocol {argument}, expected {PROTOCOL}")
    if last_put > count:  # the reader makes a table of this size
        raise Refused("has an impossible memo")
    end = file.tell()
    outliner = _Outliner(data[:end])
    return outliner.load(), outliner.storages, end

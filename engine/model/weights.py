"""Strict loading of safetensors files into a network, and writing them.

Nothing is guessed: every parameter must be in the files, with its shape, and everything in the files
must be wanted, unless the caller names the exception. Keys and shapes are checked from the header
before a single number is read, so memory is bounded by the network's own size. Pickled checkpoints
(.pt, .pth) are not read here: they can run code.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from engine.core.errors import WeightsError
from engine.core.paths import write_atomic

Model = TypeVar("Model", bound=nn.Module)

DIGEST = "sha256 "
"""A file's metadata may hold, under this plus a key, the digest of that key's bytes."""

LONGEST_HEADER = 64 * 2**20
NAMED = 4
FETCH_AGAIN = "Get the file again; a download may have been cut short."
OTHER_MODEL = "The file belongs to another model or size: choose the pipeline that goes with it."


def on_meta(make: Callable[[], Model]) -> Model:
    """Build a network without memory, to be filled by `load_strict` or to read its keys and shapes."""
    with torch.device("meta"):
        return make()


def load_strict(
    model: nn.Module,
    *paths: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    may_miss: Collection[str] = (),
    may_ignore: Collection[str] = (),
    strip: str = "",
) -> None:
    """Replace the network's parameters by those of the files (several files: a disjoint union).

    `may_miss` / `may_ignore`: prefixes of keys that may be absent from the files / that may be in the
    files and are not loaded. `strip`: removed from the front of the keys when all keys of a file have it.
    Raises WeightsError naming file and keys; the network is then unchanged.
    """
    wanted = model.state_dict()
    loaded: dict[str, Tensor] = {}
    for path in paths:
        for key, value in _read(path, wanted, may_ignore, strip).items():
            if key in loaded:
                raise WeightsError(f"{path.name}: {key} was already in another file.", OTHER_MODEL)
            loaded[key] = value.to(device=device, dtype=dtype)
            if not loaded[key].isfinite().all():
                raise WeightsError(f"{path.name}: {key} holds NaN or infinite numbers.", FETCH_AGAIN)
    missing = [key for key in wanted if key not in loaded and not _allowed(key, may_miss)]
    if missing:
        names = ", ".join(path.name for path in paths)
        raise WeightsError(f"{names}: missing {_some(missing)}.", OTHER_MODEL)
    model.load_state_dict(loaded, strict=not may_miss, assign=True)


def read_metadata(path: Path) -> dict[str, str]:
    """The words a file carries beside its tensors, without the digests. Raises WeightsError."""
    with _opened(path) as file:
        metadata: dict[str, str] = file.metadata() or {}
    return {key: text for key, text in metadata.items() if not key.startswith(DIGEST)}


def save_weights(
    path: Path,
    weights: Mapping[str, Tensor],
    *,
    dtype: torch.dtype = torch.float16,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a state dict with the digests of its bytes, which `load_strict` verifies. Raises OSError."""
    tensors = {key: value.detach().to("cpu", dtype).contiguous() for key, value in weights.items()}
    digests = {DIGEST + key: _digest(value) for key, value in tensors.items()}
    write_atomic(path, save(tensors, {**(metadata or {}), **digests}))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A safetensors file whose damage is reported as WeightsError."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise WeightsError(f"Weights file {path} {what}.", "Check the path, or get the file.")
    if path.suffix != ".safetensors":
        fix = "Convert it: pickled checkpoints can run code and are not read."
        raise WeightsError(f"{path.name} is no .safetensors file.", fix)
    try:
        with path.open("rb") as start:
            header = int.from_bytes(start.read(8), "little")
        if header > LONGEST_HEADER:
            raise WeightsError(f"{path.name} is damaged: its header claims {header} bytes.", FETCH_AGAIN)
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        what = f"{path.name} is damaged or no safetensors file ({error})."
        raise WeightsError(what, FETCH_AGAIN) from error


def _read(
    path: Path, wanted: Mapping[str, Tensor], may_ignore: Collection[str], strip: str
) -> dict[str, Tensor]:
    """The wanted tensors of one file; every other key must be allowed."""
    with _opened(path) as file:
        present = list(file.keys())
        prefix = strip if all(key.startswith(strip) for key in present) else ""
        names = {key.removeprefix(prefix): key for key in present}
        unexpected = [key for key in names if key not in wanted and not _allowed(key, may_ignore)]
        if unexpected:
            raise WeightsError(f"{path.name}: unexpected {_some(unexpected)}.", OTHER_MODEL)
        taken = {key: name for key, name in names.items() if key in wanted}
        for key, name in taken.items():
            stored = file.get_slice(name)
            _check_tensor(f"{path.name}: {key}", stored.get_shape(), stored.get_dtype(), wanted[key])
        tensors = {key: file.get_tensor(name) for key, name in taken.items()}
        digests = file.metadata() or {}
    for key, name in taken.items():
        if DIGEST + name in digests and digests[DIGEST + name] != _digest(tensors[key]):
            raise WeightsError(f"{path.name} is damaged: {key} does not match its digest.", FETCH_AGAIN)
    return tensors


def _check_tensor(what: str, shape: list[int], dtype: str, wanted: Tensor) -> None:
    """Refuse another shape, or numbers that are not floating-point."""
    if list(shape) != list(wanted.shape):
        raise WeightsError(f"{what} has shape {list(shape)}, expected {list(wanted.shape)}.", OTHER_MODEL)
    if not dtype.startswith(("F", "BF")):
        raise WeightsError(f"{what} holds {dtype}, expected floating-point.", OTHER_MODEL)


def _digest(value: Tensor) -> str:
    """SHA-256 of the tensor's bytes."""
    return hashlib.sha256(value.contiguous().view(-1).view(torch.uint8).numpy().data).hexdigest()


def _allowed(key: str, prefixes: Collection[str]) -> bool:
    return any(key.startswith(prefix) for prefix in prefixes)


def _some(keys: list[str]) -> str:
    """The first few keys, and how many more."""
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return ", ".join(keys[:NAMED]) + more

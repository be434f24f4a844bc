"""Strict loading of weights files into a network, and writing them.

Nothing is guessed: every parameter must be in the files, with its shape, and everything in the files
must be wanted, unless the caller names the exception. Keys, shapes and number types are checked before a
single number is read. Tensors are then read one at a time, largest first, and the pages of the file are
given back on the way, so the host holds little more than the network itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from engine.core.errors import WeightsError
from engine.model.checkpoint import ENTRIES, Checkpoint, open_checkpoint
from engine.model.outline import Stored
from engine.model.pickled import FETCH_AGAIN, shown
from engine.model.saving import as_bytes, converted, is_finite, write_tensors

Model = TypeVar("Model", bound=nn.Module)

NAMED = 4
OTHER_MODEL = "The file belongs to another model or size: choose the pipeline that goes with it."


def on_meta(make: Callable[[], Model]) -> Model:
    """Build a network without memory, to be filled by `load_strict` or to read its keys and shapes."""
    with torch.device("meta"):
        return make()


def load_strict(
    model: nn.Module,
    *files: Path | Checkpoint,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
    may_miss: Collection[str] = (),
    may_ignore: Collection[str] = (),
    strip: str = "",
    cut_last: Collection[str] = (),
    entry: Sequence[str] = ENTRIES,
    cache: bool = False,
) -> None:
    """Replace the network's parameters by those of the files (several files: a disjoint union).

    files: paths of .safetensors, .pt, .pth, .bin or .index.json files, or opened checkpoints, which stay
    open. dtype: None keeps what is stored (eight-bit weights stay eight-bit).
    `may_miss` / `may_ignore`: prefixes of keys that may be absent from the files / that may be in the
    files and are not loaded. `strip`: removed from the front of the keys when all keys of a file have it.
    `cut_last`: prefixes of keys whose first dimension may be longer than the network's; the last rows count.
    `entry`: which dict of a pickled file holds the weights. `cache`: keep a converted copy beside pickled
    files and load that the next time.
    Raises WeightsError naming file and keys; the network is then unchanged.
    """
    rules = _Rules(model.state_dict(), tuple(may_miss), tuple(may_ignore), tuple(cut_last))

    def read(sources: Sequence[Path | Checkpoint]) -> dict[str, Tensor]:
        with _opened(sources, strip, entry) as parts:
            return _tensors(rules, parts, device, dtype)

    if cache:
        with _opened(files, strip, entry) as parts:
            rules.places(parts)  # no copy is made of a file that does not fit
        loaded = _through_copies(files, entry, dtype, read)
    else:
        loaded = read(files)
    model.load_state_dict(loaded, strict=not may_miss, assign=True)


def check_strict(
    model: nn.Module,
    *files: Path | Checkpoint,
    may_miss: Collection[str] = (),
    may_ignore: Collection[str] = (),
    strip: str = "",
    cut_last: Collection[str] = (),
    entry: Sequence[str] = ENTRIES,
) -> None:
    """Raise what `load_strict` would, from names, shapes and number types alone: no number is read."""
    rules = _Rules(model.state_dict(), tuple(may_miss), tuple(may_ignore), tuple(cut_last))
    with _opened(files, strip, entry) as parts:
        rules.places(parts)


def read_metadata(path: Path) -> dict[str, str]:
    """The words a file carries beside its tensors, without the digests. Raises WeightsError."""
    with open_checkpoint(path) as checkpoint:
        return dict(checkpoint.metadata)


def save_weights(
    path: Path,
    weights: Mapping[str, Tensor],
    *,
    dtype: torch.dtype = torch.float16,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a state dict with the digests of its bytes, which `load_strict` verifies. Raises OSError."""
    described = {key: Stored(tuple(value.shape), dtype) for key, value in weights.items()}
    write_tensors(path, described, lambda key: weights[key].detach().to("cpu", dtype), metadata or {})


class _Rules:
    """What a network wants, and the exceptions its caller allows."""

    def __init__(
        self,
        wanted: Mapping[str, Tensor],
        may_miss: tuple[str, ...],
        may_ignore: tuple[str, ...],
        cut_last: tuple[str, ...],
    ) -> None:
        self.wanted = {key: tuple(value.shape) for key, value in wanted.items()}
        self._may_miss = may_miss
        self._may_ignore = may_ignore
        self._cut_last = cut_last

    def places(self, parts: Sequence[Checkpoint]) -> dict[str, Checkpoint]:
        """Where each wanted key is. Raises WeightsError for anything that does not fit."""
        found: dict[str, Checkpoint] = {}
        for part in parts:
            unexpected = [key for key in part.shapes if not self._known(key)]
            if unexpected:
                what = f"{part.file_of(unexpected[0])}: unexpected {_some(unexpected)}."
                raise WeightsError(what, OTHER_MODEL)
            for key in part.shapes:
                if key in found:
                    what = f"{part.file_of(key)}: {key} was already in another file."
                    raise WeightsError(what, OTHER_MODEL)
                if key in self.wanted:
                    self._check(part, key)
                    found[key] = part
        missing = [key for key in self.wanted if key not in found and not key.startswith(self._may_miss)]
        if missing:
            names = ", ".join(part.names for part in parts)
            raise WeightsError(f"{names}: missing {_some(missing)}.", OTHER_MODEL)
        return found

    def _known(self, key: str) -> bool:
        return key in self.wanted or key.startswith(self._may_ignore)

    def _check(self, part: Checkpoint, key: str) -> None:
        """Refuse another shape, or numbers that are not floating-point."""
        shape, wanted = part.shapes[key], self.wanted[key]
        longer = key.startswith(self._cut_last) and shape[1:] == wanted[1:] and shape[:1] > wanted[:1]
        what = f"{part.file_of(key)}: {key}"
        if shape != wanted and not longer:
            raise WeightsError(f"{what} has shape {list(shape)}, expected {list(wanted)}.", OTHER_MODEL)
        if not part.dtypes[key].is_floating_point:
            held = str(part.dtypes[key]).removeprefix("torch.")
            raise WeightsError(f"{what} holds {held}, expected floating-point.", OTHER_MODEL)


def _through_copies(
    files: Sequence[Path | Checkpoint],
    entry: Sequence[str],
    dtype: torch.dtype | None,
    read: Callable[[Sequence[Path | Checkpoint]], dict[str, Tensor]],
) -> dict[str, Tensor]:
    """Read the converted copies of pickled files; where that fails the downloads themselves decide."""
    copies = [converted(file, entry=entry, dtype=dtype) if isinstance(file, Path) else file for file in files]
    try:
        return read(copies)
    except WeightsError:
        made = [copy for copy in copies if isinstance(copy, Path) and copy not in files]
        if not made:
            raise
        loaded = read(files)  # raises where the fault is not the copies'
        for copy in made:  # damaged since: a new one is made the next time
            with suppress(OSError):
                copy.unlink()
        return loaded


@contextmanager
def _opened(
    files: Sequence[Path | Checkpoint], strip: str, entry: Sequence[str]
) -> Iterator[list[Checkpoint]]:
    """All files as checkpoints, without their prefix; those that came open stay open."""
    with ExitStack() as opened:
        parts = []
        for file in files:
            part = (
                opened.enter_context(open_checkpoint(file, entry=entry)) if isinstance(file, Path) else file
            )
            parts.append(part.without(strip))
        yield parts


def _tensors(
    rules: _Rules, parts: Sequence[Checkpoint], device: torch.device | str, dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """Every wanted tensor of the files, checked, in its own memory."""
    places = rules.places(parts)
    # The largest first: its mapped pages and its copy exist at once, and then little else does.
    order = sorted(places.items(), key=lambda place: -place[1].bytes_of(place[0]))
    return {key: _read(part, key, rules.wanted[key], device, dtype) for key, part in order}


def _read(
    part: Checkpoint, key: str, shape: tuple[int, ...], device: torch.device | str, dtype: torch.dtype | None
) -> Tensor:
    """One tensor: as its digest says, on its device, finite, and of the wanted length."""
    digest = part.digest_of(key)
    if digest is not None and digest != hashlib.sha256(as_bytes(part.tensor(key))).hexdigest():
        raise WeightsError(f"{part.file_of(key)} is damaged: {key} does not match its digest.", FETCH_AGAIN)
    value = part.own(key, dtype)
    if not is_finite(value):
        raise WeightsError(f"{part.file_of(key)}: {key} holds NaN or infinite numbers.", FETCH_AGAIN)
    return (value if value.shape == shape else value[-shape[0] :].clone()).to(device)


def _some(keys: list[str]) -> str:
    """The first few keys, and how many more."""
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return ", ".join(shown(key) for key in keys[:NAMED]) + more

"""Embeddings of prompts on disk, so that a prepared show starts at once and plays without the text encoder.

One safetensors file per prompt and encoder. Whatever is wrong with a file, it counts as not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.core.errors import WeightsError
from engine.model.checkpoint import Checkpoint, open_checkpoint
from engine.model.saving import as_bytes
from engine.model.weights import save_weights

MOST_BYTES = 2**30
LONGEST_FILE = 64 * 2**20
"""Bytes of one file; 512 rows of 4096 fp32 numbers are 8 MB."""

_ROWS = "embeddings"
_SUFFIX = ".safetensors"
_DIGITS = re.compile("[0-9]{1,9}")


@dataclass(frozen=True)
class Prepared:
    """What an encoder made of a text: `embeddings` `[1, L, width]` fp32 of its first `characters`."""

    embeddings: Tensor
    characters: int


class EmbeddingStore:
    """A folder of embeddings, bounded in bytes; the longest unused go first.

    May be used from several threads. The folder may be copied to another computer; it is made when
    something is put.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self.folder = folder
        self._most_bytes = most_bytes
        self._lock = threading.Lock()

    def get(self, text: str, encoder: str | None, width: int) -> Prepared | None:
        """The embeddings of a text, or None.

        encoder: the digest of the encoder that must have made them; None takes any encoder's of this width,
        the most recently used first: without an encoder at hand, what was prepared is all there is.
        """
        with self._lock:
            for path in self._candidates(text, encoder):
                found = _read(path, text, encoder, width)
                if found is not None:
                    with contextlib.suppress(OSError):  # a folder that cannot be written to is still read
                        os.utime(path)
                    return found
        return None

    def put(self, text: str, encoder: str, prepared: Prepared) -> bool:
        """Keep the embeddings of a text; False where the disk does not take them (full, read-only)."""
        metadata = {"text": text, "encoder": encoder, "characters": str(prepared.characters)}
        path = self.folder / f"{_short(text)}-{_short(encoder)}{_SUFFIX}"
        with self._lock:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                save_weights(path, {_ROWS: prepared.embeddings[0]}, dtype=torch.float32, metadata=metadata)
                self._prune()
            except OSError:
                return False
            return path.exists()

    def _candidates(self, text: str, encoder: str | None) -> list[Path]:
        if encoder is not None:
            return [self.folder / f"{_short(text)}-{_short(encoder)}{_SUFFIX}"]
        return [path for _, _, path in reversed(self._files(f"{_short(text)}-*"))]

    def _prune(self) -> None:
        """Remove the longest unused until the rest fits."""
        files = self._files("*")
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= self._most_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size

    def _files(self, pattern: str) -> list[tuple[int, int, Path]]:
        """Time of last use, bytes and path, the longest unused first."""
        found = []
        for path in self.folder.glob(pattern + _SUFFIX):
            with contextlib.suppress(OSError):  # another program may remove it meanwhile
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
        return sorted(found)


def _read(path: Path, text: str, encoder: str | None, width: int) -> Prepared | None:
    """The content of one file; None where it is damaged or of something else."""
    try:
        if not path.is_file() or path.stat().st_size > LONGEST_FILE:
            return None
        with open_checkpoint(path) as checkpoint:
            metadata = checkpoint.metadata
            if metadata.get("text") != text or (encoder is not None and metadata.get("encoder") != encoder):
                return None
            rows = _rows(checkpoint, width)
            characters = metadata.get("characters", "")
    except (WeightsError, OSError):
        return None
    if rows is None or not _DIGITS.fullmatch(characters) or int(characters) > len(text):
        return None
    return Prepared(rows[None], int(characters))


def _rows(checkpoint: Checkpoint, width: int) -> Tensor | None:
    shape = checkpoint.shapes.get(_ROWS, ())
    if len(shape) != 2 or shape[0] < 1 or shape[1] != width or checkpoint.dtypes[_ROWS] != torch.float32:
        return None
    rows = checkpoint.own(_ROWS)
    if hashlib.sha256(as_bytes(rows)).hexdigest() != checkpoint.digest_of(_ROWS):
        return None
    return rows if bool(rows.isfinite().all()) else None


def _short(words: str) -> str:
    """A file name for any words."""
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()[:32]

"""Words to token numbers, by the tokenizer.json that is published with the text encoder.

The public folder (google/umt5-xxl) also holds spiece.model, the same vocabulary in the format it was trained
in; tokenizer.json is complete by itself, so that is the one file that is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from engine.core.errors import WeightsError

FILE = "tokenizer.json"
END = "</s>"
"""The token after the last word, which the encoder was trained to see."""

LARGEST = 64 * 2**20
"""Bytes of a tokenizer.json that are read; the public one has 17 MB."""

FIX = "Get the tokenizer's files again; they are published with the Wan2.1 weights in google/umt5-xxl."


@dataclass(frozen=True)
class Tokens:
    """Token numbers of a text, the end token last, and how many characters of the text they stand for."""

    ids: tuple[int, ...]
    characters: int


class PromptTokenizer:
    """A loaded tokenizer; may be used from several threads."""

    def __init__(self, folder: Path) -> None:
        """Load `folder`/tokenizer.json. Raises WeightsError where it is missing or of another kind."""
        self._path = folder / FILE
        data = _bytes(self._path)
        self._tokenizer = _parsed(self._path, data)
        end = self._tokenizer.token_to_id(END)
        if end is None:
            what = f"{self._path} has no token {END}: it belongs to another text encoder."
            raise WeightsError(what, FIX)
        self._end: int = end

    def tokens(self, text: str, most: int) -> Tokens:
        """Tokens of a text, at most `most` of them; a longer text loses its end, never the end token.

        Raises WeightsError where the tokenizer's own rules break on the text.
        """
        with _reported(f"{self._path} cannot cut this text into tokens"):
            encoded = self._tokenizer.encode(text, add_special_tokens=False)
        ids, offsets = encoded.ids, encoded.offsets
        if len(ids) < most:
            return Tokens((*ids, self._end), len(text))
        kept = most - 1
        characters = max((last for _, last in offsets[:kept]), default=0)
        return Tokens((*ids[:kept], self._end), characters)


def tokenizer_digest(folder: Path) -> str:
    """SHA-256 of the tokenizer.json in `folder`. Raises WeightsError where there is none."""
    return hashlib.sha256(_bytes(folder / FILE)).hexdigest()


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise WeightsError(f"Tokenizer file {path} {what}.", FIX)
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise WeightsError(f"{path} is no tokenizer: it has {size} bytes.", FIX)
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({_reason(error)}).", FIX) from error


def _parsed(path: Path, data: bytes) -> Tokenizer:
    with _reported(f"{path} is damaged or no tokenizer"):
        tokenizer = Tokenizer.from_str(data.decode("utf-8"))
    # The file may ask for padding or a length of its own; ours is the encoder's.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


@contextmanager
def _reported(what: str) -> Iterator[None]:
    """Turn whatever the library raises into a WeightsError.

    It has no class of errors of its own, and where a file breaks its assumptions it panics, which Python sees
    as a PanicException that no module exports and that is no Exception.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise WeightsError(f"{what} ({_reason(error)}).", FIX) from error
        raise


def _reason(error: BaseException) -> str:
    """The first line of what a library says, short enough for a status line."""
    return str(error).partition("\n")[0][:120]

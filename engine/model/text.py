"""From the words of a performer to what the transformer reads.

`Conditioning` is what every `TextEncoder` gives. `VocabularyEncoder` is the embedded model's own: one learned
row per word it was taught, synonyms by a small table. Words it does not know are named, never swallowed.
The public models' encoder is in umt5_encoder.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from engine.core.errors import WeightsError
from engine.model.weights import load_strict, read_metadata

MAX_CHARACTERS = 10_000
"""A prompt is cut here before it is looked at; the rest counts as ignored."""

_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


@dataclass(frozen=True)
class Conditioning:
    """A prompt ready for the model: `embeddings` `[1, L, text_dim]`, and which words counted."""

    text: str
    embeddings: Tensor
    known: tuple[str, ...]
    ignored: tuple[str, ...]


class TextEncoder(Protocol):
    """What a pipeline needs of its text encoder."""

    def encode(self, text: str) -> Conditioning:
        """Embed a prompt; may be called from another thread than the one that makes chunks.

        Raises EngineError or WeightsError, one line a performer understands; the old prompt then goes on.
        """
        ...


class VocabularyEncoder(nn.Module):
    """One learned row per word; the order of words does not matter."""

    def __init__(
        self, words: tuple[str, ...], width: int, text_len: int, synonyms: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.words = words
        self.text_len = text_len
        self.synonyms = dict(synonyms or {})
        self.index = {word: i for i, word in enumerate(words)}
        self.embedding = nn.Embedding(len(words), width)

    @classmethod
    def load(cls, path: Path, width: int, text_len: int) -> VocabularyEncoder:
        """Load `text.safetensors`: rows in the file, words and synonyms in its metadata.

        Raises WeightsError where the file is damaged or says no vocabulary.
        """
        metadata = read_metadata(path)
        try:
            words, synonyms = json.loads(metadata["words"]), json.loads(metadata["synonyms"])
        except (KeyError, json.JSONDecodeError) as error:
            raise WeightsError(
                f"{path} holds no vocabulary ({error}).", "Install the embedded model's files again."
            ) from error
        encoder = cls(tuple(words), width, text_len, synonyms)
        load_strict(encoder, path)
        return encoder.eval()

    def parse(self, text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Split a prompt into the words of the vocabulary that it means, at most `text_len`, and the ignored.

        Each is named once, in the prompt's order.
        """
        known: dict[str, None] = {}
        ignored: dict[str, None] = {}
        for word in _WORD.findall(text[:MAX_CHARACTERS].lower()):
            meaning = self.meaning(word)
            if meaning is not None and (meaning in known or len(known) < self.text_len):
                known[meaning] = None
            else:
                ignored[word] = None
        if len(text) > MAX_CHARACTERS:
            ignored[f"(everything after {MAX_CHARACTERS} characters)"] = None
        return tuple(known), tuple(ignored)

    def meaning(self, word: str) -> str | None:
        """The vocabulary's word for a lower-case word: itself, its singular or a synonym; None if unknown."""
        for form in (word, word.removesuffix("s"), word.removesuffix("es")):
            if form in self.index:
                return form
            if form in self.synonyms:
                return self.synonyms[form]
        return None

    @torch.no_grad()
    def encode(self, text: str) -> Conditioning:
        """Conditioning of a prompt; one without a known word gives one row of zeros (the plain look)."""
        known, ignored = self.parse(text)
        rows = self.rows(known)[None] if known else torch.zeros(1, 1, self.embedding.embedding_dim)
        return Conditioning(text, rows, known, ignored)

    def rows(self, words: tuple[str, ...]) -> Tensor:
        """Embeddings `[n, width]` of vocabulary words."""
        ids = torch.tensor(
            [self.index[word] for word in words], dtype=torch.long, device=self.embedding.weight.device
        )
        rows: Tensor = self.embedding(ids)
        return rows

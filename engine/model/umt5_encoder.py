"""The text encoder of the public models as one face: prompt in, embeddings out.

What was encoded before comes from the disk; only a prompt that is not there needs tokenizer and network,
which are loaded when that happens. So a prepared show plays without the network's 7 to 11 GB.
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from engine.core.errors import EngineError, WeightsError
from engine.model.checkpoint import Checkpoint, open_checkpoint
from engine.model.cleaning import cleaned
from engine.model.embedding_store import EmbeddingStore, Prepared
from engine.model.saving import as_bytes
from engine.model.text import MAX_CHARACTERS, Conditioning
from engine.model.tokenizer import PromptTokenizer, tokenizer_digest
from engine.model.umt5 import Umt5, umt5_arch
from engine.model.weights import check_strict, load_strict, on_meta

Placement = Literal["gpu", "cpu", "unload"]
"""Where the network is between prompts: on the device, in the computer's memory (and computed there), or
nowhere: loaded to the device for each new prompt and dropped after it."""

TEXT_LEN = 512
QUOTED = 40
"""Characters of a prompt that a message repeats."""


@dataclass(frozen=True)
class EncoderFiles:
    """The files of one encoder, already checked: its weights, the folder of its tokenizer, their digest.

    `eight_bit`: whether weights are stored in eight bits.
    """

    weights: Path
    tokenizer: Path
    digest: str
    eight_bit: bool


class Umt5Encoder:
    """UMT5 behind the face of every text encoder; any thread may call it, the network works for one."""

    def __init__(
        self,
        files: EncoderFiles | None,
        *,
        width: int,
        device: torch.device,
        text_len: int = TEXT_LEN,
        placement: Placement = "gpu",
        store: EmbeddingStore | None = None,
    ) -> None:
        """`files` None: only what the store holds can be said. `width`: channels that the pipeline reads."""
        self._files = files
        self._width = width
        self._text_len = text_len
        self._unload = placement == "unload"
        # Apple's graphics know no eight-bit floating point.
        unknown = device.type == "mps" and files is not None and files.eight_bit
        self.device = torch.device("cpu") if placement == "cpu" or unknown else device
        self._store = store
        self._tokenizer: PromptTokenizer | None = None
        self._network: Umt5 | None = None
        self._lock = threading.Lock()

    @property
    def loaded(self) -> bool:
        """Whether the network takes memory now."""
        return self._network is not None

    def encode(self, text: str) -> Conditioning:
        """Embeddings `[1, L, width]` of a prompt, fp32 on the CPU, L its number of tokens; beyond are zeros.

        `known` are the words that count; `ignored` says where a prompt was cut that is longer than the
        encoder reads. Raises EngineError for a prompt that is neither prepared nor can be encoded here,
        WeightsError where the encoder's files are damaged.
        """
        clean = cleaned(text[:MAX_CHARACTERS])
        prepared = self._prepared(clean)
        known = dict.fromkeys(clean[: prepared.characters].split())
        ignored = _cut(clean, prepared.characters, self._text_len)
        if len(text) > MAX_CHARACTERS:
            ignored = (*ignored, f"(everything after {MAX_CHARACTERS} characters)")
        return Conditioning(text, prepared.embeddings, tuple(known), ignored)

    def release(self) -> None:
        """Give the network's memory back; the next prompt that is not prepared loads it again."""
        with self._lock:
            self._drop()

    def _prepared(self, clean: str) -> Prepared:
        digest = self._files.digest if self._files else None
        found = self._store.get(clean, digest, self._width) if self._store else None
        if found is None:
            with self._lock:
                found = self._made(clean)
            if self._store and digest is not None:
                self._store.put(clean, digest, found)
        return found

    @torch.no_grad()
    def _made(self, clean: str) -> Prepared:
        if self._files is None:
            raise _unprepared(clean, self._store)
        if self._tokenizer is None:
            self._tokenizer = PromptTokenizer(self._files.tokenizer)
        tokens = self._tokenizer.tokens(clean, self._text_len)
        try:
            rows = self._run(self._files, torch.tensor([tokens.ids]))
        finally:
            if self._unload:
                self._drop()
        return Prepared(rows, tokens.characters)

    def _run(self, files: EncoderFiles, ids: Tensor) -> Tensor:
        """Rows of the true tokens: those beyond the text would be zeroed, and none looks at them."""
        if self._network is None:
            self._network = load_umt5(files.weights, self.device)
        vocabulary = self._network.arch.vocabulary
        if int(ids.max()) >= vocabulary:
            what = (
                f"The tokenizer in {files.tokenizer} knows more words than the {vocabulary} of the encoder."
            )
            raise WeightsError(what, "Get encoder and tokenizer of the same model.")
        dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        rows: Tensor = self._network(ids.to(self.device), dtype=dtype).cpu()
        if not bool(rows.isfinite().all()):
            raise WeightsError(f"{files.weights.name} makes no finite numbers.", "Get the file again.")
        return rows

    def _drop(self) -> None:
        if self._network is None:
            return
        self._network = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def encoder_files(weights: Path, tokenizer: Path, width: int) -> EncoderFiles:
    """Check an encoder's files from names, shapes and a few small tensors, without loading it.

    Raises WeightsError where one is missing, of another kind, or does not give `width` channels.
    """
    with open_checkpoint(weights) as checkpoint:
        arch = umt5_arch(checkpoint.shapes)
        if arch.dim != width:
            what = f"{weights.name} gives {arch.dim} channels per token, the pipeline reads {width}."
            raise WeightsError(what, "Choose the text encoder that goes with the pipeline.")
        check_strict(on_meta(lambda: Umt5(arch)), checkpoint)
        eight_bit = any(dtype.itemsize == 1 for dtype in checkpoint.dtypes.values())
        digest = _digest(checkpoint, tokenizer_digest(tokenizer))
    return EncoderFiles(weights, tokenizer, digest, eight_bit)


def load_umt5(weights: Path, device: torch.device) -> Umt5:
    """The network of a file, weights as they are stored. Raises WeightsError."""
    with open_checkpoint(weights) as checkpoint:
        arch = umt5_arch(checkpoint.shapes)
        network = on_meta(lambda: Umt5(arch))
        load_strict(network, checkpoint, device=device, dtype=None)
    return network.eval()


def _digest(checkpoint: Checkpoint, tokenizer: str) -> str:
    """What tells encoders apart, in milliseconds: names, shapes, types, the numbers of all small tensors.

    Reading all of 11 GB at every start would cost a minute; fine-tuning moves the small tensors too.
    """
    digest = hashlib.sha256(tokenizer.encode())
    for key in sorted(checkpoint.shapes):
        described = [key, list(checkpoint.shapes[key]), str(checkpoint.dtypes[key])]
        digest.update(json.dumps(described).encode())
        if len(checkpoint.shapes[key]) == 1 or "pos_embedding" in key:
            digest.update(as_bytes(checkpoint.own(key)))
    return digest.hexdigest()


def _unprepared(clean: str, store: EmbeddingStore | None) -> EngineError:
    """What to say about a prompt that cannot be encoded here."""
    copied = f" and copy its prompts into {store.folder}" if store else ""
    return EngineError(
        f"The prompt {_shown(clean)!r} is not prepared, and the text encoder is not installed.",
        "Get the encoder with `cuelight models get` and the pipeline's name, "
        f"or use the prompt once on a computer that has it{copied}.",
    )


def _cut(clean: str, characters: int, most: int) -> tuple[str, ...]:
    """What a prompt lost that has more tokens than the encoder reads."""
    lost = clean[characters:].strip()
    return (f"(longer than {most} tokens, cut before: {_shown(lost)})",) if lost else ()


def _shown(words: str) -> str:
    """The beginning of a long text, for a message."""
    return words[:QUOTED] + ("…" if len(words) > QUOTED else "")

"""Embeddings on disk: found again, bounded, and whatever is damaged counts as not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.model.embedding_store import EmbeddingStore, Prepared

ROWS = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(1))
TEXT = "a golden dancer"


def store(folder: Path) -> EmbeddingStore:
    made = EmbeddingStore(folder / "prompts")
    assert made.put(TEXT, "bf16", Prepared(ROWS, 15))
    return made


def only_file(folder: Path) -> Path:
    (path,) = (folder / "prompts").iterdir()
    return path


def test_what_was_put_is_found_bit_for_bit_by_another_store(tmp_path: Path) -> None:
    store(tmp_path)
    found = EmbeddingStore(tmp_path / "prompts").get(TEXT, "bf16", 8)
    assert found is not None and found.characters == 15
    assert torch.equal(found.embeddings, ROWS)


def test_another_text_encoder_or_width_is_not_found(tmp_path: Path) -> None:
    made = store(tmp_path)
    assert made.get("a golden Dancer", "bf16", 8) is None
    assert made.get(TEXT, "fp8", 8) is None
    assert made.get(TEXT, "bf16", 16) is None
    assert EmbeddingStore(tmp_path / "nowhere").get(TEXT, None, 8) is None


def test_without_an_encoder_the_one_used_last_counts(tmp_path: Path) -> None:
    made = store(tmp_path)
    first = only_file(tmp_path)
    made.put(TEXT, "fp8", Prepared(2 * ROWS, 15))
    made.put(TEXT, "small", Prepared(ROWS[..., :4], 15))
    os.utime(first, (1, 1))
    found = made.get(TEXT, None, 8)
    assert found is not None and torch.equal(found.embeddings, 2 * ROWS)
    for path in (tmp_path / "prompts").iterdir():
        os.utime(path, (1, 1))
    assert made.get(TEXT, "bf16", 8) is not None
    found = made.get(TEXT, None, 8)
    assert found is not None and torch.equal(found.embeddings, ROWS)


def test_the_longest_unused_go_when_the_folder_is_full(tmp_path: Path) -> None:
    probe = store(tmp_path)
    size = only_file(tmp_path).stat().st_size
    made = EmbeddingStore(probe.folder, most_bytes=3 * size + size // 2)
    for number, text in enumerate(("b", "c")):
        made.put(text, "bf16", Prepared(ROWS, 1))
        for path in made.folder.iterdir():
            os.utime(path, (100 + number, 100 + number))
    assert made.get(TEXT, "bf16", 8) is not None  # used: now the newest
    made.put("d", "bf16", Prepared(ROWS, 1))
    made.put("e", "bf16", Prepared(ROWS, 1))
    kept = {text for text in (TEXT, "b", "c", "d", "e") if made.get(text, "bf16", 8)}
    assert kept >= {TEXT, "e"} and len(kept) == 3
    assert sum(path.stat().st_size for path in made.folder.iterdir()) <= 3.5 * size


def test_what_is_larger_than_the_whole_store_is_not_kept(tmp_path: Path) -> None:
    made = EmbeddingStore(tmp_path / "prompts", most_bytes=100)
    assert not made.put(TEXT, "bf16", Prepared(ROWS, 15))
    assert made.get(TEXT, "bf16", 8) is None


def test_a_folder_that_cannot_be_written_loses_nothing_but_the_copy(tmp_path: Path) -> None:
    (tmp_path / "prompts").write_text("in the way")
    assert not EmbeddingStore(tmp_path / "prompts").put(TEXT, "bf16", Prepared(ROWS, 15))


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    made = store(tmp_path)
    note = made.folder / "set list.txt"
    note.write_text("x" * 1000)
    EmbeddingStore(made.folder, most_bytes=1).put("b", "bf16", Prepared(ROWS, 1))
    assert note.exists() and len(list(made.folder.iterdir())) == 1


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def rewritten(path: Path, **change: object) -> None:
    """The same file with other metadata or tensors."""
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata())
    metadata.update({key: str(value) for key, value in change.items()})
    save_file(tensors, path, metadata)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not a tensor"),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-5]),
    "one bit": flipped,
    "huge header": lambda path: path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:]),
    "a folder": as_folder,
    "pickle": lambda path: torch.save({"embeddings": ROWS[0]}, path),
    "no metadata": lambda path: save_file({"embeddings": ROWS[0]}, path),
    "another key": lambda path: save_file({"x": ROWS[0]}, path, {"text": TEXT, "encoder": "bf16"}),
    "another text": lambda path: rewritten(path, text="a silver dancer"),
    "another encoder": lambda path: rewritten(path, encoder="fp8"),
    "no characters": lambda path: rewritten(path, characters=""),
    "more characters than the text": lambda path: rewritten(path, characters=16),
    "endless number": lambda path: rewritten(path, characters="9" * 5000),
}


@pytest.mark.parametrize("spoil", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_a_miss_and_is_replaced(spoil: Callable[[Path], object], tmp_path: Path) -> None:
    made = store(tmp_path)
    path = only_file(tmp_path)
    spoil(path)
    assert made.get(TEXT, "bf16", 8) is None
    if path.is_dir():
        return
    assert made.put(TEXT, "bf16", Prepared(ROWS, 15))
    assert made.get(TEXT, "bf16", 8) is not None


@pytest.mark.parametrize("rows", [ROWS * torch.inf, ROWS[:, :0], ROWS[..., :0]])
def test_numbers_that_cannot_be_embeddings_are_a_miss(rows: torch.Tensor, tmp_path: Path) -> None:
    made = EmbeddingStore(tmp_path)
    made.put(TEXT, "bf16", Prepared(rows, 15))
    assert made.get(TEXT, "bf16", 8) is None

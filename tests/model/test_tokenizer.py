"""The tokenizer: numbers of a prompt, its cut, and folders that hold something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.core.errors import WeightsError
from engine.model import tokenizer as module
from engine.model.tokenizer import PromptTokenizer, tokenizer_digest
from tests.checkpoint_factory import PIECES, WRITERS, Tiny

NUMBER = {piece: number for number, (piece, _) in enumerate(PIECES)}
END = NUMBER["</s>"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    WRITERS["tokenizer"](tmp_path / "tokenizer.json", Tiny())
    return tmp_path


def test_words_become_numbers_and_the_end_token_comes_last(folder: Path) -> None:
    made = PromptTokenizer(folder).tokens("the gold", 512)
    assert made.ids == (NUMBER["▁the"], NUMBER["▁"], NUMBER["gold"], END)
    assert made.characters == len("the gold")


def test_an_empty_prompt_is_the_end_token(folder: Path) -> None:
    assert PromptTokenizer(folder).tokens("", 512).ids == (END,)


def test_a_long_prompt_is_cut_and_keeps_the_end_token(folder: Path) -> None:
    tokenizer, text = PromptTokenizer(folder), "the gold of the dancer"
    whole = tokenizer.tokens(text, 512)
    cut = tokenizer.tokens(text, 4)
    assert cut.ids == (*whole.ids[:3], END)
    assert text[: cut.characters] == "the gold"
    assert tokenizer.tokens(text, len(whole.ids)) == whole
    assert len(tokenizer.tokens(text, len(whole.ids) - 1).ids) == len(whole.ids) - 1


def test_the_files_own_padding_and_cut_do_not_count(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    plain = PromptTokenizer(folder).tokens("the gold of fire", 512)
    content["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    content["padding"] = {
        "strategy": {"Fixed": 32}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>",
    }  # fmt: skip
    path.write_text(json.dumps(content))
    assert PromptTokenizer(folder).tokens("the gold of fire", 512) == plain


def test_the_digest_is_of_the_file(folder: Path) -> None:
    before = tokenizer_digest(folder)
    assert tokenizer_digest(folder) == before
    path = folder / "tokenizer.json"
    path.write_text(path.read_text() + "\n")
    assert tokenizer_digest(folder) != before


def without_end(path: Path) -> None:
    path.write_text(path.read_text().replace("</s>", "<eos>"))


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


HOSTILE: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "folder": as_folder,
    "empty": lambda path: path.write_bytes(b""),
    "not json": lambda path: path.write_bytes(b"PK\x03\x04"),
    "not utf-8": lambda path: path.write_bytes(b'{"version": "\xff"}'),
    "null": lambda path: path.write_text("null"),
    "list": lambda path: path.write_text("[1, 2]"),
    "no model": lambda path: path.write_text('{"version": "1.0"}'),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "nested": lambda path: path.write_text("[" * 100_000),
    "no end token": without_end,
    "unknown model": lambda path: path.write_text(path.read_text().replace("Unigram", "Oracle")),
    "panic": lambda path: path.write_text(
        path.read_text().replace(
            '"normalizer": null', '"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}'
        )
    ),
    "unknown piece out of range": lambda path: path.write_text(
        path.read_text().replace('"unk_id": 2', '"unk_id": 99999')
    ),
}


@pytest.mark.parametrize("spoil", HOSTILE.values(), ids=HOSTILE)
def test_hostile_folders_are_refused_in_one_line(spoil: Callable[[Path], object], folder: Path) -> None:
    spoil(folder / "tokenizer.json")
    with pytest.raises(WeightsError, match=r"tokenizer\.json") as caught:
        PromptTokenizer(folder)
    assert "\n" not in str(caught.value) and caught.value.fix


def test_a_file_without_end_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 100)
    with pytest.raises(WeightsError, match="is no tokenizer: it has"):
        PromptTokenizer(folder)


def test_a_tokenizer_that_breaks_on_a_text_says_so(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["unk_id"] = None
    path.write_text(json.dumps(content))
    with pytest.raises(WeightsError, match="cannot cut this text") as caught:
        PromptTokenizer(folder).tokens("日本", 512)
    assert "\n" not in str(caught.value)

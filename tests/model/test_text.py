"""The vocabulary encoder: words that count, words that are named as ignored."""

from __future__ import annotations

import torch

from engine.model.text import MAX_CHARACTERS, VocabularyEncoder


def encoder() -> VocabularyEncoder:
    return VocabularyEncoder(("gold", "night", "waves"), 8, 2, {"golden": "gold", "midnight": "night"})


def test_words_synonyms_and_plurals_count_once() -> None:
    made = encoder().encode("Golden gold, MIDNIGHT nights!")
    assert made.known == ("gold", "night")
    assert made.ignored == ()
    assert made.embeddings.shape == (1, 2, 8)


def test_unknown_words_are_named() -> None:
    made = encoder().encode("a gold zeppelin, Überraschung")
    assert made.known == ("gold",)
    assert made.ignored == ("a", "zeppelin", "überraschung")


def test_more_words_than_room_are_named_too() -> None:
    assert encoder().encode("gold night waves").ignored == ("waves",)


def test_a_prompt_without_known_words_is_the_plain_look() -> None:
    for text in ("", "   ", "!!!", "zeppelin"):
        made = encoder().encode(text)
        assert torch.equal(made.embeddings, torch.zeros(1, 1, 8))


def test_a_prompt_without_end_is_cut_and_says_so() -> None:
    made = encoder().encode("gold " * (MAX_CHARACTERS // 5) + "night")
    assert made.known == ("gold",)
    assert made.ignored == (f"(everything after {MAX_CHARACTERS} characters)",)

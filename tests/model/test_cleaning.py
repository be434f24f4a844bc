"""Cleaning of prompts beyond what is recorded."""

import pytest

from engine.model.cleaning import cleaned


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\u00a0golden\u2003dancer\r\n", "a golden dancer"),
        ("cafÃ© at night", "café at night"),
        ("<b> &amp;amp;amp; x", "<b> &amp; x"),
        ("\ud800 broken", "\ufffd broken"),
        ("   ", ""),
        ("FULL ｗｉｄｔｈ", "FULL width"),
    ],
)
def test_broken_text_is_repaired(text: str, clean: str) -> None:
    assert cleaned(text) == clean


def test_clean_text_stays() -> None:
    text = "A dancer in gold, 35mm; “Tokyo” — no, 'Kyōto'!"
    assert cleaned(cleaned(text)) == cleaned(text)

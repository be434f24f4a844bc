"""Cleaning of a prompt before it is cut into tokens, as the texts that the models learned from were."""

from __future__ import annotations

import html
import re

import ftfy

_SPACE = re.compile(r"\s+")


def cleaned(text: str) -> str:
    """`text` with broken Unicode repaired, HTML entities resolved and every run of white space one space.

    Entities are resolved twice: captions scraped from the web often hold `&amp;lt;`. Case and punctuation
    stay: the encoder was trained with them.
    """
    repaired = ftfy.fix_text(text)
    return _SPACE.sub(" ", html.unescape(html.unescape(repaired))).strip()

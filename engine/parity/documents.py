"""One recorded document (.json): words instead of numbers, so ours are the same or they are wrong."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.parity.golden import Mismatch

LARGEST = 16 * 2**20
"""Bytes of a document that are read; the recorded ones hold a few hundred."""


class JsonGolden:
    """A recorded document, ticked off entry by entry.

    An entry is a value that is no object; those inside objects are named by the way to them, joined by "/":
    `{"outputs": {"lower": [..]}}` has the one entry `outputs/lower`. Words agree or they do not, so `error`,
    the largest difference met, stays 0.
    """

    def __init__(self, path: Path) -> None:
        """Read the whole file; raises Mismatch when it is damaged or holds no object."""
        self.path = path
        self.error = 0.0
        try:
            if path.stat().st_size > LARGEST:
                raise Mismatch(f"unreadable: larger than {LARGEST} bytes")
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise Mismatch(f"unreadable: {error}") from error
        if not isinstance(document, dict):
            raise Mismatch("unreadable: the document holds no object")
        self._entries: dict[str, Any] = {}
        _flatten("", document, self._entries)
        self._left = set(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def keys(self, prefix: str = "") -> list[str]:
        """Names of the entries that begin with `prefix`, sorted."""
        return sorted(key for key in self._entries if key.startswith(prefix))

    def take(self, key: str) -> Any:
        """An entry, which then counts as used. Raises Mismatch where there is none."""
        if key not in self._entries:
            raise Mismatch(f"lacks the entry {key}")
        self._left.discard(key)
        return self._entries[key]

    def compare(self, key: str, ours: object) -> None:
        """An output: ours must be the recorded one; Mismatch says both otherwise."""
        recorded = self.take(key)
        if recorded != ours:
            raise Mismatch(f"{key} is recorded as {recorded!r}, ours is {ours!r}")

    def finish(self) -> None:
        """Refuse a document with nothing in it, or with entries that the replay knew nothing about."""
        if not self._entries:
            raise Mismatch("the document is empty")
        if self._left:
            raise Mismatch(f"not compared: {', '.join(sorted(self._left)[:4])}")


def _flatten(prefix: str, value: Mapping[str, Any], entries: dict[str, Any]) -> None:
    for key, inner in value.items():
        if isinstance(inner, dict):
            _flatten(f"{prefix}{key}/", inner, entries)
        else:
            entries[prefix + key] = inner

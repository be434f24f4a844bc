"""Taking fields out of a TOML document one by one, so that a wrong, missing or unknown one is named."""

import re

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_LARGEST = 2**50  # no number of a models file is a size, count or gigabytes above this


class WrongField(Exception):
    """A field that is not as it must be; the message names it."""


class StrictTable:
    """A table whose fields are taken out as they are read; `end` refuses what is left over.

    `place` names the table in messages ("" for the document). Every reader raises WrongField.
    """

    def __init__(self, document: object, place: str) -> None:
        if not isinstance(document, dict):
            raise WrongField(f"{place} is missing or not a table")
        self.place = place
        self._fields = dict(document)

    @property
    def names(self) -> tuple[str, ...]:
        """The fields not yet taken out."""
        return tuple(self._fields)

    def text(self, key: str, otherwise: str | None = None) -> str:
        """A line of text without control characters."""
        value = self._fields.pop(key, otherwise)
        if not isinstance(value, str) or not value.isprintable():
            raise WrongField(f"{self._named(key)} must be a line of text")
        return value

    def matching(self, key: str, pattern: str, what: str, otherwise: str | None = None) -> str:
        """A text that the whole `pattern` fits; `what` says in words what that is."""
        value = self.text(key, otherwise)
        if not re.fullmatch(pattern, value):
            raise WrongField(f"{self._named(key)} must be {what}")
        return value

    def https(self, key: str, otherwise: str | None = None) -> str:
        """An https:// address, or the default."""
        value = self.text(key, otherwise)
        if value != otherwise and not re.fullmatch(r"https://\S+", value):
            raise WrongField(f"{self._named(key)} must be an https:// address")
        return value

    def number(self, key: str, otherwise: float | None = None) -> float:
        """A number from 0."""
        value = self._fields.pop(key, otherwise)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LARGEST:
            raise WrongField(f"{self._named(key)} must be a number from 0")
        return value

    def count(self, key: str, otherwise: int | None = None) -> int:
        """A whole number from 0."""
        value = self.number(key, otherwise)
        if not isinstance(value, int):
            raise WrongField(f"{self._named(key)} must be a whole number")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of at least one text."""
        value = self._fields.pop(key, None)
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            raise WrongField(f"{self._named(key)} must be a list of texts")
        return tuple(value)

    def table(self, key: str) -> "StrictTable":
        """A table in this table."""
        return StrictTable(self._fields.pop(key, None), self._named(key))

    def rows(self) -> "dict[str, StrictTable]":
        """All fields that are left, each a table with a short name in lower case."""
        for name in self._fields:
            if not _NAME.fullmatch(name):
                raise WrongField(f"{self._named(name)!r} must be a short name in lower case")
        rows = {name: StrictTable(fields, self._named(name)) for name, fields in self._fields.items()}
        self._fields = {}
        return rows

    def end(self) -> None:
        """Nothing else may be in this table."""
        if self._fields:
            raise WrongField(f"{self._named(next(iter(self._fields)))} is not a known field")

    def _named(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

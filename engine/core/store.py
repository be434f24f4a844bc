"""The store: the current value of every parameter, set from anywhere, read without waiting.

A value is a register, never a queue: the last one wins and is never lost. Writers copy a small
table under a lock and swap one reference; readers take that reference. It does not know who reads.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from engine.core.errors import ParameterError
from engine.core.parameters import TABLE, Parameter, Value, row

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Change:
    """One value that became another: what, to which value, at which version, by whom."""

    key: str
    value: Value
    version: int
    source: str


class _Register(NamedTuple):
    value: Value
    version: int
    source: str


class Snapshot:
    """All values at one instant; it never changes. `version` grows with every change of the store."""

    __slots__ = ("_registers", "version")

    def __init__(self, registers: Mapping[str, _Register], version: int) -> None:
        self._registers = registers
        self.version = version

    def __getitem__(self, key: str) -> Value:
        return self._register(key).value

    def version_of(self, key: str) -> int:
        """The store's version at which `key` got its value (0: still its default)."""
        return self._register(key).version

    def source_of(self, key: str) -> str:
        """Who set `key` ("default" when nobody has)."""
        return self._register(key).source

    @property
    def values(self) -> dict[str, Value]:
        """A fresh dict of all values."""
        return {key: register.value for key, register in self._registers.items()}

    def number(self, key: str) -> float:
        """The value of a float or int row."""
        value = self[key]
        if isinstance(value, str | bool):
            raise ParameterError(f"{key} is not a number")
        return float(value)

    def whole(self, key: str) -> int:
        """The value of an int row."""
        return int(self.number(key))

    def flag(self, key: str) -> bool:
        """The value of a bool row."""
        return self[key] is True

    def text(self, key: str) -> str:
        """The value of a text or choice row."""
        return str(self[key])

    def _register(self, key: str) -> _Register:
        found = self._registers.get(key)
        if found is None:
            row(key)  # names the closest keys
            raise ParameterError(f"this store holds no {key!r}")
        return found


class Store:
    """Values of the rows of `table`, with version and setter. All methods may be called from any thread."""

    def __init__(self, table: Mapping[str, Parameter] = TABLE) -> None:
        self._table = table
        self._lock = threading.Lock()
        registers = {key: _Register(parameter.default, 0, "default") for key, parameter in table.items()}
        self._snapshot = Snapshot(registers, 0)
        self._subscribers: tuple[Callable[[Change], None], ...] = ()

    def get(self, key: str) -> Value:
        """The newest value of `key`."""
        return self._snapshot[key]

    def snapshot(self) -> Snapshot:
        """All newest values at one instant; takes no lock."""
        return self._snapshot

    def set(self, key: str, value: object, source: str) -> int:
        """Set one value; returns the store's version. See `set_many`."""
        return self.set_many({key: value}, source)

    def set_many(self, values: Mapping[str, object], source: str) -> int:
        """Set several values at once, or none of them.

        `source` names the setter ("gui", "midi:...", "preset"). Every value is checked first; one bad
        value raises ParameterError and changes nothing. Values that are already so change nothing.
        Returns the version at which all of them hold.
        """
        checked = {key: self._row(key).check(value) for key, value in values.items()}
        with self._lock:
            before = self._snapshot
            changed = {key: value for key, value in checked.items() if before[key] != value}
            if not changed:
                return before.version
            version = before.version + 1
            registers = dict(before._registers)
            registers.update((key, _Register(value, version, source)) for key, value in changed.items())
            self._snapshot = Snapshot(registers, version)
            subscribers = self._subscribers
        for key, value in changed.items():
            _tell(subscribers, Change(key, value, version, source))
        return version

    def subscribe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call `callback` after every change; returns a function that ends it.

        It runs on the setter's thread, after the value is stored, and must be quick. Two setters may
        call it at the same time and out of order: compare versions, or read the store again.
        """
        # A list entry of its own, so that the same function subscribed twice ends once.
        entry = _Subscriber(callback)
        with self._lock:
            self._subscribers = (*self._subscribers, entry)

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers = tuple(other for other in self._subscribers if other is not entry)

        return unsubscribe

    def _row(self, key: str) -> Parameter:
        found = self._table.get(key)
        return found if found is not None else row(key)


class _Subscriber:
    """One subscription; its identity is what ends it."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[Change], None]) -> None:
        self._callback = callback

    def __call__(self, change: Change) -> None:
        self._callback(change)


def _tell(subscribers: tuple[Callable[[Change], None], ...], change: Change) -> None:
    for subscriber in subscribers:
        try:
            subscriber(change)
        except Exception:  # a listener's fault must reach neither the setter nor other listeners
            _log.exception("a listener failed on %s = %r", change.key, change.value)

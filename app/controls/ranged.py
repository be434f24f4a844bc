"""A number on display, at its place in a range."""

from app.controls.hatched import Hatched
from engine.core.parameters import Parameter, Value


class Ranged(Hatched):
    """One number of the table: `_value` in native units, `_norm` its place in the row's range, 0..1."""

    def __init__(self, row: Parameter) -> None:
        super().__init__()
        self._row = row
        self._value: Value = row.default
        self._norm = row.normalized(row.default)

    def shown(self) -> Value:
        """The value on display."""
        return self._value

    def show_value(self, value: Value) -> None:
        """Show `value` (native units)."""
        if value != self._value:
            self._value = value
            self._norm = self._row.normalized(value)
            self.update()

"""Values that move on their own: what a file is rendered with when no hand turns the knobs.

A `Move` sets one parameter at an instant, or carries it from one value to another over a span. Pure data and
arithmetic; times are seconds from the start.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from engine.core.errors import ParameterError
from engine.core.parameters import Value, row

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?")
LONGEST_S = 24 * 3600.0


@dataclass(frozen=True)
class Move:
    """From `start` on, `key` is on its way from `first` to `last`, which it has from `end` on."""

    key: str
    start: float
    end: float
    first: Value
    last: Value

    def at(self, t: float) -> Value:
        """The value at `t` (not before `start`); numbers move along a line."""
        if t >= self.end or isinstance(self.first, str | bool) or isinstance(self.last, str | bool):
            return self.last
        share = (t - self.start) / (self.end - self.start)
        between = self.first + (self.last - self.first) * share
        return row(self.key).check(round(between) if row(self.key).kind == "int" else between)


def parse_move(when: str, what: str) -> Move:
    """A move in words: `2.5` and `key=value`, or `0-4` and `key=from..to`.

    Raises ParameterError naming what is wrong.
    """
    span = _SPAN.fullmatch(when.strip())
    if span is None:
        raise ParameterError(f"{when!r} is no time", "write seconds, such as 2.5, or a span, such as 0-4")
    start = float(span[1])
    end = start if span[2] is None else float(span[2])
    if not start <= end <= LONGEST_S:
        raise ParameterError(f"the span {when!r} ends before it begins", "write the earlier time first")
    key, equals, text = what.partition("=")
    parameter = row(key.strip())
    if not equals:
        raise ParameterError(f"{what!r} has no value", "write key=value, or key=from..to for a span")
    if span[2] is None:
        value = parameter.parse(text)
        return Move(parameter.key, start, end, value, value)
    first, dots, last = text.partition("..")
    if parameter.kind not in ("float", "int") or not dots:
        raise ParameterError(
            f"{parameter.key} cannot move from value to value over {when}",
            "write key=from..to with a number, or one time instead of a span",
        )
    return Move(parameter.key, start, end, parameter.parse(first), parameter.parse(last))


def values_at(moves: Iterable[Move], t: float) -> dict[str, Value]:
    """What the moves say at `t`: per key the one that began last; {} for keys that none has touched yet."""
    begun = sorted((move for move in moves if move.start <= t), key=lambda move: move.start)
    return {move.key: move.at(t) for move in begun}

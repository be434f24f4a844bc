"""Values that move on their own: set at an instant, carried over a span."""

import pytest

from engine.core.automation import Move, parse_move, values_at
from engine.core.errors import ParameterError


def test_an_instant_sets_and_a_span_carries() -> None:
    assert parse_move("2.5", "prompt.text=a=b") == Move("prompt.text", 2.5, 2.5, "a=b", "a=b")
    ramp = parse_move("1-3", "lora.1.strength=0..1")
    assert [ramp.at(t) for t in (1.0, 1.5, 2.0, 3.0, 9.0)] == [0.0, 0.25, 0.5, 1.0, 1.0]
    down = parse_move("0-4", "engine.steps=4..1")
    assert [down.at(t) for t in (0.0, 1.4, 4.0)] == [4, 3, 1]


def test_the_move_that_began_last_wins_and_nothing_moves_before_its_time() -> None:
    moves = [
        parse_move("4", "prompt.text=ice"),
        parse_move("0", "prompt.text=gold"),
        parse_move("1-3", "noise.scale=0.2..0.6"),
        parse_move("2", "noise.scale=1"),
    ]
    assert values_at(moves, 0.0) == {"prompt.text": "gold"}
    assert values_at(moves, 1.5) == {"prompt.text": "gold", "noise.scale": pytest.approx(0.3)}
    assert values_at(moves, 2.5) == {"prompt.text": "gold", "noise.scale": 1.0}
    assert values_at(moves, 4.0)["prompt.text"] == "ice"
    assert values_at([], 1.0) == {}


@pytest.mark.parametrize(
    ("when", "what", "reason"),
    [
        ("soon", "noise.scale=1", "is no time"),
        ("-1", "noise.scale=1", "is no time"),
        ("4-2", "noise.scale=0..1", "ends before it begins"),
        ("0-999999", "noise.scale=0..1", "ends before it begins"),
        ("1", "noise.scale", "has no value"),
        ("1", "noise.scal=1", "there is no parameter"),
        ("1", "noise.scale=7", "cannot be"),
        ("1-2", "noise.scale=1", "from value to value"),
        ("1-2", "prompt.text=a..b", "from value to value"),
        ("1-2", "noise.scale=0..7", "cannot be"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(when: str, what: str, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason) as caught:
        parse_move(when, what)
    assert caught.value.fix

"""Signals: positions, words, and the four languages of endless encoders."""

import pytest

from controllers.signal import Encoding, ticks
from tests.controllers.hands import bend, cc, note, program


def test_positions() -> None:
    assert [cc(raw).value for raw in (0, 127)] == [0.0, 1.0]
    assert cc(64).value == pytest.approx(64 / 127)
    # An odd wire value is limited, never passed on.
    assert cc(-5).value == 0.0
    assert cc(900).value == 1.0


def test_both_middles_of_the_pitch_wheel_are_rest() -> None:
    assert [bend(raw).value for raw in (0, 8191, 8192, 16383)] == [0.0, 0.5, 0.5, 1.0]
    assert bend(4095).value < 0.25 < bend(4096).value


def test_words() -> None:
    assert cc(64).text == "ch 1 CC 21 = 64"
    assert note().text == "ch 1 note 36 on, velocity 100"
    assert note(on=False).text == "ch 1 note 36 off"
    assert bend(8192).text == "ch 1 pitch bend 8192"
    assert program(5).text == "ch 1 program 5"
    assert cc(1, device="nanoKONTROL2").source == "midi:nanoKONTROL2"


@pytest.mark.parametrize(
    ("encoding", "up", "down"),
    [
        ("twos", {1: 1, 5: 5, 64: 64}, {127: -1, 123: -5, 65: -63}),
        ("signed", {1: 1, 64: 64}, {65: -1, 69: -5, 127: -63}),
        ("signed2", {65: 1, 69: 5, 127: 63}, {1: -1, 64: -64}),
        ("offset", {65: 1, 69: 5, 127: 63}, {63: -1, 59: -5, 1: -63}),
    ],
)
def test_ticks(encoding: Encoding, up: dict[int, int], down: dict[int, int]) -> None:
    for raw, expected in (up | down).items():
        assert ticks(raw, encoding) == expected
    assert ticks(0, encoding) == 0
    assert ticks(128, encoding) == 0

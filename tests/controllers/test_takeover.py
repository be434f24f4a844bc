"""The truth table of soft takeover, row by row, and the other modes."""

import pytest

from controllers.takeover import BRACKET_S, THRESHOLD, WINDOW_S, Mode, Touch, changed_elsewhere, move

NEVER = None
NOW = 100.0


@pytest.mark.parametrize(
    ("previous", "since_previous", "since_accepted", "current", "new", "accepted"),
    [
        # The first message ever is ignored, wherever it is.
        (None, 0.0, NEVER, 0.5, 0.9, False),
        (None, 0.0, NEVER, 0.5, 0.5, False),
        # Close to the value: accepted, however late, from either side, at the threshold too.
        (0.9, 9.0, NEVER, 0.5, 0.5, True),
        (0.9, 9.0, NEVER, 0.5, 0.5 + THRESHOLD, True),
        (0.1, 9.0, NEVER, 0.5, 0.5 - THRESHOLD, True),
        (0.9, 9.0, NEVER, 0.5, 0.5 + THRESHOLD + 1e-9, False),
        # Opposite sides: a whip within 50 ms of an accepted message ...
        (0.4, 9.0, WINDOW_S, 0.5, 0.9, True),
        (0.6, 9.0, WINDOW_S, 0.5, 0.1, True),
        # ... is ignored when it is late; unless the pair brackets the value within 250 ms.
        (0.4, 9.0, 9.0, 0.5, 0.9, False),
        (0.4, BRACKET_S + 0.01, NEVER, 0.5, 0.9, False),
        (0.4, BRACKET_S, NEVER, 0.5, 0.9, True),
        (0.9, BRACKET_S, NEVER, 0.5, 0.1, True),
        (0.5, BRACKET_S, NEVER, 0.5, 0.9, True),
        # Same side, control was far from the value: ignored, accepted lately or not.
        (0.6, 0.001, NEVER, 0.5, 0.7, False),
        (0.6, 0.001, 0.001, 0.5, 0.7, False),
        (0.3, 0.001, 0.001, 0.5, 0.1, False),
        # Same side, control was at the value: accepted within 50 ms, ignored later.
        (0.51, 0.001, WINDOW_S, 0.5, 0.7, True),
        (0.49, 0.001, WINDOW_S, 0.5, 0.1, True),
        (0.51, 0.001, WINDOW_S + 0.001, 0.5, 0.7, False),
        (0.51, 0.001, NEVER, 0.5, 0.7, False),
    ],
)
def test_pick_up_truth_table(
    previous: float | None,
    since_previous: float,
    since_accepted: float | None,
    current: float,
    new: float,
    accepted: bool,
) -> None:
    accepted_at = None if since_accepted is None else NOW - since_accepted
    before = Touch(previous, NOW - since_previous, accepted_at)
    after, position = move("pickup", before, current, new, NOW)
    assert position == (new if accepted else None)
    assert after.held is accepted
    assert (after.hardware, after.hardware_at) == (new, NOW)
    assert after.accepted_at == (NOW if accepted else accepted_at)


def play(mode: Mode, value: float, positions: list[float], gap: float = 0.01) -> list[float]:
    """The values a control at `positions` makes of `value`, which nobody else changes."""
    touch, seen = Touch(), []
    for index, position in enumerate(positions):
        touch, target = move(mode, touch, value, position, index * gap)
        value = value if target is None else target
        seen.append(value)
    return seen


def test_a_slow_coarse_sender_that_crosses_the_value_is_heard() -> None:
    # Messages 100 ms apart in steps of 0.2: no step lands near 0.5, the crossing counts.
    assert play("pickup", 0.5, [0.0, 0.2, 0.4, 0.6, 0.8], gap=0.1) == [0.5, 0.5, 0.5, 0.6, 0.8]
    # Half a second apart they are no movement but two positions.
    assert play("pickup", 0.5, [0.0, 0.2, 0.4, 0.6, 0.8], gap=0.5) == [0.5] * 5


def test_after_a_change_elsewhere_the_value_has_to_be_met_again() -> None:
    touch, _ = move("pickup", Touch(0.5, 0.0), 0.5, 0.5, 0.01)
    assert touch.held
    touch = changed_elsewhere(touch)
    assert not touch.held and touch.accepted_at is None
    touch, position = move("pickup", touch, 0.9, 0.52, 0.02)
    assert position is None
    touch, position = move("pickup", touch, 0.9, 0.89, 0.03)
    assert position == 0.89 and touch.held


def test_none_jumps_from_the_first_message() -> None:
    assert play("none", 0.5, [0.9, 0.1]) == [0.9, 0.1]


def test_scaling_converges_and_reaches_both_ends() -> None:
    up = play("scaling", 0.2, [0.5, 0.6, 0.8, 1.0])
    assert up == pytest.approx([0.2, 0.36, 0.68, 1.0])
    down = play("scaling", 0.8, [0.5, 0.25, 0.0])
    assert down == pytest.approx([0.8, 0.4, 0.0])
    assert play("scaling", 0.5, [0.5, 0.6, 0.3]) == pytest.approx([0.5, 0.6, 0.3])  # equal: one to one
    assert play("scaling", 0.5, [1.0, 1.0, 0.0]) == pytest.approx([0.5, 0.5, 0.0])


def test_relative_drags_and_snaps_at_the_ends() -> None:
    dragged = play("relative", 0.2, [50 / 127, 60 / 127, 40 / 127])
    assert dragged == pytest.approx([0.2, 0.2 + 10 / 127, 0.2 - 10 / 127])
    assert play("relative", 0.9, [50 / 127, 1 / 127])[-1] == 0.0
    assert play("relative", 0.1, [50 / 127, 126 / 127])[-1] == 1.0
    # A leap (the knob was banked elsewhere) counts 64 steps at most.
    assert play("relative", 0.1, [10 / 127, 120 / 127])[-1] == pytest.approx(0.1 + 64 / 127)
    assert play("relative", 0.9, [60 / 127, 100 / 127])[-1] == 1.0

"""The pacer against a clock that only moves when told."""

import pytest

from engine.core.pacing import Pacer, back_off
from tests.fakes import FakeClock


def test_waits_double_up_to_the_longest_and_never_overflow() -> None:
    assert [back_off(0.5, failures, 8.0) for failures in range(6)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert back_off(0.5, 10**9, 8.0) == 8.0


def test_deadlines_do_not_drift() -> None:
    clock = FakeClock(100.0)
    pacer = Pacer(30.0, clock, clock.wait)
    times = []
    for _ in range(301):
        assert pacer.tick() == pytest.approx(0.0, abs=1e-9)
        times.append(clock.now)
        clock.advance(0.004)  # the work of a tick
    assert times[0] == 100.0
    assert times[-1] == pytest.approx(110.0, abs=1e-6)
    assert (pacer.ticks, pacer.late, pacer.skipped) == (301, 0, 0)


def test_a_little_late_is_caught_up() -> None:
    clock = FakeClock(0.0)
    pacer = Pacer(10.0, clock, clock.wait)
    pacer.tick()
    clock.advance(0.15)
    assert pacer.tick() == pytest.approx(0.05)
    assert pacer.tick() == 0.0
    assert clock.now == pytest.approx(0.2)
    assert pacer.skipped == 0


def test_long_pause_skips_instead_of_bursting() -> None:
    clock = FakeClock(0.0)
    pacer = Pacer(10.0, clock, clock.wait)
    pacer.tick()
    clock.advance(1.03)
    assert pacer.tick() == pytest.approx(0.93)
    assert (pacer.late, pacer.skipped) == (1, 9)
    pacer.tick()
    assert clock.now == pytest.approx(1.1), "the old beat is kept"


def test_rate_changes_without_a_jump() -> None:
    clock = FakeClock(0.0)
    pacer = Pacer(10.0, clock, clock.wait)
    for _ in range(3):
        pacer.tick()
    assert clock.now == pytest.approx(0.2)
    pacer.set_rate(50.0)
    pacer.set_rate(50.0)
    assert pacer.period == pytest.approx(0.02)
    for _ in range(5):
        pacer.tick()
    assert clock.now == pytest.approx(0.3)
    assert pacer.skipped == 0


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="positive number"):
        Pacer(rate)

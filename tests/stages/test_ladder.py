"""The never-black ladder: its order, its patience, its reasons."""

import dataclasses

import pytest

from engine.stages.ladder import Ladder, Situation, reason

FINE = Situation(chunk_age=0.2, chunk_s=0.5, control=True, camera=True, loading=False, trouble="")


def situation(**changes: object) -> Situation:
    return dataclasses.replace(FINE, **changes)  # type: ignore[arg-type]


def climb(ladder: Ladder, seconds: float, start: float, step: float = 0.1, **changes: object) -> list[str]:
    """Rungs shown from `start` on while the last chunk grows older."""
    rungs = []
    ticks = round(seconds / step)
    for tick in range(ticks):
        at = start + tick * step
        age = None if changes.get("chunk_age", 0.0) is None else 0.0 + tick * step
        rungs.append(ladder.step(at, situation(**{**changes, "chunk_age": age})))
    return rungs


def test_dead_engine_walks_down_in_order() -> None:
    ladder = Ladder()
    assert ladder.step(0.0, FINE) == "generated"
    rungs = climb(ladder, 8.0, 1.0)
    assert list(dict.fromkeys(rungs)) == ["generated", "hold", "control"]
    assert rungs.index("hold") == 11, "a stall is more than a second, here 1.5 chunks would be less"
    assert rungs.index("control") == 51


@pytest.mark.parametrize(
    ("control", "camera", "last"),
    [(True, True, "control"), (False, True, "camera"), (False, False, "slate"), (True, False, "control")],
)
def test_lowest_rung_is_the_best_that_is_there(control: bool, camera: bool, last: str) -> None:
    ladder = Ladder()
    ladder.step(0.0, FINE)
    assert climb(ladder, 9.0, 1.0, control=control, camera=camera)[-1] == last


def test_slow_engine_is_given_time() -> None:
    ladder = Ladder()
    ladder.step(0.0, FINE)
    rungs = climb(ladder, 8.0, 1.0, chunk_s=3.0)
    assert rungs.index("hold") == 46, "1.5 chunks of 3 seconds"


def test_before_the_first_chunk() -> None:
    nothing = situation(chunk_age=None, control=False, camera=False, loading=True, trouble="loading model")
    ladder = Ladder()
    assert ladder.step(0.0, nothing) == "slate"
    assert ladder.step(0.1, dataclasses.replace(nothing, camera=True)) == "camera", "no patience at the start"
    assert ladder.step(0.2, dataclasses.replace(nothing, camera=True, control=True)) == "camera"
    assert ladder.step(1.2, dataclasses.replace(nothing, camera=True, control=True)) == "control"
    assert ladder.step(2.3, FINE) == "generated"


def test_up_again_only_after_a_moment_but_down_at_once() -> None:
    ladder = Ladder()
    ladder.step(0.0, FINE)
    stalled = situation(chunk_age=1.2)
    assert ladder.step(10.0, stalled) == "hold"
    assert ladder.step(10.1, FINE) == "hold", "a limping engine does not flicker"
    assert ladder.step(10.9, FINE) == "hold"
    assert ladder.step(11.05, FINE) == "generated"
    assert ladder.step(11.1, stalled) == "hold", "down needs no patience"


def test_patience_ends_when_the_rung_is_gone() -> None:
    ladder = Ladder()
    ladder.step(0.0, FINE)
    dead = situation(chunk_age=99.0, control=False)
    assert ladder.step(1.0, dead) == "camera"
    assert ladder.step(1.1, dataclasses.replace(dead, camera=False, control=True)) == "control"


def test_a_wanted_reload_holds_longer() -> None:
    ladder = Ladder()
    ladder.step(0.0, FINE)
    rungs = climb(ladder, 40.0, 1.0, step=0.5, loading=True, trouble="loading model")
    assert rungs[20] == "hold" and rungs[60] == "hold"
    assert rungs[-1] == "control"


def test_an_old_picture_is_no_way_up() -> None:
    ladder = Ladder()
    ladder.step(0.0, FINE)
    assert ladder.step(10.0, situation(chunk_age=8.0)) == "control"
    assert ladder.step(20.0, situation(chunk_age=18.0, loading=True)) == "control"


def test_reasons() -> None:
    assert reason("generated", situation(trouble="clip ended")) == ""
    assert reason("hold", situation(trouble="clip ended")) == "clip ended"
    assert reason("control", FINE) == "waiting for the engine"

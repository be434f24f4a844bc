"""Expected costs from made-up ones, and what the governor makes of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.model.cost import CostModel, Work
from engine.model.governor import ROOM, Effort, Governor, efforts
from engine.model.spec import POCKET, WAN_1_3B

CHUNK = Work(tokens=2760, seen=11040, steps=4, hinted=4)


def test_the_operations_of_a_known_chunk() -> None:
    """368x640 with depth: by hand 34.5 + 28.1 + 1.3 tera for the passes, 14.6 + 3.3 for the branch."""
    assert CHUNK.operations(WAN_1_3B) / 1e12 == pytest.approx(81.8, rel=0.02)
    text_only = replace(CHUNK, hinted=0)
    assert text_only.operations(WAN_1_3B) / 1e12 == pytest.approx(63.9, rel=0.02)
    assert replace(text_only, clean=False).operations(WAN_1_3B) == text_only.operations(WAN_1_3B) * 4 // 5


def test_nothing_is_expected_before_anything_ran() -> None:
    assert CostModel(POCKET).expected(CHUNK) is None


def test_a_kind_that_ran_is_known_by_its_own_time() -> None:
    costs = CostModel(POCKET)
    costs.observe(CHUNK, 1.0)
    assert costs.expected(CHUNK) == 1.0
    costs.observe(CHUNK, 2.0)
    assert 1.0 < (costs.expected(CHUNK) or 0) < 2.0
    for _ in range(30):
        costs.observe(CHUNK, 2.0)
    assert costs.expected(CHUNK) == pytest.approx(2.0, abs=0.01)


def test_the_first_guess_is_by_operations_alone() -> None:
    costs, fewer = CostModel(WAN_1_3B), replace(CHUNK, steps=2, hinted=2)
    costs.observe(CHUNK, 0.2)
    share = fewer.operations(WAN_1_3B) / CHUNK.operations(WAN_1_3B)
    assert costs.expected(fewer) == pytest.approx(0.2 * share)


def test_two_kinds_tell_what_every_chunk_takes() -> None:
    costs = CostModel(WAN_1_3B)
    kinds = [replace(CHUNK, steps=steps, hinted=steps) for steps in (1, 2, 3, 4)]

    def true(work: Work) -> float:
        return 0.05 + work.operations(WAN_1_3B) / 500e12

    costs.observe(kinds[3], true(kinds[3]))
    costs.observe(kinds[1], true(kinds[1]))
    for work in (kinds[0], kinds[2], replace(CHUNK, hinted=1), replace(CHUNK, tokens=4680, seen=18720)):
        assert costs.expected(work) == pytest.approx(true(work))


def test_noise_makes_no_nonsense() -> None:
    costs, fewer = CostModel(POCKET), replace(CHUNK, steps=3)
    costs.observe(CHUNK, 0.99)
    costs.observe(fewer, 1.0)  # less work took longer
    guess = costs.expected(replace(CHUNK, steps=1))
    assert guess is not None and 0 < guess < 1.0


def costs(effort: Effort) -> float:
    """A made-up machine."""
    return 0.1 + 0.1 * effort.steps + 0.03 * effort.hinted


def every(steps: int) -> Effort:
    return Effort(steps, "every")


FOUR = efforts(4, every)


def test_the_ladder_goes_from_what_the_model_wants_to_one_step() -> None:
    assert [effort.steps for effort in FOUR] == [4, 3, 2, 1]
    proven = efforts(4, lambda steps: Effort(steps, "one" if steps == 4 else "every", clean=steps < 4))
    assert [effort.hinted for effort in proven] == [1, 3, 2, 1]
    assert proven[0].text == "4 steps, hints at 1, no clean pass" and FOUR[3].text == "1 step"


@pytest.mark.parametrize(
    ("deadline", "steps"), [(1.0, 4), (0.62, 4), (0.61, 3), (0.4, 2), (0.24, 1), (0.1, 1)]
)
def test_the_best_that_is_in_time_is_chosen_without_trying(deadline: float, steps: int) -> None:
    assert Governor().choose(FOUR, costs, deadline).steps == steps


def test_it_gives_way_at_once_and_comes_back_with_room_to_spare() -> None:
    governor = Governor()
    assert governor.choose(FOUR, costs, 0.62).steps == 4
    assert governor.choose(FOUR, costs, 0.60).steps == 3
    assert governor.choose(FOUR, costs, 0.63).steps == 3, "not to and fro"
    assert governor.choose(FOUR, costs, 0.62 / ROOM + 0.01).steps == 4
    assert governor.choose(FOUR, lambda effort: 2 * costs(effort), 0.62).steps == 1, "the machine got busy"


def test_what_is_not_known_runs_and_is_measured_by_that() -> None:
    governor = Governor()
    assert governor.choose(FOUR, lambda effort: None, 0.01).steps == 4
    assert governor.choose(FOUR, costs, 0.4).steps == 2
    assert governor.choose(FOUR[2:], costs, 9.0).steps == 2, "another model wants fewer"

"""A mask drawn by hand: strokes, eraser, and the way back."""

import numpy as np
import pytest

from engine.video.brush import MOST_STEPS_BACK, MaskDrawing


@pytest.fixture
def drawing() -> MaskDrawing:
    return MaskDrawing(np.zeros((100, 200), np.uint8))


def test_a_click_is_a_round_spot(drawing: MaskDrawing) -> None:
    drawing.begin((0.5, 0.5), 0.1)
    drawing.end()
    mask = drawing.mask
    assert set(np.unique(mask)) == {0, 255}
    assert mask[50, 100] == mask[42, 100] == mask[50, 108] == 255
    assert mask[38, 100] == mask[50, 112] == mask[42, 108] == 0
    assert np.count_nonzero(mask) == pytest.approx(np.pi * 100, rel=0.15)


def test_a_fast_stroke_leaves_no_gaps_and_may_go_past_the_edge(drawing: MaskDrawing) -> None:
    drawing.begin((0.1, 0.5), 0.05)
    drawing.move((5.0, 0.5), 0.05)
    drawing.end()
    assert (drawing.mask[50, 20:] == 255).all() and not drawing.mask[50, :12].any()
    drawing.move((0.5, 0.0), 0.05)
    assert not drawing.mask[:40].any(), "the brush is up"


def test_the_eraser_takes_away_and_every_step_can_be_taken_back(drawing: MaskDrawing) -> None:
    states = [drawing.mask.copy()]
    for act in (
        drawing.fill,
        lambda: drawing.begin((0.5, 0.5), 0.2, erases=True),
        drawing.invert,
        drawing.clear,
    ):
        act()
        drawing.end()
        states.append(drawing.mask.copy())
    assert (states[1] == 255).all() and states[2][50, 100] == 0 and states[2][0, 0] == 255
    assert np.array_equal(states[3], 255 - states[2]) and not states[4].any()
    for state in reversed(states[:-1]):
        drawing.undo()
        assert np.array_equal(drawing.mask, state)
    assert not drawing.can_undo and drawing.untouched
    drawing.undo()
    assert np.array_equal(drawing.mask, states[0])


def test_so_many_steps_are_kept_and_no_more(drawing: MaskDrawing) -> None:
    for _ in range(MOST_STEPS_BACK + 5):
        drawing.invert()
    steps = 0
    while drawing.can_undo:
        drawing.undo()
        steps += 1
    assert steps == MOST_STEPS_BACK and not drawing.untouched, "there were more"


def test_what_it_began_with_is_not_written_to() -> None:
    first = np.zeros((8, 8), np.uint8)
    MaskDrawing(first).fill()
    assert not first.any()

"""Edge F: the measure is symmetric, and rises when the lines of the control picture are followed."""

import numpy as np
import pytest

from engine.adherence import TOLERANCE, control_lines, drawn_frames, edge_f, picture_lines

SIZE = (64, 96)


def lines(*columns: int) -> np.ndarray:
    picture = np.zeros(SIZE, bool)
    picture[8:56, list(columns)] = True
    return picture


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_lines_within_the_tolerance_count_in_full(shift: int) -> None:
    assert edge_f(lines(40 + shift), lines(40)) == 1.0


@pytest.mark.parametrize("shift", [3, 4, 20])
def test_lines_further_away_do_not_count(shift: int) -> None:
    assert TOLERANCE == 2
    assert edge_f(lines(40 + shift), lines(40)) == 0.0


def test_invented_lines_cost_as_much_as_missing_ones() -> None:
    # Half of one side is unmatched: the other part is 1, so F = 2 * 0.5 * 1 / 1.5.
    assert edge_f(lines(20, 60), lines(20)) == pytest.approx(2 / 3)
    assert edge_f(lines(20), lines(20, 60)) == pytest.approx(2 / 3)


def test_the_score_is_symmetric() -> None:
    random = np.random.default_rng(3)
    for density in (0.002, 0.02, 0.2):
        a, b = random.random((2, *SIZE)) < density
        assert edge_f(a, b) == pytest.approx(edge_f(b, a))


def test_nothing_against_something_is_zero_and_nothing_against_nothing_is_one() -> None:
    empty = np.zeros(SIZE, bool)
    assert edge_f(empty, lines(5)) == edge_f(lines(5), empty) == 0.0
    assert edge_f(empty, empty) == 1.0


def test_a_scribbles_stroke_is_one_line_and_so_is_an_edge() -> None:
    drawing = np.full((*SIZE, 3), 255, np.uint8)
    drawing[10:50, 30:34] = 0
    thin = control_lines(drawing, "scribble")
    assert thin.any() and thin.sum(axis=1).max() == 1 and thin[:, 28:36].sum() == thin.sum()
    assert np.array_equal(control_lines(255 - drawing, "edges"), thin)


def test_a_picture_is_reduced_to_its_outline() -> None:
    picture = np.full((*SIZE, 3), 60, np.uint8)
    picture[16:48, 24:72] = 200
    found = picture_lines(picture)
    outline = np.zeros(SIZE, bool)
    outline[16:48, [24, 71]] = outline[[16, 47], 24:72] = True
    assert edge_f(found, outline) > 0.95
    assert not picture_lines(np.full((*SIZE, 3), 90, np.uint8)).any()


def test_the_drawn_clip_is_the_same_every_time_and_moves() -> None:
    frames, again = list(drawn_frames(0.5)), list(drawn_frames(0.5))
    assert len(frames) == 15
    assert all(np.array_equal(a, b) for a, b in zip(frames, again, strict=True))
    assert not np.array_equal(frames[0], frames[-1])

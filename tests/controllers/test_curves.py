"""Curves: ends, direction, and exact ways back."""

import itertools

import pytest

from controllers.curves import CURVES, Curve, locate, place, shape, unshape

STEPS = [step / 127 for step in range(128)]


@pytest.mark.parametrize("curve", CURVES)
def test_ends_order_and_way_back(curve: Curve) -> None:
    shaped = [shape(curve, x) for x in STEPS]
    assert shaped[0] == 0.0
    assert shaped[-1] == pytest.approx(1.0)
    assert all(a < b for a, b in itertools.pairwise(shaped))
    assert [unshape(curve, y) for y in shaped] == pytest.approx(STEPS, abs=1e-6)
    assert shape(curve, -1.0) == shape(curve, 0.0)
    assert shape(curve, 2.0) == shape(curve, 1.0)


def test_where_each_curve_is_fine() -> None:
    assert shape("linear", 0.5) == 0.5
    assert shape("exp", 0.5) < 0.25
    assert shape("log", 0.5) > 0.75
    assert shape("s", 0.5) == pytest.approx(0.5)
    assert shape("s", 0.1) < 0.05 and shape("s", 0.9) > 0.95


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.2, 0.6), (0.9, 0.1)])
def test_place_and_locate(curve: Curve, invert: bool, low: float, high: float) -> None:
    ends = [place(0.0, curve, low, high, invert), place(1.0, curve, low, high, invert)]
    assert ends == pytest.approx([high, low] if invert else [low, high])
    for position in STEPS:
        norm = place(position, curve, low, high, invert)
        assert locate(norm, curve, low, high, invert) == pytest.approx(position, abs=1e-6)


def test_a_value_out_of_reach_stands_at_the_nearest_end() -> None:
    assert locate(1.0, "linear", 0.2, 0.6, False) == 1.0
    assert locate(0.0, "linear", 0.2, 0.6, False) == 0.0
    assert locate(1.0, "linear", 0.2, 0.6, True) == 0.0
    assert locate(0.5, "linear", 0.3, 0.3, False) == 0.0

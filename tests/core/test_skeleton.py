"""The stick figure's table: every limb has its points and its colour."""

from engine.core.skeleton import BODY_LIMBS, BODY_POINTS, COLORS, LIMBS


def test_every_point_has_a_colour_and_a_limb() -> None:
    assert len(COLORS) == len(set(COLORS)) == 18
    assert {point for limb in LIMBS for point in limb} == set(range(18))
    assert len(LIMBS) == len(set(LIMBS)) == 17


def test_the_bodys_limbs_come_first_and_need_no_face() -> None:
    assert {point for limb in LIMBS[:BODY_LIMBS] for point in limb} == set(range(BODY_POINTS))
    assert all(max(limb) >= BODY_POINTS for limb in LIMBS[BODY_LIMBS:])


def test_red_and_blue_are_exchanged() -> None:
    """ControlNet's first limb, neck to right shoulder, is red; VACE's is blue."""
    assert (LIMBS[0], COLORS[0]) == ((1, 2), (0, 0, 255))
    assert (LIMBS[12], COLORS[12]) == ((1, 0), (255, 0, 0))

"""The layout's box: drawn as VACE reads it, put by hand, carried by a part of the body."""

from collections.abc import Iterator

import numpy as np
import pytest

from engine.core.parameters import row
from engine.video.annotators import make_annotator
from engine.video.layout import PARTS, POINT, RADIUS, Box, Layout, carried, outline
from engine.video.people import Body
from tests.video.films import photo


@pytest.fixture
def layout() -> Iterator[Layout]:
    made = make_annotator("layout")
    assert isinstance(made, Layout)
    yield made
    made.close()


@pytest.mark.parametrize(("size", "thick"), [((128, 224), 2), ((480, 832), 2), ((960, 1664), 4)])
def test_a_black_outline_on_white_of_vaces_thickness(size: tuple[int, int], thick: int) -> None:
    height, width = size
    picture = outline(Box(0.5, 0.5, 0.5, 0.5), height, width)
    assert set(np.unique(picture)) == {0, 255}
    middle = picture[height // 2, :, 0] == 0
    assert middle.sum() == pytest.approx(2 * thick, abs=2)
    columns = np.nonzero(middle)[0]
    assert columns[0] == pytest.approx(width / 4, abs=thick) and columns[-1] == pytest.approx(
        3 * width / 4, abs=thick
    )
    rows = np.nonzero(picture[:, width // 2, 0] == 0)[0]
    assert rows[0] == pytest.approx(height / 4, abs=thick)
    assert (picture[height // 3, width // 3] == 255).all(), "nothing is filled"


def test_a_point_is_a_small_ring_wherever_it_is_and_of_whatever_size_the_box() -> None:
    one, other = (outline(Box(0.25, 0.5, side, side, shape="point"), 100, 200) for side in (0.1, 0.9))
    assert np.array_equal(one, other)
    rows, columns = np.nonzero(one[..., 0] == 0)
    assert (rows.mean(), columns.mean()) == pytest.approx((50, 50), abs=0.5)
    away = np.hypot(rows - 50, columns - 50)
    assert np.ptp(away) < 3 and away.mean() == pytest.approx(100 * RADIUS, abs=1)
    assert row("layout.shape").choices == (Box().shape, POINT)
    assert (outline(Box(0.0, 0.5, shape=POINT), 100, 200)[:, 100:] == 255).all()


def test_past_the_edge_it_is_cut_off() -> None:
    picture = outline(Box(0.0, 1.0, 0.5, 0.5), 100, 200)
    assert (picture[90, 50] == 0).all() and (picture[75, 20] == 0).all() and (picture[20] == 255).all()


def test_the_gain_fades_it_to_white(layout: Layout) -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    faint = layout.annotate(image, 0.5, 0.5, False).control
    none = layout.annotate(image, 0.5, 0.0, False).control
    assert faint is not None and faint.min() == 128
    assert none is not None and (none == 255).all()


def body(**seen: float) -> Body:
    """Landmarks in a row; each named part is seen so well, all others not at all."""
    points = np.stack([np.linspace(0.1, 0.9, 33), np.full(33, 0.25)], axis=1).astype(np.float32)
    visibility = np.zeros(33, np.float32)
    for part, sure in seen.items():
        visibility[list(PARTS[part.replace("_", " ")])] = sure
    return Body(points, visibility)


@pytest.mark.parametrize("part", PARTS)
def test_the_part_that_is_seen_carries_it(part: str) -> None:
    found = body(**{part.replace(" ", "_"): 0.9})
    made = carried(Box(0.9, 0.9, 0.2, 0.4, part), found)
    assert made is not None
    assert (made.x, made.y) == pytest.approx(tuple(found.points[list(PARTS[part])].mean(axis=0)))
    assert (made.width, made.height) == (0.2, 0.4)
    others = [other for other in PARTS if other != part]
    assert all(carried(Box(follow=other), found) is None for other in others)


def test_a_part_outside_the_picture_carries_nothing() -> None:
    away = body(head=0.9)
    away.points[:] += 3
    assert carried(Box(follow="head"), away) is None


def test_the_rows_name_every_part() -> None:
    assert row("layout.follow").choices == ("none", *PARTS)
    assert (row("layout.x").default, row("layout.width").default) == (Box().x, Box().width)
    assert (row("layout.y").default, row("layout.height").default) == (Box().y, Box().height)


def test_the_head_of_a_photograph_carries_it_and_nobody_is_said(layout: Layout) -> None:
    image = photo()
    layout.box = Box(0.9, 0.9, 0.2, 0.2, "head")
    drawn = layout.annotate(image, 0.5, 1.0, False)
    assert drawn.found and drawn.control is not None
    ys, xs = np.nonzero(drawn.control[..., 0] == 0)
    assert 80 < xs.mean() < 140 and 35 < ys.mean() < 85, "where her face is"
    empty = layout.annotate(np.full((64, 96, 3), 90, np.uint8), 0.5, 1.0, False)
    assert not empty.found and empty.note == "no head seen" and empty.control is not None
    assert (empty.control == 255).all()

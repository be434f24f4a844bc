"""Pictures: painted as they are, aspect kept, mirrored, freed; and reasons where there are none."""

import weakref

import numpy as np
import pytest
from PySide6.QtGui import QColor

from app.preview import Preview
from tests.app.fakes import flat


def colours(widget, *points: tuple[float, float]) -> list[tuple[int, int, int]]:
    image = widget.grab().toImage()
    found = [image.pixelColor(int(x * image.width()), int(y * image.height())) for x, y in points]
    return [(c.red(), c.green(), c.blue()) for c in found]


@pytest.fixture
def pictures() -> list[np.ndarray | None]:
    return [None]


@pytest.fixture
def preview(qtbot, pictures) -> Preview:
    made = Preview("PROGRAM", lambda: pictures[0])
    qtbot.addWidget(made)
    made.resize(320, 180)
    made.show()
    return made


def test_colours_are_rgb_and_the_whole_frame_is_used(preview, pictures) -> None:
    pictures[0] = flat(200, 100, 50, 90, 160)
    preview.refresh()
    assert colours(preview, (0.5, 0.5), (0.97, 0.5), (0.5, 0.95)) == [(200, 100, 50)] * 3


def test_the_aspect_is_kept(preview, pictures) -> None:
    pictures[0] = flat(200, 100, 50, 100, 100)
    preview.refresh()
    left, middle, right = colours(preview, (0.1, 0.5), (0.5, 0.5), (0.9, 0.5))
    assert middle == (200, 100, 50)
    assert left == right != middle


def test_mirrored_swaps_left_and_right_only(preview, pictures) -> None:
    image = flat(10, 10, 10, 90, 160)
    image[:, :80] = (250, 0, 0)
    image[80:] = (0, 0, 250)
    pictures[0] = image
    preview.mirror(True)
    preview.refresh()
    assert colours(preview, (0.25, 0.5), (0.75, 0.5), (0.5, 0.97)) == [(10, 10, 10), (250, 0, 0), (0, 0, 250)]


def test_rows_that_are_not_contiguous_are_painted_right(preview, pictures) -> None:
    pictures[0] = np.dstack([flat(200, 100, 50, 90, 160)] * 2)[:, :, :3][::-1, ::2]
    preview.refresh()
    assert colours(preview, (0.5, 0.5)) == [(200, 100, 50)]


def test_an_old_picture_is_freed(preview, pictures) -> None:
    gone = []
    for level in range(20):
        pictures[0] = flat(level, level, level, 360, 640)
        gone.append(weakref.ref(pictures[0]))
        preview.refresh()
        preview.grab()
    assert [ref() is None for ref in gone] == [True] * 19 + [False]


def test_the_same_picture_is_not_painted_again(preview, pictures, qtbot) -> None:
    painted = []
    original = preview.paintEvent
    preview.paintEvent = lambda event: (painted.append(1), original(event))[1]
    pictures[0] = flat(1, 2, 3)
    for _ in range(5):
        preview.refresh()
        qtbot.wait(5)
    before = len(painted)
    for _ in range(5):
        preview.refresh()
        qtbot.wait(5)
    assert len(painted) == before


def test_a_reason_is_painted_where_nothing_is(preview) -> None:
    empty = preview.grab().toImage()
    preview.say("The camera vanished", "plug it in")
    told = preview.grab().toImage()
    assert told != empty
    preview.say("")
    assert preview.grab().toImage() == empty


def test_a_reason_veils_a_stale_picture(preview, pictures) -> None:
    pictures[0] = flat(200, 200, 200, 90, 160)
    preview.refresh()
    preview.say("The camera vanished")
    (corner,) = colours(preview, (0.9, 0.9))
    assert max(corner) < 100


def test_on_air_is_red_around_and_a_dot(preview) -> None:
    preview.tag("PROGRAM", on_air=True)
    (edge,) = colours(preview, (0.5, 0.0))
    assert QColor(*edge).red() > 2 * QColor(*edge).blue()

"""The canvas: where the camera's picture lies, what surrounds it, and the way from one to the other."""

import numpy as np
import pytest

from engine.core.types import Image
from engine.video.canvas import Framing, Placement, placed
from engine.video.fit import fit_crop
from tests.video.films import photo

ENGINE = (128, 224)


def stripes(height: int, width: int) -> Image:
    """Each column and row has a colour of its own."""
    made = np.zeros((height, width, 3), np.uint8)
    made[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    made[..., 1] = np.linspace(0, 255, height).astype(np.uint8)[:, None]
    return made


@pytest.mark.parametrize("camera", [(360, 640), (480, 640), (640, 480), (128, 224), (1, 900), (37, 53)])
def test_unzoomed_and_cropped_it_is_the_picture_as_ever(camera: tuple[int, int]) -> None:
    image = stripes(*camera)
    place = placed(camera, ENGINE, Framing(x=0.7, y=-1.0))
    assert place.fills and place.around == 0
    view = place.view(image)
    assert np.array_equal(view, fit_crop(image, *ENGINE)) and np.array_equal(place.picture(view), view)
    assert not place.outside().any()


@pytest.mark.parametrize(
    ("framing", "box"),
    [
        (Framing(2.0), (32, 56, 64, 112)),
        (Framing(2.0, -1.0, -1.0), (0, 0, 64, 112)),
        (Framing(2.0, 1.0, 1.0), (64, 112, 64, 112)),
        (Framing(3.0, 1.0, 0.0), (42, 149, 43, 75)),
        (Framing(1.0, whole=True), (0, 26, 128, 171)),
        (Framing(1.0, 1.0, 1.0, whole=True), (0, 53, 128, 171)),
        (Framing(2.0, -1.0, 1.0, whole=True), (64, 0, 64, 86)),
    ],
)
def test_zoom_and_place(framing: Framing, box: tuple[int, int, int, int]) -> None:
    """Of a camera of 4:3 on a canvas of 7:4."""
    place = placed((480, 640), ENGINE, framing)
    assert (place.top, place.left, place.height, place.width) == box
    assert not place.fills
    assert (place.outside() == 255).mean() == pytest.approx(place.around)


def test_a_tall_camera_is_whole_too() -> None:
    place = placed((640, 360), ENGINE, Framing(whole=True))
    assert (place.height, place.width) == (128, 72) and place.view(stripes(640, 360)).shape == (128, 72, 3)


@pytest.mark.parametrize("camera", [(1, 4000), (4000, 1)])
def test_nothing_shrinks_to_nothing(camera: tuple[int, int]) -> None:
    place = placed(camera, (64, 64), Framing(3.0, 1.0, 1.0, whole=True))
    view = place.view(np.full((*camera, 3), 200, np.uint8))
    assert place.picture(view).shape == (64, 64, 3) and 0 < place.around < 1


def test_what_surrounds_the_picture_control_and_mask() -> None:
    place = placed((360, 640), ENGINE, Framing(2.0, 0.5, -0.5))
    view = place.view(photo())
    box = slice(place.top, place.top + place.height), slice(place.left, place.left + place.width)
    control = place.control(np.full_like(view, 255))
    outside = place.outside() == 255
    assert (control[box] == 255).all() and (control[outside] == 128).all()
    mask = place.mask(np.full(view.shape[:2], 255, np.uint8))
    assert (mask[box] == 255).all() and not mask[outside].any()


def test_beyond_its_edges_the_picture_is_mirrored_so_that_a_soft_border_has_its_colours() -> None:
    place = placed((360, 640), ENGINE, Framing(3.0))
    picture = place.picture(place.view(stripes(360, 640)))
    seam = place.left
    assert np.array_equal(picture[:, seam - 1], picture[:, seam])
    assert np.array_equal(picture[:, seam - 5], picture[:, seam + 4])


def test_a_mask_that_is_shrunk_loses_nothing() -> None:
    """One pixel of the view is still generated at a third of its size, and all values stay 0 or 255."""
    place = placed(ENGINE, ENGINE, Framing(3.0))
    mask = np.zeros(ENGINE, np.uint8)
    mask[60, 100] = 255
    assert set(np.unique(place.mask(mask))) == {0, 255}


PLACES = [
    placed((360, 640), ENGINE, Framing()),
    placed((480, 640), ENGINE, Framing(1.0)),
    placed((640, 480), ENGINE, Framing(2.0, -1.0, 0.3)),
    placed((480, 640), ENGINE, Framing(1.5, 1.0, -1.0, whole=True)),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("point", [(0.5, 0.5), (0.1, 0.9), (1.0, 0.0)])
def test_there_and_back(place: Placement, point: tuple[float, float]) -> None:
    assert place.to_camera(place.from_camera(point)) == pytest.approx(point)
    assert place.from_camera(place.to_camera(point)) == pytest.approx(point)


@pytest.mark.parametrize("place", PLACES)
def test_a_spot_of_the_camera_is_found_where_it_is_said_to_lie(place: Placement) -> None:
    height, width = place.camera
    at = (0.45, 0.55)
    camera = np.zeros((height, width, 3), np.uint8)
    y, x = round(at[1] * height), round(at[0] * width)
    camera[y - 20 : y + 20, x - 20 : x + 20] = 255
    shown = place.picture(place.view(camera))[..., 0]
    box = np.zeros_like(shown)
    box[place.top : place.top + place.height, place.left : place.left + place.width] = 1
    ys, xs = np.nonzero((shown > 127) & (box > 0))
    expected = place.from_camera(at)
    assert (xs.mean() + 0.5) / ENGINE[1] == pytest.approx(expected[0], abs=0.01)
    assert (ys.mean() + 0.5) / ENGINE[0] == pytest.approx(expected[1], abs=0.01)

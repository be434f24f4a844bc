"""Crop-to-fill and letterbox: exact sizes, kept proportions, and refusal of what is no picture."""

import numpy as np
import pytest

from engine.core.types import Image
from engine.video.fit import bounded, fit_crop, letterbox, picture_fault
from tests.video.films import corners, quarters


@pytest.mark.parametrize("have", [(1, 1), (1, 500), (37, 53), (128, 224), (720, 1280), (1280, 720)])
@pytest.mark.parametrize("want", [(128, 224), (1, 1), (333, 7), (192, 336)])
def test_every_size_becomes_exactly_the_wanted_one(have: tuple[int, int], want: tuple[int, int]) -> None:
    image = np.full((*have, 3), 77, np.uint8)
    for fitted in (fit_crop(image, *want), letterbox(image, *want)):
        assert fitted.shape == (*want, 3)
        assert fitted.dtype == np.uint8
        assert fitted.flags.c_contiguous
    assert (fit_crop(image, *want) == 77).all(), "crop-to-fill leaves no border"


def test_crop_keeps_the_middle_and_the_proportions() -> None:
    wide = np.zeros((100, 400, 3), np.uint8)
    wide[:, 150:250] = 200  # a square in the middle
    assert (fit_crop(wide, 50, 50)[:, 2:-2] == 200).all()
    high = np.zeros((400, 100, 3), np.uint8)
    high[150:250] = 200
    assert (fit_crop(high, 50, 50)[2:-2] == 200).all()
    assert corners(fit_crop(quarters(480, 640), 128, 224)) == ["red", "green", "blue", "white"]


def test_letterbox_shows_everything_between_black_bars() -> None:
    boxed = letterbox(quarters(100, 100), 72, 128)
    assert corners(boxed[:, 28:100]) == ["red", "green", "blue", "white"]
    assert (boxed[:, :27] == 0).all()
    assert (boxed[:, 101:] == 0).all()


def test_the_same_size_costs_nothing() -> None:
    image = quarters(128, 224)
    assert fit_crop(image, 128, 224) is image
    assert letterbox(image, 128, 224) is image
    assert bounded(image, 224) is image


def test_a_large_picture_is_bounded_by_its_longest_side() -> None:
    assert bounded(np.zeros((300, 3000, 3), np.uint8), 1000).shape == (100, 1000, 3)
    assert bounded(np.zeros((5000, 2, 3), np.uint8), 1000).shape == (1000, 1, 3)


NOT_PICTURES = {
    "gray": np.zeros((8, 8), np.uint8),
    "alpha": np.zeros((8, 8, 4), np.uint8),
    "floats": np.zeros((8, 8, 3), np.float32),
    "no rows": np.zeros((0, 8, 3), np.uint8),
    "no columns": np.zeros((8, 0, 3), np.uint8),
    "four axes": np.zeros((1, 8, 8, 3), np.uint8),
}


@pytest.mark.parametrize("image", NOT_PICTURES.values(), ids=NOT_PICTURES)
def test_what_is_no_picture_is_refused(image: Image) -> None:
    assert picture_fault(image)
    with pytest.raises(ValueError):
        fit_crop(image, 10, 10)
    with pytest.raises(ValueError):
        letterbox(image, 10, 10)


def test_no_size_is_refused() -> None:
    with pytest.raises(ValueError, match="0 x 10"):
        fit_crop(quarters(8, 8), 0, 10)
    assert picture_fault(None) == "a picture is an array, not NoneType"

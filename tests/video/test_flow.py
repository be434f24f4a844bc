"""Optical flow: the wheel's colours as published, and what a moving picture becomes."""

import math
from itertools import pairwise

import numpy as np
import pytest

from engine.core.errors import AnnotatorError
from engine.core.types import Image
from engine.video.annotators import make_annotator
from engine.video.flow import color_wheel
from engine.video.opencv import cv2
from tests.video.films import photo


def texture(height: int = 128, width: int = 224) -> Image:
    """A picture with something to follow everywhere."""
    noise = np.random.default_rng(3).integers(0, 255, (height // 8, width // 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def drawn(*pictures: Image, gain: float = 1.0) -> list[Image]:
    flow = make_annotator("flow")
    controls = [flow.annotate(image, 0.5, gain, False).control for image in pictures]
    flow.close()
    return [control for control in controls if control is not None]


def published_color(u: float, v: float) -> list[int]:
    """The colour of a motion of at most 1, after the formula of Baker et al., written out for one pixel."""
    wheel = color_wheel() / 255
    place = (math.atan2(-v, -u) / math.pi + 1) / 2 * (len(wheel) - 1)
    low, part = int(place), place - int(place)
    hue = (1 - part) * wheel[low] + part * wheel[(low + 1) % len(wheel)]
    return [int(255 * (1 - math.hypot(u, v) * (1 - channel))) for channel in hue]


def test_the_wheel_is_the_published_one() -> None:
    wheel = color_wheel()
    assert wheel.shape == (55, 3)
    # Where each of the six stretches begins, and one hue inside each.
    for index, color in {
        0: (255, 0, 0), 15: (255, 255, 0), 21: (0, 255, 0), 25: (0, 255, 255), 36: (0, 0, 255),
        49: (255, 0, 255), 5: (255, 85, 0), 18: (128, 255, 0), 23: (0, 255, 127), 30: (0, 140, 255),
        40: (78, 0, 255), 52: (255, 0, 128),
    }.items():  # fmt: skip
        assert tuple(wheel[index]) == color, index


@pytest.mark.parametrize("move", [(6, 0), (-6, 0), (0, 6), (0, -6), (4, 4), (-4, 4), (4, -4), (-4, -4)])
def test_a_moving_picture_has_the_colour_of_its_direction(move: tuple[int, int]) -> None:
    image = texture()
    moved = np.roll(image, (move[1], move[0]), (0, 1))
    color = np.median(drawn(image, moved)[1][20:-20, 20:-20], axis=(0, 1))
    length = math.hypot(*move)
    wanted = published_color(move[0] / length, move[1] / length)
    assert np.abs(color - wanted).max() < 55, "full colour, but for the step where the wheel ends meet"


def test_right_is_red_left_is_cyan_as_in_the_training_pictures() -> None:
    image = texture()
    right, left = (np.median(drawn(image, np.roll(image, x, 1))[1], axis=(0, 1)) for x in (6, -6))
    assert right[0] > 240 and right[1:].max() < 70
    assert left[0] < 60 and left[1:].min() > 150


def test_slower_parts_are_paler() -> None:
    image = texture()
    moved = np.roll(image, 8, 1)
    moved[64:] = np.roll(image[64:], 4, 1)
    second = drawn(image, moved)[1]
    fast, slow = (np.median(part[:, 30:-30], axis=(0, 1)) for part in (second[10:50], second[80:120]))
    assert slow[1] - fast[1] == pytest.approx(127, abs=45)


def test_every_pair_of_pictures_has_its_flow() -> None:
    image = texture()
    pictures = [np.roll(image, x, 1) for x in (0, 6, 6, 0)]
    first, right, still, left = drawn(*pictures)
    assert (first == 255).all(), "nothing is known before the second picture"
    assert np.median(right[..., 0]) > 240 > 200 > np.median(right[..., 1])
    assert np.median(still) > 250
    assert np.median(left[..., 0]) < 100


def test_noise_on_a_still_picture_stays_nearly_white() -> None:
    noise = np.random.default_rng(5)
    still = [np.clip(photo() + noise.normal(0, 4, photo().shape), 0, 255).astype(np.uint8) for _ in range(4)]
    assert all(np.median(control) > 230 for control in drawn(*still)[1:])


def test_the_colours_follow_a_slower_motion_gradually() -> None:
    image = texture()
    places = [0, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28]  # one leap, then a steady quarter of its speed
    controls = drawn(*(np.roll(image, place, 1) for place in places))
    green = [float(np.median(control[20:-20, 40:-40, 1])) for control in controls[2:]]
    assert green[0] > 150, "pale after the leap"
    assert all(later <= earlier + 6 for earlier, later in pairwise(green))
    assert green[-1] < 100, "full in the end"


def test_gain_fades_to_white() -> None:
    image = texture()
    assert (drawn(image, np.roll(image, 6, 1), gain=0.0)[1] == 255).all()


@pytest.mark.parametrize("size", [(1, 1), (5, 400), (16, 16), (37, 53)])
def test_any_size_and_a_change_of_size_work(size: tuple[int, int]) -> None:
    small = np.full((*size, 3), 50, np.uint8)
    for control, image in zip(drawn(texture(), small, small), (texture(), small, small), strict=True):
        assert control.shape == image.shape


def test_it_wants_a_picture() -> None:
    with pytest.raises(AnnotatorError, match="flow"):
        make_annotator("flow").annotate(np.zeros((8, 8), np.uint8), 0.5, 1.0, False)

"""The annotators that are drawn without a network: scribble, edges, gray, none; and the table of all."""

from itertools import pairwise

import numpy as np
import pytest

from engine.core.errors import AnnotatorError
from engine.core.parameters import TABLE
from engine.core.types import Image
from engine.video.annotators import ANNOTATORS, make_annotator
from tests.video.films import photo, quarters
from tests.video.test_fit import NOT_PICTURES

DRAWN = ("scribble", "edges", "gray")
NEUTRAL = {"scribble": 255, "edges": 0, "gray": 128}


def draw(name: str, image: Image, detail: float = 0.5, gain: float = 1.0) -> Image:
    annotator = make_annotator(name)
    control = annotator.annotate(image, detail, gain, False).control
    annotator.close()
    assert control is not None
    assert control.shape == image.shape
    assert control.dtype == np.uint8
    return control


def shape_before(background: tuple[int, int, int], color: tuple[int, int, int]) -> Image:
    image = np.full((128, 224, 3), background, np.uint8)
    image[40:90, 60:160] = color
    return image


def near_outline(reach: int) -> np.ndarray:
    """Which pixels lie within `reach` of the outline of the shape."""
    ys, xs = np.mgrid[0:128, 0:224]
    outside = np.maximum(np.maximum(59.5 - xs, xs - 159.5), np.maximum(39.5 - ys, ys - 89.5))
    return np.asarray(np.abs(outside) <= reach)


def test_the_table_has_the_choices_of_the_parameter() -> None:
    assert tuple(ANNOTATORS) == tuple(TABLE["annotator.name"].choices)
    for name, row in ANNOTATORS.items():
        assert row.name == name
        assert row.label and row.about and row.licence and row.device and row.fallback
        assert (row.cost_ms > 0) == (name != "none")
        assert set(row.uses) <= {"detail", "gain", "invert"}


@pytest.mark.parametrize("name", ["", "Scribble", "depht", "../../etc", "x" * 5000])
def test_an_unknown_annotator_is_refused_with_the_list(name: str) -> None:
    with pytest.raises(AnnotatorError) as caught:
        make_annotator(name)
    assert "scribble" in caught.value.fix and "segmentation" in caught.value.fix
    assert len(str(caught.value)) < 400


def test_none_makes_nothing() -> None:
    result = make_annotator("none").annotate(quarters(32, 32), 0.5, 1.0, False)
    assert result.control is None and result.mask is None and result.found


@pytest.mark.parametrize("name", [*DRAWN, "none"])
@pytest.mark.parametrize("image", NOT_PICTURES.values(), ids=NOT_PICTURES)
def test_what_is_no_rgb_picture_is_refused(name: str, image: Image) -> None:
    with pytest.raises(AnnotatorError, match=name):
        make_annotator(name).annotate(image, 0.5, 1.0, False)


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (5, 400), (7, 7), (540, 960)])
def test_tiny_and_huge_pictures_work(name: str, size: tuple[int, int]) -> None:
    ys, xs = np.mgrid[0 : size[0], 0 : size[1]]
    image = np.stack([ys * 3, xs * 2, (ys ^ xs)], axis=2).astype(np.uint8)
    annotator = make_annotator(name)
    for _ in range(2):
        control = annotator.annotate(image, 0.5, 1.0, False).control
        assert control is not None and control.shape == image.shape


@pytest.mark.parametrize("name", DRAWN)
def test_gain_fades_to_the_neutral_picture(name: str) -> None:
    image, neutral = photo(), NEUTRAL[name]
    contrast = [
        np.abs(draw(name, image, gain=gain).astype(int) - neutral).mean() for gain in (0.0, 0.3, 0.7, 1.0)
    ]
    assert contrast[0] == 0
    assert contrast == sorted(contrast)
    assert contrast[2] == pytest.approx(0.7 * contrast[3], rel=0.1)


def test_scribble_is_dark_strokes_on_white_where_the_outline_is() -> None:
    drawing = draw("scribble", shape_before((30, 30, 30), (200, 200, 200)))
    assert (drawing[..., 0] == drawing[..., 1]).all() and (drawing[..., 0] == drawing[..., 2]).all()
    assert (drawing[~near_outline(3)] == 255).all()
    # Every row that crosses the upright sides meets a dark stroke of about two pixels.
    for row in range(46, 84):
        stroke = 255 - drawing[row, 54:66, 0].astype(int)
        assert stroke.max() > 200
        assert 1.0 <= stroke.sum() / 255 <= 3.5


def test_scribble_sees_colours_of_equal_brightness() -> None:
    from engine.video.opencv import cv2

    red, green = (200, 60, 60), (60, 131, 60)
    gray = cv2.cvtColor(np.array([[red, green]], np.uint8), cv2.COLOR_RGB2GRAY)[0]
    assert abs(int(gray[0]) - int(gray[1])) <= 2, "the colours of this test are equally bright"
    drawing = draw("scribble", shape_before(red, green))
    assert drawing[60, 56:64].min() < 80


def test_scribble_of_nothing_is_white() -> None:
    assert (draw("scribble", np.full((128, 224, 3), 90, np.uint8)) == 255).all()


@pytest.mark.parametrize("name", ["scribble", "edges"])
def test_more_detail_draws_more(name: str) -> None:
    ink = [
        np.abs(draw(name, photo(), detail).astype(int) - NEUTRAL[name]).mean() for detail in (0.0, 0.5, 1.0)
    ]
    assert 0 < ink[0] < ink[1] < ink[2]
    assert ink[2] < 128, "even then it is a drawing, not a filled picture"
    assert draw(name, photo(), 7.0).tobytes() == draw(name, photo(), 1.0).tobytes(), "out of range is the end"


def noisy(image: Image, count: int) -> list[Image]:
    noise = np.random.default_rng(5)
    return [np.clip(image + noise.normal(0, 6, image.shape), 0, 255).astype(np.uint8) for _ in range(count)]


def test_scribble_is_calm_on_a_noisy_camera() -> None:
    """The lines of a still scene hold still: far less changes between pictures than without memory."""
    pictures = noisy(photo()[40:168, 16:240], 14)
    calm = make_annotator("scribble")
    remembered = [calm.annotate(image, 0.5, 1.0, False).control for image in pictures][4:]
    forgetful = [draw("scribble", image) for image in pictures][4:]

    def flicker(drawings: list[Image]) -> float:
        return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in pairwise(drawings)]))

    assert flicker([drawing for drawing in remembered if drawing is not None]) < 0.5 * flicker(forgetful)


@pytest.mark.parametrize("name", DRAWN)
def test_equal_pictures_in_equal_order_give_equal_bytes(name: str) -> None:
    def run() -> list[bytes]:
        annotator = make_annotator(name)
        drawn = [annotator.annotate(image, 0.6, 0.9, False).control for image in noisy(photo(), 4)]
        return [control.tobytes() for control in drawn if control is not None]

    assert len(run()) == 4
    assert run() == run()


def test_scribble_survives_a_change_of_size() -> None:
    annotator = make_annotator("scribble")
    for size in ((128, 224), (192, 336), (480, 832), (128, 224)):
        image = shape_before((30, 30, 30), (200, 200, 200))[: size[0], : size[1]]
        image = np.resize(image, (*size, 3))
        control = annotator.annotate(image, 0.5, 1.0, False).control
        assert control is not None and control.shape == (*size, 3)
    annotator.close()
    annotator.close()


def test_the_given_picture_is_not_written_to() -> None:
    image = photo()
    image.flags.writeable = False
    before = image.tobytes()
    for name in DRAWN:
        draw(name, image)
    assert image.tobytes() == before


def test_edges_are_thin_white_lines_on_black() -> None:
    lines = draw("edges", shape_before((30, 30, 30), (200, 200, 200)))
    assert set(np.unique(lines)) == {0, 255}
    assert (lines[~near_outline(2)] == 0).all()
    for row in range(46, 84):
        assert np.count_nonzero(lines[row, 54:66, 0]) == 1


def test_gray_is_the_luma_of_red_green_and_blue() -> None:
    image = np.array([[(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]], np.uint8)
    luma = draw("gray", image)[0]
    assert luma[:, 0].tolist() == [76, 150, 29, 255]  # 0.299, 0.587 and 0.114 of 255
    assert (luma == luma[:, :1]).all()

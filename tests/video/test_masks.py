"""Masks: growing, inpainting pictures, the union over a latent's frames, and those of face and hands."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from engine.core.errors import AnnotatorError
from engine.core.types import Image
from engine.model.context import fold_mask
from engine.video.annotators import Annotator, make_annotator
from engine.video.masks import GENERATED, grown, inpainting, united, with_margin
from engine.video.parts import face, hands
from engine.video.people import Body
from tests.video.films import photo


def square(height: int = 100, width: int = 160) -> Image:
    mask = np.zeros((height, width), np.uint8)
    mask[40:60, 70:90] = 255
    return mask


# --- growing and composing ---------------------------------------------------------------------------------


def test_a_mask_grows_by_a_part_of_the_height_on_every_side() -> None:
    mask = grown(square(), 0.1)
    assert set(np.unique(mask)) == {0, 255}
    assert (mask[30:70, 70:90] == 255).all() and (mask[40:60, 60:100] == 255).all()
    assert mask[29, 80] == 0 and mask[70, 80] == 0 and mask[50, 59] == 0 and mask[50, 100] == 0
    assert mask[31, 61] == 0, "round at the corners"


@pytest.mark.parametrize("part", [0.0, 0.001, -0.1])
def test_without_growth_it_stays(part: float) -> None:
    assert grown(square(), part) is not None
    assert (grown(square(), part) == square()).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (37, 53), (368, 640)])
@pytest.mark.parametrize("level", [0, 255])
def test_masks_of_one_level_and_any_size_stay_what_they_are(size: tuple[int, int], level: int) -> None:
    mask = np.full(size, level, np.uint8)
    assert (with_margin(mask) == level).all() and (grown(mask, 0.2) == level).all()


def test_the_least_margin_is_one_pixel() -> None:
    mask = np.zeros((9, 9), np.uint8)
    mask[4, 4] = 255
    assert np.count_nonzero(with_margin(mask)) == 5


def test_an_inpainting_picture_is_gray_inside_and_the_cameras_outside() -> None:
    image = photo()[:100, :160]
    made = inpainting(image, None, square())
    assert (made[square() == 255] == GENERATED).all()
    assert (made[square() == 0] == image[square() == 0]).all()


def test_under_another_control_the_inside_is_that_control() -> None:
    image = photo()[:100, :160]
    made = inpainting(image, 255 - image, square())
    assert (made[square() == 255] == 255 - image[square() == 255]).all()
    assert (made[square() == 0] == image[square() == 0]).all()


# --- the union over a latent -------------------------------------------------------------------------------


def walking(count: int) -> tuple[np.ndarray, np.ndarray]:
    """A mask of 8 x 8 pixels that walks 2 pixels each frame, over a control of 7 outside and 200 inside."""
    masks = np.zeros((count, 16, 48), np.uint8)
    for index in range(count):
        masks[index, 4:12, 2 * index : 2 * index + 8] = 255
    controls = np.where(masks[..., None] > 0, np.uint8(200), np.uint8(7)) * np.ones(3, np.uint8)
    return controls, masks


@pytest.mark.parametrize("count", [1, 2, 4, 5, 8, 9, 12, 13])
def test_nothing_that_any_frame_masks_is_shown_to_the_model_as_kept(count: int) -> None:
    """The mask that reaches each latent covers every frame of that latent."""
    controls, masks = walking(count)
    made, whole = united(controls, masks)
    assert ((whole == 255) | (masks == 0)).all()
    latents = -(-count // 4)
    shown = fold_mask(torch.from_numpy(whole.astype(np.float32)[None] / 255))[0]  # [64, latents, 2, 6]
    own = torch.from_numpy(masks.astype(np.float32) / 255)
    alone = 1 if count % 4 == 1 and count > 1 else 0
    for frame in range(count):
        latent = min((frame - alone) // 4 + alone if frame >= alone else 0, latents - 1)
        seen = shown[:, latent].reshape(8, 8, 2, 6).permute(2, 0, 3, 1).reshape(16, 48)
        assert (seen >= own[frame]).all(), f"frame {frame} of {count}"
    assert (made[whole == 0] == 7).all()


def test_what_a_frame_itself_was_to_keep_turns_gray_and_never_shows_old_pixels() -> None:
    controls, masks = walking(12)
    made, whole = united(controls, masks)
    assert (made[masks == 255] == 200).all()
    assert (made[(whole == 255) & (masks == 0)] == GENERATED).all()
    assert (whole[0] == whole[3]).all() and (whole[4] == whole[7]).all()
    assert (whole[3] != whole[4]).any(), "latents have masks of their own"


def test_a_still_mask_changes_nothing() -> None:
    controls, masks = walking(1)
    controls, masks = np.repeat(controls, 9, 0), np.repeat(masks, 9, 0)
    made, whole = united(controls, masks)
    assert (made == controls).all() and (whole == masks).all()


# --- face and hands ----------------------------------------------------------------------------------------


def body(**moved: tuple[float, float]) -> Body:
    """Somebody in the middle of the picture, both hands down; `moved` puts landmarks elsewhere."""
    places = {
        "nose": (0.5, 0.3), "left_eye": (0.53, 0.26), "right_eye": (0.47, 0.26), "left_ear": (0.56, 0.28),
        "right_ear": (0.44, 0.28), "left_mouth": (0.52, 0.34), "right_mouth": (0.48, 0.34),
        "left_elbow": (0.7, 0.6), "right_elbow": (0.3, 0.6), "left_wrist": (0.7, 0.75),
        "right_wrist": (0.3, 0.75), "left_pinky": (0.71, 0.81), "right_pinky": (0.29, 0.81),
        "left_index": (0.69, 0.81), "right_index": (0.31, 0.81),
    }  # fmt: skip
    numbers = {
        "nose": 0, "left_eye": 2, "right_eye": 5, "left_ear": 7, "right_ear": 8, "left_mouth": 9,
        "right_mouth": 10, "left_elbow": 13, "right_elbow": 14, "left_wrist": 15, "right_wrist": 16,
        "left_pinky": 17, "right_pinky": 18, "left_index": 19, "right_index": 20,
    }  # fmt: skip
    points = np.full((33, 2), 0.5, np.float32)
    for name, place in (places | moved).items():
        points[numbers[name]] = place
    return Body(points, np.ones(33, np.float32))


def test_a_face_reaches_from_hairline_to_chin_and_ear_to_ear() -> None:
    mask = np.zeros((200, 200), np.uint8)
    assert face(mask, body())
    ys, xs = np.nonzero(mask)
    assert 25 <= ys.min() <= 40 and 76 <= ys.max() <= 92
    assert 80 <= xs.min() <= 88 and 112 <= xs.max() <= 120
    assert mask[52, 100] == 255 and mask[150, 60] == 0


def test_a_slanted_face_is_a_slanted_mask() -> None:
    upright, slanted = np.zeros((200, 200), np.uint8), np.zeros((200, 200), np.uint8)
    face(upright, body())
    turned = body()
    middle = np.array([0.5, 0.3], np.float32)
    turned.points[:] = (turned.points - middle) @ np.array([[0, 1], [-1, 0]], np.float32) + middle
    assert face(slanted, turned)
    ys, xs = np.nonzero(slanted)
    tall, wide = np.ptp(np.nonzero(upright)[0]), np.ptp(np.nonzero(upright)[1])
    assert np.ptp(xs) == pytest.approx(tall, abs=3) and np.ptp(ys) == pytest.approx(wide, abs=3)


def test_hands_lie_beyond_the_wrists() -> None:
    mask = np.zeros((200, 200), np.uint8)
    assert hands(mask, body())
    for x in (60, 140):
        assert mask[160, x] == 255 and mask[175, x] == 255
        assert mask[125, x] == 0, "not the forearm"
    assert mask[160, 100] == 0


def test_a_hand_pointing_at_the_lens_is_still_a_hand() -> None:
    there = {"left_pinky": (0.7, 0.75), "left_index": (0.7, 0.75)}
    mask = np.zeros((200, 200), np.uint8)
    assert hands(mask, body(**there))
    assert np.count_nonzero(mask[:, 100:]) > 200


def test_what_is_not_seen_is_not_masked() -> None:
    mask = np.zeros((200, 200), np.uint8)
    unseen = body()
    unseen.visibility[:] = 0.1
    assert not face(mask, unseen) and not hands(mask, unseen)
    one_hand = body()
    one_hand.visibility[16] = 0.0
    assert hands(mask, one_hand)
    assert mask[:, 100:].any() and not mask[:, :100].any()


def test_hands_outside_the_picture_are_not_seen() -> None:
    mask = np.zeros((100, 100), np.uint8)
    away = {
        f"{side}_{part}": (0.5, 4.0) for side in ("left", "right") for part in ("wrist", "pinky", "index")
    }
    assert not hands(mask, body(**away))
    assert not mask.any()


@pytest.fixture
def made(request: pytest.FixtureRequest) -> Iterator[Annotator]:
    annotator = make_annotator(request.param)
    yield annotator
    annotator.close()


@pytest.mark.parametrize("made", ["face"], indirect=True)
def test_the_face_of_a_photograph_is_found(made: Annotator) -> None:
    image = photo()
    drawn = made.annotate(image, 0.5, 1.0, False)
    assert drawn.found and drawn.mask is not None and drawn.control is not None
    ys, xs = np.nonzero(drawn.mask)
    assert 80 < xs.mean() < 140 and 35 < ys.mean() < 85, "where her face is"
    assert 0.02 < (drawn.mask == 255).mean() < 0.2
    assert (drawn.control[drawn.mask == 0] == image[drawn.mask == 0]).all()
    turned = made.annotate(image, 0.5, 1.0, True)
    assert turned.mask is not None and turned.mask[60, 110] == 0 and turned.mask[200, 30] == 255


@pytest.mark.parametrize(("made", "name"), [("face", "face"), ("hands", "hands")], indirect=["made"])
def test_nobody_and_bad_pictures_are_said(made: Annotator, name: str) -> None:
    drawn = made.annotate(np.full((64, 96, 3), 90, np.uint8), 0.5, 1.0, False)
    assert not drawn.found and drawn.note == f"no {name} seen"
    assert drawn.mask is not None and not drawn.mask.any()
    with pytest.raises(AnnotatorError, match=name):
        made.annotate(np.zeros((8, 8), np.uint8), 0.5, 1.0, False)

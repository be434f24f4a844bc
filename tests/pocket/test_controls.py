"""Control pictures follow VACE's conventions, which the live annotators follow too."""

import numpy as np
import pytest

from engine.core.skeleton import COLORS, LIMBS
from engine.pocket.clips import draw_clip
from engine.pocket.controls import KINDS, NEUTRAL, Control, Flaws, make_control
from engine.pocket.people import figure
from engine.pocket.scenes import BUILDERS
from engine.pocket.skeleton import draw_skeleton
from engine.pocket.styles import Raster
from engine.video.opencv import cv2
from tests.pocket.conftest import HEIGHT, WIDTH
from tests.pocket.test_scenes import borders, near

NONE = Flaws(np.zeros((HEIGHT, WIDTH), np.float32), np.zeros(2, np.float32), thin=1.0, noise=0.0)


def raster_of(kind: str, seed: int = 1) -> Raster:
    return BUILDERS[kind](np.random.default_rng(seed), WIDTH / HEIGHT).raster(0.5, HEIGHT, WIDTH)


def camera() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def control(kind: str, raster: Raster, flaws: Flaws = NONE) -> Control:
    return make_control(kind, raster, camera(), flaws, np.random.default_rng(0))


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_masks_and_guides_have_their_form(kind: str) -> None:
    flaws = Flaws.random(np.random.default_rng(2), HEIGHT, WIDTH)
    made = control(kind, raster_of("figure"), flaws)
    assert made.picture.shape == (HEIGHT, WIDTH, 3) and made.picture.dtype == np.uint8
    assert (made.mask is not None) == (kind == "inpaint")
    for plane in (made.guide.lines, made.guide.tone, made.guide.near):
        assert plane.shape == (HEIGHT, WIDTH)
        assert np.isfinite(plane).all() and plane.min() >= 0 and plane.max() <= 1.001


def test_scribble_is_dark_on_white_and_edges_are_white_on_black() -> None:
    raster = raster_of("shapes")
    scribble, edges = (control(kind, raster).picture for kind in ("scribble", "edges"))
    assert (scribble[raster.lines > 0.9] == 0).all() and (scribble[raster.lines == 0] == 255).all()
    assert np.abs(scribble.astype(int) + edges - 255).max() <= 1
    for picture in (scribble, edges):
        assert (picture == picture[..., :1]).all()


def test_depth_is_near_white_stretched_from_black_to_white() -> None:
    raster = raster_of("waves")
    picture = control("depth", raster).picture
    assert picture.min() == 0 and picture.max() == 255
    assert (picture == picture[..., :1]).all()
    nearest, farthest = (raster.depth == extreme for extreme in (raster.depth.max(), raster.depth.min()))
    assert picture[nearest].mean() > 230 and picture[farthest].mean() < 25


def test_gray_is_the_cameras_luma_in_three_equal_channels() -> None:
    picture = control("gray", raster_of("shapes")).picture
    assert (picture == picture[..., :1]).all()
    luma = camera() @ np.array([0.299, 0.587, 0.114])
    assert np.abs(picture[..., 0] - luma).max() <= 1


def test_inpaint_is_mid_gray_where_all_is_new_and_the_camera_elsewhere() -> None:
    made = control("inpaint", raster_of("figure"))
    assert made.mask is not None and set(np.unique(made.mask)) == {0, 255}
    assert (made.picture[made.mask == 255] == NEUTRAL).all() and NEUTRAL == 128
    assert np.array_equal(made.picture[made.mask == 0], camera()[made.mask == 0])


def test_the_mask_covers_the_subject_and_one_pixel_more() -> None:
    raster = raster_of("figure")
    mask = control("inpaint", raster).mask
    assert mask is not None and np.array_equal(mask > 0, near(raster.mask, 1))


def test_a_clip_for_inpainting_keeps_the_camera_outside_its_mask() -> None:
    clip = draw_clip(5, 3, HEIGHT, WIDTH, "inpaint")
    assert clip.mask is not None and 0 < (clip.mask > 0).mean() < 1
    assert np.array_equal(clip.target[clip.mask == 0], clip.control[clip.mask == 0])
    assert not np.array_equal(clip.target[clip.mask > 0], clip.control[clip.mask > 0])


@pytest.mark.parametrize("kind", ["waves", "blobs"])
def test_without_flaws_the_scribble_lies_on_the_borders_of_regions(kind: str) -> None:
    raster = raster_of(kind)
    inked = control("scribble", raster).picture[..., 0] < 100
    assert inked.any()
    assert near(borders(raster.ids))[inked].all()


def test_flaws_lose_lines_and_shift_them() -> None:
    raster = raster_of("shapes")
    truth = control("scribble", raster).picture
    left = np.zeros((HEIGHT, WIDTH), np.float32)
    left[:, : WIDTH // 2] = 1
    lost = control("scribble", raster, Flaws(left, np.zeros(2, np.float32), 1.0, 0.0)).picture
    assert (lost[:, : WIDTH // 2] == 255).all()
    assert np.array_equal(lost[:, WIDTH // 2 :], truth[:, WIDTH // 2 :])
    moved = control("scribble", raster, Flaws(NONE.lost, np.array([3, 1], np.float32), 1.0, 0.0)).picture
    assert np.array_equal(moved[1:, 3:], truth[:-1, :-3])


def test_a_third_of_the_flaws_is_none_and_the_rest_stays_small() -> None:
    drawn = [Flaws.random(np.random.default_rng(seed), HEIGHT, WIDTH) for seed in range(100)]
    clean = [flaws for flaws in drawn if flaws.noise == 0]
    assert 20 < len(clean) < 50
    assert all(not flaws.lost.any() and not flaws.shift.any() for flaws in clean)
    assert all(flaws.lost.mean() < 0.35 and np.abs(flaws.shift).max() < 2 for flaws in drawn)


def test_the_skeleton_has_vaces_colours_limbs_dimmed_and_joints_at_full() -> None:
    joints = figure(np.random.default_rng(0), 1.75).skeleton
    assert joints is not None
    at = (joints(0.0) - joints(0.0).min(0) + 0.1) * 400
    picture = np.zeros((600, 600, 3), np.uint8)
    draw_skeleton(picture, at)
    for point, color in zip(at, COLORS[:14], strict=True):
        x, y = np.round(point).astype(int)
        assert (picture[y, x] == color).all()
    shin = LIMBS.index((9, 10))
    x, y = np.round(at[[9, 10]].mean(0)).astype(int)
    assert np.abs(picture[y, x] - np.array(COLORS[shin]) * 0.6).max() <= 1


def test_the_pose_tells_where_the_body_is() -> None:
    raster = raster_of("figure")
    made = control("pose", raster)
    assert np.array_equal(made.picture, raster.pose)
    limbs = cv2.erode((raster.pose.max(2) > 30).astype(np.uint8), np.ones((2, 2), np.uint8)) > 0
    assert made.guide.near[limbs].mean() > 0.95
    assert made.guide.near[~near(limbs, 8)].max() < 0.1

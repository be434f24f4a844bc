"""Control pictures follow VACE's conventions, which the live annotators follow too."""

from dataclasses import replace

import numpy as np
import pytest

from engine.core.skeleton import COLORS, LIMBS
from engine.pocket.camera import FIELDS, CameraLook, clutter, photograph
from engine.pocket.clips import draw_clip
from engine.pocket.controls import KINDS, Control, ControlMaker, Flaws
from engine.pocket.guides import from_box
from engine.pocket.people import figure
from engine.pocket.scene import Raster
from engine.pocket.scenes import BUILDERS
from engine.pocket.skeleton import skeleton_picture
from engine.video.annotators import make_annotator
from engine.video.layout import Box, outline
from engine.video.opencv import cv2
from tests.pocket.conftest import HEIGHT, WIDTH
from tests.pocket.test_scenes import borders, near

NONE = Flaws(
    np.zeros((HEIGHT, WIDTH), np.float32), np.zeros(2, np.float32), thin=1.0, noise=0.0, levels=256, wide=0,
    found=np.ones(14, np.bool_),
)  # fmt: skip


def raster_of(kind: str, seed: int = 1) -> Raster:
    return BUILDERS[kind](np.random.default_rng(seed), WIDTH / HEIGHT).raster(0.5, HEIGHT, WIDTH)


def camera() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def control(kind: str, raster: Raster, flaws: Flaws = NONE) -> Control:
    maker = ControlMaker(kind, flaws, np.random.default_rng(0))
    maker.make(raster, np.roll(camera(), 3, axis=1))  # motion is seen in a second picture
    return maker.make(raster, camera())


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_masks_and_guides_have_their_form(kind: str) -> None:
    flaws = Flaws.random(np.random.default_rng(2), HEIGHT, WIDTH)
    made = control(kind, raster_of("figure"), flaws)
    assert made.picture.shape == (HEIGHT, WIDTH, 3) and made.picture.dtype == np.uint8
    assert (made.mask is not None) == (kind == "inpaint")
    for plane in (made.guide.lines, made.guide.tone, made.guide.near):
        assert plane.shape == (HEIGHT, WIDTH)
        assert np.isfinite(plane).all() and plane.min() >= 0 and plane.max() <= 1.001
    assert np.isfinite(made.guide.height).all() and made.guide.height.max() - made.guide.height.min() > 0.01


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
    assert (made.picture[made.mask == 255] == 128).all()
    assert np.array_equal(made.picture[made.mask == 0], camera()[made.mask == 0])


def test_the_mask_covers_the_subject_and_one_pixel_more() -> None:
    raster = raster_of("figure")
    mask = control("inpaint", raster).mask
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    assert mask is not None and np.array_equal(mask > 0, cv2.dilate(raster.mask, disk) > 0)
    areas = [
        np.count_nonzero(control("inpaint", raster, replace(NONE, wide=wide)).mask) for wide in (-3, 0, 3)
    ]
    assert areas == sorted(areas) and areas[0] < areas[1] < areas[2]


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
    lost = control("scribble", raster, replace(NONE, lost=left)).picture
    assert (lost[:, : WIDTH // 2] == 255).all()
    assert np.array_equal(lost[:, WIDTH // 2 :], truth[:, WIDTH // 2 :])
    moved = control("scribble", raster, replace(NONE, shift=np.array([3, 1], np.float32))).picture
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
    picture = skeleton_picture(at, np.ones(14, np.bool_), 600, 600)
    for point, color in zip(at, COLORS, strict=False):
        x, y = np.round(point).astype(int)
        assert (picture[y, x] == color).all()
    shin = LIMBS.index((9, 10))
    x, y = np.round(at[[9, 10]].mean(0)).astype(int)
    assert np.abs(picture[y, x] - np.array(COLORS[shin]) * 0.6).max() <= 1


def test_a_joint_that_is_not_found_or_far_outside_is_not_drawn() -> None:
    joints = figure(np.random.default_rng(0), 1.75).skeleton
    assert joints is not None
    at = (joints(0.0) - joints(0.0).min(0) + 0.1) * 400
    found = np.ones(14, np.bool_)
    whole = skeleton_picture(at, found, 600, 600)
    found[10] = False  # the right foot
    x, y = np.round(at[10]).astype(int)
    assert whole[y, x].any() and not skeleton_picture(at, found, 600, 600)[y - 2 : y + 3, x - 2 : x + 3].any()
    assert not skeleton_picture(at + 2000, np.ones(14, np.bool_), 600, 600).any()


def test_the_pose_tells_where_the_body_is() -> None:
    raster = raster_of("figure")
    made = control("pose", raster)
    limbs = cv2.erode((made.picture.max(2) > 30).astype(np.uint8), np.ones((2, 2), np.uint8)) > 0
    assert made.guide.near[limbs].mean() > 0.95
    assert made.guide.near[~near(limbs, 20)].max() < 0.1
    assert made.guide.height[limbs].mean() > made.guide.height[~limbs].mean() + 0.05


@pytest.mark.parametrize("kind", ["scribble", "edges"])
def test_the_programs_own_annotators_find_half_of_the_lines(kind: str) -> None:
    rng = np.random.default_rng(0)
    raster = raster_of("portrait")
    picture = cv2.cvtColor((255 * raster.depth).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    annotator = make_annotator(kind)
    made = ControlMaker(kind, NONE, rng, annotator).make(raster, picture)
    detail = float(np.random.default_rng(0).uniform(0.2, 0.8))
    alone = make_annotator(kind).annotate(picture, detail, 1.0, False).control
    assert alone is not None and np.array_equal(made.picture, alone)
    blank = np.zeros_like(picture)
    makers = [ControlMaker.random(kind, np.random.default_rng(seed), HEIGHT, WIDTH) for seed in range(60)]
    # On a blank picture an annotator finds nothing, while the scene still knows its lines.
    pictures = [maker.make(raster, blank).picture for maker in makers]
    assert 15 < sum(int(np.ptp(one)) == 0 for one in pictures) < 45


def test_a_limb_and_an_area_are_round_and_a_line_stands_in_a_groove() -> None:
    pose = control("pose", raster_of("figure")).guide
    area = control("inpaint", raster_of("portrait")).guide
    lines = control("scribble", raster_of("shapes")).guide
    for guide in (pose, area):
        inside = guide.near > 0.99
        assert guide.height[inside].mean() > guide.height[guide.near < 0.01].mean() + 0.02
    on, off = lines.lines > 0.9, lines.lines == 0
    assert lines.height[on].mean() < 0.01 < lines.height[off].mean()


def test_what_moves_is_a_body_and_what_is_still_the_setting() -> None:
    still = cv2.GaussianBlur(camera(), (0, 0), 2)
    moved = still.copy()
    moved[20:60, 40:80] = np.roll(still, 3, axis=1)[20:60, 40:80]
    maker = ControlMaker("flow", NONE, np.random.default_rng(0))
    first = maker.make(raster_of("figure"), still)
    assert (first.picture == 255).all() and first.guide.near.max() == 0
    then = maker.make(raster_of("figure"), moved)
    assert then.guide.near[30:50, 50:70].min() > 0.9
    assert then.guide.near[:, 110:].max() < 0.1


def test_a_box_is_the_layout_annotators_and_its_body_fills_it() -> None:
    box = Box(0.4, 0.5, 0.4, 0.6)
    guide = from_box(outline(box, HEIGHT, WIDTH))
    rows, columns = np.nonzero(guide.near > 0.5)
    assert abs(columns.mean() / WIDTH - box.x) < 0.02 and abs(rows.mean() / HEIGHT - box.y) < 0.02
    assert abs(np.ptp(columns) / WIDTH - box.width) < 0.04 and abs(np.ptp(rows) / HEIGHT - box.height) < 0.04
    line = 2  # of the outline, half of it on either side
    ellipse = np.pi / 4 * (box.width * WIDTH + line) * (box.height * HEIGHT + line)
    assert (guide.near > 0.5).sum() == pytest.approx(ellipse, rel=0.06)
    assert from_box(np.full((HEIGHT, WIDTH, 3), 255, np.uint8)).near.max() == 0


def test_a_box_wanders_over_a_clip_and_the_truth_goes_with_it() -> None:
    clip = draw_clip(7001, 6, HEIGHT, WIDTH, kind="layout")
    for picture, subject in zip(clip.control, clip.subject, strict=True):
        assert np.array_equal(subject, (from_box(picture).near > 0.5).astype(np.uint8))
    assert (clip.subject[0] != clip.subject[-1]).any()


def test_a_room_is_seen_behind_the_scene_only() -> None:
    raster = raster_of("figure")
    look = CameraLook.random(np.random.default_rng(4), HEIGHT, WIDTH)
    room = clutter(np.random.default_rng(5), HEIGHT, WIDTH)
    assert room.shape == (HEIGHT, WIDTH, 3) and room.min() >= 0 and room.std() > 10
    bare, full = (
        photograph(raster, replace(look, room=behind, noise=0.0), np.random.default_rng(0))
        for behind in (None, room)
    )
    body = cv2.erode(raster.mask, np.ones((9, 9), np.uint8)) > 0
    far = cv2.dilate((raster.ids >= FIELDS).astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    assert (bare[body] == full[body]).all() and (bare[far] != full[far]).any(1).mean() > 0.9

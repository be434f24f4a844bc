"""Drawn scenes: repeatable, of every kind, with lines where regions meet."""

import numpy as np
import pytest

from engine.pocket.clips import SHARES, Clip, draw_clip
from engine.pocket.controls import KINDS
from engine.pocket.outlines import capsule
from engine.pocket.relief import lift
from engine.pocket.scene import Raster
from engine.pocket.scenes import BUILDERS, random_scene
from engine.pocket.styles import SUBJECTS, Look
from engine.video.opencv import cv2
from tests.pocket.conftest import HEIGHT, WIDTH

ASPECT = WIDTH / HEIGHT


def near(marks: np.ndarray, pixels: int = 2) -> np.ndarray:
    return cv2.dilate(marks.astype(np.uint8), np.ones((2 * pixels + 1,) * 2, np.uint8)) > 0


def borders(ids: np.ndarray) -> np.ndarray:
    return cv2.morphologyEx(ids, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0


def same(a: Clip, b: Clip) -> bool:
    masks = (a.mask is None) == (b.mask is None) and (a.mask is None or np.array_equal(a.mask, b.mask))
    pictures = np.array_equal(a.target, b.target) and np.array_equal(a.control, b.control)
    return masks and pictures and (a.prompt, a.kind) == (b.prompt, b.kind)


def test_same_seed_same_clip_other_seed_another(clips: list[Clip]) -> None:
    for seed in (0, 3):
        assert same(draw_clip(seed, 8, HEIGHT, WIDTH), clips[seed])
    assert not any(np.array_equal(clips[0].target, other.target) for other in clips[1:])


def test_a_clip_moves_and_has_the_right_form(clips: list[Clip]) -> None:
    for clip in clips:
        for pictures in (clip.target, clip.control, clip.camera):
            assert pictures.shape == (8, HEIGHT, WIDTH, 3) and pictures.dtype == np.uint8
        assert not np.array_equal(clip.target[0], clip.target[-1])
        assert clip.kind in KINDS
        assert (clip.mask is not None) == (clip.kind == "inpaint")


def test_every_kind_of_control_is_trained() -> None:
    assert set(SHARES) == set(KINDS)
    assert sum(SHARES.values()) == pytest.approx(1)


@pytest.mark.parametrize("kind", SUBJECTS)
def test_every_kind_of_scene_draws(kind: str) -> None:
    for seed in range(3):
        scene = BUILDERS[kind](np.random.default_rng(seed), ASPECT)
        assert scene.subject == kind
        raster = scene.raster(1.3 * seed, HEIGHT, WIDTH)
        for plane, dtype in ((raster.ids, np.uint8), (raster.depth, np.float32), (raster.lines, np.float32),
                             (raster.mask, np.uint8)):  # fmt: skip
            assert plane.shape == (HEIGHT, WIDTH) and plane.dtype == dtype
        assert np.isfinite(raster.depth).all() and raster.depth.min() >= 0 and raster.depth.max() <= 1
        assert raster.lines.min() >= 0 and raster.lines.max() > 0.9, "no line"
        assert set(np.unique(raster.mask)) <= {0, 1}
        assert (raster.joints is not None) == (scene.skeleton is not None)


def test_things_are_round_bodies() -> None:
    """Higher in the middle of a limb than at its rim, by about half of its width."""
    depth = np.zeros((100, 200), np.float32)
    lift(depth, capsule(np.array([40.0, 50.0]), np.array([160.0, 50.0]), 10, 10), 0.5)
    assert depth[50, 100] == pytest.approx(0.6, abs=0.01)
    assert depth[42, 100] < 0.58 and depth[41:60, 100].min() > 0.5
    assert depth[30, 100] == 0 and depth[50, 20] == 0


def test_a_form_outside_the_picture_is_nothing() -> None:
    depth = np.zeros((20, 20), np.float32)
    lift(depth, capsule(np.array([40.0, 50.0]), np.array([60.0, 50.0]), 5, 5), 0.5)
    assert not depth.any()


def test_a_scene_can_be_asked_to_hold_a_person() -> None:
    for seed in range(20):
        assert random_scene(np.random.default_rng(seed), ASPECT, person=True).skeleton is not None


def test_a_clip_tells_the_truth_about_its_scene(clips: list[Clip]) -> None:
    for clip in clips:
        assert clip.depth.shape == clip.subject.shape == (8, HEIGHT, WIDTH)
        assert clip.depth.min() >= 0 and clip.depth.max() <= 1 and set(np.unique(clip.subject)) <= {0, 1}
        assert clip.look.prompt == clip.prompt
    dancer = draw_clip(3, 4, HEIGHT, WIDTH, "pose")
    assert dancer.joints is not None and dancer.joints.shape == (4, 14, 2)
    x, y = np.round(dancer.joints[0, 1]).astype(int)  # the neck
    if 0 <= x < WIDTH and 0 <= y < HEIGHT:
        assert dancer.subject[0, y, x] == 1


def test_a_look_can_be_asked_for() -> None:
    gold, ice = (draw_clip(4, 2, HEIGHT, WIDTH, "gray", Look(word)) for word in ("gold", "ice"))
    assert np.array_equal(gold.control, ice.control) and (gold.prompt, ice.prompt) == ("gold", "ice")
    assert not np.array_equal(gold.target, ice.target)


def test_the_kinds_are_drawn_by_chance_and_all_of_them() -> None:
    kinds = [random_scene(np.random.default_rng(seed), ASPECT).subject for seed in range(120)]
    assert set(kinds) == set(SUBJECTS)


@pytest.mark.parametrize("kind", ["figure", "portrait", "hand", "landscape", "shapes", "waves", "particles"])
def test_the_subject_lies_inside_the_picture_and_not_all_over_it(kind: str) -> None:
    shares = []
    for seed in range(6):
        raster = BUILDERS[kind](np.random.default_rng(seed), ASPECT).raster(seed, HEIGHT, WIDTH)
        shares.append(raster.mask.mean())
        assert (raster.ids[raster.mask > 0] >= 16).all(), "a subject is no background"
    assert 0.02 < np.mean(shares) < 0.95


def test_through_the_near_rings_of_a_tunnel_the_far_ones_are_seen() -> None:
    for seed in range(3):
        raster = BUILDERS["tunnel"](np.random.default_rng(seed), ASPECT).raster(0.0, HEIGHT, WIDTH)
        rings = [region for region in np.unique(raster.ids) if region > 0]
        assert len(rings) >= 6
        depth = {ring: float(raster.depth[raster.ids == ring].mean()) for ring in rings}
        spread = {ring: np.ptp(np.argwhere(raster.ids == ring), axis=0).max() for ring in rings}
        farthest = min(rings, key=lambda ring: depth[ring])
        assert spread[farthest] == min(spread.values()), "the farthest ring is the smallest"


@pytest.mark.parametrize("kind", ["shapes", "waves", "blobs", "tunnel"])
def test_lines_lie_where_regions_meet_and_nowhere_else(kind: str) -> None:
    seen = 0
    for seed in range(12):
        scene = BUILDERS[kind](np.random.default_rng(seed), ASPECT)
        if all(part.closed for element in scene.elements for part in element(0.0)):
            raster = scene.raster(0.0, HEIGHT, WIDTH)
            _assert_lines_at_borders(raster)
            seen += 1
    assert seen >= 6


def _assert_lines_at_borders(raster: Raster) -> None:
    edge = borders(raster.ids)
    assert near(edge)[raster.lines > 0.5].mean() > 0.94  # a sharp tip pokes out
    assert near(raster.lines > 0.3)[edge].mean() > 0.97

"""The measures of single pictures, on pictures whose score is known exactly."""

import itertools

import numpy as np
import pytest

from engine.adherence.flicker import STILL, Motion
from engine.adherence.metrics import (
    BEST_PSNR,
    change,
    colour_distance,
    depth_rmse,
    kept_ssim,
    mask_ssim,
    overlap,
    pose_pck,
    psnr,
    repainted,
    sharpness,
    tint_distance,
)

SIZE = (64, 112)


def ramp() -> np.ndarray:
    return np.broadcast_to(np.linspace(0, 1, SIZE[1], dtype=np.float32), SIZE)


def even(colour: tuple[int, int, int]) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (*SIZE, 3)).copy()


def person(torso: float = 40.0) -> np.ndarray:
    """Fourteen joints inside the picture; the neck is at (50, 10), the hips `torso` below it."""
    joints = np.column_stack([np.linspace(10, 90, 14), np.linspace(5, 60, 14)]).astype(np.float32)
    joints[[0, 1, 8, 11]] = (50, 2), (50, 10), (46, 10 + torso), (54, 10 + torso)
    return joints


def test_a_perfect_depth_has_no_error_whatever_its_scale_and_shift() -> None:
    assert depth_rmse(ramp(), ramp()) == pytest.approx(0, abs=1e-6)
    assert depth_rmse(0.25 * ramp() + 0.4, ramp()) == pytest.approx(0, abs=1e-6)


def test_a_depth_that_says_nothing_is_wrong_by_the_deviation_of_the_truth() -> None:
    assert depth_rmse(np.full(SIZE, 0.3, np.float32), ramp()) == pytest.approx(ramp().std(), abs=1e-4)
    noise = np.random.default_rng(0).random(SIZE).astype(np.float32)
    assert depth_rmse(noise, ramp()) == pytest.approx(ramp().std(), rel=0.01)


def test_half_the_truth_of_a_depth_is_worth_what_correlation_says() -> None:
    # Two independent halves of equal power correlate with their sum by sqrt(1/2), and so does the error left.
    random = np.random.default_rng(1)
    first, second = random.normal(size=(2, 256, 256)) * 0.05
    true = (0.5 + first + second).astype(np.float32)
    assert depth_rmse(first.astype(np.float32), true) == pytest.approx(0.05, rel=0.02)


def box(left: int = 30) -> np.ndarray:
    mask = np.zeros(SIZE, np.float32)
    mask[16:48, left : left + 30] = 1
    return mask


def test_the_same_mask_is_1_and_a_shifted_one_falls_with_the_shift() -> None:
    scores = [mask_ssim(box(30 + shift), box()) for shift in (0, 2, 8, 30)]
    assert scores[0] == pytest.approx(1)
    assert all(after < before for before, after in itertools.pairwise(scores))
    assert mask_ssim(box(), box(38)) == pytest.approx(scores[2])


def test_even_masks_have_the_value_that_the_formula_gives() -> None:
    # No contrast in either, so only the term of the means is left: (2ab + c) / (a^2 + b^2 + c).
    a, b = np.full(SIZE, 0.8, np.float32), np.full(SIZE, 0.4, np.float32)
    assert mask_ssim(a, b) == pytest.approx((2 * 0.32 + 1e-4) / (0.64 + 0.16 + 1e-4), abs=1e-3)


@pytest.mark.parametrize(("moved", "found"), [(0, 1.0), (7.9, 1.0), (8.1, 0.0)])
def test_joints_count_within_a_fifth_of_the_torso(moved: float, found: float) -> None:
    asked = person(torso=40)
    assert pose_pck(asked + np.array([moved, 0], np.float32), asked, *SIZE) == found


def test_each_joint_counts_alone() -> None:
    asked = person()
    read = asked.copy()
    read[2:9] += 30
    assert pose_pck(read, asked, *SIZE) == 0.5


def test_joints_outside_the_picture_or_unseen_do_not_count() -> None:
    asked = person()
    read = asked.copy()
    asked[5], asked[6] = (-4, 30), np.nan
    read[[5, 6]] = 0
    assert pose_pck(read, asked, *SIZE) == 1.0


def test_without_hips_the_head_is_the_measure() -> None:
    asked = person()
    asked[8:] = np.nan  # nose to neck: 8 pixels
    assert pose_pck(asked + np.array([1.5, 0], np.float32), asked, *SIZE) == 1.0
    assert pose_pck(asked + np.array([1.7, 0], np.float32), asked, *SIZE) == 0.0


def test_nobody_has_no_score() -> None:
    assert pose_pck(person(), np.full((14, 2), np.nan, np.float32), *SIZE) is None


def test_even_colours_are_their_delta_e_apart() -> None:
    # Black and white are 100 apart in L; a picture of both differs from gray by its deviation.
    assert colour_distance(even((0, 0, 0)), even((255, 255, 255))) == pytest.approx(100, abs=0.1)
    assert colour_distance(even((200, 30, 40)), even((200, 30, 40))) == 0
    halves = even((0, 0, 0))
    halves[:, SIZE[1] // 2 :] = 255
    assert colour_distance(halves, halves[:, ::-1]) == pytest.approx(0, abs=1e-4)
    assert colour_distance(halves, even((0, 0, 0))) == pytest.approx(np.hypot(50, 50), abs=0.1)


def test_a_tint_is_measured_on_the_subject_and_without_its_lightness() -> None:
    picture = even((0, 0, 255))
    picture[16:48, 30:60] = 255, 0, 0
    assert tint_distance(picture, box(), (1.0, 0.0, 0.0)) == pytest.approx(0, abs=0.1)
    assert tint_distance(picture, box(), (0.0, 0.0, 1.0)) > 100
    assert tint_distance(even((90, 90, 90)), np.zeros(SIZE, np.float32), (1.0, 1.0, 1.0)) < 0.5


def test_sharpness_is_the_size_of_the_laplacian() -> None:
    picture = even((100, 100, 100))
    assert sharpness(picture) == 0
    picture[20, 40] = 110  # the point itself by 4 x 10, its four neighbours by 10
    assert sharpness(picture) == pytest.approx(80 / picture[..., 0].size, rel=1e-5)


def clip(changes: list[int]) -> list[np.ndarray]:
    return [even((level, level, level)) for level in np.cumsum([10, *changes])]


def motion_of(generated: list[np.ndarray], true: list[np.ndarray], size: int) -> Motion:
    motion = Motion()
    for index, (frame, shown) in enumerate(zip(generated, true, strict=True)):
        motion.add(frame, shown, 1 + index // size)
    return motion


def test_a_clip_that_jumps_between_chunks_flickers_by_so_much() -> None:
    calm, jumping = clip([2] * 8), clip([2, 2, 8, 2, 2, 8, 2, 2])
    assert motion_of(calm, calm, 3).flicker == 1
    assert motion_of(jumping, calm, 3).flicker == pytest.approx((8 + STILL) / (2 + STILL))


def test_what_jumps_in_the_clip_itself_is_no_flicker() -> None:
    jumping = clip([2, 2, 8, 2, 2, 8, 2, 2])
    assert motion_of(jumping, jumping, 3).flicker == 1


def test_one_chunk_cannot_flicker_and_a_still_one_does_not() -> None:
    still, short = clip([0] * 8), clip([2, 2])
    assert motion_of(short, short, 3).flicker is None
    assert motion_of(still, still, 3).flicker == 1


def test_latents_that_stand_still_stutter_and_chunk_borders_do_not_count() -> None:
    calm = clip([2] * 23)
    chunk = [0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0]
    steps = clip([*chunk, 50, *chunk])
    found = motion_of(steps, calm, 12)
    assert found.stutter == pytest.approx((8 + STILL) / STILL)
    assert motion_of(calm, calm, 12).stutter == 1
    assert motion_of(steps, steps, 12).stutter == 1, "what the clip does itself is none"


def test_the_first_chunk_says_nothing_of_stutter() -> None:
    """Some autoencoders show one picture of the first latent, so its borders lie elsewhere."""
    calm = clip([2] * 20)
    ragged = clip([9, 0, 0, 0, 9, 0, 0, 0, 9] + [2] * 11)
    assert motion_of(ragged, calm, 9).stutter == 1
    assert motion_of(calm[:9], calm[:9], 9).stutter is None


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


def test_what_is_kept_counts_and_nothing_else_not_even_at_the_border() -> None:
    kept = np.zeros(SIZE, bool)
    kept[:, :50] = True
    shown, source = noise(0), noise(1)
    shown[:, :50] = source[:, :50]
    assert kept_ssim(shown, source, kept) == pytest.approx(1)
    assert psnr(shown, source, kept) == BEST_PSNR
    assert kept_ssim(shown, source, ~kept) < 0.3 and psnr(shown, source, ~kept) < 12


def test_psnr_is_that_of_the_error() -> None:
    assert psnr(even((100, 100, 100)), even((110, 110, 110))) == pytest.approx(20 * np.log10(255 / 10))


def test_even_colours_change_by_their_delta_e() -> None:
    black, white = even((0, 0, 0)), even((255, 255, 255))
    assert change(np.stack([black, black]), np.stack([white, black])) == pytest.approx(50, abs=0.1)


def test_readings_overlap_from_nothing_to_all() -> None:
    gold, ice = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    assert overlap(gold, gold) == 1 and overlap(gold, ice) == 0
    assert overlap(gold, np.array([0.5, 0.5], np.float32)) == pytest.approx(0.5**0.5)


def test_only_what_has_another_colour_is_repainted() -> None:
    camera = np.random.default_rng(0).normal(110, 6, (*SIZE, 3)).clip(0, 255).astype(np.uint8)
    mask = np.zeros(SIZE, np.float32)
    mask[16:48, 30:80] = 1
    painted = np.where(mask[..., None] > 0, np.uint8([200, 160, 40]), camera)
    copied = np.clip(
        painted.astype(np.float64) + np.random.default_rng(1).normal(0, 12, painted.shape), 0, 255
    )
    assert mask_ssim(repainted(painted, camera), mask) > 0.8
    assert mask_ssim(repainted(copied.astype(np.uint8), camera), mask) > 0.8
    assert repainted(camera, camera).max() == 0
    assert repainted(even((250, 30, 30)), camera).min() == 1

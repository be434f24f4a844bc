"""Noise of its own for every chunk, and video-to-video whose knob does what it says."""

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine.core.errors import EngineError
from engine.model.noise import ChunkNoise, MotionController, chunk_generator, lowered, mixed, strength_steps
from engine.model.schedule import Schedule, Step, clean_estimate, denoised, noised
from engine.parity.noise import ReferenceController, reference_first_step

CPU = torch.device("cpu")
SIZE = (16, 4, 6)
LISTED = (1000, 750, 500, 250)
STRENGTHS = [n / 40 for n in range(41)]


def chunk_noise() -> ChunkNoise:
    return ChunkNoise(SIZE, CPU, torch.float32)


def drawn(noise: ChunkNoise, seed: int = 42, chunks: int = 3) -> list[torch.Tensor]:
    """All draws of the next chunks, two of each."""
    draws = []
    for _ in range(chunks):
        noise.begin(seed)
        draws += [noise.draw(3), noise.draw(3)]
    return draws


def moving(frames: int = 12, speed: int = 3, start: int = 0, size: int = 64) -> NDArray[np.uint8]:
    """A white bar on black that goes to the right."""
    video = np.zeros((frames, size, size, 3), np.uint8)
    for number, picture in enumerate(video):
        left = (start + number) * speed % (size - 16)
        picture[:, left : left + 16] = 255
    return video


def still(frames: int = 12) -> NDArray[np.uint8]:
    return np.repeat(moving(1), frames, axis=0)


# Noise


def test_a_fresh_session_with_the_same_seed_has_the_same_noise() -> None:
    assert torch.equal(torch.stack(drawn(chunk_noise())), torch.stack(drawn(chunk_noise())))


def test_noise_never_repeats_until_a_replay_is_asked_for() -> None:
    noise = chunk_noise()
    first = drawn(noise, chunks=20)
    for one, other in itertools.combinations(first, 2):
        assert not torch.equal(one, other)
    noise.replay()
    assert all(torch.equal(*pair) for pair in zip(drawn(noise, chunks=20), first, strict=True))


def test_no_two_chunks_of_a_seed_and_no_two_neighbouring_seeds_share_a_source() -> None:
    chunks = range(5_000)
    for seed in (0, 42, 2**31 - 1):
        sources = {
            chunk_generator(seed + next_one, chunk).initial_seed() for chunk in chunks for next_one in (0, 1)
        }
        assert len(sources) == 2 * len(chunks)
        # The 32 bits are all that torch's CPU generator hears.
        assert max(sources) < 2**32


def test_noise_is_standard_normal_and_chunks_are_not_related() -> None:
    noise = ChunkNoise((16, 16, 16), CPU, torch.float32)
    draws = torch.stack(drawn(noise, chunks=4)).flatten(1)
    assert draws.mean(dim=1).abs().max() < 0.05
    assert (draws.std(dim=1) - 1).abs().max() < 0.05
    assert (torch.corrcoef(draws) - torch.eye(len(draws))).abs().max() < 0.05


def test_the_seed_matters_and_a_chunk_may_have_any_number_of_latents() -> None:
    noise, other = chunk_noise(), chunk_noise()
    noise.begin(1)
    other.begin(2)
    assert not torch.equal(noise.draw(3), other.draw(3))
    assert noise.draw(1).shape == (1, 1, *SIZE)
    assert noise.draw(4).shape == (1, 4, *SIZE)


def test_precisions_agree_on_the_noise() -> None:
    coarse, fine = ChunkNoise(SIZE, CPU, torch.bfloat16), chunk_noise()
    assert all(
        torch.equal(one, other.bfloat16()) for one, other in zip(drawn(coarse), drawn(fine), strict=True)
    )


def test_noise_needs_a_chunk() -> None:
    with pytest.raises(EngineError, match="before a chunk began"):
        chunk_noise().draw(3)


# Video-to-video


@pytest.mark.parametrize("shift", [5.0, 8.0])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("warped", [True, False])
def test_noise_level_and_timestep_agree_at_every_step_and_strength(
    shift: float, count: int, warped: bool
) -> None:
    """The reference mixes at 0.7 and tells the network 0.6; a network that is told the truth denoises all."""
    schedule = Schedule(shift)
    listed = schedule.steps(LISTED[:count], warped)
    for strength in STRENGTHS[:-1]:
        steps = strength_steps(schedule, listed, strength)
        assert len(steps) == count
        assert all(step.t == pytest.approx(1000 * step.sigma, abs=1e-9) for step in steps)
        assert all(after.sigma < before.sigma for before, after in itertools.pairwise(steps))
        assert steps[0].sigma == pytest.approx(max(strength, float(schedule.sigmas[-1])))
        assert steps[-1].sigma > 0
    assert strength_steps(schedule, listed, 1.0) == listed


def test_more_strength_is_more_noise_without_a_jump() -> None:
    schedule = Schedule(5.0)
    listed = schedule.steps(LISTED)
    turned = [strength_steps(schedule, listed, strength) for strength in STRENGTHS]
    for before, after in itertools.pairwise(turned):
        rises = [b.sigma - a.sigma for a, b in zip(before, after, strict=True)]
        assert all(0 < rise <= 1 / 40 + 1e-6 for rise in rises)


def test_a_list_that_begins_below_full_noise_starts_from_the_video_at_its_own_level() -> None:
    schedule = Schedule(5.0)
    listed = schedule.steps((500, 250), warped=False)
    assert strength_steps(schedule, listed, 0.5)[0].sigma == pytest.approx(listed[0].sigma / 2)
    assert strength_steps(schedule, listed, 1.0) == listed


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    schedule = Schedule(5.0)
    with pytest.raises(EngineError, match="noise strength"):
        strength_steps(schedule, schedule.steps(LISTED), strength)


def sampled(strength: float, goal: torch.Tensor, video: torch.Tensor, count: int) -> torch.Tensor:
    """A chunk made by a network that would give `goal`, but believes what it sees where noise is low."""
    schedule = Schedule(5.0)
    steps = strength_steps(schedule, schedule.steps(LISTED[:count]), strength)
    noise = chunk_noise()
    noise.begin(42)
    x = mixed(video, noise.draw(3), steps[0].sigma)
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        believed = (1 - step.sigma) * x + step.sigma * goal
        flow = (x - believed) / step.sigma
        x = clean_estimate("flow", x, flow, step.sigma)
        if following is not None:
            x = noised(x, noise.draw(3), following.sigma)
    return x


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_strength_leads_from_the_video_to_the_prompt(count: int) -> None:
    draw = torch.Generator().manual_seed(5)
    goal, video = (torch.randn(1, 3, *SIZE, generator=draw) for _ in range(2))
    results = [sampled(strength, goal, video, count) for strength in STRENGTHS]
    assert all(bool(result.isfinite().all()) for result in results)
    from_video = [float((result - video).square().mean()) for result in results]
    assert all(before < after for before, after in itertools.pairwise(from_video))
    # At 0 the video is kept as far as the model allows: each step turns at most 0.005 of it into the goal.
    assert from_video[0] < (4 * 0.005) ** 2 * float((goal - video).square().mean()) * 2
    if count == 1:  # one step from full noise sees nothing of the video
        torch.testing.assert_close(results[-1], goal)


def test_a_clean_estimate_from_mixed_latents_is_the_video_at_the_agreed_level_only() -> None:
    """With the true flow, our first step recovers the video; the reference's is off by its mismatch."""
    draw = torch.Generator().manual_seed(3)
    video, noise = (torch.randn(1, 3, *SIZE, generator=draw) for _ in range(2))
    schedule = Schedule(5.0)
    (ours,) = strength_steps(schedule, schedule.steps((1000,)), 0.7)
    (theirs,) = schedule.steps((reference_first_step(0.7),), warped=False)
    flow = noise - video

    def missed(mix: float, step: Step) -> float:
        return float((denoised(mixed(video, noise, mix), flow, step.sigma) - video).abs().max())

    assert missed(ours.sigma, ours) < 1e-5
    assert missed(0.7, theirs) > 0.1


def test_mixing_keeps_the_dtype_and_its_ends() -> None:
    video, noise = torch.full((2, 3), 0.25), torch.full((2, 3), -1.0)
    assert torch.equal(mixed(video, noise, 0.0), video)
    assert torch.equal(mixed(video, noise, 1.0), noise)
    assert mixed(video.bfloat16(), noise.bfloat16(), 0.5).dtype == torch.bfloat16


# Movement


@pytest.mark.parametrize("movement", [0.0, 0.3, 1.0])
def test_the_knob_keeps_its_whole_range_whatever_moves(movement: float) -> None:
    """The reference's knob moves the result by a tenth of its range."""
    played = [lowered(strength, movement) for strength in STRENGTHS]
    assert played[0] == 0
    assert played[-1] == 1
    assert all(before < after for before, after in itertools.pairwise(played))
    lower = [strength - now for strength, now in zip(STRENGTHS, played, strict=True)]
    assert min(lower) >= 0
    assert max(lower) <= movement / 4 + 1e-9


def test_the_reference_controller_hardly_hears_the_performer() -> None:
    picture = torch.zeros(12, 3, 8, 8)
    strengths = [ReferenceController(knob, 3).next(picture) for knob in (0.0, 1.0)]
    assert strengths[1] - strengths[0] == pytest.approx(0.1)


def test_a_still_video_leaves_the_strength_alone_and_a_moving_one_lowers_it() -> None:
    for knob in (0.2, 0.7, 1.0):
        assert MotionController().strength(still(), knob) == knob
    slow, fast = (MotionController().strength(moving(speed=speed), 0.7) for speed in (1, 6))
    assert 0.489 < fast < slow < 0.7


def test_how_much_movement_counts_is_the_performers_choice() -> None:
    results = [MotionController().strength(moving(), 0.7, amount) for amount in (0.0, 0.5, 1.0)]
    assert results[0] == 0.7
    assert results[1] == pytest.approx((results[0] + results[2]) / 2)


def test_movement_is_smoothed_over_chunks_and_forgotten_on_reset() -> None:
    motion = MotionController()
    motion.strength(moving(speed=6), 0.7)
    at_first = motion.movement
    assert at_first > 0.5
    # The bar stops where it is: the next pictures equal the last one.
    stopped = np.repeat(moving(speed=6)[-1:], 12, axis=0)
    motion.strength(stopped, 0.7)
    assert motion.movement == pytest.approx(0.1 * at_first)
    motion.strength(stopped, 0.7)
    assert motion.movement == pytest.approx(0.01 * at_first)
    motion.reset()
    assert motion.strength(still(), 0.7) == 0.7


def test_movement_between_two_chunks_is_seen() -> None:
    """Each picture is compared with its neighbour, also across chunks (the reference skips nine pictures)."""
    video = moving(24)
    whole, parts = MotionController(), MotionController()
    whole.strength(video, 0.7)
    for part in np.split(video, 24):
        parts.strength(part, 0.7)
    assert parts.movement > 0
    jump = MotionController()
    jump.strength(still(), 0.7)
    assert jump.strength(moving(12, speed=0, start=0)[:, ::-1, ::-1], 0.7) < 0.7


def test_camera_noise_is_no_movement() -> None:
    """A still camera in a dark club: every pixel trembles, yet hardly anything moves."""
    random = np.random.default_rng(1)
    picture = np.full((12, 180, 320, 3), 90.0)
    trembling = (picture + random.normal(0, 6, picture.shape)).astype(np.uint8)
    motion = MotionController()
    motion.strength(trembling, 0.7)
    assert motion.movement < 0.15


def test_one_picture_has_no_movement_and_odd_sizes_are_fine() -> None:
    assert MotionController().strength(moving(1), 0.4) == 0.4
    assert 0 < MotionController().strength(moving(5, size=67), 0.4) < 0.4


@pytest.mark.parametrize("by", [-0.1, 1.5, float("nan")])
def test_an_impossible_movement_is_refused(by: float) -> None:
    with pytest.raises(EngineError, match="Movement of"):
        lowered(0.5, by)

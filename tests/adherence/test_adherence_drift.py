"""Drift: whole turns in both windows, and what changes between them is told."""

import numpy as np
import pytest

from engine.adherence import drift
from engine.adherence.drift import Moments, Window, changes, plan, to_and_fro
from engine.render import settings
from engine.session import open_session


def window(frames: np.ndarray, latents: np.ndarray) -> Window:
    seen = Window()
    seen.look(frames)
    seen.latents.add(latents)
    return seen


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 120, (2, 32, 48, 3)).astype(np.uint8)


def test_moments_are_those_of_all_the_numbers() -> None:
    numbers = np.random.default_rng(0).normal(3, 2, 1000)
    moments = Moments()
    for part in np.split(numbers, 4):
        moments.add(part)
    assert moments.mean == pytest.approx(numbers.mean())
    assert moments.deviation == pytest.approx(numbers.std())


def test_the_same_seen_twice_has_not_drifted() -> None:
    seen = window(picture(0), np.arange(10))
    assert changes(seen, seen) == dict.fromkeys(changes(seen, seen), 0)


def test_each_number_tells_its_own_drift() -> None:
    latents = np.random.default_rng(1).normal(size=1000)
    first = window(picture(0), latents)
    lighter = changes(first, window(picture(0) + 9, latents))
    assert lighter["picture mean"] == pytest.approx(9 / first.pictures.mean)
    assert lighter["picture deviation"] == lighter["sharpness"] == lighter["latent mean"] == 0
    stronger = changes(first, window(picture(0) * 2, latents * 1.5 + 0.0))
    assert stronger["sharpness"] == pytest.approx(1, abs=0.02)
    assert stronger["latent deviation"] == pytest.approx(0.5)
    moved = changes(first, window(picture(0), latents + 0.3))
    assert moved["latent mean"] == pytest.approx(0.3 / latents.std())


@pytest.mark.parametrize("seconds", [2.0, 10.0, 60.0, 137.0, 300.0])
def test_a_window_holds_whole_turns_of_the_stretch(seconds: float) -> None:
    frames, length = plan(seconds)
    assert frames % (2 * length) == 0
    assert length <= drift.LONGEST_STRETCH * drift.FPS
    assert 0.9 * min(60, seconds / 4) * drift.FPS - 2 < frames <= min(60, seconds / 4) * drift.FPS


def test_forth_and_back_asks_for_the_same_in_any_whole_turn() -> None:
    played = to_and_fro([1, 2, 3])  # type: ignore[list-item]
    first, second = [next(played) for _ in range(6)], [next(played) for _ in range(7)][1:]
    assert first == [1, 2, 3, 3, 2, 1]
    assert sorted(first) == sorted(second)


def test_a_run_measures_pictures_and_latents_of_the_pipeline() -> None:
    session = open_session("pocket", 128, 224)
    values = settings({})
    first, last = drift.run(session, values, "scribble", None, 2.0)
    frames, _ = plan(2.0)
    assert first.pictures.count == last.pictures.count == frames * 128 * 224 * 3
    assert first.sharp.count == last.sharp.count == frames
    assert first.latents.count and last.latents.count
    assert max(changes(first, last).values()) > 0

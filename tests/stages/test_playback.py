"""Playback: bursts in, an even stream out, nothing lost, latency that does not grow."""

import random

import numpy as np
import pytest

from engine.modes import Mode
from engine.stages.generate import Chunk
from engine.stages.playback import Playback, held
from tests.fakes import gaps

FPS = 30.0
MODE = Mode("V2V", "test")


def chunk(count: int, first: int, made_at: float, span: float) -> Chunk:
    """Frames numbered from `first` in their pixels; captured evenly over `span`, then made in `span`."""
    frames = np.zeros((count, 2, 2, 3), np.uint16)
    frames[:] = np.arange(first, first + count)[:, None, None, None]
    captured = tuple(made_at - span - span * (count - 1 - k) / count for k in range(count))
    return Chunk(frames, captured, MODE, 7, made_at, span)  # type: ignore[arg-type]


class Played:
    """One run at 30 ticks a second: chunks made at the given times, 12 frames each, the first 9.

    While the output thread is `away` (from, to), chunks wait.
    """

    def __init__(
        self, made: list[float], seconds: float, away: tuple[float, float] = (0.0, 0.0), count: int = 12
    ) -> None:
        self.playback = Playback()
        self.shown: list[int] = []
        self.new_at: list[float] = []
        self.latency: list[float] = []
        self.queued: list[int] = []
        produced = 0
        pending = list(made)
        before = made[0] - 1.0
        for tick in range(int(seconds * FPS)):
            now = tick / FPS
            if away[0] < now < away[1]:
                continue
            while pending and pending[0] <= now:
                at = pending.pop(0)
                size = count if produced else count - 3
                self.playback.push(chunk(size, produced, at, min(at - before, 1.5)), now)
                before = at
                produced += size
            playing = self.playback.picture(now)
            if playing is None:
                continue
            self.shown.append(int(playing.image[0, 0, 0]))
            if playing.new:
                self.new_at.append(now)
                self.latency.append(now - playing.captured_at)
            self.queued.append(self.playback.queued)
        self.produced = produced


def test_nothing_before_the_first_chunk_then_at_once() -> None:
    playback = Playback()
    assert playback.picture(0.0) is None
    playback.push(chunk(9, 0, 5.0, 1.0), 5.0)
    playing = playback.picture(5.0)
    assert playing is not None and playing.new and playing.version == 7
    assert playing.image[0, 0, 0] == 0


def test_steady_chunks_play_evenly() -> None:
    run = Played([1.0 + k for k in range(30)], 31.0)
    unique = sorted(set(run.shown))
    assert run.shown == sorted(run.shown), "never backwards"
    assert unique == list(range(max(unique) + 1)), "every frame is shown"
    assert max(unique) >= run.produced - 13
    steady = gaps(run.new_at[30:])
    assert {round(gap * FPS) for gap in steady} <= {2, 3}, "12 per second: two or three ticks each"
    assert max(run.latency[30:]) < 2.2
    assert run.playback.skipped == 0
    assert run.playback.repeats == len(run.shown) - len(unique)
    assert run.playback.fps == pytest.approx(12.0, rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_jitter_neither_loses_frames_nor_grows_latency(seed: int) -> None:
    chance = random.Random(seed)
    made = [1.0]
    while made[-1] < 120.0:
        made.append(made[-1] + 1.0 + chance.uniform(-0.3, 0.3))
    run = Played(made, 121.0)
    assert run.playback.skipped == 0
    assert run.shown == sorted(run.shown)
    assert len(set(run.shown)) >= run.produced - 24
    assert max(run.queued) <= 24, "never more than two chunks wait"
    early, late = run.latency[100:400], run.latency[-300:]
    assert np.mean(late) < np.mean(early) + 0.15, "latency does not grow"
    longest = sorted(gaps(run.new_at[30:]))
    assert longest[int(len(longest) * 0.99)] <= 0.25, "99 of 100 frames come within a quarter second"


def test_after_being_away_it_is_up_to_date_at_once() -> None:
    run = Played([1.0 + k for k in range(20)], 21.0, away=(4.5, 12.1))
    assert run.playback.skipped > 0
    assert max(run.queued) <= 36
    assert max(run.latency) < 2.6
    assert run.shown == sorted(run.shown)


def test_follows_an_engine_that_gets_faster() -> None:
    run = Played([*[1.0 + k for k in range(6)], *[6.4 + 0.4 * k for k in range(40)]], 22.5)
    assert run.playback.chunk_s == pytest.approx(0.4, abs=0.02)
    assert run.playback.fps == pytest.approx(30.0, rel=0.05)
    assert max(run.queued[-100:]) <= 24
    assert max(run.latency[-60:]) < 1.1


def test_faster_than_the_output_skips_but_stays_close() -> None:
    run = Played([1.0 + 0.2 * k for k in range(60)], 13.0)
    assert run.playback.skipped > 0
    assert max(run.queued[-60:]) <= 24
    assert max(run.latency[-60:]) < 0.8


def test_a_stall_does_not_slow_what_follows() -> None:
    run = Played([*[1.0 + 0.5 * k for k in range(10)], *[20.0 + 0.5 * k for k in range(10)]], 25.0)
    assert run.playback.chunk_s < 0.8
    assert run.playback.skipped == 0


def test_held_frames_run_back_and_forth() -> None:
    frames = np.zeros((4, 2, 2, 3), np.uint8)
    path = [held(frames, seconds, fps=1.0) for seconds in (0.0, 0.5, 1.0, 3.0, 4.0, 6.0, 6.25)]
    positions = [first + amount for first, _, amount in path]
    assert positions == pytest.approx([3.0, 2.5, 2.0, 0.0, 1.0, 3.0, 2.75])
    assert all(second == min(first + 1, 3) for first, second, _ in path)
    assert held(frames[:1], 9.0) == (0, 0, 0.0)

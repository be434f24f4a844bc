"""Ways to show references: each is what it is called, and without references all are the same."""

import numpy as np
import pytest
import torch

from engine.adherence.reference_ways import WAYS, Displaced, Pinned, open_way, table
from engine.chunk import ChunkInput, ChunkOutput, Live, Settings
from engine.model.leading import Led
from engine.model.load import Pipeline, load_pipeline
from engine.model.policies import ContextRecompute, SinkWindow
from engine.session import Session

SIZE = (64, 96)
ONE_STEP = Settings(steps=1)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return load_pipeline("pocket")


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


def shown(session: Session, references: int, chunks: int = 2, scale: float = 1.0) -> np.ndarray:
    """What the session makes of a still control picture and so many references."""
    led = tuple(session.reference(picture(i), "crop") for i in range(references))
    text = session.conditioning("gold figure")
    made: list[ChunkOutput] = []
    for _ in range(chunks):
        control = np.repeat(picture(9)[None], session.frames_in, axis=0)
        chunk = ChunkInput(control, None, "gray", references=led)
        session.step(chunk, lambda: Live(scale, 0), text, ONE_STEP, emit=made.append)
    return np.concatenate([output.frames for output in made])


def test_pinned_slots_are_read_before_the_window_and_never_written() -> None:
    inner = SinkWindow(window=6, sink=2)
    pinned = Pinned(inner, places=3, used=2)
    assert pinned.slots == 9
    for start in range(0, 30, 3):
        own, plan = inner.plan(start, 3), pinned.plan(start, 3)
        assert plan.write == own.write and max(stop for _, stop in plan.write) <= inner.slots
        assert plan.read == (*own.read, (6, 8))
        assert plan.key_positions == (*own.key_positions, -2, -1)
        assert Pinned(inner, places=3).plan(start, 3) == own


def test_a_past_that_is_turned_down_does_not_turn_down_what_is_pinned() -> None:
    inner = ContextRecompute(window=6, bias=0.3)
    plan = Pinned(inner, places=3, used=1).plan(6, 3)
    assert plan.key_bias == (*inner.plan(6, 3).key_bias, 0.0)


@pytest.mark.parametrize("way", WAYS)
def test_without_references_and_at_scale_0_every_way_is_the_same(pipeline: Pipeline, way: str) -> None:
    plain = shown(Session(pipeline, *SIZE), 0)
    assert np.array_equal(shown(open_way(way, pipeline, *SIZE), 0), plain)
    silent = shown(Session(pipeline, *SIZE), 0, chunks=1, scale=0.0)
    assert np.array_equal(shown(open_way(way, pipeline, *SIZE), 1, chunks=1, scale=0.0), silent)


def test_every_way_answers_references_in_its_own_manner(pipeline: Pipeline) -> None:
    answers = [shown(open_way(way, pipeline, *SIZE), 2).astype(int) for way in WAYS]
    assert np.array_equal(answers[0], shown(Session(pipeline, *SIZE), 2))  # "branch" is the program's own
    ways = [shown(Session(pipeline, *SIZE), 0).astype(int), *answers]
    for index, first in enumerate(ways):
        assert all(np.abs(first - second).max() > 0 for second in ways[:index])


class _Looked(Displaced):
    """Keeps the contexts that it was given and made."""

    def inside(self, context_BCFhw: torch.Tensor | None, references: Led) -> torch.Tensor | None:
        self.given, self.seen = context_BCFhw, super().inside(context_BCFhw, references)
        return self.seen


def test_displaced_control_comes_a_latent_late_and_its_end_is_lost(pipeline: Pipeline) -> None:
    way = _Looked()
    session = Session(pipeline, *SIZE, way=way)
    control = np.stack([picture(i) for i in range(session.frames_in)])
    led = session.reference(picture(20), "crop")
    chunk = ChunkInput(control, None, "gray", references=(led,))
    session.step(
        chunk, lambda: Live(1.0, 0), session.conditioning("gold"), ONE_STEP, emit=lambda output: None
    )
    assert way.seen is not None and way.given is not None
    assert torch.equal(way.seen[:, :, :1], led.context)
    assert torch.equal(way.seen[:, :, 1:3], way.given[:, :, :2])


@pytest.mark.parametrize("way", ["sink", "sink alone"])
def test_sunk_references_stay_as_they_are_for_as_long_as_the_stream(pipeline: Pipeline, way: str) -> None:
    sunk = open_way(way, pipeline, *SIZE)
    shown(sunk, 2, chunks=1)
    cache, window = sunk._stream.cache, pipeline.spec.policy.slots
    first, stop = cache.tokens((window, window + 2))
    before = cache.k_LBMHD[:, :, first:stop].clone()
    assert before.abs().sum() > 0
    sunk.reset()
    shown(sunk, 2, chunks=4)
    assert torch.allclose(cache.k_LBMHD[:, :, first:stop], before, atol=1e-5)
    assert not cache.k_LBMHD[:, :, stop:].any()  # the third place was never used


def test_the_table_names_every_way_where_references_are_shown() -> None:
    results = {(way, name, "change"): [1.0, 2.0] for way in WAYS for name in ("no_reference", "reference")}
    lines = table(results)
    assert lines[0] == "| | way | change (up) |" and len(lines) == 2 + 1 + len(WAYS)
    assert "| reference | sink alone | 1.500 |" in lines

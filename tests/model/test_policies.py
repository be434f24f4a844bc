"""SinkWindow against the reference's rule, which shifts rows instead of turning a ring; the other plans."""

from collections.abc import Callable

import pytest

from engine.core.errors import EngineError
from engine.model.policies import (
    CachePlan,
    Commit,
    ContextRecompute,
    EmaSink,
    Fold,
    MemoryBank,
    Policy,
    Rewrite,
    SinkWindow,
)

# (window, sink, latents of the first chunk, latents of the later ones)
STREAMS = [(12, 3, 3, 3), (9, 3, 3, 3), (6, 0, 3, 3), (4, 1, 1, 1), (8, 3, 4, 3), (7, 2, 2, 2), (11, 3, 3, 4)]


def shifted(rows: list[int], new: list[int], window: int, sink: int) -> list[int]:
    """The reference's cache, in latents: evict right after the sink, append."""
    evicted = max(0, len(rows) + len(new) - window)
    return rows[:sink] + rows[sink + evicted :] + new


def chunks(first: int, later: int, count: int) -> list[tuple[int, int]]:
    lengths = [first] + [later] * (count - 1)
    return [(sum(lengths[:i]), length) for i, length in enumerate(lengths)]


def slots(spans: tuple[tuple[int, int], ...]) -> list[int]:
    return [slot for first, stop in spans for slot in range(first, stop)]


@pytest.mark.parametrize(("window", "sink", "first", "later"), STREAMS)
@pytest.mark.parametrize("relative", [False, True])
def test_thirty_chunks_hold_what_the_reference_holds(
    window: int, sink: int, first: int, later: int, relative: bool
) -> None:
    policy = SinkWindow(window, sink, relative)
    rows: list[int] = []
    memory: dict[int, int] = {}
    for start, latents in chunks(first, later, 30):
        plan = policy.plan(start, latents)
        new = list(range(start, start + latents))
        rows = shifted(rows, new, window, sink)
        memory |= dict(zip(slots(plan.write), new, strict=True))
        seen = [memory[slot] for slot in slots(plan.read)]
        assert sorted(seen) == rows
        assert policy.held(start + latents) == tuple(rows)
        expected = {latent: rows.index(latent) if relative else latent for latent in rows}
        assert plan.key_positions == tuple(expected[latent] for latent in seen)
        assert plan.query_positions == tuple(expected[latent] for latent in new)


def test_the_window_is_read_in_one_piece_and_a_full_ring_is_written_in_place() -> None:
    plan = SinkWindow(12, 3).plan(start=300, latents=3)
    assert plan == CachePlan(
        write=((3, 6),),
        read=((0, 12),),
        query_positions=(9, 10, 11),
        key_positions=(0, 1, 2, 9, 10, 11, 3, 4, 5, 6, 7, 8),
    )


def test_a_chunk_that_passes_the_end_of_the_ring_is_written_in_two_pieces() -> None:
    assert SinkWindow(8, 3).plan(start=6, latents=3).write == ((6, 8), (3, 4))


def test_relative_positions_are_absolute_ones_until_something_is_evicted() -> None:
    absolute, relative = SinkWindow(9, 3, relative=False), SinkWindow(9, 3, relative=True)
    assert [absolute.plan(s, 3) == relative.plan(s, 3) for s in (0, 3, 6, 9)] == [True, True, True, False]


def test_relative_plans_repeat_for_ever() -> None:
    policy = SinkWindow(12, 3)
    assert policy.plan(30, 3) == policy.plan(30 + 9 * 100_000, 3)


@pytest.mark.parametrize(("window", "sink"), [(3, 3), (3, 4), (0, 0), (3, -1)])
def test_a_window_needs_room_beside_its_sink(window: int, sink: int) -> None:
    with pytest.raises(EngineError, match="cannot hold a sink"):
        SinkWindow(window, sink)


@pytest.mark.parametrize(("start", "latents"), [(3, 4), (0, 7), (9, 0)])
def test_a_chunk_must_fit_the_window(start: int, latents: int) -> None:
    with pytest.raises(EngineError, match="does not fit a window of 6 with a sink of 3"):
        SinkWindow(6, 3).plan(start, latents)


def test_an_averaging_sink_takes_in_exactly_what_is_overwritten() -> None:
    policy = EmaSink(9, 3, keep=0.9)
    folds = [policy.plan(start, 3).folds for start in range(0, 24, 3)]
    assert folds[:3] == [(), (), ()]
    assert folds[3] == (Fold((3, 6), (0, 3), 0.9, first=True),)
    assert folds[4] == (Fold((6, 9), (0, 3), 0.9, first=False),)
    assert folds[5] == (Fold((3, 6), (0, 3), 0.9, first=False),)
    for start in range(9, 24, 3):
        plan = policy.plan(start, 3)
        assert [fold.source for fold in plan.folds] == list(plan.write)
        assert plan.key_positions == SinkWindow(9, 3).plan(start, 3).key_positions


@pytest.mark.parametrize("latents", [1, 2, 3, 4])
def test_every_evicted_latent_is_folded_once_for_any_rhythm(latents: int) -> None:
    policy = EmaSink(9, 2)
    folded = {0: 0, 1: 0}
    for start in range(0, 30 * latents, latents):
        plan = policy.plan(start, latents)
        sources = [slot for fold in plan.folds for slot in slots((fold.source,))]
        assert set(sources) <= set(slots(plan.write))
        for fold in plan.folds:
            for into in slots((fold.into,)):
                assert fold.first == (folded[into] == 0)
                folded[into] += 1
    assert sum(folded.values()) == 30 * latents - 9
    assert abs(folded[0] - folded[1]) <= 1


def test_a_bank_lies_between_sink_and_ring_and_takes_every_ninth_latent() -> None:
    policy = MemoryBank(12, 3)
    first, second = policy.plan(0, 3), policy.plan(3, 3)
    assert first.commits == (Commit(source=0, bank=(3, 6), filled=0),)
    assert (first.write, first.read) == (((0, 3),), ((0, 3),))
    assert second.commits == ()
    assert (second.write, second.read) == (((6, 9),), ((0, 4), (6, 9)))
    assert second.key_positions == (0, 1, 2, 3, 4, 5, 6)
    late = policy.plan(36, 3)
    assert late.read == ((0, 15),)
    assert late.commits == (Commit(source=late.write[0][0], bank=(3, 6), filled=3),)
    assert late.query_positions == (12, 13, 14)
    assert sorted(late.key_positions) == list(range(15))


def test_latents_enter_the_bank_whatever_the_rhythm() -> None:
    policy = MemoryBank(12, 3)
    taken = [
        start + slots(plan.write).index(commit.source)
        for start in (0, *range(4, 40, 3))
        for plan in [policy.plan(start, 3 if start else 4)]
        for commit in plan.commits
    ]
    assert taken == [0, 9, 18, 27, 36]


def test_absolute_positions_stay_with_the_keys_of_a_bank() -> None:
    plan = MemoryBank(12, 3, relative=False).plan(9, 3)
    assert plan.key_positions == (0, 1, 2, 0, *range(3, 12))
    assert plan.commits[0].turn == 9


def test_a_recomputed_context_comes_before_every_chunk() -> None:
    policy = ContextRecompute(6, bias=0.5)
    assert policy.context(0) is None
    own = CachePlan(((0, 3),), ((0, 3),), (0, 1, 2), (0, 1, 2))
    assert policy.context(3) == Rewrite((0, 1, 2), own)
    assert policy.context(4) == Rewrite((0, 2, 3), own)
    assert policy.context(6) == Rewrite((3, 4, 5), own, anchored=True)
    assert policy.plan(0, 3).key_bias == ()
    later = policy.plan(300, 3)
    assert (later.write, later.read, later.clean) == (((3, 6),), ((0, 6),), False)
    assert later.key_bias == pytest.approx((0, -0.6931472, -0.6931472, 0, 0, 0))
    assert ContextRecompute(6, bias=1.0).plan(300, 3).key_bias == ()


def test_a_recache_covers_what_is_in_the_window_but_a_sink_of_long_ago() -> None:
    policy = SinkWindow(12, 3, recaches=True)
    assert policy.recache(0) is None
    early, late = policy.recache(12), policy.recache(30)
    assert early is not None and early.latents == tuple(range(12))
    assert late is not None and late.latents == tuple(range(21, 30))
    assert late.plan == policy.plan(21, 9)
    assert SinkWindow(12, 3).recache(30) is None


@pytest.mark.parametrize(
    "policy",
    [SinkWindow(12, 3), EmaSink(9, 3), MemoryBank(12, 3), ContextRecompute(6)],
    ids=["window", "ema", "bank", "context"],
)
def test_plans_of_an_endless_stream_repeat(policy: Policy) -> None:
    period = 9 * 12
    for start in range(108, 108 + period, 3):
        assert policy.plan(start, 3) == policy.plan(start + 10_000 * period, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EmaSink(9, 0), "sink of 0 latents"),
        (lambda: EmaSink(9, 3, keep=1.5), "cannot keep 1.5"),
        (lambda: EmaSink(3, 3), "cannot hold a sink"),
        (lambda: MemoryBank(9, 3, bank=0), "bank of 0"),
        (lambda: MemoryBank(3, 3), "cannot hold a sink"),
        (lambda: ContextRecompute(3), "context of 3"),
        (lambda: ContextRecompute(6, bias=0.0), "bias of 0.0"),
        (lambda: ContextRecompute(6).plan(3, 4), "does not fit a window of 6 with a context of 3"),
    ],
)
def test_impossible_sizes_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        make()

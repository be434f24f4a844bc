"""SinkWindow against the reference's rule, which shifts rows instead of turning a ring."""

import pytest

from engine.core.errors import EngineError
from engine.model.policies import CachePlan, SinkWindow

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

"""The ring against a cache that shifts and copies, and what its tensors do."""

import torch
from torch import Tensor

from engine.model.cache import KVCache
from engine.model.policies import CachePlan, SinkWindow
from engine.model.wan import CausalWan


class ShiftCache:
    """Naive cache for comparison: evicts after the sink, then appends; oldest first."""

    def __init__(self, window: int, sink: int, tokens: int) -> None:
        self.room, self.kept, self.tokens = window * tokens, sink * tokens, tokens
        self.past: dict[int, tuple[Tensor, Tensor]] = {}
        self.now: dict[int, tuple[Tensor, Tensor]] = {}

    def write(self, layer: int, k_BNHD: Tensor, v_BNHD: Tensor, plan: CachePlan) -> tuple[Tensor, Tensor]:
        before = self.past.get(layer, (k_BNHD[:, :0], v_BNHD[:, :0]))
        evicted = max(0, before[0].shape[1] + k_BNHD.shape[1] - self.room)
        kept = (torch.cat((x[:, : self.kept], x[:, self.kept + evicted :]), 1) for x in before)
        k_BMHD, v_BMHD = (torch.cat(pair, 1) for pair in zip(kept, (k_BNHD, v_BNHD), strict=True))
        self.now[layer] = k_BMHD, v_BMHD
        return k_BMHD, v_BMHD

    def next_chunk(self) -> None:
        self.past = dict(self.now)


def by_age(plan: CachePlan) -> CachePlan:
    return CachePlan((), (), plan.query_positions, tuple(sorted(plan.key_positions)))


def test_ring_equals_shifting_over_a_long_stream(tiny: CausalWan, draw: torch.Generator) -> None:
    arch, window, sink = tiny.arch, 5, 1
    ring = KVCache(
        layers=arch.layers, slots=window, tokens_per_latent=6, heads=arch.heads, head_dim=arch.head_dim
    )
    shift = ShiftCache(window, sink, tokens=6)
    text = torch.randn(1, 4, arch.text_dim, generator=draw)
    policy = SinkWindow(window, sink)
    with torch.inference_mode():
        for chunk in range(7):
            plan = policy.plan(2 * chunk, 2)
            for t in (700.0, 0.0):  # a denoising step and the clean pass overwrite the same slots
                x = torch.randn(1, 2, 16, 4, 6, generator=draw)
                time = torch.full((1, 2), t)
                ours = tiny(x, time, text, cache=ring, plan=plan)
                naive = tiny(x, time, text, cache=shift, plan=by_age(plan))
                torch.testing.assert_close(ours, naive, atol=1e-5, rtol=0)
            shift.next_chunk()


def test_the_cache_never_allocates_and_reads_without_copying() -> None:
    cache = KVCache(layers=2, slots=4, tokens_per_latent=3, heads=2, head_dim=4)
    k = torch.randn(1, 3, 2, 4)
    with torch.inference_mode():
        for start in range(9):
            k_all, v_all = cache.write(1, k + start, -k - start, SinkWindow(4, 1).plan(start, 1))
            assert k_all.data_ptr() == cache.k_LBMHD[1].data_ptr()
            assert v_all.data_ptr() == cache.v_LBMHD[1].data_ptr()
    torch.testing.assert_close(cache.k_LBMHD[1, :, :3], k)  # the sink stays
    torch.testing.assert_close(cache.k_LBMHD[1, :, 6:9], k + 8)  # latent 8 took slot 2
    assert cache.k_LBMHD[0].count_nonzero() == 0


def test_a_read_of_several_spans_comes_in_their_order() -> None:
    cache = KVCache(layers=1, slots=4, tokens_per_latent=1, heads=1, head_dim=2)
    k = torch.arange(8.0).view(1, 4, 1, 2)
    cache.write(0, k, k, CachePlan(((0, 4),), ((0, 4),), (0, 1, 2, 3), (0, 1, 2, 3)))
    new = torch.full((1, 1, 1, 2), 9.0)
    k_all, _ = cache.write(0, new, new, CachePlan(((1, 2),), ((2, 4), (1, 2)), (2,), (0, 1, 2)))
    assert k_all[0, :, 0, 0].tolist() == [4.0, 6.0, 9.0]

"""What a stream keeps beyond its ring: averaged sinks, the bank, and its past under a new prompt."""

import pytest
import torch
from torch import Tensor

from engine.model.attention import attend
from engine.model.cache import KVCache
from engine.model.policies import CachePlan, ContextRecompute, EmaSink, Fold, MemoryBank, Policy, SinkWindow
from engine.model.spec import Arch
from engine.model.stream import LatentStream
from engine.model.wan import CausalWan, CrossCache
from engine.parity.dit import attend_with_padding
from engine.parity.golden import filled
from engine.parity.oddities import EmptyBank, RepeatingBank

SMALL = Arch(dim=24, ffn_dim=24, heads=2, layers=2, vace_layers=(0,), text_len=3, text_dim=4, freq_dim=8)
HEIGHT, WIDTH = 2, 4
TOKENS = 2


@pytest.fixture
def small() -> CausalWan:
    return filled(lambda: CausalWan(SMALL), salt=5)


def stream_of(dit: CausalWan, policy: Policy) -> LatentStream:
    return LatentStream(
        dit, policy, latent_size=(HEIGHT, WIDTH), latents_per_chunk=3, device="cpu", dtype=torch.float32
    )


def text_of(dit: CausalWan, seed: int) -> CrossCache:
    draw = torch.Generator().manual_seed(seed)
    return dit.cross_cache(torch.randn(1, 3, SMALL.text_dim, generator=draw))


def grow(stream: LatentStream, text: CrossCache, chunks: int, context: Tensor | None = None) -> None:
    """Finish chunks of drawn latents, each after one denoising step."""
    draw = torch.Generator().manual_seed(stream.start)
    for _ in range(chunks):
        x, clean = torch.randn(2, 1, 3, 16, HEIGHT, WIDTH, generator=draw)
        stream.begin(3, text)
        stream.predict(x, 700.0, context=context)
        stream.finish(clean)


def slots(stream: LatentStream, first: int, stop: int) -> Tensor:
    """Keys and values of slots, [2, layers, 1, tokens, heads, channels]."""
    run = slice(first * TOKENS, stop * TOKENS)
    return torch.stack((stream.cache.k_LBMHD[:, :, run], stream.cache.v_LBMHD[:, :, run]))


def test_an_average_in_half_precision_moves_as_it_does_in_full() -> None:
    """The reference averages in bf16, where adding a thousandth mostly changes nothing: its sink is inert.

    Ours is averaged in fp32, as its weights say, and only read in half precision.
    """
    half, exact = (
        KVCache(layers=1, slots=2, tokens_per_latent=64, heads=2, head_dim=8, folded=1, dtype=dtype)
        for dtype in (torch.bfloat16, torch.float32)
    )
    draw = torch.Generator().manual_seed(0)
    first = torch.randn(1, 128, 2, 8, generator=draw).bfloat16()
    for cache in (half, exact):
        dtype = cache.k_LBMHD.dtype
        cache.write(0, first.to(dtype), first.to(dtype), CachePlan(((0, 2),), ((0, 2),), (0, 1), (0, 1)))
    naive = first[:, :64].clone()
    for number in range(100):
        evicted = half.k_LBMHD[0][:, 64:]
        naive = 0.999 * naive + 0.001 * evicted
        for cache in (half, exact):
            cache.fold(Fold((1, 2), (0, 1), keep=0.999, first=number == 0))
    start, truth = first[:, :64].float(), exact.k_LBMHD[0][:, :64]
    weight = 0.999**100
    torch.testing.assert_close(truth, weight * start + (1 - weight) * first[:, 64:].float())
    ours, theirs = half.k_LBMHD[0][:, :64].float(), naive.float()
    torch.testing.assert_close(ours, truth, atol=0.02, rtol=0.01)
    torch.testing.assert_close(half.v_LBMHD[0][:, :64].float(), truth, atol=0.02, rtol=0.01)
    assert (theirs == start).float().mean() > 0.3  # inert where ours has moved
    assert (ours == start).float().mean() < 0.1


def test_the_sink_is_averaged_once_per_chunk_and_only_from_what_was_evicted(small: CausalWan) -> None:
    stream, text = stream_of(small, EmaSink(9, 3, keep=0.75)), text_of(small, 1)
    grow(stream, text, 3)
    sink, evicted = slots(stream, 0, 3), slots(stream, 3, 6)
    for _ in range(3):  # begun, given up, begun again
        stream.begin(3, text)
    torch.testing.assert_close(slots(stream, 0, 3), 0.75 * sink + 0.25 * evicted)


@pytest.mark.parametrize("controlled", [False, True])
def test_the_bank_fills_with_different_latents_with_and_without_vace(
    small: CausalWan, controlled: bool
) -> None:
    """The reference takes one latent in again and again, and with VACE it never takes any in."""
    text = text_of(small, 1)
    context = torch.ones(1, 96, 3, HEIGHT, WIDTH) if controlled else None
    ours, repeating, empty = (
        stream_of(small, kind(12, 3)) for kind in (MemoryBank, RepeatingBank, EmptyBank)
    )
    for stream in (ours, repeating, empty):
        grow(stream, text, 14, context)

    def different(stream: LatentStream) -> int:
        """Bank slots of the last layer whose values are no other slot's."""
        values = slots(stream, 3, 6)[1, -1].unflatten(1, (3, TOKENS)).squeeze(0)
        return len({tuple(latent.flatten().tolist()) for latent in values if latent.count_nonzero()})

    assert different(ours) == 3
    assert different(repeating) < 3
    assert different(empty) == 0


def test_a_full_bank_gives_up_what_fits_the_text_least_and_stays_in_order_of_age(small: CausalWan) -> None:
    stream, text = stream_of(small, MemoryBank(12, 3)), text_of(small, 1)
    grow(stream, text, 9)
    before = slots(stream, 3, 6)[1, 0].unflatten(1, (3, TOKENS)).squeeze(0)
    grow(stream, text, 1)
    after = slots(stream, 3, 6)[1, 0].unflatten(1, (3, TOKENS)).squeeze(0)
    newest = slots(stream, stream.policy.plan(27, 3).write[0][0], 16)[1, 0, 0, :TOKENS]
    kept = [number for number in range(3) if any(torch.equal(before[number], slot) for slot in after[:2])]
    assert len(kept) == 2
    assert all(torch.equal(before[number], slot) for number, slot in zip(kept, after[:2], strict=True))
    assert torch.equal(after[2], newest)


@pytest.mark.parametrize(
    "policy", [SinkWindow(9, 3, recaches=True), MemoryBank(9, 3)], ids=["window", "bank"]
)
def test_a_new_prompt_rewrites_the_window_and_keeps_the_sink(small: CausalWan, policy: Policy) -> None:
    stream, text = stream_of(small, policy), text_of(small, 1)
    grow(stream, text, 5)
    fixed = policy.slots - 6
    before = slots(stream, 0, policy.slots)
    stream.recache(text_of(small, 2))
    after = slots(stream, 0, policy.slots)
    assert torch.equal(after[:, :, :, : fixed * TOKENS], before[:, :, :, : fixed * TOKENS])
    changed = (after != before)[:, 1:, :, fixed * TOKENS :].flatten(3).any(3)  # layer 0 has not met the text
    assert changed.all()
    assert stream.start == 15


def test_only_the_latents_that_matter_are_run_again(small: CausalWan) -> None:
    """The reference runs the whole window, 9 latents here, and throws away what would land in the sink."""
    stream, text = stream_of(small, SinkWindow(9, 3, recaches=True)), text_of(small, 1)
    lengths: list[int] = []
    small.register_forward_pre_hook(lambda dit, inputs: lengths.append(inputs[0].shape[1]))
    for expected in (0, 3, 6, 9, 6, 6):
        lengths.clear()
        stream.recache(text)
        assert lengths == [expected][: bool(expected)]
        grow(stream, text, 1)


def test_a_recache_under_the_same_text_leaves_a_full_window_of_one_chunk_as_it_is(small: CausalWan) -> None:
    """The latents of one chunk were made to see each other; so does a recache show them."""
    stream, text = stream_of(small, SinkWindow(6, 3, recaches=True)), text_of(small, 1)
    grow(stream, text, 4)
    before = slots(stream, 0, 6)
    stream.recache(text)
    torch.testing.assert_close(slots(stream, 0, 6), before, atol=1e-6, rtol=0)


@pytest.mark.parametrize("policy", [SinkWindow(6, 3), EmaSink(9, 3), ContextRecompute(6)])
def test_models_not_trained_for_it_are_not_recached(small: CausalWan, policy: Policy) -> None:
    stream = stream_of(small, policy)
    grow(stream, text_of(small, 1), 4)
    before = slots(stream, 0, policy.slots)
    stream.recache(text_of(small, 2))
    assert torch.equal(slots(stream, 0, policy.slots), before)


@pytest.mark.parametrize("policy", [SinkWindow(6, 3), EmaSink(9, 3), ContextRecompute(6), MemoryBank(9, 3)])
def test_a_new_prompt_speaks_at_the_next_chunk_without_a_cut(small: CausalWan, policy: Policy) -> None:
    stays, changes, cut = (stream_of(small, policy) for _ in range(3))
    old, new = text_of(small, 1), text_of(small, 2)
    for stream in (stays, changes):
        grow(stream, old, 4)
    x = torch.randn(1, 3, 16, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(8))
    changes.recache(new)
    flows = []
    for stream, text in ((stays, old), (changes, new), (cut, new)):
        stream.begin(3, text)
        flows.append(stream.predict(x, 700.0))
    assert not torch.allclose(flows[1], flows[0], atol=1e-4)  # the new text is heard
    assert not torch.allclose(flows[1], flows[2], atol=1e-4)  # and the past is not gone


def test_padding_keys_are_not_part_of_our_attention() -> None:
    """Zero keys take a share of every softmax, with few tokens most of it; ours attends to tokens only."""
    draw = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 1, 6, 2, 12, generator=draw)
    ones = torch.ones_like(v)
    torch.testing.assert_close(attend(q, k, ones), ones)
    assert attend_with_padding(q, k, ones).max() < 0.5
    bias = torch.tensor([0.0, -1.2, -1.2, 0.0, 0.0, 0.0])
    torch.testing.assert_close(attend(q, k, ones, bias), ones)
    weighted = torch.softmax(torch.einsum("bnhd,bmhd->bhnm", q, k) / 12**0.5 + bias, -1)
    torch.testing.assert_close(attend(q, k, v, bias), torch.einsum("bhnm,bmhd->bnhd", weighted, v))


@pytest.mark.parametrize("policy", [SinkWindow(9, 3), EmaSink(9, 3), ContextRecompute(6), MemoryBank(9, 3)])
def test_half_precision_streams_follow_those_in_full(small: CausalWan, policy: Policy) -> None:
    flows = []
    for dtype in (torch.float32, torch.bfloat16):
        dit = small.to(dtype)
        stream = LatentStream(
            dit, policy, latent_size=(HEIGHT, WIDTH), latents_per_chunk=3, device="cpu", dtype=dtype
        )
        text = dit.cross_cache(torch.ones(1, 3, SMALL.text_dim, dtype=dtype))
        draw = torch.Generator().manual_seed(1)
        for _ in range(13):
            x, clean = torch.randn(2, 1, 3, 16, HEIGHT, WIDTH, generator=draw).to(dtype)
            stream.begin(3, text)
            flow = stream.predict(x, 700.0)
            stream.finish(clean)
        flows.append(flow.float())
    assert (flows[1] - flows[0]).square().mean() < 0.003 * flows[0].square().mean()

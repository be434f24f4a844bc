"""The transformer beyond recorded numbers: scales, batches, contexts, gradients, dtypes, past."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.core.errors import EngineError
from engine.model.cache import KVCache
from engine.model.policies import CachePlan, SinkWindow
from engine.model.wan import CausalWan


@pytest.fixture
def chunk(draw: torch.Generator) -> dict[str, Tensor]:
    """Two samples of three latents of 4 x 6, four rows of text."""
    return {
        "x": torch.randn(2, 3, 16, 4, 6, generator=draw),
        "t": torch.rand(2, 3, generator=draw) * 1000,
        "text": torch.randn(2, 4, 8, generator=draw),
    }


@pytest.fixture
def context(draw: torch.Generator) -> Tensor:
    return torch.randn(2, 96, 3, 4, 6, generator=draw)


def test_scale_zero_is_no_vace(tiny: CausalWan, chunk: dict[str, Tensor], context: Tensor) -> None:
    without = tiny(**chunk)
    assert torch.equal(tiny(**chunk, context=context, context_scale=0.0), without)
    assert torch.equal(tiny(**chunk, context=context, context_scale=torch.zeros(())), without)
    assert not torch.allclose(tiny(**chunk, context=context, context_scale=1.0), without, atol=1e-2)


def test_a_network_without_the_branch_has_none_of_its_keys(tiny: CausalWan, chunk: dict[str, Tensor]) -> None:
    plain = CausalWan(tiny.arch, vace=False)
    plain.load_state_dict({k: v for k, v in tiny.state_dict().items() if not k.startswith("vace_")})
    assert torch.equal(plain(**chunk), tiny(**chunk))


def test_a_fresh_branch_changes_nothing(chunk: dict[str, Tensor], context: Tensor, tiny: CausalWan) -> None:
    torch.manual_seed(3)
    fresh = CausalWan(tiny.arch)
    assert fresh(**chunk).count_nonzero() == 0  # the head starts at zero
    torch.nn.init.normal_(fresh.head.head.weight)
    assert torch.equal(fresh(**chunk, context=context), fresh(**chunk))


def test_a_tensor_scale_acts_on_its_own_latent(
    tiny: CausalWan, chunk: dict[str, Tensor], context: Tensor
) -> None:
    whole = tiny(**chunk, context=context, context_scale=0.6)
    same = tiny(**chunk, context=context, context_scale=torch.tensor([0.6, 0.6, 0.6]))
    torch.testing.assert_close(whole, same, atol=1e-5, rtol=0)
    per_sample = tiny(**chunk, context=context, context_scale=torch.tensor([[0.6], [0.0]]))
    torch.testing.assert_close(per_sample[0], whole[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(per_sample[1], tiny(**chunk)[1], atol=1e-5, rtol=0)


def test_samples_of_a_batch_do_not_mix(tiny: CausalWan, chunk: dict[str, Tensor], context: Tensor) -> None:
    both = tiny(**chunk, context=context)
    for i in range(2):
        alone = tiny(**{key: value[i : i + 1] for key, value in chunk.items()}, context=context[i : i + 1])
        torch.testing.assert_close(both[i : i + 1], alone, atol=1e-5, rtol=0)


def test_text_is_zero_padded_and_may_be_prepared(tiny: CausalWan, chunk: dict[str, Tensor]) -> None:
    rows = torch.nn.functional.pad(chunk["text"], (0, 0, 0, 2))
    assert torch.equal(tiny(chunk["x"], chunk["t"], rows), tiny(**chunk))
    assert torch.equal(tiny(chunk["x"], chunk["t"], tiny.cross_cache(chunk["text"])), tiny(**chunk))


def test_a_long_context_is_cut_and_a_short_one_filled_with_zero_tokens(
    tiny: CausalWan, chunk: dict[str, Tensor], context: Tensor
) -> None:
    longer = torch.cat((context, torch.ones(2, 96, 1, 4, 6)), dim=2)
    assert torch.equal(tiny(**chunk, context=longer), tiny(**chunk, context=context))
    embedded_zeros = torch.nn.functional.pad(context[:, :, :1], (0, 0, 0, 0, 0, 2))
    short = tiny(**chunk, context=context[:, :, :1])
    assert not torch.allclose(short, tiny(**chunk, context=embedded_zeros), atol=1e-4)


class Past:
    """The training scripts' kind of cache: the previous chunk in front, gradients flow through it."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}

    def write(self, layer: int, k_BNHD: Tensor, v_BNHD: Tensor, plan: CachePlan) -> tuple[Tensor, Tensor]:
        before = self.kept.get(layer)
        self.kept[layer] = k_BNHD, v_BNHD
        if before is None:
            return k_BNHD, v_BNHD
        return torch.cat((before[0], k_BNHD), 1), torch.cat((before[1], v_BNHD), 1)


def test_a_concatenating_past_equals_the_ring_and_passes_gradients(
    tiny: CausalWan, chunk: dict[str, Tensor], context: Tensor
) -> None:
    arch = tiny.arch
    ring = KVCache(
        layers=arch.layers, slots=6, tokens_per_latent=6, heads=arch.heads, head_dim=arch.head_dim, batch=2
    )
    past, policy = Past(), SinkWindow(6, 3)
    later = {**chunk, "x": chunk["x"].flip(1)}
    flows = []
    for start, inputs in ((0, chunk), (3, later)):
        plan = policy.plan(start, 3)
        with torch.inference_mode():
            ours = tiny(**inputs, cache=ring, plan=plan, context=context)
        flows.append(tiny(**inputs, cache=past, plan=replace(plan, write=(), read=()), context=context))
        torch.testing.assert_close(flows[-1], ours, atol=1e-5, rtol=0)
    flows[1].square().mean().backward()
    for name, parameter in tiny.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all() and parameter.grad.count_nonzero() > 0, name
    assert not torch.allclose(flows[1], tiny(**later, context=context), atol=1e-3)  # the past matters


def test_a_cache_needs_a_plan(tiny: CausalWan, chunk: dict[str, Tensor]) -> None:
    with pytest.raises(EngineError, match="without a plan"):
        tiny(**chunk, cache=Past())


def test_half_precision_follows_and_keeps_the_callers_dtype(
    tiny: CausalWan, chunk: dict[str, Tensor], context: Tensor
) -> None:
    exact = tiny(**chunk, context=context)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = tiny(**chunk, context=context)
    half = tiny.to(torch.bfloat16)(**chunk, context=context)
    for flow in (mixed, half):
        assert flow.dtype == torch.float32
        assert (flow - exact).square().mean() < 0.003 * exact.square().mean()


def test_a_text_longer_than_the_model_reads_is_refused(tiny: CausalWan, chunk: dict[str, Tensor]) -> None:
    with pytest.raises(EngineError, match="7 rows is longer than the model's 6"):
        tiny(chunk["x"], chunk["t"], torch.zeros(2, 7, 8))

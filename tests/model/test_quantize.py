"""FP8 layers: how near they are to the originals, each and all together, on this machine's hardware."""

import weakref

import pytest
import torch
from torch import Tensor, nn

from engine.core.errors import EngineError
from engine.model import quantize
from engine.model.quantize import (
    FP8,
    Float8Linear,
    check_has_fp8,
    exact,
    has_scaled_mm,
    quantize_blocks,
    rounded,
)
from engine.model.spec import Arch
from engine.model.wan import CausalWan
from engine.parity.golden import filled

ARCH = Arch(dim=64, ffn_dim=128, heads=2, layers=3, vace_layers=(0, 2), text_len=6, text_dim=8, freq_dim=16)

HARDWARE = [("cpu", torch.float32), ("cpu", torch.bfloat16)]
if torch.cuda.is_available():
    HARDWARE += [("cuda", torch.bfloat16), ("cuda", torch.float16)]

LAYER_LIMIT = 0.05
"""e4m3 has 3 bits behind the point: a rounded number is off by up to 1/16, 2.6 % root-mean-square over a
binade. Weights and activations err independently, so a layer's output is off by about 3.7 %."""


@pytest.fixture
def dit() -> CausalWan:
    return filled(lambda: CausalWan(ARCH), salt=7).requires_grad_(False)


def tokens(draw: torch.Generator, count: int = 40, channels: int = 64) -> Tensor:
    """Tokens of very different loudness, with some loud channels, as transformers have them."""
    x = torch.randn(count, channels, generator=draw)
    return x * torch.logspace(-3, 2, count)[:, None] * torch.linspace(0.2, 4, channels)


def linear(draw: torch.Generator, channels: int = 64, out: int = 96) -> nn.Linear:
    layer = nn.Linear(channels, out).requires_grad_(False)
    layer.weight.copy_(torch.randn(out, channels, generator=draw) * torch.logspace(-2, 0, out)[:, None])
    layer.bias.copy_(torch.randn(out, generator=draw))
    return layer


def error(ours: Tensor, wanted: Tensor) -> float:
    """Root-mean-square error, relative to what is wanted."""
    return float((ours.float() - wanted.float()).norm() / wanted.float().norm())


def flow(dit: CausalWan, scale: float = 1.0) -> Tensor:
    """One forward with a VACE context."""
    draw = torch.Generator().manual_seed(3)
    x, text, context = (
        torch.randn(shape, generator=draw) for shape in ((1, 3, 16, 4, 6), (1, 5, 8), (1, 96, 3, 4, 6))
    )
    t = torch.full((1, 3), 750.0)
    result: Tensor = dit(x, t, text, context=context, context_scale=scale)
    return result


# Rounding


def test_a_rounded_number_is_as_near_as_eight_bits_allow(draw: torch.Generator) -> None:
    x = tokens(draw, 200)
    eight_bit, scale = rounded(x)
    off = (eight_bit.float() * scale - x).abs()
    # Half a step is 1/16 of a normal number, 2**-10 for a subnormal one; fp32 division adds nearly nothing.
    assert bool((off <= torch.maximum(x.abs() / 16, scale / 1024) * 1.0001).all())
    assert torch.equal(eight_bit.float().abs().amax(dim=1), torch.full((200,), 448.0))


@pytest.mark.parametrize("value", [0.0, 1e-40, 1e-30, 1e-3, 1e30, 3e38])
def test_any_loudness_stays_finite(value: float) -> None:
    eight_bit, scale = rounded(torch.full((3, 16), value))
    back = eight_bit.float() * scale
    assert bool(back.isfinite().all())
    torch.testing.assert_close(back, torch.full((3, 16), value), rtol=1 / 16, atol=1e-14)


def test_a_number_that_is_none_stays_seen() -> None:
    x = torch.ones(2, 16)
    x[1, 3] = torch.nan
    eight_bit, scale = rounded(x)
    back = eight_bit.float() * scale
    assert torch.equal(back[0], torch.ones(16))
    assert bool(back[1].isnan().any())


# One layer


@pytest.mark.parametrize(("device", "dtype"), HARDWARE)
def test_every_layer_is_near_its_original(dit: CausalWan, device: str, dtype: torch.dtype) -> None:
    dit.to(torch.device(device), dtype)
    originals = {name: layer for name, layer in dit.named_modules() if isinstance(layer, nn.Linear)}
    changed = quantize_blocks(dit)
    assert len(changed) == 5 * 10
    for number, name in enumerate(changed):
        draw = torch.Generator().manual_seed(number)
        x = tokens(draw, channels=originals[name].in_features).to(torch.device(device), dtype)
        wanted, ours = originals[name](x), dit.get_submodule(name)(x)
        assert ours.dtype == dtype
        assert 0.005 < error(ours, wanted) < LAYER_LIMIT, name


@pytest.mark.parametrize(("device", "dtype"), HARDWARE)
def test_the_product_of_the_hardware_agrees_with_the_one_by_hand(device: str, dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(1)
    layer = linear(draw).to(torch.device(device), dtype)
    x = tokens(draw).to(torch.device(device), dtype)
    fast = Float8Linear(layer.weight, layer.bias, scaled_mm=has_scaled_mm(torch.device(device)))
    slow = Float8Linear(layer.weight, layer.bias)
    # Same rounded numbers; only sums and the last rounding to the dtype may differ.
    assert error(fast(x), slow(x)) < (0.005 if dtype == torch.bfloat16 else 1e-3)


def test_sizes_that_the_hardware_cannot_multiply_are_computed_all_the_same(draw: torch.Generator) -> None:
    layer = linear(draw, channels=24, out=10).bfloat16()
    x = tokens(draw, channels=24).bfloat16()
    assert error(Float8Linear(layer.weight, layer.bias, scaled_mm=True)(x), layer(x)) < LAYER_LIMIT


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_loud_token_costs_the_others_nothing(draw: torch.Generator, dtype: torch.dtype) -> None:
    layer = linear(draw).to(dtype)
    x = torch.randn(8, 64, generator=draw).to(dtype)
    ours = Float8Linear(layer.weight, layer.bias, scaled_mm=has_scaled_mm(torch.device("cpu")))
    loud = x.clone()
    loud[3] *= 1e5
    others = [0, 1, 2, 4, 5, 6, 7]
    assert torch.equal(ours(loud)[others], ours(x)[others])
    assert error(ours(loud)[3], layer(loud)[3]) < 2 * LAYER_LIMIT


def test_a_loud_number_in_a_token_leaves_its_neighbours_their_bits(draw: torch.Generator) -> None:
    """Eight bits of floating point, unlike eight bits of integers: a number 1,000 times louder is no harm."""
    x = torch.randn(8, 64, generator=draw)
    x[:, 5] = 1000.0
    eight_bit, scale = rounded(x)
    rest = [channel for channel in range(64) if channel != 5]
    assert error((eight_bit.float() * scale)[:, rest], x[:, rest]) < LAYER_LIMIT


def test_a_loud_output_channel_costs_the_others_nothing(draw: torch.Generator) -> None:
    layer = linear(draw)
    x = tokens(draw)
    before = Float8Linear(layer.weight, layer.bias)(x)
    layer.weight[7] *= 1e5
    after = Float8Linear(layer.weight, layer.bias)(x)
    others = [channel for channel in range(96) if channel != 7]
    torch.testing.assert_close(after[:, others], before[:, others], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_zero_rows_give_the_bias(draw: torch.Generator, dtype: torch.dtype) -> None:
    layer = linear(draw)
    layer.weight[2] = 0
    layer = layer.to(dtype)
    x = tokens(draw).to(dtype)
    x[4] = 0
    ours = Float8Linear(layer.weight, layer.bias, scaled_mm=has_scaled_mm(torch.device("cpu")))(x)
    assert bool(ours.isfinite().all())
    assert torch.equal(ours[4], layer.bias)
    assert torch.equal(ours[:, 2], layer.bias[2].expand(len(x)))


def test_leading_dimensions_are_kept_and_a_bias_may_be_missing(draw: torch.Generator) -> None:
    layer = linear(draw)
    x = tokens(draw)
    ours = Float8Linear(layer.weight, layer.bias)
    assert torch.equal(ours(x.view(2, 4, 5, 64)), ours(x).view(2, 4, 5, 96))
    torch.testing.assert_close(Float8Linear(layer.weight)(x), ours(x) - layer.bias)


# The whole model


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_the_model_with_vace_is_near_the_original(dit: CausalWan, scale: float) -> None:
    """Errors of layers are independent and enter residual sums: together they are no worse than one layer."""
    wanted = flow(dit, scale)
    quantize_blocks(dit)
    assert 0.001 < error(flow(dit, scale), wanted) < LAYER_LIMIT


def test_only_attention_and_feed_forward_of_blocks_are_quantised(dit: CausalWan) -> None:
    changed = set(quantize_blocks(dit))
    quantised = {name for name, layer in dit.named_modules() if isinstance(layer, Float8Linear)}
    kept = {name for name, layer in dit.named_modules() if isinstance(layer, nn.Linear)}
    places = {f"blocks.{n}" for n in range(3)} | {f"vace_blocks.{n}" for n in range(2)}
    parts = {f"{kind}_attn.{p}" for kind in ("self", "cross") for p in "qkvo"} | {"ffn.0", "ffn.2"}
    assert changed == quantised == {f"{place}.{part}" for place in places for part in parts}
    assert kept == {
        *("text_embedding.0", "text_embedding.2", "time_embedding.0", "time_embedding.2"),
        *("time_projection.1", "head.head", "vace_blocks.0.before_proj"),
        *("vace_blocks.0.after_proj", "vace_blocks.1.after_proj"),
    }


def test_quantising_again_changes_nothing(dit: CausalWan) -> None:
    quantize_blocks(dit)
    once = flow(dit)
    assert quantize_blocks(dit) == []
    assert torch.equal(flow(dit), once)


def test_a_model_without_vace_is_quantised_as_well() -> None:
    arch = Arch(dim=32, ffn_dim=64, heads=2, layers=2, vace_layers=(), text_len=6, text_dim=8, freq_dim=16)
    assert len(quantize_blocks(filled(lambda: CausalWan(arch), salt=1))) == 20


# Exactly, for a while


@pytest.mark.parametrize("originals", ["device", "host"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_exact_is_bit_for_bit_the_original(
    dit: CausalWan, originals: quantize.Originals, dtype: torch.dtype
) -> None:
    dit.to(dtype)
    wanted = flow(dit)
    quantize_blocks(dit, originals=originals)
    eight_bit = flow(dit)
    with exact(dit):
        assert torch.equal(flow(dit), wanted)
    assert torch.equal(flow(dit), eight_bit)
    assert not torch.equal(eight_bit, wanted)


def test_without_originals_exact_is_nearer_but_not_the_original(dit: CausalWan) -> None:
    wanted = flow(dit)
    quantize_blocks(dit, originals="none")
    eight_bit = error(flow(dit), wanted)
    with exact(dit):
        assert 0 < error(flow(dit), wanted) < eight_bit


def test_exact_may_be_nested_and_ends_with_an_error_too(dit: CausalWan) -> None:
    wanted = flow(dit)
    quantize_blocks(dit)
    eight_bit = flow(dit)
    with exact(dit):
        with exact(dit):
            pass
        assert torch.equal(flow(dit), wanted)
    with pytest.raises(EngineError, match="half-way"), exact(dit):
        raise EngineError("It failed half-way.", "")
    assert torch.equal(flow(dit), eight_bit)


def test_exact_does_nothing_to_a_model_that_is_not_quantised(dit: CausalWan) -> None:
    wanted = flow(dit)
    with exact(dit):
        assert torch.equal(flow(dit), wanted)


# Memory and weights


def test_the_memory_of_the_layers_halves(dit: CausalWan) -> None:
    dit.to(torch.bfloat16)

    def held(names: list[str]) -> int:
        layers = [dit.get_submodule(name) for name in names]
        return sum(x.nbytes for layer in layers for x in (*layer.parameters(), *layer.buffers()))

    names = [
        f"blocks.{n}.{part}" for n in range(3) for part in ("self_attn.q", "cross_attn.k", "ffn.0", "ffn.2")
    ]
    weights = sum(dit.get_parameter(f"{name}.weight").nbytes for name in names)
    before = held(names)
    quantize_blocks(dit, originals="none")
    scales = sum(4 * dit.get_submodule(name).weight_scale.numel() for name in names)
    assert held(names) == before - weights // 2 + scales
    assert {dit.get_parameter(f"{name}.weight").dtype for name in names} == {FP8}


def test_no_more_than_one_layer_lies_in_memory_twice(dit: CausalWan, monkeypatch: pytest.MonkeyPatch) -> None:
    """While layer k is rounded, the originals of all layers before it are gone."""
    names = [name for name, layer in dit.named_modules() if isinstance(layer, nn.Linear)]
    alive = [weakref.ref(dit.get_parameter(f"{name}.weight")) for name in names]
    seen = []

    def counted(x: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(sum(weight() is not None for weight in alive))
        return rounded(x)

    monkeypatch.setattr(quantize, "rounded", counted)
    monkeypatch.setattr(quantize, "has_scaled_mm", lambda device: False)
    changed = quantize_blocks(dit, originals="none")
    assert seen == [len(alive) - done for done in range(len(changed))]


def test_keys_and_shapes_stay_public_and_nothing_is_loaded_into_a_quantised_model(dit: CausalWan) -> None:
    public = {key: value.shape for key, value in dit.state_dict().items()}
    weights = {key: value.clone() for key, value in dit.state_dict().items()}
    quantize_blocks(dit)
    assert {key: value.shape for key, value in dit.state_dict().items()} == public
    before = flow(dit)
    with pytest.raises(EngineError, match=r"blocks\.0\.self_attn\.q is quantised"):
        dit.load_state_dict(weights)
    assert torch.equal(flow(dit), before)


def test_another_precision_leaves_the_eight_bits_alone(dit: CausalWan) -> None:
    quantize_blocks(dit)
    layer = dit.get_submodule("blocks.0.ffn.0")
    before = layer.weight.float() * layer.weight_scale
    dit.to(torch.bfloat16)
    assert (layer.weight.dtype, layer.weight_scale.dtype) == (FP8, torch.float32)
    assert layer.bias.dtype == torch.bfloat16
    assert torch.equal(layer.weight.float() * layer.weight_scale, before)
    assert bool(flow(dit).isfinite().all())
    with exact(dit):
        assert bool(flow(dit).isfinite().all())


def test_a_device_without_eight_bits_is_named() -> None:
    if torch.backends.mps.is_available():
        pytest.skip("this machine has the device; whether it keeps eight bits depends on torch")
    with pytest.raises(EngineError, match="FP8 does not work on this device"):
        check_has_fp8(torch.device("mps"))

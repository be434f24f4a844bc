"""LoRAs played: live and merged do the same, strength 0 is the base, and a running stream is never reset."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from engine.core.errors import EngineError, WeightsError
from engine.model.cache import KVCache
from engine.model.lora import Kept, LoraSlots, makes_text_stale, merge_builtin
from engine.model.lora_file import Lora, read_lora
from engine.model.policies import SinkWindow
from engine.model.quantize import exact, quantize_blocks
from engine.model.wan import CausalWan
from engine.parity.golden import filled
from tests.model.conftest import TINY
from tests.model.lora_files import LINEAR, RANK, named, numbers, with_weights_added, write

Reads = Callable[..., Lora]

QUIET = tuple(module for module in LINEAR if "cross_attn" not in module)
"""Layers that have no part in the keys and values of a text."""


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture
def read(tmp_path: Path) -> Reads:
    def read(seed: int = 1, modules: tuple[str, ...] = LINEAR, **more: Tensor) -> Lora:
        tensors = named("comfy", numbers(seed, modules), alpha=6.0)
        tensors |= {key.replace("__", "."): value for key, value in more.items()}
        return read_lora(write(tmp_path / f"{seed}.safetensors", tensors))

    return read


def whole_changes(seed: int = 5) -> dict[str, Tensor]:
    """Changes of everything that is no pair."""
    draw = torch.Generator().manual_seed(seed)
    shapes = {
        "blocks__0__self_attn__q__diff_b": (48,), "blocks__0__self_attn__norm_q__diff": (48,),
        "blocks__1__norm3__diff": (48,), "blocks__1__norm3__diff_b": (48,), "blocks__2__diff_m": (1, 6, 48),
        "head__diff_m": (1, 2, 48), "head__head__diff": (64, 48), "patch_embedding__diff": (48, 16, 1, 2, 2),
        "time_embedding__0__diff": (48, 16),
    }  # fmt: skip
    return {key: torch.randn(shape, generator=draw) / 5 for key, shape in shapes.items()}


@pytest.fixture
def flow(draw: torch.Generator) -> Callable[[CausalWan], Tensor]:
    x, t = torch.randn(1, 2, 16, 4, 4, generator=draw), torch.tensor([[700.0, 300.0]])
    text, context = torch.randn(1, 5, 8, generator=draw), torch.randn(1, 96, 2, 4, 4, generator=draw)
    return lambda model: model(x, t, text, context=context, context_scale=0.7)


def bits(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(one[key].equal(other[key]) for key in one)


@pytest.mark.parametrize("strength", [-1.0, 0.25, 1.0, 2.0])
@pytest.mark.parametrize("live", [True, False])
def test_a_slot_does_what_merging_by_hand_does(
    strength: float, live: bool, tiny: CausalWan, read: Reads, flow: Callable[[CausalWan], Tensor]
) -> None:
    base = flow(tiny)
    slots = LoraSlots(tiny)
    slots.set(1, read(), strength, live)
    slots.apply()
    played = flow(tiny)
    slots.set(1, None)
    slots.apply()
    assert flow(tiny).equal(base)
    with_weights_added(tiny, numbers(1), strength * 2)
    torch.testing.assert_close(played, flow(tiny), atol=2e-6, rtol=1e-5)
    assert (played - base).abs().max() > 1e-2


@pytest.mark.parametrize("strength", [-0.5, 0.3, 1.0])
def test_merged_is_the_side_path(
    strength: float, tiny: CausalWan, read: Reads, flow: Callable[[CausalWan], Tensor]
) -> None:
    lora, slots = read(**whole_changes()), LoraSlots(tiny)
    flows = []
    for live in (True, False):
        slots.set(1, lora, strength, live)
        slots.apply()
        flows.append(flow(tiny))
    torch.testing.assert_close(*flows, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("live", [True, False])
def test_strength_0_is_the_base_exactly(
    live: bool, tiny: CausalWan, read: Reads, flow: Callable[[CausalWan], Tensor]
) -> None:
    base, weights = flow(tiny), bits(tiny)
    slots = LoraSlots(tiny)
    slots.set(1, read(**whole_changes()), 1.0, live)
    slots.apply()
    assert not flow(tiny).equal(base)
    slots.strength(1, 0.0)
    slots.apply()
    assert flow(tiny).equal(base)
    assert same(bits(tiny), weights)


def test_strengths_move_in_and_out_of_inference_mode(
    read: Reads, flow: Callable[[CausalWan], Tensor]
) -> None:
    lora = read(**whole_changes())
    with torch.inference_mode(False):
        model = filled(lambda: CausalWan(TINY), salt=7)
        slots = LoraSlots(model)
        slots.set(1, lora, 0.5)
        with torch.inference_mode():
            slots.apply()
            played = flow(model)
        slots.strength(1, 0.25)
        slots.strength(1, 0.5)
        with torch.no_grad():
            assert flow(model).equal(played)
        slots.set(1, None)
        slots.apply()


def test_two_loras_add_and_removing_one_leaves_the_other(
    tiny: CausalWan, read: Reads, flow: Callable[[CausalWan], Tensor]
) -> None:
    weights = bits(tiny)
    one, two = read(1), read(2, LINEAR[2:])
    alone = []
    slots = LoraSlots(tiny)
    for lora in (one, two):
        slots.set(1, lora, 0.5)
        slots.apply()
        alone.append(flow(tiny))
    slots.set(1, one, 0.5)
    for live in (True, False):
        slots.set(2, two, 0.25, live)
        slots.apply()
        both = flow(tiny)
        by_hand = CausalWan(TINY)
        by_hand.load_state_dict(weights)
        with_weights_added(by_hand, numbers(1), 0.5 * 2)
        with_weights_added(by_hand, numbers(2, LINEAR[2:]), 0.25 * 2)
        torch.testing.assert_close(both, flow(by_hand), atol=2e-6, rtol=1e-5)
    slots.set(2, None)
    slots.apply()
    assert flow(tiny).equal(alone[0])
    slots.set(1, two, 0.5)
    slots.apply()
    assert flow(tiny).equal(alone[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kept", ["device", "host"])
def test_a_thousand_mergings_leave_no_trace(
    kept: Kept, dtype: torch.dtype, tiny: CausalWan, read: Reads
) -> None:
    tiny = tiny.to(dtype)
    weights = bits(tiny)
    slots = LoraSlots(tiny, kept)
    slots.set(1, read(1, LINEAR[:1], blocks__1__norm3__diff=torch.ones(48)), 0.0, live=False)
    slots.apply()
    for turn in range(1000):
        slots.strength(1, (turn * 7 % 13) / 5 - 1)
        slots.apply()
    assert not same(bits(tiny), weights)
    slots.strength(1, 0.0)
    slots.apply()
    assert same(bits(tiny), weights)


def test_merging_rounds_once(tiny: CausalWan, read: Reads) -> None:
    tiny = tiny.to(torch.bfloat16)
    exact, twice = CausalWan(TINY), CausalWan(TINY).to(torch.bfloat16)
    for model in (exact, twice):
        model.load_state_dict(bits(tiny))
    slots = LoraSlots(tiny)
    for slot in (1, 2):
        with_weights_added(exact, numbers(slot), 0.1 * 2)
        with_weights_added(twice, numbers(slot), 0.1 * 2)
        slots.set(slot, read(slot), 0.1, live=False)
    slots.apply()
    rounding = 2**-8  # of bf16, relative
    for module in LINEAR:
        nearest = exact.get_parameter(f"{module}.weight")
        error = [
            (((model.get_parameter(f"{module}.weight") - nearest).abs() - 1e-7) / nearest.abs()).max()
            for model in (tiny, twice)
        ]
        assert error[0] <= rounding < error[1]


def test_public_keys_stay_and_layers_are_not_made_anew(tiny: CausalWan, read: Reads) -> None:
    keys, layers = tiny.state_dict().keys(), list(tiny.modules())
    slots = LoraSlots(tiny)
    for live in (True, False):
        slots.set(1, read(), 1.0, live)
        slots.apply()
        slots.strength(1, 0.5)
        assert tiny.state_dict().keys() == keys
        assert all(one is other for one, other in zip(tiny.modules(), layers, strict=True))


class Memory(TorchFunctionMode):
    """Notes the size of each piece of memory that torch's functions return."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: dict[int, int] = {}
        self.kept: list[Tensor] = []

    def __torch_function__(
        self, function: Callable[..., Any], types: object, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.kept.append(result)
            self.pieces[result.untyped_storage().data_ptr()] = result.untyped_storage().nbytes()
        return result


def test_a_side_path_takes_memory_for_its_low_rank_product_alone(tiny: CausalWan, read: Reads) -> None:
    slots = LoraSlots(tiny)
    slots.set(1, read(1), 1.0)
    slots.set(2, read(2), 0.5)
    slots.apply()
    layer, x = tiny.blocks[2].ffn[0], torch.ones(1, 5, 48)
    with Memory() as memory:
        layer(x)
        owned = {value.untyped_storage().data_ptr() for value in (x, *layer.parameters())}
    new = sorted(size for place, size in memory.pieces.items() if place not in owned)
    halves = [4 * 48 * 2 * RANK, 4 * 64 * 2 * RANK]  # what is multiplied with, kept by the side path
    assert [size for size in new if size not in halves] == [4 * 5 * 2 * RANK, 4 * 5 * 64]


class Stream:
    """Chunks of noise through the cache, as a session runs them."""

    def __init__(self, model: CausalWan) -> None:
        self.model, self.policy, self.start = model, SinkWindow(4, 1), 0
        self.cache = KVCache(layers=3, slots=4, tokens_per_latent=4, heads=2, head_dim=24)
        draw = torch.Generator().manual_seed(3)
        self.text = model.cross_cache(torch.randn(1, 5, 8, generator=draw))
        self.noise = torch.randn(6, 3, 1, 2, 16, 4, 4, generator=draw)

    def step(self, number: int) -> Tensor:
        plan = self.policy.plan(2 * self.start, 2)
        t = torch.full((1, 2), 900.0 - 300 * number)
        x = self.noise[self.start, number]
        flow: Tensor = self.model(x, t, self.text, cache=self.cache, plan=plan)
        return flow

    def chunk(self) -> list[Tensor]:
        flows = [self.step(number) for number in range(3)]
        self.start += 1
        return flows


def test_a_strength_moved_within_a_chunk_is_heard_at_the_next_step_and_resets_nothing(
    tiny: CausalWan, read: Reads
) -> None:
    slots = LoraSlots(tiny)
    slots.set(1, read(modules=QUIET), 0.0)
    slots.apply()
    plain, moved = Stream(tiny), Stream(tiny)
    for _ in range(2):
        assert all(one.equal(other) for one, other in zip(plain.chunk(), moved.chunk(), strict=True))
    past = moved.cache.k_LBMHD.clone()
    assert moved.step(0).equal(plain.step(0))
    slots.strength(1, 0.5)
    heard = moved.step(1)
    slots.strength(1, 0.0)
    assert not heard.equal(plain.step(1))
    # The steps of this chunk write its own rows of the cache alone: what came before is untouched.
    rows = (moved.cache.k_LBMHD != past).flatten(3).any(-1).any(0).any(0)
    assert 0 < int(rows.sum()) <= 2 * 4


def test_a_lora_loaded_while_playing_waits_for_the_chunk_and_resets_nothing(
    tiny: CausalWan, read: Reads
) -> None:
    slots = LoraSlots(tiny)
    plain, loaded = Stream(tiny), Stream(tiny)
    plain.chunk()
    loaded.chunk()
    assert loaded.step(0).equal(plain.step(0))
    slots.set(1, read(modules=QUIET), 1e-4)
    assert loaded.step(1).equal(plain.step(1))
    quiet = [loaded.step(2), plain.step(2)]
    assert quiet[0].equal(quiet[1])
    plain.start = loaded.start = 2
    before = plain.step(0)
    slots.apply()
    after = loaded.step(0)
    # So quiet a LoRA moves the picture by a hair; a stream that lost its past would jump.
    difference = (after - before).abs().max()
    assert 0 < difference < 1e-3


def test_a_refused_lora_leaves_the_slot_as_it_was(
    tiny: CausalWan, read: Reads, tmp_path: Path, flow: Callable[[CausalWan], Tensor]
) -> None:
    slots = LoraSlots(tiny)
    slots.set(1, read())
    slots.apply()
    played = flow(tiny)
    halves = {
        "blocks.9.ffn.0.lora_A.weight": torch.ones(2, 48),
        "blocks.9.ffn.0.lora_B.weight": torch.ones(64, 2),
    }
    with pytest.raises(WeightsError, match="at least 10 blocks"):
        slots.set(1, read_lora(write(tmp_path / "deep.safetensors", halves)))
    with pytest.raises(EngineError, match="nan"):
        slots.set(1, read(), float("nan"))
    with pytest.raises(EngineError, match="inf"):
        slots.strength(1, float("inf"))
    slots.apply()
    assert flow(tiny).equal(played)


def test_an_empty_slot_stays_silent(tiny: CausalWan, flow: Callable[[CausalWan], Tensor]) -> None:
    base, slots = flow(tiny), LoraSlots(tiny)
    slots.strength(3, 1.0)
    slots.apply()
    assert flow(tiny).equal(base)


def test_texts_are_made_again_only_where_they_depend_on_the_lora(tiny: CausalWan, read: Reads) -> None:
    quiet, loud = read(1, QUIET), read(2)
    assert not makes_text_stale(quiet) and makes_text_stale(loud)
    slots = LoraSlots(tiny)
    slots.set(1, quiet)
    slots.apply()
    slots.strength(1, 0.5)
    assert slots.text_changes == 0
    slots.set(2, loud, 0.0)
    slots.apply()
    assert slots.text_changes == 0
    slots.strength(2, 0.5)
    slots.strength(2, 0.5)
    assert slots.text_changes == 1
    slots.set(2, loud, 1.0, live=False)
    assert slots.text_changes == 1
    slots.apply()
    slots.strength(2, 0.7)
    seen = slots.text_changes
    slots.apply()
    assert slots.text_changes == seen + 1
    slots.set(2, None)
    slots.apply()
    assert slots.text_changes == seen + 2


class Frozen(nn.Module):
    """A layer that keeps its weight in a form nothing can be merged into."""

    weight: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("weight", linear.weight.detach().double())
        self.bias = nn.Parameter(linear.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight.to(x.dtype), self.bias)


@pytest.mark.parametrize("live", [True, False])
def test_layers_that_are_no_linear_module_take_part(
    live: bool, tiny: CausalWan, read: Reads, flow: Callable[[CausalWan], Tensor]
) -> None:
    lora, slots = read(**whole_changes()), LoraSlots(tiny)
    slots.set(1, lora, 0.6, live=False)
    slots.apply()
    expected = flow(tiny)
    slots.set(1, None)
    slots.apply()
    for module in LINEAR:
        linear = tiny.get_submodule(module)
        assert isinstance(linear, nn.Linear)
        tiny.set_submodule(module, Frozen(linear))
    slots = LoraSlots(tiny)
    slots.set(1, lora, 0.6, live)
    slots.apply()
    torch.testing.assert_close(flow(tiny), expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("live", [True, False])
def test_eight_bit_layers_take_part_and_are_exact_where_asked(
    live: bool, tiny: CausalWan, read: Reads, flow: Callable[[CausalWan], Tensor]
) -> None:
    lora, slots = read(**whole_changes()), LoraSlots(tiny)
    slots.set(1, lora, 0.6)
    slots.apply()
    expected = flow(tiny)
    slots.set(1, None)
    slots.apply()
    quantize_blocks(tiny, originals="device")
    base = flow(tiny)
    slots = LoraSlots(tiny)
    slots.set(1, lora, 0.6, live)
    slots.apply()
    with exact(tiny):
        torch.testing.assert_close(flow(tiny), expected, atol=2e-6, rtol=1e-5)
    rounded = flow(tiny)
    assert (rounded - expected).abs().mean() < (base - expected).abs().mean() / 4
    slots.strength(1, 0.0)
    slots.apply()
    assert flow(tiny).equal(base)


EVERY_LAYER = tuple(
    f"blocks.{block}.{module}"
    for block in range(TINY.layers)
    for module in (
        *(f"{kind}.{name}" for kind in ("self_attn", "cross_attn") for name in "qkvo"), "ffn.0", "ffn.2",
    )
)  # fmt: skip


def builtin(path: Path, modules: tuple[str, ...]) -> Lora:
    torch.save({"generator_lora": named("peft", numbers(4, modules))}, path)
    return read_lora(path)


def test_the_pipelines_own_adapter_is_merged_into_the_main_blocks(tiny: CausalWan, tmp_path: Path) -> None:
    weights = bits(tiny)
    merge_builtin(tiny, builtin(tmp_path / "lora.pt", EVERY_LAYER))
    by_hand = CausalWan(TINY)
    by_hand.load_state_dict(weights)
    with_weights_added(by_hand, numbers(4, EVERY_LAYER), 1.0)
    for key, value in tiny.state_dict().items():
        torch.testing.assert_close(value, by_hand.state_dict()[key])
        assert value.equal(weights[key]) == (key.removesuffix(".weight") not in EVERY_LAYER)


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        (EVERY_LAYER[1:], "nothing for blocks.0.self_attn.q.weight"),
        ((*EVERY_LAYER, "vace_blocks.0.ffn.0"), "unexpected vace_blocks.0.ffn.0.weight"),
        ((*EVERY_LAYER, "head.head"), "unexpected head.head.weight"),
    ],
)
def test_an_adapter_that_does_not_match_changes_nothing(
    modules: tuple[str, ...], reason: str, tiny: CausalWan, tmp_path: Path
) -> None:
    weights = bits(tiny)
    with pytest.raises(WeightsError, match=reason):
        merge_builtin(tiny, builtin(tmp_path / "lora.pt", modules))
    assert same(bits(tiny), weights)

"""LoRAs in a part of the picture: 1 is the whole LoRA, 0 is none, and each token gets its own share."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.model.lora import LoraSlots
from engine.model.lora_file import Lora, read_lora
from engine.model.policies import ContextRecompute
from engine.model.regions import Region, share_of, token_weights
from engine.model.stream import LatentStream
from engine.model.vace import References
from engine.model.wan import CausalWan
from engine.parity.golden import filled
from tests.model.conftest import TINY
from tests.model.lora_files import LINEAR, named, numbers, write

EVERYTHING = (
    *LINEAR, "text_embedding.2", "time_embedding.2", "vace_blocks.0.before_proj", "vace_blocks.0.after_proj",
    "vace_blocks.0.cross_attn.k", "vace_blocks.1.cross_attn.q", "vace_blocks.1.ffn.0",
)  # fmt: skip
"""Layers of every kind: rows of tokens, of texts, of timesteps, of control with references before it."""
TOKENS = 8  # two latents of two by two tokens
CLOSE = {"atol": 2e-6, "rtol": 1e-5}


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture
def lora(tmp_path: Path) -> Lora:
    tensors = named("comfy", numbers(1, EVERYTHING), alpha=6.0)
    draw = torch.Generator().manual_seed(5)
    tensors["blocks.1.norm3.diff"] = torch.randn(48, generator=draw) / 5
    tensors["blocks.0.self_attn.q.diff_b"] = torch.randn(48, generator=draw) / 5
    tensors["blocks.2.self_attn.v.diff"] = torch.randn(48, 48, generator=draw) / 5
    tensors["patch_embedding.diff"] = torch.randn(48, 16, 1, 2, 2, generator=draw) / 5
    return read_lora(write(tmp_path / "ink.safetensors", tensors))


class Player:
    """A model with one LoRA, and one chunk of noise under control and two references."""

    def __init__(self, model: CausalWan, lora: Lora | None, live: bool = True) -> None:
        draw = torch.Generator().manual_seed(2)
        self.model, self.slots = model, LoraSlots(model)
        self.slots.set(1, lora, 0.8, live)
        self.x, self.t = torch.randn(1, 2, 16, 4, 4, generator=draw), torch.tensor([[700.0, 300.0]])
        self.text = torch.randn(1, 5, 8, generator=draw)
        self.context = torch.randn(1, 96, 2, 4, 4, generator=draw)
        noisy = torch.randn(1, 2, 16, 4, 4, generator=draw)
        self.references = References(torch.randn(1, 96, 2, 4, 4, generator=draw), noisy)

    def flow(self, region: Region = "everywhere", inside: Tensor | None = None) -> Tensor:
        self.slots.region(1, region)
        self.slots.cover(0.0 if inside is None else float(inside.mean()))
        self.slots.apply()
        flow: Tensor = self.model(
            self.x, self.t, self.text, context=self.context, references=self.references, inside=inside
        )
        return flow


@pytest.mark.parametrize("live", [True, False])
def test_inside_a_white_mask_is_the_whole_lora_and_inside_a_black_one_is_none(
    live: bool, tiny: CausalWan, lora: Lora
) -> None:
    player = Player(tiny, lora, live)
    everywhere = player.flow()
    white, black = torch.ones(TOKENS), torch.zeros(TOKENS)
    torch.testing.assert_close(player.flow("inside", white), everywhere, **CLOSE)
    torch.testing.assert_close(player.flow("outside", black), everywhere, **CLOSE)
    torch.testing.assert_close(player.flow("outside"), everywhere, **CLOSE)
    none = [player.flow("inside", black), player.flow("outside", white), player.flow("inside")]
    player.slots.set(1, None)
    base = player.flow()
    for flow in none:
        torch.testing.assert_close(flow, base, **CLOSE)
    assert (everywhere - base).abs().max() > 1e-2


def test_half_precision_takes_part(tiny: CausalWan, lora: Lora) -> None:
    player = Player(tiny.to(torch.bfloat16), lora)
    everywhere, white = player.flow(), player.flow("inside", torch.ones(TOKENS))
    half = player.flow("inside", torch.tensor([1.0, 0.0]).repeat(4))
    player.slots.set(1, None)
    change = (everywhere - player.flow()).abs().mean()
    assert (white - everywhere).abs().mean() < change / 20 < (half - everywhere).abs().mean()


def test_two_regions_are_two_loras_side_by_side(tiny: CausalWan, lora: Lora) -> None:
    """The same LoRA inside and outside is that LoRA everywhere, whatever the mask: shares add up."""
    player = Player(tiny, lora)
    everywhere = player.flow()
    player.slots.set(2, lora, 0.8)
    player.slots.region(2, "outside")
    mask = torch.tensor([1.0, 0.0, 0.3, 0.0, 1.0, 1.0, 0.0, 0.7])
    torch.testing.assert_close(player.flow("inside", mask), everywhere, **CLOSE)
    player.slots.strength(2, 0.0)
    assert (player.flow("inside", mask) - everywhere).abs().max() > 1e-2


def test_each_row_of_a_layer_gets_its_own_share(tiny: CausalWan, lora: Lora) -> None:
    player = Player(tiny, lora)
    player.slots.region(1, "inside")
    player.slots.apply()
    layer, x = tiny.get_submodule("blocks.2.self_attn.v"), torch.randn(1, 3, 48)
    share = torch.tensor([0.0, 0.25, 1.0])
    with tiny.places.wholly("outside"):
        none = layer(x)
    with tiny.places.wholly("inside"):
        all_of_it = layer(x)
    tiny.places.lie(share)
    torch.testing.assert_close(layer(x), torch.lerp(none, all_of_it, share[:, None]), **CLOSE)
    tiny.places.lie(share, before=2)  # two rows of a reference lead, and get the mean
    led = layer(torch.cat((x[:, :2], x), dim=1))
    torch.testing.assert_close(led[:, 2:], layer(x), **CLOSE)
    mean = torch.lerp(none, all_of_it, share.mean())
    torch.testing.assert_close(led[:, :2], mean[:, :2], **CLOSE)


def test_a_text_is_said_with_the_lora_inside_and_without_it_outside(tiny: CausalWan, lora: Lora) -> None:
    player = Player(tiny, lora)
    text = player.text
    with_it = tiny.cross_cache(text)
    player.slots.apply()
    assert with_it.outside is None
    with_it, whole = tiny.cross_cache(text), with_it
    player.slots.region(1, "inside")
    changes = player.slots.text_changes
    player.slots.apply()
    assert player.slots.text_changes == changes + 1, "keys and values are made again"
    parted = tiny.cross_cache(text)
    assert parted.outside is not None
    for made, expected in ((parted, with_it), (parted.outside, whole)):
        torch.testing.assert_close((made.main, made.vace), (expected.main, expected.vace), **CLOSE)


def test_turning_strength_region_and_mask_compiles_nothing_anew(tmp_path: Path) -> None:
    arch = replace(TINY, layers=1, vace_layers=(0,))
    modules = ("blocks.0.self_attn.v", "blocks.0.cross_attn.k", "vace_blocks.0.ffn.0")
    lora = read_lora(write(tmp_path / "ink.safetensors", named("comfy", numbers(1, modules))))
    graphs: list[torch.fx.GraphModule] = []

    def kept(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., object]:
        del inputs
        graphs.append(graph)
        return graph.forward

    with torch.inference_mode(False), torch.no_grad():
        player = Player(filled(lambda: CausalWan(arch), salt=7), lora)
        player.flow("inside")
        torch.compiler.reset()
        compiled = torch.compile(player.model, fullgraph=True, backend=kept, dynamic=False)
        text = player.model.cross_cache(player.text)
        turns: tuple[tuple[Region, float], ...] = (("inside", 0.8), ("outside", 0.3), ("inside", -1.0))
        for seed, (region, strength) in enumerate(turns):
            player.slots.region(1, region)
            player.slots.apply()
            player.slots.strength(1, strength)
            inside = torch.rand(TOKENS, generator=torch.Generator().manual_seed(seed))
            given = {"context": player.context, "references": player.references, "inside": inside}
            seen = compiled(player.x, player.t, text, **given)
            assert (seen - player.model(player.x, player.t, text, **given)).abs().max() < 2e-4
        assert len(graphs) == 1
        torch.compiler.reset()


@pytest.mark.parametrize("region", ["inside", "outside"])
def test_a_stream_passes_its_past_as_it_was_made(region: Region, tiny: CausalWan, lora: Lora) -> None:
    """What is run again later keeps the mask of its own time."""
    player = Player(tiny, lora)
    player.slots.region(1, region)
    player.slots.apply()
    text = tiny.cross_cache(player.text)
    masks = torch.rand(3, TOKENS, generator=torch.Generator().manual_seed(4))
    stream = LatentStream(
        tiny, ContextRecompute(6, 3), latent_size=(4, 4), latents_per_chunk=2, device="cpu",
        dtype=torch.float32,
    )  # fmt: skip
    seen: list[Tensor | None] = []
    tiny.register_forward_pre_hook(lambda _, given, more: seen.append(more["inside"]), with_kwargs=True)
    for mask in masks:
        stream.begin(2, text, inside=mask)
        stream.finish(stream.predict(player.x, 500.0))
    stream.begin(2, text)
    passed = masks.view(-1, TOKENS // 2)[-3:].flatten()  # the context is the three newest latents
    assert seen[-1] is not None and seen[-1].equal(passed)
    seen.clear()
    stream.finish(stream.predict(player.x, 500.0))
    assert seen == [None], "this chunk had no mask"
    stream.reset()
    stream.begin(2, text)
    stream.finish(player.x)
    stream.begin(2, text)
    assert seen[-1] is None, "a stream that never had one pays nothing"


def test_a_new_stream_knows_nothing_of_the_masks_before_it(tiny: CausalWan, lora: Lora) -> None:
    """Latents that were made without a mask are passed again without one, whatever lay there before."""
    player = Player(tiny, lora)
    player.slots.region(1, "inside")
    player.slots.apply()
    text = tiny.cross_cache(player.text)
    stream = LatentStream(
        tiny, ContextRecompute(6, 3), latent_size=(4, 4), latents_per_chunk=2, device="cpu",
        dtype=torch.float32,
    )  # fmt: skip
    full = torch.ones(TOKENS)
    for _ in range(3):
        stream.begin(2, text, inside=full)
        stream.finish(stream.predict(player.x, 500.0))
    stream.reset()
    for _ in range(2):
        stream.begin(2, text)
        stream.finish(stream.predict(player.x, 500.0))
    seen: list[Tensor | None] = []
    tiny.register_forward_pre_hook(lambda _, given, more: seen.append(more["inside"]), with_kwargs=True)
    stream.begin(2, text, inside=full)
    stream.finish(stream.predict(player.x, 500.0))
    seen.clear()
    stream.begin(2, text, inside=full)
    assert seen[0] is not None
    # Of the three newest latents the oldest was made without a mask, the other two under it.
    assert seen[0].view(3, -1).mean(dim=1).tolist() == [0.0, 1.0, 1.0]


def test_a_tokens_weight_is_the_share_of_its_pixels_in_the_frames_of_its_latent() -> None:
    mask = np.zeros((9, 32, 64), np.uint8)  # tokens of 16 x 16 pixels, in latents of 1, 4 and 4 frames
    mask[0, :16, :8] = 255
    mask[1:3, 16:, 48:] = 255
    mask[8, :, 16:32] = 255
    weights = token_weights(mask, 3, 2, 4).view(3, 2, 4)
    expected = torch.zeros(3, 2, 4)
    expected[0, 0, 0], expected[1, 1, 3], expected[2, :, 1] = 0.5, 0.5, 0.25
    torch.testing.assert_close(weights, expected)
    assert token_weights(mask[:8], 2, 2, 4).shape == (16,)


def test_the_share_of_a_mask_is_calm_and_exact_at_its_ends() -> None:
    mask = np.zeros((4, 64, 64), np.uint8)
    assert share_of(None) == share_of(mask) == 0.0
    mask[0, 0, 0] = 255
    assert share_of(mask) == 1 / 64
    mask[:, :32] = 255
    half = share_of(mask)
    mask[0, 40, :] = 255
    assert share_of(mask) == half == 0.5
    mask[:] = 255
    assert share_of(mask) == 1.0
    mask[3, 9, 9] = 0
    assert share_of(mask) == 63 / 64

"""LoRA files of every naming are read to the same numbers; what cannot be played is refused by its name."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.core.errors import WeightsError
from engine.model.lora_file import Lora, layout_of, read_lora
from engine.model.lora_keys import wan_module
from engine.model.spec import WAN_1_3B, WAN_14B
from engine.model.wan import CausalWan
from engine.model.weights import on_meta
from tests.model.conftest import TINY
from tests.model.lora_files import ALPHA, LINEAR, NAMINGS, RANK, named, numbers, write


@pytest.fixture(scope="module")
def model() -> CausalWan:
    return on_meta(lambda: CausalWan(TINY))


def deltas(lora: Lora) -> dict[str, Tensor]:
    return {key.removesuffix(".weight"): pair.delta() for key, pair in lora.low_rank.items()}


@pytest.mark.parametrize("alpha", [None, ALPHA, 1.0])
@pytest.mark.parametrize("naming", NAMINGS)
def test_every_naming_gives_the_same_change_and_honours_alpha(
    naming: str, alpha: float | None, tmp_path: Path, model: CausalWan
) -> None:
    # The reference forgets alpha in "comfy" files and matches neither "peft" nor "diffusers" ones at all: a
    # LoRA then acts too strongly, too weakly or not, in silence. A file means what its maker trained.
    halves = numbers()
    lora = read_lora(write(tmp_path / "style.safetensors", named(naming, halves, alpha)), model)
    factor = 1.0 if alpha is None else alpha / RANK
    found = deltas(lora)
    assert found.keys() == set(LINEAR)
    for module, (down, up) in halves.items():
        torch.testing.assert_close(found[module], factor * (up @ down))
    assert lora.unknown == () and lora.diffs == {} and lora.name == "style.safetensors"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float64])
def test_every_floating_point_type_and_whole_alphas_are_read(dtype: torch.dtype, tmp_path: Path) -> None:
    tensors = {key: value.to(dtype) for key, value in named("kohya", numbers()).items()}
    tensors["lora_unet_blocks_2_ffn_0.alpha"] = torch.tensor(6)
    pair = read_lora(write(tmp_path / "a.safetensors", tensors)).low_rank["blocks.2.ffn.0.weight"]
    down, up = numbers()["blocks.2.ffn.0"]
    assert pair.down.dtype == dtype
    torch.testing.assert_close(pair.delta(), 2 * up.to(dtype).float() @ down.to(dtype).float())


def test_biases_norms_and_modulations_are_read_as_whole_changes(tmp_path: Path, model: CausalWan) -> None:
    dim = TINY.dim
    tensors = {
        "diffusion_model.blocks.0.self_attn.q.diff_b": torch.randn(dim),
        "diffusion_model.blocks.0.self_attn.norm_q.diff": torch.randn(dim),
        "diffusion_model.blocks.1.norm3.diff": torch.randn(dim),
        "diffusion_model.blocks.1.norm3.diff_b": torch.randn(dim),
        "diffusion_model.blocks.2.diff_m": torch.randn(1, 6, dim),
        "diffusion_model.head.diff_m": torch.randn(1, 2, dim),
        "diffusion_model.blocks.2.ffn.2.diff": torch.randn(dim, TINY.ffn_dim),
        "diffusion_model.patch_embedding.diff": torch.randn(dim, 16, 1, 2, 2),
    }
    lora = read_lora(write(tmp_path / "a.safetensors", tensors), model)
    assert lora.unknown == () and lora.low_rank == {}
    assert lora.diffs.keys() == {
        "blocks.0.self_attn.q.bias",
        "blocks.0.self_attn.norm_q.weight",
        "blocks.1.norm3.weight",
        "blocks.1.norm3.bias",
        "blocks.2.modulation",
        "head.modulation",
        "blocks.2.ffn.2.weight",
        "patch_embedding.weight",
    }
    assert lora.diffs["blocks.2.modulation"].equal(tensors["diffusion_model.blocks.2.diff_m"])


@pytest.mark.parametrize(
    ("written", "module"),
    [
        ("lora_unet_blocks_12_cross_attn_norm_q", "blocks.12.cross_attn.norm_q"),
        ("lora_unet_time_embedding_0", "time_embedding.0"),
        ("lora_unet_text_embedding_2", "text_embedding.2"),
        ("lora_unet_time_projection_1", "time_projection.1"),
        ("lora_unet_head_head", "head.head"),
        ("lora_unet_vace_blocks_3_after_proj", "vace_blocks.3.after_proj"),
        ("transformer.condition_embedder.time_embedder.linear_1", "time_embedding.0"),
        ("transformer.condition_embedder.text_embedder.linear_2", "text_embedding.2"),
        ("transformer.condition_embedder.time_proj", "time_projection.1"),
        ("transformer.proj_out", "head.head"),
        ("transformer.blocks.4.norm2", "blocks.4.norm3"),
        ("transformer.vace_blocks.0.proj_in", "vace_blocks.0.before_proj"),
        ("base_model.model.model.diffusion_model.blocks.4.ffn.0", "blocks.4.ffn.0"),
        ("blocks.4.ffn.1", None),
        ("blocks.4.cross_attn.k_img", None),
        ("blocks.4", None),
        ("blocks.99999999999.ffn.0", None),
    ],
)
def test_names_become_ours_by_what_they_mean(written: str, module: str | None) -> None:
    # The reference turns kohya's underscores into dots, so its "time.embedding.0" is nobody's name.
    assert wan_module(written) == module


def test_unknown_keys_are_listed_and_the_rest_is_read(tmp_path: Path) -> None:
    tensors: dict[str, Tensor] = {
        **named("comfy", numbers()),
        "diffusion_model.blocks.0.cross_attn.k_img.lora_A.weight": torch.ones(2, 4),
        "lora_te_text_model_encoder_layers_0_mlp_fc1.alpha": torch.ones(1),
        "blocks.0.ffn.0.alpha": torch.ones(()),
    }
    lora = read_lora(write(tmp_path / "a.safetensors", tensors))
    assert len(lora.low_rank) == len(LINEAR)
    assert set(lora.unknown) == tensors.keys() - named("comfy", numbers()).keys()


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        ("dora_scale", "DoRA"),
        ("lora_magnitude_vector.default.weight", "DoRA"),
        ("lokr_w1", "LoKr"),
        ("hada_w1_a", "LoHa"),
        ("oft_blocks", "OFT"),
        ("lora_mid.weight", "LoCon"),
    ],
)
def test_other_adapters_are_refused_by_name(ending: str, kind: str, tmp_path: Path) -> None:
    tensors = {**named("comfy", numbers()), f"diffusion_model.blocks.0.ffn.0.{ending}": torch.ones(4, 4)}
    with pytest.raises(WeightsError, match=kind) as refused:
        read_lora(write(tmp_path / "other.safetensors", tensors))
    assert refused.value.what.startswith("other.safetensors is a ") and refused.value.fix


@pytest.mark.parametrize(
    ("key", "family"),
    [
        ("lora_unet_down_blocks_0_attentions_0_proj_in", "Stable Diffusion"),
        ("lora_unet_double_blocks_0_img_attn_qkv", "Flux"),
        ("transformer.single_transformer_blocks.0.proj_mlp", "Flux"),
        ("transformer.transformer_blocks.0.attn1.to_q", "another transformer"),
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1", "text encoder"),
        ("model.layers.0.mlp", "no layer of a Wan model"),
    ],
)
def test_other_families_are_refused_by_name(key: str, family: str, tmp_path: Path) -> None:
    halves = {f"{key}.lora_down.weight": torch.ones(2, 4), f"{key}.lora_up.weight": torch.ones(4, 2)}
    # "proj_out" is a name of ours too: it must not make a Flux LoRA one for Wan.
    stray = {"proj_out.lora_A.weight": torch.ones(2, 4), "proj_out.lora_B.weight": torch.ones(4, 2)}
    with pytest.raises(WeightsError, match=family):
        read_lora(write(tmp_path / "a.safetensors", halves if "layers.0" in key else halves | stray))


def real_layout(width: int, ffn: int, blocks: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for block in range(blocks):
        for module, (out, channels) in {"self_attn.q": (width, width), "ffn.0": (ffn, width)}.items():
            shapes[f"diffusion_model.blocks.{block}.{module}.lora_A.weight"] = (32, channels)
            shapes[f"diffusion_model.blocks.{block}.{module}.lora_B.weight"] = (out, 32)
    return shapes


def test_a_lora_for_another_arch_is_refused_with_the_reason() -> None:
    sizes = {
        arch.dim: {key: tuple(value.shape) for key, value in on_meta(make).state_dict().items()}
        for arch, make in (
            (WAN_1_3B, lambda: CausalWan(WAN_1_3B, vace=False)),
            (WAN_14B, lambda: CausalWan(WAN_14B, vace=False)),
        )
    }
    big = layout_of("big.safetensors", real_layout(5120, 13824, 40))
    small = layout_of("small.safetensors", real_layout(1536, 8960, 30))
    assert big.check(sizes[5120]) == small.check(sizes[1536]) == ()
    with pytest.raises(WeightsError, match=r"big.safetensors is for Wan 14B .* in use is Wan 1.3B"):
        big.check(sizes[1536])
    with pytest.raises(WeightsError, match=r"small.safetensors is for Wan 1.3B .* in use is Wan 14B"):
        small.check(sizes[5120])
    with pytest.raises(WeightsError, match="at least 36 blocks; the model in use has 30"):
        layout_of("deep.safetensors", real_layout(1536, 8960, 36)).check(sizes[1536])
    with pytest.raises(WeightsError, match=r"blocks.0.ffn.0.weight by a tensor of shape \[9000, 1536\]"):
        layout_of("wide.safetensors", real_layout(1536, 9000, 30)).check(sizes[1536])


def test_the_image_to_video_patch_is_refused_for_a_text_to_video_model(model: CausalWan) -> None:
    layout = layout_of("i2v.safetensors", {"patch_embedding.diff": (TINY.dim, 36, 1, 2, 2)})
    with pytest.raises(WeightsError, match="patch_embedding"):
        layout.check({key: tuple(value.shape) for key, value in model.state_dict().items()})


def test_another_arch_is_refused_before_a_number_is_read(tmp_path: Path, model: CausalWan) -> None:
    tensors = {"blocks.7.ffn.0.lora_A.weight": torch.full((2, 48), torch.nan)}
    tensors["blocks.7.ffn.0.lora_B.weight"] = torch.ones(64, 2)
    with pytest.raises(WeightsError, match="at least 8 blocks"):
        read_lora(write(tmp_path / "a.safetensors", tensors), model)


def test_changes_of_a_vace_branch_that_is_not_loaded_are_told(tmp_path: Path, model: CausalWan) -> None:
    module = "vace_blocks.0.ffn.0"
    halves = numbers(modules=(*LINEAR, module))
    lora = read_lora(write(tmp_path / "a.safetensors", named("bare", halves)))
    without = on_meta(lambda: CausalWan(TINY, vace=False))
    assert lora.check(model) == ()
    assert lora.check(without) == (f"{module}.weight",)
    alone = read_lora(write(tmp_path / "b.safetensors", named("bare", {module: halves[module]})))
    with pytest.raises(WeightsError, match="only the VACE branch"):
        alone.check(without)


def test_longlives_adapter_names_every_linear_layer_of_the_main_blocks() -> None:
    folder = Path(__file__).parents[1] / "golden" / "manifests"
    entries = json.loads((folder / "longlive_1.3B_lora_generator_lora.json").read_text())
    layout = layout_of("lora.pt", {key: tuple(shape) for key, (shape, _) in entries.items()})
    model = on_meta(lambda: CausalWan(WAN_1_3B))
    assert layout.check({key: tuple(value.shape) for key, value in model.state_dict().items()}) == ()
    linear = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if name.startswith("blocks.") and isinstance(module, torch.nn.Linear)
    }
    assert layout.pairs.keys() == linear and len(linear) == 300
    assert {pair.rank for pair in layout.pairs.values()} == {256}
    assert layout.unknown == () and layout.diffs == {}


def test_alpha_in_the_settings_of_diffusers(tmp_path: Path) -> None:
    settings = {
        "transformer.lora_alpha": 12, "transformer.r": RANK, "text_encoder.lora_alpha": 99,
        "transformer.alpha_pattern": {"ffn.0": 3},
    }  # fmt: skip
    path = write(
        tmp_path / "a.safetensors",
        named("diffusers", numbers()),
        {"lora_adapter_metadata": json.dumps(settings)},
    )
    scales = {key: pair.scale for key, pair in read_lora(path).low_rank.items()}
    assert scales["blocks.0.self_attn.q.weight"] == 12 / RANK
    assert scales["blocks.2.ffn.0.weight"] == 3 / RANK


@pytest.mark.parametrize(
    "pattern", ["blocks.0.attn1.to_q", "blocks.0.self_attn.q", "attn1.to_q", "self_attn.q"]
)
def test_exceptions_of_alpha_are_found_in_either_naming(pattern: str, tmp_path: Path) -> None:
    settings = {"transformer.lora_alpha": 4, "transformer.alpha_pattern": {pattern: 16}}
    path = write(
        tmp_path / "a.safetensors",
        named("diffusers", numbers()),
        {"lora_adapter_metadata": json.dumps(settings)},
    )
    scales = {key: pair.scale for key, pair in read_lora(path).low_rank.items()}
    assert scales["blocks.0.self_attn.q.weight"] == 16 / RANK
    assert scales["blocks.2.ffn.0.weight"] == 4 / RANK


def test_alpha_in_the_settings_beside_a_peft_file(tmp_path: Path) -> None:
    path = write(tmp_path / "adapter_model.safetensors", named("peft", numbers()))
    settings = tmp_path / "adapter_config.json"
    settings.write_text(json.dumps({"lora_alpha": 16, "r": RANK, "use_rslora": True}))
    scales = {pair.scale for pair in read_lora(path).low_rank.values()}
    assert scales == {16 / math.sqrt(RANK)}
    settings.write_text(json.dumps({"lora_alpha": 16, "use_dora": True}))
    with pytest.raises(WeightsError, match="DoRA"):
        read_lora(path)


@pytest.mark.parametrize(
    "content",
    [
        "[1]", "{", '{"lora_alpha": "many"}', '{"alpha_pattern": 3}', "\x80", '{"lora_alpha": true}',
        f'{{"lora_alpha": 1{"0" * 400}}}', '{"lora_alpha": 1e999}',
    ],
)  # fmt: skip
def test_damaged_settings_are_refused(content: str, tmp_path: Path) -> None:
    path = write(tmp_path / "adapter_model.safetensors", named("peft", numbers()))
    (tmp_path / "adapter_config.json").write_text(content, encoding="latin-1")
    with pytest.raises(WeightsError, match=r"adapter_config\.json"):
        read_lora(path)


DAMAGE = {
    "one half": {"blocks.0.ffn.0.lora_A.weight": torch.ones(2, 48)},
    "do not fit": {
        "blocks.0.ffn.0.lora_A.weight": torch.ones(2, 48),
        "blocks.0.ffn.0.lora_B.weight": torch.ones(64, 3),
    },
    "rank above": {
        "blocks.0.ffn.0.lora_A.weight": torch.ones(100, 48),
        "blocks.0.ffn.0.lora_B.weight": torch.ones(64, 100),
    },
    "NaN": {
        "blocks.0.ffn.0.lora_A.weight": torch.full((2, 48), torch.nan),
        "blocks.0.ffn.0.lora_B.weight": torch.ones(64, 2),
    },
    "floating-point": {
        "blocks.0.ffn.0.lora_A.weight": torch.ones(2, 48, dtype=torch.int8),
        "blocks.0.ffn.0.lora_B.weight": torch.ones(64, 2),
    },
    "the same": {
        "blocks.0.ffn.0.lora_A.weight": torch.ones(2, 48),
        "blocks.0.ffn.0.lora_B.weight": torch.ones(64, 2),
        "diffusion_model.blocks.0.ffn.0.lora_A.weight": torch.ones(2, 48),
    },
    "two ways": {
        "blocks.0.ffn.0.lora_A.weight": torch.ones(2, 48),
        "blocks.0.ffn.0.lora_B.weight": torch.ones(64, 2),
        "blocks.0.ffn.0.diff": torch.ones(64, 48),
    },
    "is no number": {**named("bare", numbers()), "blocks.0.self_attn.q.alpha": torch.ones(3)},
    "do not fit together": {
        "blocks.0.ffn.0.lora_A.weight": torch.ones(0, 48),
        "blocks.0.ffn.0.lora_B.weight": torch.ones(64, 0),
    },
    "shape \\[100000, 100000\\]": {
        # Two slim halves whose product would take 40 GB: refused by its shape, never made.
        "blocks.0.ffn.0.lora_A.weight": torch.ones(1, 100_000),
        "blocks.0.ffn.0.lora_B.weight": torch.ones(100_000, 1),
    },
}


@pytest.mark.parametrize("reason", DAMAGE)
def test_damage_is_named(reason: str, tmp_path: Path, model: CausalWan) -> None:
    path = write(tmp_path / "a.safetensors", DAMAGE[reason])
    with pytest.raises(WeightsError, match=reason) as refused:
        read_lora(path, model)
    assert refused.value.what.startswith("a.safetensors") and "\n" not in refused.value.what


def test_pickled_adapters_are_read_from_their_entry(tmp_path: Path) -> None:
    tensors = named("peft", numbers())
    for content in (tensors, {"generator_lora": tensors, "step": 7}):
        torch.save(content, tmp_path / "lora.pt")
        assert len(read_lora(tmp_path / "lora.pt").low_rank) == len(LINEAR)

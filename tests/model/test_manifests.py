"""Names and shapes of our parameters are the public files' own, at their real sizes, without their memory."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.serialization import skip_data

from engine.model.checkpoint import Checkpoint, checkpoint_of, open_checkpoint
from engine.model.lora_file import layout_of, shapes_of
from engine.model.outline import Stored
from engine.model.sizes import arch_of
from engine.model.spec import WAN_1_3B, WAN_14B, Arch
from engine.model.tae import TAE, TAEW2_1, tae_arch
from engine.model.umt5 import UMT5_XXL, Umt5, umt5_arch
from engine.model.wan import CausalWan
from engine.model.wan_vae import LIGHT_VAE, WAN_VAE, WanVAE, wan_vae_arch
from engine.model.weights import check_strict, on_meta

MANIFESTS = Path(__file__).parents[1] / "golden" / "manifests"


class Manifest:
    """A public file of which only names, shapes and number types are known."""

    def __init__(self, name: str) -> None:
        self.path = MANIFESTS / f"{name}.json"
        entries: dict[str, tuple[list[int], str]] = json.loads(self.path.read_text())
        self.stored = {
            key: Stored(tuple(shape), getattr(torch, dtype)) for key, (shape, dtype) in entries.items()
        }
        self.metadata: Mapping[str, str] = {}

    def view(self, name: str) -> Tensor:
        raise AssertionError("a manifest has no numbers")

    def own(self, name: str, dtype: torch.dtype) -> Tensor:
        return self.view(name)

    def release(self) -> None: ...

    def close(self) -> None: ...


def public(*names: str) -> Checkpoint:
    return checkpoint_of(*map(Manifest, names))


DIT_1_3B, DIT_14B = "wan2.1_t2v_1.3B_dit", "wan2.1_t2v_14B_dit"
VACE_1_3B, VACE_14B = "wan2.1_vace_1.3B_context_blocks", "wan2.1_vace_14B_context_blocks"
LONGLIVE, KREA = "longlive_1.3B_base_generator", "krea_realtime_video_14B"
ADAPTER = "longlive_1.3B_lora_generator_lora"

NETWORKS: list[tuple[str, Callable[[], nn.Module], tuple[str, ...]]] = [
    ("Wan 1.3B", lambda: CausalWan(WAN_1_3B, vace=False), (DIT_1_3B,)),
    ("Wan 14B", lambda: CausalWan(WAN_14B, vace=False), (DIT_14B,)),
    ("LongLive", lambda: CausalWan(WAN_1_3B, vace=False), (LONGLIVE,)),
    ("LongLive with VACE", lambda: CausalWan(WAN_1_3B), (LONGLIVE, VACE_1_3B)),
    ("Krea", lambda: CausalWan(WAN_14B, vace=False), (KREA,)),
    ("Krea with VACE", lambda: CausalWan(WAN_14B), (KREA, VACE_14B)),
    ("TAE", lambda: TAE(TAEW2_1), ("taew2_1",)),
    ("LightTAE", lambda: TAE(TAEW2_1), ("lighttaew2_1",)),
    ("Wan VAE", lambda: WanVAE(WAN_VAE), ("wan2.1_vae",)),
    ("LightVAE", lambda: WanVAE(LIGHT_VAE), ("lightvaew2_1",)),
    ("UMT5", lambda: Umt5(UMT5_XXL), ("umt5_xxl_encoder",)),
]


@pytest.mark.parametrize(("make", "names"), [row[1:] for row in NETWORKS], ids=[row[0] for row in NETWORKS])
def test_a_public_file_fits_strictly(make: Callable[[], nn.Module], names: tuple[str, ...]) -> None:
    network, checkpoint = on_meta(make), public(*names)
    check_strict(network, checkpoint)
    assert shapes_of(network) == dict(checkpoint.shapes)


@pytest.mark.parametrize(
    ("dit", "vace", "arch"),
    [(DIT_1_3B, VACE_1_3B, WAN_1_3B), (DIT_14B, VACE_14B, WAN_14B), (LONGLIVE, VACE_1_3B, WAN_1_3B),
     (KREA, VACE_14B, WAN_14B)],
)  # fmt: skip
def test_sizes_are_read_from_the_files(dit: str, vace: str, arch: Arch) -> None:
    assert arch_of(public(dit).shapes, public(vace).shapes) == arch
    assert arch_of(public(dit).shapes) == replace(arch, vace_layers=())


def test_sizes_of_codecs_and_text_encoder_are_read_from_the_files() -> None:
    assert tae_arch(public("taew2_1").shapes) == TAEW2_1
    assert wan_vae_arch(public("wan2.1_vae").shapes) == WAN_VAE
    assert wan_vae_arch(public("lightvaew2_1").shapes) == LIGHT_VAE
    assert umt5_arch(public("umt5_xxl_encoder").shapes) == UMT5_XXL


def test_longlives_adapter_changes_every_linear_layer_of_the_main_blocks() -> None:
    dit = on_meta(lambda: CausalWan(WAN_1_3B))
    layout = layout_of(ADAPTER, public(ADAPTER).shapes)
    assert layout.check(shapes_of(dit)) == ()
    assert layout.unknown == () and not layout.diffs
    linear = {f"{name}.weight" for name, layer in dit.named_modules() if isinstance(layer, nn.Linear)}
    assert layout.pairs.keys() == {key for key in linear if key.startswith("blocks.")}
    assert {pair.rank for pair in layout.pairs.values()} == {256}


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that keeps no empty pages")
def test_a_file_of_the_real_size_is_opened(tmp_path: Path) -> None:
    """5.7 GB, but for its numbers, which are never written: past the limits of 32-bit zip files."""
    path = tmp_path / "longlive_base.pt"
    entries = Manifest(LONGLIVE).stored
    with FakeTensorMode(), skip_data(materialize_fake_tensors=True):
        state = {name: torch.empty(stored.shape, dtype=stored.dtype) for name, stored in entries.items()}
        torch.save({"generator": state}, path)
    assert path.stat().st_size > 5.6e9 > 1e8 > path.stat().st_blocks * 512
    with open_checkpoint(path) as checkpoint:
        check_strict(on_meta(lambda: CausalWan(WAN_1_3B, vace=False)), checkpoint)
        assert checkpoint.tensor("head.head.bias").tolist() == [0.0] * 64


def test_every_manifest_is_used() -> None:
    used = {name for row in NETWORKS for name in row[2]} | {ADAPTER}
    assert used == {path.stem for path in MANIFESTS.glob("*.json")}

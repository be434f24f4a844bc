"""What the replays of LoRA recordings notice, and where the product differs from the reference on purpose."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.model.lora_file import read_lora
from engine.parity import run_parity

RECORDED = Path(__file__).parents[1] / "golden"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in RECORDED.glob("lora*.safetensors"):
        shutil.copy(path, tmp_path)
    return tmp_path


def verdict(folder: Path, name: str) -> tuple[str, str]:
    (row,) = (row for row in run_parity(folder) if row.file == name)
    return row.verdict, row.note


def alter(path: Path, key: str) -> None:
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    tensors[key].view(-1)[:8] += 0.5
    save_file(tensors, path, metadata)


def test_the_recorded_effect_is_that_of_these_very_files(folder: Path) -> None:
    assert verdict(folder, "lora.safetensors") == ("pass", "")
    alter(folder / "lora_file_kohya_alpha.safetensors", "lora_unet_blocks_2_ffn_0.lora_up.weight")
    assert verdict(folder, "lora.safetensors")[0] == "FAIL"


def test_longlives_adapter_is_that_of_this_very_file(folder: Path) -> None:
    name = "lora_longlive_file_generator_lora.safetensors"
    alter(folder / name, "base_model.model.blocks.3.ffn.2.lora_B.weight")
    assert verdict(folder, "lora_longlive.safetensors")[0] == "FAIL"


def test_a_missing_file_is_asked_for_by_name(folder: Path) -> None:
    (folder / "lora_file_bare_ab.safetensors").unlink()
    outcome, note = verdict(folder, "lora.safetensors")
    assert outcome == "FAIL" and "lora_file_bare_ab.safetensors, which must lie beside it" in note


def test_a_key_without_effect_fails_its_file(folder: Path) -> None:
    path = folder / "lora_file_comfy_ab.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"blocks.0.img.lora_A.weight": tensors.popitem()[1]}, path)
    assert verdict(folder, path.name)[0] == "FAIL"


# Deliberate difference: the reference drops the alpha of the first, and plays nothing of the other two. Ours
# means what the file says, so the same training gives the same picture whichever program wrote the file.
@pytest.mark.parametrize(
    ("naming", "scale"), [("comfy_ab_alpha", 2.0), ("peft_base_model", 1.0), ("diffusers_transformer", 1.0)]
)
def test_files_that_the_reference_gets_wrong_act_as_trained(naming: str, scale: float) -> None:
    known_good = read_lora(RECORDED / "lora_file_kohya_alpha.safetensors")
    lora = read_lora(RECORDED / f"lora_file_{naming}.safetensors")
    assert lora.low_rank.keys() == known_good.low_rank.keys()
    assert {pair.scale for pair in known_good.low_rank.values()} == {2.0}
    for key, pair in lora.low_rank.items():
        assert pair.scale == scale
        assert pair.down.equal(known_good.low_rank[key].down)
        assert pair.up.equal(known_good.low_rank[key].up)


def test_the_reference_names_of_layers(tmp_path: Path) -> None:
    name = "lora_key_normalization.json"
    shutil.copy(RECORDED / name, tmp_path)
    assert verdict(tmp_path, name) == ("pass", "")
    recorded = json.loads((tmp_path / name).read_text())
    (tmp_path / name).write_text(json.dumps(recorded | {"lora_unet_time_embedding_0": "time_embedding.0"}))
    assert verdict(tmp_path, name)[0] == "FAIL"

"""One view of weights files of every kind: names, shapes, wrappings, and numbers on demand."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.core.errors import WeightsError
from engine.model.checkpoint import open_checkpoint

PLAIN = {
    "blocks.0.q.weight": torch.arange(6.0).reshape(2, 3),
    "head.bias": torch.ones(4, dtype=torch.bfloat16),
}


def wrapped(prefix: str, state: dict[str, Tensor] = PLAIN) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


def assert_plain(path: Path, **options: tuple[str, ...]) -> None:
    with open_checkpoint(path, **options) as checkpoint:
        assert dict(checkpoint.shapes) == {key: tuple(value.shape) for key, value in PLAIN.items()}
        assert dict(checkpoint.dtypes) == {key: value.dtype for key, value in PLAIN.items()}
        for key, value in PLAIN.items():
            assert torch.equal(checkpoint.tensor(key), value)


SAVED = {
    "flat": PLAIN,
    "model.": wrapped("model."),
    "generator": {"generator": wrapped("model."), "critic": PLAIN, "step": 3},
    "averaged": {"generator_ema": PLAIN},
    "lora": {"generator_lora": PLAIN, "critic_lora": {}},
    "nested": {"state_dict": {"model": PLAIN}},
    "sharded training": {
        "generator": {
            "model._fsdp_wrapped_module.blocks.0._fsdp_wrapped_module.q.weight": PLAIN["blocks.0.q.weight"],
            "model.head._checkpoint_wrapped_module.bias": PLAIN["head.bias"],
        }
    },
    "parameters": {key: torch.nn.Parameter(value) for key, value in PLAIN.items()},
}


@pytest.mark.parametrize("kind", SAVED)
@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_files_are_unwrapped(tmp_path: Path, kind: str, zipped: bool) -> None:
    path = tmp_path / "model.pt"
    torch.save(SAVED[kind], path, _use_new_zipfile_serialization=zipped)
    assert_plain(path)


@pytest.mark.parametrize("prefix", ["", "model.", "model._orig_mod."])
def test_safetensors_are_unwrapped(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "model.safetensors"
    save_file(wrapped(prefix), path, {"format": "pt"})
    assert_plain(path)
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.metadata == {"format": "pt"}


def test_a_prefix_that_not_all_keys_have_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"model.a": torch.ones(1), "b": torch.ones(1)}, path)
    with open_checkpoint(path) as checkpoint:
        assert sorted(checkpoint.shapes) == ["b", "model.a"]


def test_the_entry_is_the_callers_choice(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"generator": {"x": torch.zeros(1)}, "generator_ema": {"x": torch.ones(1)}}, path)
    with open_checkpoint(path) as plain, open_checkpoint(path, entry=("generator_ema",)) as averaged:
        assert plain.tensor("x").item() == 0
        assert averaged.tensor("x").item() == 1


def test_a_file_keeps_its_own_number_types_and_layouts(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    state = {
        "eight": torch.ones(3).to(torch.float8_e4m3fn), "half": torch.ones((), dtype=torch.float16),
        "turned": base.T, "part": base[1:, 2:], "none": torch.ones(0, 3), "steps": torch.tensor([1, 2]),
    }  # fmt: skip
    for zipped in (True, False):
        if not zipped:
            del state["eight"]  # the older format knows no eight-bit floating-point
        path = tmp_path / f"model{zipped}.pt"
        torch.save(state, path, _use_new_zipfile_serialization=zipped)
        with open_checkpoint(path) as checkpoint:
            for key, value in state.items():
                assert checkpoint.dtypes[key] == value.dtype
                assert torch.equal(checkpoint.tensor(key).float(), value.float())
                own = checkpoint.own(key)
                assert own.is_contiguous() and torch.equal(own.float(), value.float())
                assert own.untyped_storage().nbytes() == value.nbytes
                assert torch.equal(checkpoint.own(key, torch.float32), value.float())


def shards(folder: Path) -> Path:
    save_file({"a": torch.ones(2), "b": torch.zeros(1)}, folder / "model-00001-of-00002.safetensors")
    save_file({"c": torch.full((3,), 2.0)}, folder / "model-00002-of-00002.safetensors")
    index = folder / "model.safetensors.index.json"
    names = {"a": 1, "b": 1, "c": 2}
    table = {key: f"model-0000{number}-of-00002.safetensors" for key, number in names.items()}
    index.write_text(json.dumps({"metadata": {"total_size": 24}, "weight_map": table}))
    return index


def test_an_index_stands_for_its_shards(tmp_path: Path) -> None:
    with open_checkpoint(shards(tmp_path)) as checkpoint:
        assert sorted(checkpoint.shapes) == ["a", "b", "c"]
        assert checkpoint.tensor("c").sum() == 6
        assert checkpoint.file_of("c") == "model-00002-of-00002.safetensors"
    paths = sorted(tmp_path.glob("*.safetensors"))
    with open_checkpoint(*paths) as checkpoint:
        assert sorted(checkpoint.shapes) == ["a", "b", "c"]
    with pytest.raises(WeightsError, match=r"model-00001-of-00002\.safetensors: a was already"):
        open_checkpoint(*paths, paths[0])


def test_a_part_of_a_full_file_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "full.safetensors"
    save_file({"blocks.0.x": torch.ones(1), "vace_blocks.0.x": torch.zeros(1)}, path)
    with open_checkpoint(path) as checkpoint:
        part = checkpoint.only("vace_blocks.", "vace_patch_embedding.")
        assert list(part.shapes) == ["vace_blocks.0.x"]
        assert part.tensor("vace_blocks.0.x").item() == 0
        with pytest.raises(WeightsError, match=r"full\.safetensors: nothing in it begins with lora"):
            checkpoint.only("lora")


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt"])
def test_released_pages_come_back_and_given_tensors_stay(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("pt"):
        torch.save(PLAIN, path)
    else:
        save_file(PLAIN, path)
    with open_checkpoint(path) as checkpoint:
        first = checkpoint.tensor("head.bias")
        checkpoint.release()
        assert torch.equal(checkpoint.tensor("head.bias"), first)
    assert torch.equal(first, PLAIN["head.bias"])


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt"])
def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name

    def write(state: dict[str, Tensor]) -> None:
        if name.endswith("pt"):
            torch.save(state, path)
        else:
            save_file(state, path)

    write({"x": torch.ones(2)})
    with open_checkpoint(path) as checkpoint:
        write({"x": torch.ones(3)})
        with pytest.raises(WeightsError, match=f"{name} changed while it was read"):
            checkpoint.tensor("x")


@pytest.mark.parametrize("zipped", [True, False])
def test_tied_weights_become_tensors_of_their_own(tmp_path: Path, zipped: bool) -> None:
    path, weight = tmp_path / "model.pt", torch.ones(4)
    state = {"a": weight, "b": weight, "c": weight[:2]}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    with open_checkpoint(path) as checkpoint:
        own = {key: checkpoint.own(key) for key in state}
    own["a"].zero_()
    assert own["b"].sum() == 4 and own["c"].sum() == 2

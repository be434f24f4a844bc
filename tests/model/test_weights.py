"""Weights files: what is loaded is exactly what was meant; everything else is named and refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.core.errors import WeightsError
from engine.model.weights import load_strict, on_meta, read_metadata, save_weights


def make() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))


def numbers() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return make().state_dict()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def assert_loaded(model: nn.Module, weights: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> None:
    for key, value in model.state_dict().items():
        assert value.device.type == "cpu" and value.dtype == dtype
        torch.testing.assert_close(value, weights[key].to(dtype), atol=1e-3, rtol=0)


def test_what_was_saved_is_loaded_into_a_network_without_memory(path: Path) -> None:
    save_weights(path, numbers(), metadata={"words": "gold"})
    model = on_meta(make)
    load_strict(model, path)
    assert_loaded(model, numbers())
    assert read_metadata(path) == {"words": "gold"}
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_files_of_others_without_digests_load_in_another_dtype(path: Path) -> None:
    save_file(numbers(), path)
    model = on_meta(make)
    load_strict(model, path, dtype=torch.bfloat16)
    assert model.get_parameter("0.weight").dtype == torch.bfloat16


def test_two_files_are_joined_and_wrappings_removed(tmp_path: Path) -> None:
    weights, (first, second) = numbers(), (tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    save_file({f"model.{k}": v for k, v in weights.items() if k.startswith("0.")}, first)
    save_file({k: v for k, v in weights.items() if k.startswith("1.")} | {"blocks.9": torch.ones(1)}, second)
    model = on_meta(make)
    load_strict(model, first, second, strip="model.", may_ignore=("blocks.",))
    assert_loaded(model, weights)
    with pytest.raises(WeightsError, match=r"a\.safetensors: 0\.bias was already in another file"):
        load_strict(model, first, first, strip="model.")


def test_named_exceptions_may_be_missing(path: Path) -> None:
    weights = numbers()
    save_file({key: value for key, value in weights.items() if key.startswith("0.")}, path)
    model = make()
    kept = model.get_parameter("1.weight").clone()
    load_strict(model, path, may_miss=("1.",))
    torch.testing.assert_close(model.get_parameter("0.weight"), weights["0.weight"])
    assert torch.equal(model.get_parameter("1.weight"), kept)


Change = Callable[[dict[str, Tensor]], object]

WRONG: list[tuple[str, Change, str]] = [
    ("missing", lambda w: w.pop("1.bias"), r"model\.safetensors: missing 1\.bias"),
    ("unexpected", lambda w: w.update(stray=torch.ones(1)), r"model\.safetensors: unexpected stray"),
    ("shape", lambda w: w.update({"0.bias": torch.ones(3)}), r"0\.bias has shape \[3\], expected \[2\]"),
    ("integers", lambda w: w.update({"0.bias": torch.ones(2, dtype=torch.int64)}), r"0\.bias holds I64"),
    ("nan", lambda w: w["0.bias"].fill_(torch.nan), r"0\.bias holds NaN"),
]


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_wrong_contents_are_named_and_nothing_is_loaded(path: Path, change: Change, message: str) -> None:
    weights = numbers()
    change(weights)
    save_file(weights, path)
    model = make()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=message) as caught:
        load_strict(model, path)
    assert caught.value.fix
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_many_wrong_keys_are_counted(path: Path) -> None:
    save_file({f"k{i}": torch.ones(1) for i in range(9)}, path)
    with pytest.raises(WeightsError, match=r"unexpected k0, k1, k2, k3 and 5 more"):
        load_strict(make(), path)


@pytest.mark.parametrize("size", [0, 4, 40, -1])
def test_a_truncated_file_is_damaged(path: Path, size: int) -> None:
    save_weights(path, numbers())
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(WeightsError, match="is damaged"):
        load_strict(make(), path)


@pytest.mark.parametrize("data", [b"\xff" * 64, b"not weights at all", b"\x80\x02}q\x00." * 9, b""])
def test_a_file_of_another_kind_is_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="is damaged"):
        load_strict(make(), path)
    with pytest.raises(WeightsError, match="is damaged"):
        read_metadata(path)


def test_one_flipped_bit_is_found(path: Path) -> None:
    save_weights(path, numbers())
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"does not match its digest"):
        load_strict(make(), path)


def test_missing_files_folders_and_pickles_are_refused(tmp_path: Path) -> None:
    for name, message in (("absent.safetensors", "does not exist"), (".", "is a folder")):
        with pytest.raises(WeightsError, match=message):
            load_strict(make(), tmp_path / name)
    pickled = tmp_path / "model.pt"
    torch.save(numbers(), pickled)
    with pytest.raises(WeightsError, match=r"no \.safetensors file") as caught:
        load_strict(make(), pickled)
    assert "can run code" in caught.value.fix

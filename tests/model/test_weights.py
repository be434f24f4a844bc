"""Weights files: what is loaded is exactly what was meant; everything else is named and refused."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
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
    ("integers", lambda w: w.update({"0.bias": torch.ones(2, dtype=torch.int64)}), r"0\.bias holds int64"),
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


def test_missing_files_folders_and_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    cases = (
        ("absent.safetensors", "does not exist"),
        (".", "is a folder"),
        ("model.onnx", "no weights file"),
    )
    for name, message in cases:
        with pytest.raises(WeightsError, match=message):
            load_strict(make(), tmp_path / name)


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.bin"])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_files_load_strictly_too(tmp_path: Path, name: str, zipped: bool) -> None:
    path = tmp_path / name
    torch.save(numbers(), path, _use_new_zipfile_serialization=zipped)
    model = on_meta(make)
    load_strict(model, path)
    assert_loaded(model, numbers())
    torch.save(numbers() | {"stray": torch.ones(1)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="unexpected stray"):
        load_strict(model, path)


def test_what_is_loaded_outlives_the_file(path: Path) -> None:
    save_weights(path, numbers(), dtype=torch.float32)
    model = on_meta(make)
    load_strict(model, path)
    path.write_bytes(b"\0" * path.stat().st_size)
    assert_loaded(model, numbers())


def test_eight_bit_weights_are_widened_or_kept(path: Path) -> None:
    small = {key: value.to(torch.float8_e4m3fn) for key, value in numbers().items()}
    save_file(small, path)
    model = on_meta(make)
    load_strict(model, path, dtype=torch.bfloat16)
    assert torch.equal(model.get_parameter("0.weight"), small["0.weight"].to(torch.bfloat16))
    load_strict(model, path, dtype=None)
    assert model.get_parameter("0.weight").dtype == torch.float8_e4m3fn
    small["0.weight"].view(torch.uint8)[0, 0] = 0x7F  # the format's NaN
    save_file(small, path)
    with pytest.raises(WeightsError, match=r"0\.weight holds NaN"):
        load_strict(model, path, dtype=None)


def test_numbers_too_large_for_the_precision_are_refused(path: Path) -> None:
    save_file(numbers() | {"0.bias": torch.tensor([1e30, 0.0])}, path)
    with pytest.raises(WeightsError, match=r"0\.bias holds NaN or infinite"):
        load_strict(make(), path, dtype=torch.float16)


def test_longer_weights_are_cut_to_their_last_rows_where_that_is_allowed(path: Path) -> None:
    weights = numbers()
    longer = torch.cat([torch.full((4, 3), 9.0), weights["0.weight"]])
    save_file(weights | {"0.weight": longer}, path)
    model = on_meta(make)
    load_strict(model, path, cut_last=("0.weight",))
    assert_loaded(model, weights)
    with pytest.raises(WeightsError, match=r"0\.weight has shape \[6, 3\], expected \[2, 3\]"):
        load_strict(model, path)
    save_file(weights | {"0.weight": weights["0.weight"][:1]}, path)
    with pytest.raises(WeightsError, match=r"shape \[1, 3\]"):
        load_strict(model, path, cut_last=("0.weight",))


def test_a_copy_of_a_pickled_file_is_kept_remade_and_never_trusted(tmp_path: Path) -> None:
    path, copy = tmp_path / "model.pt", tmp_path / "model.pt.cuelight.safetensors"
    torch.save({"generator": numbers()}, path)
    model = on_meta(make)
    load_strict(model, path, cache=True)
    assert_loaded(model, numbers())
    made = copy.stat().st_mtime_ns

    load_strict(on_meta(make), path, cache=True)
    assert copy.stat().st_mtime_ns == made

    data = bytearray(copy.read_bytes())
    data[-2] ^= 64
    copy.write_bytes(data)
    model = on_meta(make)
    load_strict(model, path, cache=True)
    assert_loaded(model, numbers())
    assert not copy.exists()

    copy.write_bytes(b"nonsense")
    load_strict(on_meta(make), path, cache=True)
    assert read_metadata(copy)["source"]

    other = {key: value + 1 for key, value in numbers().items()}
    torch.save({"generator": other, "step": 1}, path)
    model = on_meta(make)
    load_strict(model, path, cache=True)
    assert_loaded(model, other)
    load_strict(model, path, cache=True, dtype=torch.bfloat16)
    assert model.get_parameter("0.weight").dtype == torch.bfloat16
    with safe_open(copy, framework="pt") as file:
        assert file.get_slice("0.weight").get_dtype() == "BF16"


def test_a_copy_that_cannot_be_written_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pt"
    torch.save(numbers(), path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", full)
    model = on_meta(make)
    load_strict(model, path, cache=True)
    assert_loaded(model, numbers())
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]


def test_bad_numbers_leave_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(numbers() | {"0.bias": torch.full((2,), torch.nan)}, path)
    with pytest.raises(WeightsError, match=r"^model\.pt: 0\.bias holds NaN"):
        load_strict(make(), path, cache=True)
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]


MEASURE = """
import sys
from pathlib import Path
import torch
from torch import nn
from engine.model.weights import load_strict, on_meta

def make(size=512, count=80):
    return nn.ModuleList(nn.Linear(size, size, bias=False) for _ in range(count))

def status(word):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(word))

path, dtype = Path(sys.argv[1]), {"same": torch.float32, "half": torch.bfloat16}[sys.argv[2]]
load_strict(make(2, 1), path.with_name("small" + path.suffix), dtype=dtype)
model = on_meta(make)
before = status("VmRSS:")
load_strict(model, path, dtype=dtype, cache=sys.argv[3] == "cache")
peak = status("VmHWM:")
print((peak - before) / path.stat().st_size, sum(float(p.float().sum()) for p in model.parameters()))
"""
"""Prints how far resident memory grew at its peak, in sizes of the file, after a first small load.

The small one pays what any load costs once: code paged in, tables of the allocator.

Not ru_maxrss: a new program inherits that from the one that started it.
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's account of resident memory")
@pytest.mark.parametrize(
    ("name", "precision", "cache"),
    [
        ("model.safetensors", "same", "plain"),
        ("model.pt", "same", "plain"),
        ("model.pt", "half", "cache"),
        ("model.pth", "half", "plain"),
    ],
)
def test_loading_needs_little_more_memory_than_the_file(
    large: Path, name: str, precision: str, cache: str
) -> None:
    command = [sys.executable, "-c", MEASURE, str(large / name), precision, cache]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    growth, checksum = map(float, result.stdout.split())
    assert growth <= 1.15
    assert checksum == pytest.approx(80 * 512 * 512 * 0.5)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 MiB of weights in each kind of file."""
    folder = tmp_path_factory.mktemp("large")
    weights = {f"{n}.weight": torch.full((512, 512), 0.5) for n in range(80)}
    small = {"0.weight": torch.ones(2, 2)}
    for name, content in (("model", weights), ("small", small)):
        save_file(content, folder / f"{name}.safetensors")
        torch.save({"generator": content, "generator_ema": {}}, folder / f"{name}.pt")
        torch.save(content, folder / f"{name}.pth", _use_new_zipfile_serialization=False)
    return folder

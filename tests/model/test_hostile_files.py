"""Files of strangers: broken, mislabelled, or made to harm.

Whatever the file, the outcome is the same: one line that names it and says what to do, nothing run,
nothing left behind, and the network exactly as it was.
"""

import collections
import io
import json
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from engine.core.errors import WeightsError
from engine.model.weights import load_strict, save_weights


def make() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))


def numbers(**changes: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return make().state_dict() | changes


BIAS = "0.bias"


class Bias(nn.Module):
    """A network whose only parameter is `0.bias`, two numbers."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.Module()
        layer.bias = nn.Parameter(torch.ones(2))
        self.add_module("0", layer)


class Calls:
    """Pickles as a call of `function` with `arguments`, which is how a pickle runs code."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


class Storage:
    """Pickles as a reference to `count` numbers of record `key`."""

    def __init__(self, key: str = "0", count: Any = 2, kind: type = torch.FloatStorage) -> None:
        self.pid = ("storage", kind, key, "cpu", count)


class Pickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> Any:
        return obj.pid if isinstance(obj, Storage) else None


def pickled(state: object, protocol: int = 2) -> bytes:
    file = io.BytesIO()
    Pickler(file, protocol).dump(state)
    return file.getvalue()


def tensor(storage: object, size: Any = (2,), stride: Any = (1,), offset: Any = 0) -> Calls:
    hooks: collections.OrderedDict[str, object] = collections.OrderedDict()
    return Calls(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, hooks)


def zipped(
    path: Path, program: bytes, numbers: bytes = b"\0" * 8, compression: int = zipfile.ZIP_STORED
) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("model/data.pkl", program)
        archive.writestr("model/byteorder", "little")
        archive.writestr("model/data/0", numbers)
        archive.writestr("model/version", "3\n")


def header(table: object, numbers: bytes = b"\0" * 8) -> bytes:
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def row(dtype: str = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def good(kind: str = "pt") -> bytes:
    if kind == "safetensors":
        return save(numbers())
    file = io.BytesIO()
    torch.save(numbers(), file, _use_new_zipfile_serialization=kind == "pt")
    return file.getvalue()


def refused(path: Path, message: str, network: Callable[[], nn.Module] = make) -> None:
    """The file is refused for this reason, in one clear line, and nothing has happened."""
    model = network()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folder = sorted(path.parent.iterdir())
    here = sorted(os.listdir())
    with pytest.raises(WeightsError, match=message) as caught:
        load_strict(model, path, cache=True)
    text = str(caught.value)
    assert text.isprintable() and len(text) < 400
    assert path.name.split(".")[0] in caught.value.what
    assert caught.value.fix
    assert sorted(path.parent.iterdir()) == folder
    assert sorted(os.listdir()) == here
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


SAFETENSORS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is damaged"),
    "four bytes": (lambda: b"\4\0\0\0", "is damaged"),
    "cut in its header": (lambda: good("safetensors")[:60], "is damaged"),
    "cut after its header": (lambda: good("safetensors")[:-44], "is damaged"),
    "one byte short": (lambda: good("safetensors")[:-1], "is damaged"),
    "bytes too many": (lambda: good("safetensors") + b"\0", "is damaged"),
    "text": (lambda: b"These are not the weights you are looking for.\n", "is damaged"),
    "pointer instead of the file": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        "is damaged",
    ),
    "web page": (lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "is damaged"),
    "picture": (lambda: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0" * 64, "is damaged"),
    "pickle": (lambda: good("legacy"), "is damaged"),
    "zip": (lambda: good("pt"), "is damaged"),
    "header of 2^63 bytes": (
        lambda: (2**63).to_bytes(8, "little") + b"{}",
        "claims 9223372036854775808 bytes",
    ),
    "header beyond the end": (lambda: (2**20).to_bytes(8, "little") + b"{}", "is damaged"),
    "header of no JSON": (lambda: header(b"{weights}"), "is damaged"),
    "header of a list": (lambda: header([1, 2]), "is damaged"),
    "header of 100000 brackets": (lambda: header(b"[" * 100_000), "is damaged"),
    "header not in UTF-8": (lambda: header(b'{"\xff\xfe": 1}'), "is damaged"),
    "same key twice": (
        lambda: header(
            b'{"0.bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
            b'"0.bias":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
        ),
        "is damaged",
    ),
    "overlapping numbers": (
        lambda: header({"a": row(), BIAS: row(offsets=(4, 12))}, b"\0" * 12),
        "is damaged",
    ),
    "unused numbers": (lambda: header({BIAS: row(offsets=(8, 16))}, b"\0" * 16), "is damaged"),
    "numbers beyond the end": (lambda: header({BIAS: row(offsets=(0, 8000), shape=[2000])}), "is damaged"),
    "negative place": (lambda: header({BIAS: row(offsets=(-8, 0))}), "is damaged"),
    "shape of other size": (lambda: header({BIAS: row(shape=[3])}), "is damaged"),
    "shape that overflows": (lambda: header({BIAS: row(shape=[2**40, 2**40])}), "is damaged"),
    "negative shape": (lambda: header({BIAS: row(shape=[-2])}), "is damaged"),
    "unknown number type": (lambda: header({BIAS: row(dtype="Q4_K")}), "is damaged"),
    "four-bit numbers": (lambda: header({BIAS: row(dtype="F4", shape=[16])}), r"0\.bias holds F4"),
    "nothing": (lambda: header({}, b""), "holds no weights"),
    "key with control characters": (
        lambda: header({"\x1b[2J\n\nfake: all is well": row()}),
        r"unexpected '\\x1b\[2J\\n\\nfake",
    ),
    "very long key": (lambda: header({"k" * 50_000: row()}), r"unexpected k{80}\.\.\.\."),
    "integers": (lambda: save(numbers(**{BIAS: torch.ones(2, dtype=torch.int32)})), r"0\.bias holds int32"),
    "truth values": (lambda: save(numbers(**{BIAS: torch.ones(2, dtype=torch.bool)})), r"0\.bias holds bool"),
    "complex numbers": (
        lambda: save(numbers(**{BIAS: torch.ones(2, dtype=torch.complex64)})),
        r"0\.bias holds complex64",
    ),
    "not a number": (lambda: save(numbers(**{BIAS: torch.tensor([1, torch.nan])})), r"0\.bias holds NaN"),
    "infinity": (lambda: save(numbers(**{BIAS: torch.tensor([torch.inf, 1])})), r"0\.bias holds NaN or inf"),
    "minus infinity in 16 bits": (
        lambda: save(numbers(**{BIAS: torch.tensor([-torch.inf, 1]).bfloat16()})),
        r"0\.bias holds NaN or inf",
    ),
    "one number too many": (
        lambda: save(numbers(**{BIAS: torch.ones(3)})),
        r"0\.bias has shape \[3\], expected \[2\]",
    ),
    "turned weight": (
        lambda: save(numbers(**{"0.weight": torch.ones(3, 2)})),
        r"0\.weight has shape \[3, 2\]",
    ),
    "scalar": (lambda: save(numbers(**{BIAS: torch.ones(())})), r"0\.bias has shape \[\]"),
    "a key under two names": (
        lambda: save(numbers(**{"_fsdp_wrapped_module.0.bias": torch.ones(2)})),
        "under two names",
    ),
    "a key too many": (lambda: save(numbers(stray=torch.ones(1))), "unexpected stray"),
    "keys of another model": (lambda: save({"x": torch.ones(1)}), "unexpected x"),
    "a key too few": (
        lambda: save({key: value for key, value in numbers().items() if key != BIAS}),
        r"missing 0\.bias",
    ),
}


@pytest.mark.parametrize("case", SAFETENSORS)
def test_safetensors(tmp_path: Path, case: str) -> None:
    path = tmp_path / "model.safetensors"
    content, message = SAFETENSORS[case]
    path.write_bytes(content())
    refused(path, message)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    for kind in ("safetensors", "pt", "pth"):
        data = good(kind)
        for size in range(0, len(data), len(data) // 23):
            path = tmp_path / f"model.{kind}"
            path.write_bytes(data[:size])
            refused(path, r"^model\.\w+ (is damaged|lacks|holds|has|claims|wants)")


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt", "model.safetensors.index.json"])
def test_a_folder_or_nothing_in_place_of_a_file(tmp_path: Path, name: str) -> None:
    refused(tmp_path / name, "does not exist")
    (tmp_path / name).mkdir()
    refused(tmp_path / name, "is a folder")


def test_one_flipped_bit(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(path, numbers())
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    refused(path, "does not match its digest")


# ------------------------------------------------------------------------------------------ shards


def index(folder: Path, table: object) -> Path:
    save_file({"0.weight": torch.ones(2, 3), BIAS: torch.ones(2)}, folder / "a.safetensors")
    save_file({"1.weight": torch.ones(1, 2), "1.bias": torch.ones(1)}, folder / "b.safetensors")
    path = folder / "model.safetensors.index.json"
    path.write_bytes(table if isinstance(table, bytes) else json.dumps({"weight_map": table}).encode())
    return path


WHERE = {
    "0.weight": "a.safetensors",
    BIAS: "a.safetensors",
    "1.weight": "b.safetensors",
    "1.bias": "b.safetensors",
}

INDEXES: dict[str, tuple[object, str]] = {
    "a file above": (
        WHERE | {BIAS: "../secret.safetensors"},
        "names the file .*, which is no weights file beside",
    ),
    "an absolute path": (
        WHERE | {BIAS: "/etc/passwd"},
        "names the file /etc/passwd, which is no weights file",
    ),
    "a path of another system": (
        WHERE | {BIAS: "..\\secret.safetensors"},
        "which is no weights file beside it",
    ),
    "a file below": (WHERE | {BIAS: "below/a.safetensors"}, "which is no weights file beside it"),
    "a device": (WHERE | {BIAS: "CON"}, "which is no weights file beside it"),
    "itself": (WHERE | {BIAS: "model.safetensors.index.json"}, "which is no weights file beside it"),
    "a file that is missing": (WHERE | {"1.bias": "c.safetensors"}, "does not exist|disagree"),
    "a key that is missing": (WHERE | {"1.extra": "b.safetensors"}, r"b\.safetensors disagree on 1\.extra"),
    "not all keys": ({key: name for key, name in WHERE.items() if key != "1.bias"}, r"disagree on 1\.bias"),
    "numbers for names": (WHERE | {BIAS: 7}, "has no weight_map"),
    "a list": ([1, 2], "has no weight_map"),
    "no table": ({}, "has no weight_map"),
    "no JSON": (b"weight_map: a", "is damaged"),
    "100000 brackets": (b"[" * 100_000, "is damaged"),
    "another encoding": (b"\xff\xfe\0\xd8", "is damaged"),
}


@pytest.mark.parametrize("case", INDEXES)
def test_indexes(tmp_path: Path, case: str) -> None:
    (tmp_path / "models").mkdir()
    save_file({BIAS: torch.ones(2)}, tmp_path / "secret.safetensors")
    table, message = INDEXES[case]
    path = index(tmp_path / "models", table)
    with pytest.raises(WeightsError, match=message) as caught:
        load_strict(make(), path)
    assert str(caught.value).isprintable() and caught.value.fix


def test_the_same_key_in_two_shards(tmp_path: Path) -> None:
    path = index(tmp_path, WHERE)
    load_strict(make(), path)
    save_file({key: torch.ones(1, 2) for key in ("1.weight", BIAS)} | {"1.bias": torch.ones(1)},
              tmp_path / "b.safetensors")  # fmt: skip
    with pytest.raises(WeightsError, match=r"b\.safetensors disagree on 0\.bias"):
        load_strict(make(), path)
    with pytest.raises(WeightsError, match=r"b\.safetensors: 0\.bias was already in another file"):
        load_strict(make(), tmp_path / "a.safetensors", tmp_path / "b.safetensors")


# ------------------------------------------------------------------------------- pickles that run code


def canary(folder: Path) -> Path:
    """A file that code in a pickle would make."""
    return folder / "ran"


CODE: dict[str, Callable[[str], object]] = {
    "os.system": lambda path: Calls(os.system, f"touch {path}"),
    "exec": lambda path: Calls(exec, f"open({path!r}, 'w')"),
    "eval": lambda path: Calls(eval, f"open({path!r}, 'w')"),
    "open": lambda path: Calls(open, path, "w"),
    "Path.touch": lambda path: Calls(Path.touch, Path(path)),
    "getattr": lambda path: Calls(getattr, os, "system"),
    "torch.load": lambda path: Calls(torch.load, path),
    "map": lambda path: Calls(list, Calls(map, os.system, [f"touch {path}"])),
}


@pytest.mark.parametrize("case", CODE)
@pytest.mark.parametrize("form", ["zip", "bare", "old checkpoint", "in the state", "protocol 4"])
def test_code_never_runs(tmp_path: Path, case: str, form: str) -> None:
    flag = canary(tmp_path / "elsewhere")
    flag.parent.mkdir()
    (tmp_path / "here").mkdir()
    path = tmp_path / "here" / "model.pt"
    bomb = CODE[case](str(flag)) if case != "getattr" else Calls(getattr, numbers, "__globals__")
    if form == "zip":
        zipped(path, pickled(bomb))
    elif form == "in the state":
        zipped(path, pickled({"generator": {BIAS: tensor(Storage())}, "state": [bomb]}))
    elif form == "protocol 4":
        zipped(path, pickled(bomb, protocol=4))
    elif form == "bare":
        path.write_bytes(pickled(bomb))
    else:
        path.write_bytes(good("legacy").replace(b"}q\x00(X\x10\x00\x00\x00protocol", pickled(bomb)[2:-1], 1))
    refused(path, "^model.pt (wants to use|uses a pickle instruction|is a pickle of|is damaged)")
    assert not flag.exists()


def test_the_canary_sings_where_pickles_are_trusted(tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    flag = canary(tmp_path)
    pickle.loads(pickled(CODE["Path.touch"](str(flag))))
    assert flag.exists()


# ------------------------------------------------------------------------ pickles that want too much

GIANT = 10**13


def state(value: object) -> bytes:
    return pickled({BIAS: value})


PROGRAMS: dict[str, tuple[Callable[[], bytes], str]] = {
    "memory from bytearray": (lambda: state(Calls(bytearray, GIANT)), r"wants to use __builtin__\.bytearray"),
    "memory from a tensor": (lambda: state(Calls(torch.Tensor, GIANT)), r"wants to use torch\.Tensor"),
    "memory from a storage": (lambda: state(Calls(torch.FloatStorage, GIANT)), "is damaged|wants"),
    "memory from a memo": (lambda: b"\x80\x02}r\xff\xff\xff\x7f.", "has an impossible memo"),
    "memory from a string": (lambda: b"\x80\x02X\xff\xff\xff\x7fabc.", "is damaged"),
    "a program without end": (lambda: b"\x80\x02" + b"N" * 2_000_001 + b".", "is a program without end"),
    "an object of a class": (lambda: state(Calls(make)), "wants to use"),
    "a network": (lambda: pickled(Calls(nn.Linear, 1, 1)), "wants to use"),
    "a list that is copied again and again": (
        lambda: state([Calls(torch.Size, [1] * 20_000)] * 600),
        "no list of whole numbers",
    ),
    "a table that is copied again and again": (
        lambda: state(Calls(__import__("collections").OrderedDict, [["a", 1]])),
        "is damaged",
    ),
    "a shape of a thousand sides": (
        lambda: state(tensor(Storage(), (1,) * 1000, (1,) * 1000)),
        "no list of whole numbers",
    ),
    "a set of arguments": (lambda: state(Calls(__import__("argparse").Namespace)), r"wants to use argparse"),
    "a numpy number": (lambda: state(__import__("numpy").float64(1.0)), "wants to use numpy"),
    "instructions of newer pickles": (
        lambda: pickled({BIAS: b"x" * 300}, protocol=4),
        "uses a pickle instr|protocol 4",
    ),
    "no end": (lambda: state(1)[:-1], "is damaged"),
    "an empty stack": (lambda: b"\x80\x02R.", "is damaged"),
    "garbage": (lambda: b"\x80\x02\xfe\xfd\xfc", "uses a pickle instruction that weights do not need: 0xfe"),
    "a missing memo": (lambda: b"\x80\x02h\x07.", "is damaged"),
    "a list": (lambda: pickled([1, 2]), "is no dict of tensors"),
    "a tensor alone": (lambda: pickled(tensor(Storage())), "is no dict of tensors"),
    "nothing": (lambda: pickled({}), "holds nothing, but none of generator"),
    "an unknown entry": (
        lambda: pickled({"optimizer": {}, "step": 3}),
        "holds optimizer, step, but none of gen",
    ),
    "a list as entry": (lambda: pickled({"generator": [tensor(Storage())]}), "holds generator, but none"),
    "words beside tensors": (
        lambda: pickled({BIAS: tensor(Storage()), "licence": "MIT"}),
        "holds licence, which is no",
    ),
    "numbers beside tensors": (
        lambda: pickled({BIAS: tensor(Storage()), "step": 3}),
        "holds step, which is no tensor",
    ),
    "keys that are no words": (lambda: pickled({3: tensor(Storage())}), "holds 3, which is no tensor"),
    "keys that cannot be keys": (lambda: b"\x80\x02}}Ns.", "is damaged"),
    "entries in entries": (
        lambda: pickled({"model": {"model": {"model": {"model": {"model": {BIAS: tensor(Storage())}}}}}}),
        "nests its entries too deeply",
    ),
    "100000 dicts in each other": (
        lambda: b"\x80\x02" + b"}X\5\0\0\0model" * 100_000 + b"}" + b"s" * 100_000 + b".",
        "nests its entries too deeply",
    ),
    "a tensor beyond its storage": (
        lambda: state(tensor(Storage(), (3,))),
        r"shape \[3\] larger than its storage",
    ),
    "a place beyond its storage": (lambda: state(tensor(Storage(), offset=1)), "larger than its storage"),
    "strides beyond its storage": (lambda: state(tensor(Storage(), stride=(2,))), "larger than its storage"),
    "two numbers as a billion": (lambda: state(tensor(Storage(), (10**9,), (0,))), "larger than its storage"),
    "a shape without end": (lambda: state(tensor(Storage(), (2**60, 0))), "impossible size"),
    "a negative shape": (lambda: state(tensor(Storage(), (-2,))), "impossible size"),
    "a negative stride": (lambda: state(tensor(Storage(), stride=(-1,))), "impossible size"),
    "a negative place": (lambda: state(tensor(Storage(), offset=-1)), "impossible size"),
    "half a shape": (lambda: state(tensor(Storage(), (0.5,))), "no list of whole numbers"),
    "a shape of words": (lambda: state(tensor(Storage(), "22")), "no list of whole numbers"),
    "a shape without strides": (lambda: state(tensor(Storage(), stride=())), "shape and strides disagree"),
    "a tensor without storage": (lambda: state(tensor(None)), "has a tensor without storage"),
    "a storage of a terabyte": (
        lambda: state(tensor(Storage(count=2**38))),
        "lacks the numbers of storage 0",
    ),
    "a storage that is missing": (lambda: state(tensor(Storage("7"))), "lacks the numbers of storage 7"),
    "a storage above": (
        lambda: state(tensor(Storage("../version"))),
        r"lacks the numbers of storage \.\./version",
    ),
    "a storage of half a number": (lambda: state(tensor(Storage(count=0.5))), "no list of whole numbers"),
    "a storage in two sizes": (
        lambda: pickled({"a": tensor(Storage()), "b": tensor(Storage(count=1), (1,))}),
        "one storage in two sizes",
    ),
    "a sparse tensor": (
        lambda: state(Calls(torch._utils._rebuild_sparse_tensor, torch.sparse_coo, ())),
        "wants to use",
    ),
    "a quantised tensor": (
        lambda: state(Calls(torch._utils._rebuild_qtensor, Storage())),
        "wants to use torch._utils",
    ),
    "a tensor without numbers": (
        lambda: state(Calls(torch._utils._rebuild_meta_tensor_no_storage, torch.float32, (2,), (1,), False)),
        "wants to use torch._utils._rebuild_meta",
    ),
    "integers": (lambda: state(tensor(Storage(kind=torch.IntStorage))), r"0\.bias holds int32"),
    "something else that is stored": (lambda: b"\x80\x02K\x05Q.", "is damaged|no storage"),
}


@pytest.mark.parametrize("case", PROGRAMS)
def test_programs_of_zipped_checkpoints(tmp_path: Path, case: str) -> None:
    path = tmp_path / "model.pt"
    program, message = PROGRAMS[case]
    zipped(path, program())
    refused(path, message, Bias)


# --------------------------------------------------------------------------------- zip files that lie


def members(*names: str, numbers: int = 8) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                number = b"3\n" if name.endswith("version") else b"\0"
                program = state(tensor(Storage())) if name.endswith("pkl") else number * numbers
                archive.writestr(name, program)

    return write


def bomb(path: Path) -> None:
    zipped(path, state(tensor(Storage(count=2**22), (2**22,))), b"\0" * 2**24, zipfile.ZIP_DEFLATED)


def patched(at: bytes, offset: int, value: bytes) -> Callable[[Path], None]:
    """A good archive with bytes changed behind the last place of `at`."""

    def write(path: Path) -> None:
        zipped(path, state(tensor(Storage())))
        data = bytearray(path.read_bytes())
        start = data.rindex(at) + offset
        data[start : start + len(value)] = value
        path.write_bytes(data)

    return write


def giant_program(path: Path) -> None:
    zipped(path, state("x" * (16 * 2**20 + 1)))


def big_endian(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", state(tensor(Storage())))
        archive.writestr("model/byteorder", "big")
        archive.writestr("model/data/0", b"\0" * 8)


ENTRY, END = b"PK\x01\x02", b"PK\x05\x06"

ZIPS: dict[str, tuple[Callable[[Path], None], str]] = {
    "bomb": (bomb, "compressed or encrypted record"),
    "encrypted": (patched(ENTRY, 8, b"\1"), "compressed or encrypted record"),
    "claims more than it has": (
        patched(ENTRY, 20, b"\xff\xff\xff\x0f" * 2),
        "has a record of 268435455 bytes",
    ),
    "a million records": (
        patched(END, 8, b"\xff\xff\xff\xff\xff\xff\xff\x7f"),
        "claims 65535 records|is damaged",
    ),
    "places outside": (patched(ENTRY, 42, b"\xff\xff\xff\x7f"), "is damaged"),
    "record above": (
        members("model/data.pkl", "../model/data/0"),
        "has a record outside its folder",
    ),
    "record above its folder": (
        members("model/data.pkl", "model/../../x"),
        "has a record outside its folder",
    ),
    "absolute record": (members("/etc/passwd", "model/data.pkl"), "has a record outside its folder"),
    "record of another system": (members("model/data.pkl", "model/..\\x"), "has a record outside its folder"),
    "two folders": (members("model/data.pkl", "other/data/0"), "has a record outside its folder"),
    "no program": (members("model/data/0", "model/version"), "is a zip file, but no checkpoint"),
    "a compiled program": (members("model/data.pkl", "model/constants.pkl"), "is a TorchScript program"),
    "a large note": (members("model/data.pkl", "model/version", numbers=5000), "has a record of 10000 bytes"),
    "other byte order": (big_endian, "another byte order"),
    "giant program": (giant_program, "has a record of 167"),
    "no list of records": (lambda path: path.write_bytes(b"PK\x03\x04" + b"\0" * 100), "is damaged"),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("case", ZIPS)
def test_zip_files(tmp_path: Path, case: str) -> None:
    path = tmp_path / "model.pt"
    write, message = ZIPS[case]
    write(path)
    refused(path, message, Bias)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_record_twice(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    members("model/data.pkl", "model/data/0", "model/data/0")(path)
    refused(path, "has the record data/0 twice", Bias)


# ------------------------------------------------------------------------------- the older format


def legacy(
    storages: object, numbers: bytes, value: object = None, magic: int = torch.serialization.MAGIC_NUMBER
) -> bytes:
    parts = [magic, 1001, {"little_endian": True}, {BIAS: value or tensor(OldStorage())}, storages]
    return b"".join(pickled(part) for part in parts) + numbers


class OldStorage(Storage):
    def __init__(self, count: int = 2, view: object = None) -> None:
        self.pid = ("storage", torch.FloatStorage, "0", "cpu", count, view)  # type: ignore[assignment]


COUNT = struct.pack("<q", 2)

OLDER: dict[str, tuple[Callable[[], bytes], str]] = {
    "text": (lambda: b"not weights at all\n" * 9, "is damaged"),
    "empty": (lambda: b"", "is damaged"),
    "picture": (lambda: b"\x89PNG\r\n\x1a\n" + b"\0" * 64, "is damaged"),
    "safetensors": (lambda: good("safetensors"), "is damaged"),
    "a plain pickle": (lambda: pickled({"a": 1}), "is a pickle, but no checkpoint"),
    "another magic": (lambda: legacy(["0"], COUNT + b"\0" * 8, magic=7), "is a pickle, but no checkpoint"),
    "no numbers": (lambda: legacy(["0"], b""), "claims more bytes than it has|is damaged"),
    "a terabyte": (lambda: legacy(["0"], COUNT, tensor(OldStorage(2**38), (2**38,))), "claims more bytes"),
    "another count": (lambda: legacy(["0"], struct.pack("<q", 2**40) + b"\0" * 64), "is damaged"),
    "storages of nobody": (lambda: legacy(["0", "1"], COUNT + b"\0" * 64), "belong to no tensor"),
    "no storages": (lambda: legacy([], COUNT + b"\0" * 64), "belong to no tensor"),
    "storages in storages": (
        lambda: legacy(["0"], COUNT + b"\0" * 64, tensor(OldStorage(view=("1", 0, 2)))),
        "storages within storages",
    ),
    "a tar": (lambda: b"storages" + b"\0" * 249 + b"ustar\x0000" + b"\0" * 1000, "is damaged"),
}


@pytest.mark.parametrize("case", OLDER)
@pytest.mark.parametrize("suffix", ["pth", "bin"])
def test_older_checkpoints(tmp_path: Path, case: str, suffix: str) -> None:
    path = tmp_path / f"model.{suffix}"
    content, message = OLDER[case]
    path.write_bytes(content())
    refused(path, message, Bias)


def test_without_the_fault_they_load(tmp_path: Path) -> None:
    """The makers of these files can make good ones: it is the fault alone that is refused."""
    zipped(tmp_path / "new.pt", state(tensor(Storage())))
    (tmp_path / "old.pth").write_bytes(legacy(["0"], COUNT + b"\0" * 8))
    members("model/data.pkl", "model/data/0", "model/version")(tmp_path / "members.bin")
    patched(ENTRY, 8, b"\0")(tmp_path / "patched.pt")
    for path in tmp_path.iterdir():
        model = Bias()
        load_strict(model, path)
        assert not model.get_parameter(BIAS).any()


def test_many_views_of_the_same_numbers(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    views = {f"k{n}": tensor(Storage(count=500), (500,)) for n in range(1000)}
    zipped(path, pickled(views), b"\0" * 2000)
    refused(path, "describes far more numbers than it holds")


# ------------------------------------------------------------------- numbers, through pickles as well

WRONG: dict[str, tuple[object, str]] = {
    "not a number": (numbers(**{BIAS: torch.tensor([1, torch.nan])}), r"0\.bias holds NaN"),
    "infinity": ({"generator": numbers(**{BIAS: torch.tensor([1, torch.inf])})}, r"0\.bias holds NaN or inf"),
    "integers": (numbers(**{BIAS: torch.ones(2, dtype=torch.int64)}), r"0\.bias holds int64"),
    "complex numbers": (numbers(**{BIAS: torch.ones(2, dtype=torch.complex64)}), r"0\.bias holds complex64"),
    "another shape": (numbers(**{BIAS: torch.ones(5)}), r"0\.bias has shape \[5\], expected \[2\]"),
    "a key too many": (numbers(stray=torch.ones(1)), "unexpected stray"),
    "a key too few": ({"generator": {BIAS: torch.ones(2)}}, r"missing 0\.weight, 1\.weight, 1\.bias"),
    "a sparse tensor": ({BIAS: torch.ones(2).to_sparse()}, "wants to use"),
    "a repeated number": ({BIAS: torch.ones(1).expand(2)}, "larger than its storage"),
    "bytes": ({BIAS: torch.ones(2), "rng": b"\0" * 8}, "wants to use _codecs.encode"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_of_torch_with_other_contents(tmp_path: Path, case: str, zipped: bool) -> None:
    path = tmp_path / "model.pt"
    content, message = WRONG[case]
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    refused(path, rf"^model\.pt\S* .*{message}|^model\.pt: .*{message}|^model.pt: {message}")


def test_damage_anywhere_is_refused_or_harmless(tmp_path: Path) -> None:
    draw = random.Random(7)
    outcomes = {"loaded": 0, "refused": 0}
    for number in range(300):
        kind = ("safetensors", "pt", "pth")[number % 3]
        data = bytearray(good(kind))
        for _ in range(draw.choice((1, 2, 8))):
            at = draw.randrange(len(data))
            data[at : at + draw.choice((0, 1, 3))] = draw.randbytes(draw.choice((0, 1, 3)))
        path = tmp_path / f"model.{kind}"
        path.write_bytes(data)
        try:
            load_strict(make(), path)
            outcomes["loaded"] += 1
        except WeightsError as error:
            assert str(error).isprintable() and str(error).startswith("model.")
            outcomes["refused"] += 1
    assert outcomes["refused"] > 200 and outcomes["loaded"] > 10  # some damage changes numbers alone

"""Importing a copied folder: every layout, no hostile name, nothing outside it, nothing half-made."""

import hashlib
import os
import sys
from pathlib import Path

import pytest

from engine.core.errors import WeightsError
from engine.model import import_folder
from engine.model.import_folder import bring, find
from tests.tiny_hub import WEIGHTS, files_below, model_file

CONFIG = b'{"dim": 4}'
KNOWN = model_file("big_model.pt")
UNSIZED = model_file("tiny_tae.pth", bytes=0, sha256="", about=4000)
CONFIG_A = model_file("config.json", repository="maker/small", path="config.json", bytes=0, sha256="")
CONFIG_B = model_file("config.json", repository="maker/large", path="config.json", bytes=0, sha256="")


def write(path: Path, data: bytes = WEIGHTS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def sources(folder: Path, *files: import_folder.ModelFile) -> dict[str, str]:
    found, _ = find(folder, files)
    return {
        f"{item.file.repository}/{item.file.path}": item.source.relative_to(folder).as_posix()
        for item in found
    }


@pytest.mark.parametrize(
    "place",
    [
        "big_model.pt",
        "models/weights/big_model.pt",
        "maker/model/weights/big_model.pt",
        "models--maker--model/snapshots/abc/weights/big_model.pt",
        "ünïcode and spaces/big_model.pt",
    ],
)
def test_a_file_is_found_in_any_layout(place: str, tmp_path: Path) -> None:
    write(tmp_path / "in" / place)
    found, refused = find(tmp_path / "in", [KNOWN])
    assert refused == []
    assert bring(found, tmp_path / "models") == [tmp_path / "models/maker/model/weights/big_model.pt"]
    assert KNOWN.is_present(tmp_path / "models")
    assert files_below(tmp_path / "models") == ["maker/model/weights/big_model.pt"]
    assert (tmp_path / "in" / place).read_bytes() == WEIGHTS, "the copied folder stays as it is"


def test_names_that_say_nothing_need_their_repositorys_folder(tmp_path: Path) -> None:
    write(tmp_path / "config.json", CONFIG)
    found, refused = find(tmp_path, [CONFIG_A, CONFIG_B])
    assert found == [] and len(refused) == 2 and "a folder named small" in refused[0]
    write(tmp_path / "large" / "config.json", b'{"dim": 8}')
    write(tmp_path / "models--maker--small" / "snapshots" / "1" / "config.json", CONFIG)
    assert sources(tmp_path, CONFIG_A, CONFIG_B) == {
        "maker/small/config.json": "models--maker--small/snapshots/1/config.json",
        "maker/large/config.json": "large/config.json",
    }


def test_the_folder_of_a_mirror_counts_too(tmp_path: Path) -> None:
    lora = model_file("lora.pt", bytes=0, sha256="", mirror="copier/Model-1.3B")
    write(tmp_path / "model-1.3b" / "weights" / "lora.pt")
    assert list(sources(tmp_path, lora).values()) == ["model-1.3b/weights/lora.pt"]


def test_wrong_sizes_and_checksums_are_not_taken_and_said(tmp_path: Path) -> None:
    write(tmp_path / "cut" / "big_model.pt", WEIGHTS[:-1])
    write(tmp_path / "other" / "big_model.pt", WEIGHTS[:-1] + b"!")
    found, refused = find(tmp_path, [KNOWN])
    assert found == []
    assert "102399 bytes instead of 102400" in refused[0] and "checksum differs" in refused[1]
    write(tmp_path / "right" / "big_model.pt")
    found, refused = find(tmp_path, [KNOWN])
    assert [item.source.parent.name for item in found] == ["right"] and refused == []


def test_a_pointer_instead_of_the_file_is_not_taken(tmp_path: Path) -> None:
    # What `git clone` without git-lfs leaves: a few lines of text under the right name.
    write(
        tmp_path / "tiny_tae.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4000\n"
    )
    found, refused = find(tmp_path, [UNSIZED])
    assert found == [] and "about 4 kB are expected" in refused[0]
    write(tmp_path / "tiny_tae.pth", b"")
    assert find(tmp_path, [UNSIZED])[0] == []
    write(tmp_path / "tiny_tae.pth", bytes(2000))  # stored at half the precision
    assert len(find(tmp_path, [UNSIZED])[0]) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need rights there")
def test_links_that_lead_out_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "secret" / "big_model.pt")
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "big_model.pt").symlink_to(tmp_path / "secret" / "big_model.pt")
    (folder / "deep" / "big_model.pt").symlink_to("../../secret/big_model.pt")
    (folder / "all").symlink_to(tmp_path / "secret")
    found, refused = find(folder, [KNOWN])
    assert found == [] and len(refused) == 2
    assert all("leads out of the folder" in line for line in refused)


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need rights there")
def test_links_inside_the_folder_are_read(tmp_path: Path) -> None:
    # The hub's own cache keeps files as blobs/<digest> and links the names to them.
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    write(tmp_path / "in/models--maker--model/blobs" / digest)
    name = tmp_path / "in/models--maker--model/snapshots/1/weights/big_model.pt"
    name.parent.mkdir(parents=True)
    name.symlink_to(f"../../../blobs/{digest}")
    for link in (False, True):
        models = tmp_path / f"models{link}"
        bring(find(tmp_path / "in", [KNOWN])[0], models, link)
        assert KNOWN.local(models).read_bytes() == WEIGHTS and not KNOWN.local(models).is_symlink()


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links and pipes")
def test_loops_dangling_links_pipes_and_folders_are_survived(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "a" / "big_model.pt").mkdir(parents=True)  # a folder named as the file
    (folder / "loop").symlink_to(folder)
    (folder / "b").mkdir()
    (folder / "b" / "big_model.pt").symlink_to("big_model.pt")
    (folder / "c").mkdir()
    (folder / "c" / "big_model.pt").symlink_to("nothing")
    (folder / "d").mkdir()
    os.mkfifo(folder / "d" / "big_model.pt")
    found, refused = find(folder, [KNOWN])
    assert found == [] and len(refused) == 3
    assert sum("cannot be read" in line for line in refused) == 2 and "is not a file" in refused[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="such names are not allowed there")
def test_hostile_names_reach_neither_the_disk_nor_the_terminal(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    bad = folder / "\x1b[2J\nrm -rf" / "big_model.pt"
    write(bad, b"wrong")
    write(folder / "..\\..\\big_model.pt")
    write(folder / "big_model.pt\n")
    write(folder / os.fsdecode(b"\xff\xfe") / "big_model.pt", b"wrong too")
    found, refused = find(folder, [KNOWN])
    assert found == [] and len(refused) == 2
    assert all(line.isprintable() and line.isascii() for line in refused)


def test_a_full_disk_is_told_before_copying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "in" / "big_model.pt")
    found, _ = find(tmp_path / "in", [KNOWN])
    monkeypatch.setattr(import_folder, "free_bytes", lambda path: 1000)
    with pytest.raises(WeightsError, match="102 kB are needed"):
        bring(found, tmp_path / "models")
    assert not (tmp_path / "models").exists()
    bring(found, tmp_path / "models", link=True)
    assert KNOWN.is_present(tmp_path / "models"), "a link needs no room"


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "in" / "big_model.pt")
    found, _ = find(tmp_path / "in", [KNOWN])
    source.write_bytes(b"?" * len(WEIGHTS))
    with pytest.raises(WeightsError, match="changed while it was copied"):
        bring(found, tmp_path / "models")
    assert files_below(tmp_path / "models") == []
    source.write_bytes(WEIGHTS)

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WeightsError, match="No space left"):
        bring(found, tmp_path / "models")
    assert files_below(tmp_path / "models") == []


def test_a_link_is_a_second_name_and_needs_no_copy(tmp_path: Path) -> None:
    source = write(tmp_path / "in" / "big_model.pt")
    (place,) = bring(find(tmp_path / "in", [KNOWN])[0], tmp_path / "models", link=True)
    assert place.samefile(source)


def test_what_is_no_folder_or_far_too_large_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match="is not a folder"):
        find(tmp_path / "none", [KNOWN])
    monkeypatch.setattr(import_folder, "MOST_ENTRIES", 2)
    for n in range(3):
        write(tmp_path / f"{n}.txt", b"")
    with pytest.raises(WeightsError, match="more than 2 files"):
        find(tmp_path, [KNOWN])

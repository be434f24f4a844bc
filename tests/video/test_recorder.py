"""The recorder: right pictures and length, the same bytes each time, and a playable file whatever happens."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from engine.core.errors import OutputError
from engine.core.types import Image
from engine.video.clip import ClipSource
from engine.video.recorder import Recorder
from tests.video.films import corners, grays, number_of, quarters

KINDS = ("a.mp4", "a.mkv")


def moving(count: int, height: int = 96, width: int = 160) -> Iterator[Image]:
    """Pictures with enough in them to fill a disk: noise that moves."""
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    for index in range(count):
        yield np.ascontiguousarray(np.roll(noise, 3 * index, axis=1))


def record(path: Path, images: list[Image], fps: float = 30.0) -> Path:
    height, width = images[0].shape[:2]
    recorder = Recorder(path, width, height, fps)
    for image in images:
        recorder.write(image)
    recorder.close()
    return path


def pictures(path: Path) -> list[Image]:
    source = ClipSource(path)
    found = []
    while (image := source.read()) is not None:
        found.append(image)
    source.close()
    return found


@pytest.mark.parametrize("name", KINDS)
def test_every_picture_is_there_once_at_the_right_rate(tmp_path: Path, name: str) -> None:
    path = record(tmp_path / name, grays(45))
    assert [number_of(image) for image in pictures(path)] == [index % 12 for index in range(45)]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 30
        assert container.duration is not None
        assert container.duration / 1e6 == pytest.approx(1.5, abs=0.04)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("fps", [10, 23.976, 29.97, 60])
def test_other_rates(tmp_path: Path, name: str, fps: float) -> None:
    path = record(tmp_path / name, grays(12), fps)
    with av.open(str(path)) as container:
        assert float(container.streams.video[0].average_rate or 0) == pytest.approx(fps, rel=0.001)
    assert len(pictures(path)) == 12


def test_a_closed_mp4_is_an_ordinary_one(tmp_path: Path) -> None:
    """Editors and players that know nothing of fragments find one index with all pictures."""
    data = record(tmp_path / "a.mp4", grays(75)).read_bytes()
    boxes, at = [], 0
    while at < len(data):
        boxes.append(data[at + 4 : at + 8])
        at += int.from_bytes(data[at : at + 4], "big")
    assert boxes == [b"ftyp", b"free", b"mdat", b"moov"]
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].frames == 75


@pytest.mark.parametrize("name", KINDS)
def test_colours_come_back(tmp_path: Path, name: str) -> None:
    for image in pictures(record(tmp_path / name, [quarters(96, 160)] * 3)):
        assert corners(image) == ["red", "green", "blue", "white"]
        assert np.abs(image[24, 40].astype(int) - quarters(96, 160)[24, 40]).max() <= 4


def test_odd_sizes_become_even_and_other_sizes_are_letterboxed(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.mp4", 161, 97, 30)
    recorder.write(quarters(97, 161))
    recorder.write(quarters(20, 300))
    recorder.close()
    first, second = pictures(tmp_path / "a.mp4")
    assert first.shape == (98, 162, 3) and corners(first) == ["red", "green", "blue", "white"]
    assert second[:30].max() < 12 and second[-30:].max() < 12 and second[49].max() > 100


@pytest.mark.parametrize("name", KINDS)
def test_the_same_pictures_make_the_same_file(tmp_path: Path, name: str) -> None:
    first, second = (record(tmp_path / f"{take}{name}", list(moving(20))) for take in (1, 2))
    assert first.read_bytes() == second.read_bytes()


def test_it_counts(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.mp4", 64, 48, 25)
    for image in grays(50):
        recorder.write(image)
    assert (recorder.frames, recorder.seconds, recorder.path) == (50, 2.0, tmp_path / "a.mp4")
    recorder.close()
    recorder.close()
    assert len(pictures(tmp_path / "a.mp4")) == 50


# --- refusals: each says what and how, and leaves nothing behind --------------------------------------------


def refused(path: Path, width: int = 64, height: int = 48, fps: float = 30) -> OutputError:
    before = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    with pytest.raises(OutputError) as caught:
        Recorder(path, width, height, fps)
    assert caught.value.what and caught.value.fix
    assert (sorted(path.parent.iterdir()) if path.parent.is_dir() else []) == before
    return caught.value


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").write_text("x")
    assert "is a folder" in refused(tmp_path / "folder.mp4").what
    assert "no folder" in refused(tmp_path / "missing" / "a.mp4").what
    assert "no folder" in refused(tmp_path / "file" / "a.mp4").what
    assert "cannot be written" in refused(tmp_path / ("x" * 300 + ".mp4")).what
    assert ".mp4 or .mkv" in refused(tmp_path / "a.avi").fix
    assert ".mp4 or .mkv" in refused(tmp_path / "a").fix


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody may write to")
def test_a_folder_nobody_may_write_to() -> None:
    refused(Path("/proc/self/a.mp4"))


@pytest.mark.parametrize(
    ("width", "height", "fps"), [(0, 48, 30), (64, -2, 30), (90000, 48, 30), (64, 48, float("nan"))]
)
def test_impossible_sizes_and_rates(tmp_path: Path, width: int, height: int, fps: float) -> None:
    refused(tmp_path / "a.mp4", width, height, fps)


def test_an_older_take_is_never_lost(tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4", grays(5))
    before = path.read_bytes()
    assert "exists already" in refused(path).what
    assert path.read_bytes() == before
    recorder = Recorder(path, 64, 48, 30, overwrite=True)
    recorder.write(grays(1)[0])
    recorder.close()
    assert len(pictures(path)) == 1


def test_a_recording_without_a_picture_is_removed(tmp_path: Path) -> None:
    for name in KINDS:
        Recorder(tmp_path / name, 64, 48, 30).close()
    assert list(tmp_path.glob("a.*")) == []


def test_what_is_no_picture_is_refused_and_the_recording_goes_on(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.mp4", 64, 48, 30)
    recorder.write(grays(1)[0])
    with pytest.raises(OutputError, match="cannot be recorded"):
        recorder.write(np.zeros((48, 64), np.uint8))
    recorder.write(grays(2)[1])
    recorder.close()
    assert len(pictures(tmp_path / "a.mp4")) == 2


# --- accidents ----------------------------------------------------------------------------------------------

WRITER = """
import resource, sys
from pathlib import Path
from engine.core.errors import OutputError
from engine.video.recorder import Recorder
from tests.video.test_recorder import moving

path, limit = Path(sys.argv[1]), int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
recorder = Recorder(path, 160, 96, 30)
try:
    for image in moving(400):
        recorder.write(image)
        print(recorder.frames, flush=True)
except OutputError as error:
    print("STOPPED", error, flush=True)
    try:
        recorder.write(image)
    except OutputError as again:
        print("AGAIN", again is error, flush=True)
    recorder.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs kill -9")
@pytest.mark.parametrize("name", KINDS)
def test_killed_in_the_middle_it_plays(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / name), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) >= 150:
                writer.send_signal(signal.SIGKILL)
                break
        writer.stdout.read()
    assert writer.returncode == -signal.SIGKILL
    # All but the last two seconds at the most: one unfinished fragment, and what the encoder holds.
    assert len(pictures(tmp_path / name)) >= 90


def stopped_writer(path: Path, limit: int) -> list[str]:
    command = [sys.executable, "-c", WRITER, str(path), str(limit)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    stopped = [line for line in lines if line.startswith("STOPPED")]
    assert len(stopped) == 1, "the disk was large enough for everything"
    assert "free some space" in stopped[0] and path.name in stopped[0]
    assert lines[-1] == "AGAIN True", "every further picture is refused with the same message"
    return lines


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("name", KINDS)
def test_where_the_file_may_not_grow_what_is_there_plays(tmp_path: Path, name: str) -> None:
    lines = stopped_writer(tmp_path / name, 250_000)
    written = sum(line.isdigit() for line in lines)
    played = len(pictures(tmp_path / name))
    assert 30 <= played <= written
    assert played % 30 == 0, "whole fragments of a second"
    with av.open(str(tmp_path / name)) as container:  # no damaged end: a strict player is content too
        assert sum(1 for _ in container.decode(video=0)) == played


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 260 KB, where this machine lets us make one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk; the test with a limited file size ran instead")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=260k", "tmpfs", str(place)], check=False)
    if made.returncode != 0:
        pytest.skip("mounting is not allowed here; the test with a limited file size ran instead")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("name", KINDS)
def test_on_a_full_disk_what_is_there_plays(small_disk: Path, name: str) -> None:
    lines = stopped_writer(small_disk / name, 0)
    assert any("No space left" in line for line in lines)
    assert len(pictures(small_disk / name)) >= 30
    (small_disk / "b.mkv").write_bytes(b"")  # the disk itself is fine again

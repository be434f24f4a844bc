"""Opening a source by its line of text: every kind, and every way it can be wrong, with a way out."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest

from engine.core.errors import SourceError
from engine.video.opencv import cv2
from engine.video.sources import open_source, source_path
from tests.video.films import PHOTO, corners, grays, quarters, write_film


def refused(uri: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        open_source(uri)
    assert caught.value.what and caught.value.fix, "what is wrong, and how to fix it"
    assert len(str(caught.value)) < 700
    return caught.value


def test_the_demo_clip_is_a_source() -> None:
    source = open_source("demo")
    assert (source.name, source.live, source.size, source.fps) == ("demo clip", False, (640, 360), 30.0)
    image = source.read()
    assert image is not None and image.shape == (360, 640, 3)
    source.close()


def test_clips_and_pictures_are_told_apart(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a film.mp4", grays(3))
    for uri in (str(film), f"file:{film}", f"  {film} ", f"file://{str(film).replace(' ', '%20')}"):
        source = open_source(uri)
        assert (source.name, source.size) == ("a film.mp4", (64, 48))
        source.close()
    for uri in (str(PHOTO), f"file:{PHOTO}", f"image:{PHOTO}"):
        assert open_source(uri).size == (256, 256)


def test_a_picture_with_a_wrong_suffix_opens_as_an_image(tmp_path: Path) -> None:
    odd = tmp_path / "picture.dat"
    odd.write_bytes(PHOTO.read_bytes())
    assert open_source(f"image:{odd}").size == (256, 256)


def test_names_of_all_languages(tmp_path: Path) -> None:
    film = write_film(tmp_path / "Vorführung Ω 日本.mp4", grays(2))
    assert open_source(str(film)).name == film.name
    picture = tmp_path / "Bühne 日本.png"
    picture.write_bytes(PHOTO.read_bytes())
    assert open_source(str(picture)).size == (256, 256)


@pytest.mark.parametrize("uri", ["", "   "])
def test_no_name(uri: str) -> None:
    assert "demo" in refused(uri).fix


def test_the_file_of_a_source_is_the_one_that_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "my clip.png"
    cv2.imwrite(str(path), np.zeros((16, 24, 3), np.uint8))
    for uri in (
        f"{path}",
        f"  {path} ",
        f"file:{path}",
        f"image:{path}",
        f"file://{path}".replace(" ", "%20"),
    ):
        assert source_path(uri) == path
        open_source(uri).close()
    for uri in ("camera:", "camera:/dev/video0", "tcp://127.0.0.1:5000", "http://example.org/a.mp4"):
        assert source_path(uri) is None
    demo = source_path("demo")
    assert demo is not None and demo.is_file()


def test_missing_file(tmp_path: Path) -> None:
    for kind in ("", "file:", "image:"):
        assert "no file" in refused(f"{kind}{tmp_path}/gone.mp4").what


def test_a_folder(tmp_path: Path) -> None:
    for kind in ("", "file:", "image:"):
        error = refused(f"{kind}{tmp_path}")
        assert "is a folder" in error.what and "inside it" in error.fix


def test_no_regular_file(tmp_path: Path) -> None:
    assert "not a file" in refused(os.devnull).what
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "not a file" in refused(str(tmp_path / "pipe.mp4")).what, "and it does not wait for a writer"


@pytest.mark.parametrize(
    "uri",
    ["a\0b.mp4", "x" * 5000, "file:", "image:", "file://", "file://[x", "~nobody-of-this-name/a.mp4"],
)
def test_impossible_paths(uri: str) -> None:
    refused(uri)


@pytest.mark.parametrize("uri", ["http://example.org/a.mp4", "rtsp://x", "udp://127.0.0.1:5", "concat://a"])
def test_other_protocols_are_named_as_not_supported(uri: str) -> None:
    assert "not supported" in refused(uri).what


def test_text_renamed_to_a_video(tmp_path: Path) -> None:
    fake = tmp_path / "notes.mp4"
    fake.write_text("this is no film\n" * 500)
    assert "notes.mp4 cannot be read as a video" in refused(str(fake)).what


def test_a_playlist_cannot_lead_elsewhere(tmp_path: Path) -> None:
    """A text that names an address is not followed: only the file itself is read."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.2)
    port = server.getsockname()[1]
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:{port}/a.ts\n")
    with server:
        refused(str(playlist))
        with pytest.raises(TimeoutError):
            server.accept()


def test_an_empty_file(tmp_path: Path) -> None:
    for name in ("empty.mp4", "empty.png"):
        (tmp_path / name).touch()
        assert name in refused(str(tmp_path / name)).what


def test_sound_without_pictures(tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert "no video" in refused(str(path)).what


# --- still pictures ------------------------------------------------------------------


def test_a_still_picture_stays_and_has_its_colours(tmp_path: Path) -> None:
    for suffix in (".png", ".bmp", ".webp", ".jpg", ".tiff"):
        path = tmp_path / f"quarters{suffix}"
        cv2.imwrite(str(path), cv2.cvtColor(quarters(60, 80), cv2.COLOR_RGB2BGR))
        source = open_source(str(path))
        assert source.size == (80, 60) and not source.live
        for _ in range(3):
            image = source.read()
            assert image is not None
            assert corners(image) == ["red", "green", "blue", "white"]
        source.rewind()
        source.close()
        source.close()


def test_gray_deep_and_transparent_pictures_become_rgb(tmp_path: Path) -> None:
    for name, image in {
        "gray.png": np.full((20, 30), 99, np.uint8),
        "deep.png": np.full((20, 30, 3), 99 * 257, np.uint16),
        "alpha.png": np.full((20, 30, 4), 99, np.uint8),
    }.items():
        cv2.imwrite(str(tmp_path / name), image)
        read = open_source(str(tmp_path / name)).read()
        assert read is not None and read.shape == (20, 30, 3)
        assert np.abs(read.astype(int) - 99).max() <= 1


def test_a_turned_photograph_is_set_upright(tmp_path: Path) -> None:
    """EXIF orientation 6: the camera was held upright, the picture must be turned clockwise."""
    path = tmp_path / "turned.jpg"
    data = cv2.imencode(".jpg", cv2.cvtColor(quarters(60, 80), cv2.COLOR_RGB2BGR))[1].tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
    source = open_source(str(path))
    assert source.size == (60, 80)
    image = source.read()
    assert image is not None
    assert corners(image) == ["blue", "red", "white", "green"]


def test_huge_pictures_are_shrunk_and_absurd_ones_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    cv2.imwrite(str(path), np.zeros((40, 9000, 3), np.uint8))
    assert open_source(str(path)).size == (1920, 9)
    # A few bytes that promise 60,000 x 60,000 pixels: more than any memory holds.
    header = (60000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    import zlib

    chunk = b"IHDR" + header
    bomb = (
        b"\x89PNG\r\n\x1a\n" + len(header).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    )
    (tmp_path / "bomb.png").write_bytes(bomb)
    assert "bomb.png cannot be read as a picture" in refused(str(tmp_path / "bomb.png")).what


def test_text_renamed_to_a_picture(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    assert "notes.png cannot be read as a picture" in refused(str(tmp_path / "notes.png")).what

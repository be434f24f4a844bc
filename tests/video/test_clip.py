"""Clip files: every picture once, at the right time, upright; damaged ones play as far as they go."""

from pathlib import Path

import numpy as np
import pytest

from engine.core.errors import SourceError
from engine.video.clip import ClipSource
from tests.video.films import corners, grays, number_of, quarters, write_film


def play(source: ClipSource, most: int = 2000) -> list[int]:
    """The numbers of the pictures that come until the end."""
    numbers = []
    for _ in range(most):
        image = source.read()
        if image is None:
            return numbers
        assert image.dtype == np.uint8 and image.ndim == 3 and image.flags.c_contiguous
        numbers.append(number_of(image))
    raise AssertionError("the clip does not end")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.ts", "a.avi"])
def test_every_picture_comes_once_in_order(tmp_path: Path, name: str) -> None:
    source = ClipSource(write_film(tmp_path / name, grays(12)))
    assert source.fps == 30 and source.size == (64, 48)
    assert play(source) == list(range(12))
    assert source.read() is None, "the end stays the end"
    source.close()


def test_rewind_starts_again_at_any_time(tmp_path: Path) -> None:
    source = ClipSource(write_film(tmp_path / "a.mp4", grays(12)))
    source.read()
    source.rewind()
    assert play(source) == list(range(12))
    source.rewind()
    assert play(source) == list(range(12))
    source.close()
    source.close()


def test_a_clip_that_is_gone_cannot_be_rewound(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", grays(3))
    source = ClipSource(path)
    path.unlink()
    assert play(source) == [0, 1, 2], "what is open plays on"
    with pytest.raises(SourceError, match=r"a\.mp4"):
        source.rewind()
    source.close()


@pytest.mark.parametrize("fps", [12, 24, 25, 50, 60])
def test_the_rate_is_the_clips_own(tmp_path: Path, fps: int) -> None:
    source = ClipSource(write_film(tmp_path / "a.mp4", grays(12), fps=fps))
    assert source.fps == fps
    assert play(source) == list(range(12))


def test_a_fast_clip_is_thinned_to_sixty(tmp_path: Path) -> None:
    source = ClipSource(write_film(tmp_path / "a.mp4", grays(12), fps=240))
    assert source.fps == 60
    assert len(play(source)) == 3, "12 pictures at 240 a second are a twentieth of a second"


def test_an_uneven_clip_lasts_as_long_as_it_should(tmp_path: Path) -> None:
    """Pictures at 0, 1, 2, 6, 7, 11 thirtieths: the gaps are filled, the length is right."""
    source = ClipSource(write_film(tmp_path / "a.mkv", grays(6), times=[0, 1, 2, 6, 7, 11]))
    numbers = play(source)
    assert numbers == sorted(numbers), "time never runs backwards"
    assert set(numbers) == set(range(6))
    assert len(numbers) / source.fps == pytest.approx(12 / 30, abs=0.08)
    assert numbers.count(2) > numbers.count(1)


def test_a_clock_that_jumps_does_not_freeze_the_picture(tmp_path: Path) -> None:
    """The time stamps leap an hour ahead in the middle, as in a badly joined file."""
    hour = 3600 * 30
    times = [0, 1, 2, hour, hour + 1, hour + 2]
    source = ClipSource(write_film(tmp_path / "a.mkv", grays(6), times=times))
    assert sorted(set(play(source))) == list(range(6)), "and it ends"


@pytest.mark.parametrize(
    ("rotation", "size", "expected"),
    [
        (90, (48, 64), ["green", "white", "red", "blue"]),
        (180, (64, 48), ["white", "blue", "green", "red"]),
        (-90, (48, 64), ["blue", "red", "white", "green"]),
    ],
)
def test_a_turned_clip_is_set_upright(
    tmp_path: Path, rotation: int, size: tuple[int, int], expected: list[str]
) -> None:
    """The mark says how far the picture is turned counter-clockwise when shown."""
    source = ClipSource(write_film(tmp_path / "a.mp4", [quarters(48, 64)] * 3, rotation=rotation))
    image = source.read()
    assert image is not None
    assert source.size == size == (image.shape[1], image.shape[0])
    assert corners(image) == expected


def test_odd_sizes_and_huge_ones(tmp_path: Path) -> None:
    odd = ClipSource(write_film(tmp_path / "odd.mp4", [quarters(37, 53)] * 2))
    image = odd.read()
    assert image is not None and image.shape == (37, 53, 3)
    assert corners(image) == ["red", "green", "blue", "white"]
    huge = ClipSource(write_film(tmp_path / "huge.mp4", [quarters(700, 3840)]))
    image = huge.read()
    assert image is not None and image.shape == (350, 1920, 3)
    assert corners(image) == ["red", "green", "blue", "white"]


def test_oblong_pixels_are_squared(tmp_path: Path) -> None:
    import av

    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = 2  # type: ignore[assignment]
        container.mux(stream.encode(av.VideoFrame.from_ndarray(quarters(48, 64), format="rgb24")))
        container.mux(stream.encode(None))
    assert ClipSource(path).size == (128, 48)


def test_a_film_without_pictures(tmp_path: Path) -> None:
    path = tmp_path / "zero.mkv"
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with pytest.raises(SourceError) as caught:
        ClipSource(path)
    assert "zero.mkv" in caught.value.what and caught.value.fix


def test_a_film_cut_off_before_its_index(tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.mp4", grays(60)).read_bytes()
    assert whole.rfind(b"moov") > len(whole) // 2, "the index of this film is at its end"
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError) as caught:
        ClipSource(tmp_path / "cut.mp4")
    assert "cut.mp4" in caught.value.what and "copied again" in caught.value.fix


def noise_film(path: Path) -> bytes:
    """A film of 40 pictures of noise, in which every part of the file matters."""
    random = np.random.default_rng(1)
    pictures = [random.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(40)]
    return write_film(path, pictures, options={"movflags": "faststart"}).read_bytes()


def count(source: ClipSource) -> int:
    played = 0
    while source.read() is not None:
        played += 1
    return played


def test_a_film_cut_off_after_its_index_plays_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = noise_film(tmp_path / "whole.mp4")
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    source = ClipSource(tmp_path / "cut.mp4")
    assert 5 <= count(source) < 40
    source.close()


def test_a_damaged_film_plays_on(tmp_path: Path) -> None:
    data = bytearray(noise_film(tmp_path / "whole.mp4"))
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    (tmp_path / "damaged.mp4").write_bytes(data)
    source = ClipSource(tmp_path / "damaged.mp4")
    assert 20 <= count(source) <= 41
    source.close()


def test_a_beginning_of_nonsense_is_refused_in_bounded_time(tmp_path: Path) -> None:
    data = bytearray(noise_film(tmp_path / "whole.mp4"))
    start = data.find(b"mdat") + 4
    data[start:] = np.random.default_rng(3).integers(0, 255, len(data) - start, np.uint8).tobytes()
    (tmp_path / "nonsense.mp4").write_bytes(data)
    with pytest.raises(SourceError, match=r"nonsense\.mp4"):
        ClipSource(tmp_path / "nonsense.mp4")

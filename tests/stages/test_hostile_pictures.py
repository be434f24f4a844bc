"""Picture files as they really come: strange places, strange formats, strange shapes. The show goes on."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.core.channels import Latest
from engine.core.store import Store
from engine.model.references import crop_to_fill
from engine.stages.loras import lora_path
from engine.stages.pictures import Given, PictureStage, Shelf, picture_path
from engine.video.masks import mask_of
from engine.video.opencv import cv2
from engine.video.still import read_still
from tests.fakes import HEIGHT, WIDTH, FakeSession, flat


def noise(height: int, width: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def loop(path: Path) -> None:
    path.symlink_to(path)


def two_links(path: Path) -> None:
    other = path.with_name("other.png")
    other.symlink_to(path)
    path.symlink_to(other)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def into_nothing(path: Path) -> None:
    path.symlink_to(path.with_name("gone.png"))


STRANGE = [loop, two_links, into_nothing] + ([] if sys.platform == "win32" else [pipe, device])


@pytest.mark.parametrize("whole", [False, True], ids=["name", "path"])
@pytest.mark.parametrize("strange", STRANGE)
def test_a_strange_place_is_named_at_once_and_the_others_are_used(
    strange: Callable[[Path], None], whole: bool, folder: Path
) -> None:
    strange(folder / "bad.png")
    assert cv2.imwrite(str(folder / "good.png"), flat(90, 8, 8))
    named = str(folder / "bad.png") if whole else "bad.png"
    store, wishes, given = Store(), Latest[Any](), Latest[Given]()
    stage = PictureStage(store, wishes, given)
    store.set_many({"reference.1.file": "good.png", "extension.last": named, "mask.file": named}, "test")
    wishes.put(FakeSession(HEIGHT, WIDTH, 0.0, []))
    stage.tick()
    made = given.get(0)
    assert made is not None and len(made.references) == 1 and made.last is None and made.mask is None
    assert set(stage.notes) == {"extension.last", "mask.file"}
    # Of a link that leads nowhere it may be said where it leads.
    for note in stage.notes.values():
        assert ("bad.png" in note or "gone.png" in note) and "Fix: " in note
    stage.tick()  # and looking again finds nothing new
    assert given.get(0) is None


@pytest.mark.parametrize("path_of", [picture_path, lora_path])
def test_an_unknown_home_folder_is_a_name_like_any_other(
    path_of: Callable[[str], Path], folder: Path
) -> None:
    assert path_of("~nobody-of-that-name/a.png").name == "a.png"
    assert not path_of("~nobody-of-that-name/a.png").exists()
    assert path_of("~/a.png") == Path.home() / "a.png"


@pytest.fixture(params=["jpg", "png", "webp"])
def upright(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, np.ndarray[Any, Any]]:
    """A picture that was taken with the camera on its side, and how it is to be seen."""
    lying = np.full((40, 60, 3), 60, np.uint8)
    lying[:20, :30] = (250, 0, 0)
    pillow = pytest.importorskip("PIL.Image")
    exif = pillow.Exif()
    exif[0x112] = 6
    path = tmp_path / f"turned.{request.param}"
    pillow.fromarray(lying).save(path, exif=exif, quality=95)
    return path, np.rot90(lying, -1)


def test_a_picture_stands_as_its_camera_was_held(upright: tuple[Path, np.ndarray[Any, Any]]) -> None:
    path, wanted = upright
    made = read_still(path).image
    assert made.shape == wanted.shape == (60, 40, 3)
    assert np.abs(made.astype(int) - wanted).mean() < 4


def palette(path: Path) -> None:
    cut = np.zeros((40, 40, 4), np.uint8)
    cut[..., 0], cut[..., 3], cut[:20, :20, 3] = 250, 255, 0
    pytest.importorskip("PIL.Image").fromarray(cut).quantize(8).save(path)


def deep(path: Path) -> None:
    picture = np.full((40, 40, 3), 65535, np.uint16)
    picture[20:, 20:] = (0, 0, 64250)  # OpenCV's order: blue, green, red
    cv2.imwrite(str(path), picture)


def deep_and_clear(path: Path) -> None:
    picture = np.full((40, 40, 4), (0, 0, 64250, 0), np.uint16)
    picture[20:, 20:, 3] = 65535
    cv2.imwrite(str(path), picture)


@pytest.mark.parametrize("save", [palette, deep, deep_and_clear])
def test_every_kind_of_png_shows_its_colours_with_white_where_it_is_clear(
    save: Callable[[Path], None], tmp_path: Path
) -> None:
    save(tmp_path / "a.png")
    made = read_still(tmp_path / "a.png").image
    assert made.dtype == np.uint8 and made.shape == (40, 40, 3)
    assert made[5, 5].tolist() == [255, 255, 255] and made[30, 30].tolist() == [250, 0, 0]


def test_a_drawing_of_one_bit_is_a_mask(tmp_path: Path) -> None:
    half = np.zeros((HEIGHT, WIDTH), bool)
    half[:, : WIDTH // 2] = True
    assert cv2.imwrite(str(tmp_path / "bit.png"), half * np.uint8(255), [cv2.IMWRITE_PNG_BILEVEL, 1])
    mask = mask_of(read_still(tmp_path / "bit.png").image, HEIGHT, WIDTH)
    assert np.array_equal(mask > 127, half)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_an_animated_png_and_a_file_of_several_pages_show_their_first_picture(
    suffix: str, tmp_path: Path
) -> None:
    pillow = pytest.importorskip("PIL.Image")
    first, *others = (pillow.fromarray(noise(20, 30, seed)) for seed in range(3))
    path = tmp_path / f"a.{suffix}"
    first.save(path, save_all=True, append_images=others, **({"duration": 100} if suffix == "png" else {}))
    made = read_still(path)
    assert made.animated and np.array_equal(made.image, np.asarray(first))


@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1), (3, 20_000)])
def test_a_strip_of_20000_pixels_fills_the_picture_without_becoming_gigabytes(
    shape: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.model import references

    asked: list[int] = []
    resized = references._resized

    def counted(picture: Any, rows: int, columns: int, antialias: bool) -> Any:
        asked.append(rows * columns)
        return resized(picture, rows, columns, antialias)

    monkeypatch.setattr(references, "_resized", counted)
    assert cv2.imwrite(str(tmp_path / "strip.png"), noise(*shape))
    still = read_still(tmp_path / "strip.png").image
    assert max(still.shape) <= 1920
    filled = crop_to_fill(still, HEIGHT, WIDTH)
    assert filled.shape == (3, HEIGHT, WIDTH) and float(filled.std()) > 0
    assert max(asked) <= 10 * HEIGHT * WIDTH
    assert mask_of(still, HEIGHT, WIDTH).shape == (HEIGHT, WIDTH)


def test_the_middle_of_a_strip_is_what_fills() -> None:
    strip = np.zeros((4, 1000, 3), np.uint8)
    strip[:, 490:510] = 255
    assert (crop_to_fill(strip, 64, 96)[:, 20:40, 40:56] == 1).all()
    ordinary = noise(90, 120)
    rows = torch_rows(ordinary)
    assert np.allclose(crop_to_fill(ordinary, 64, 96).numpy(), rows, atol=1e-6)


def torch_rows(picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An ordinary picture filled into 64 x 96 by the plain way: all of it resized, then cropped."""
    import torch

    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255 * 2 - 1
    large = torch.nn.functional.interpolate(
        pixels, (72, 96), mode="bilinear", align_corners=False, antialias=True
    )
    return np.asarray(large[0, :, 4:68])


def test_a_folder_with_a_loop_in_it_still_gives_the_shelf_its_pictures(folder: Path) -> None:
    loop(folder / "loop")
    assert cv2.imwrite(str(folder / "a.png"), flat(7, 8, 8))
    store = Store()
    store.set_many({"reference.1.file": "loop/a.png", "reference.2.file": "a.png"}, "test")
    shelf = Shelf(FakeSession(HEIGHT, WIDTH, 0.0, []))  # type: ignore[arg-type]
    assert len(shelf.given(store.snapshot()).references) == 1
    assert set(shelf.errors) == {"reference.1.file"}

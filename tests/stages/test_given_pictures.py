"""Picture files beside the show: references, key frames, masks, and what is kept of the camera."""

import base64
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.chunk import ChunkInput
from engine.core.channels import Latest
from engine.core.errors import CuelightError
from engine.core.store import Store
from engine.stages.asked import with_pictures
from engine.stages.extension import Extension
from engine.stages.kept import Kept, paste
from engine.stages.pictures import Given, PictureStage, Shelf, keep_mask, picture_path
from engine.video.opencv import cv2
from engine.video.still import read_still
from tests.fakes import HEIGHT, WIDTH, FakeSession, flat


def save(path: Path, image: np.ndarray[Any, Any]) -> str:
    assert cv2.imwrite(str(path), image)
    return str(path)


def session() -> Any:
    return FakeSession(HEIGHT, WIDTH, 0.0, [])


def animation(path: Path) -> None:
    film = cv2.Animation()
    film.frames = [flat(level, 20, 30) for level in (10, 200, 30)]
    film.durations = [100, 100, 100]
    assert cv2.imwriteanimation(str(path), film)


# --- files --------------------------------------------------------------------------------------------------


def huge(path: Path) -> None:
    """A PNG whose header promises 20,000 x 20,000 pixels."""
    save(path, flat(1, 8, 8))
    data = bytearray(path.read_bytes())
    data[16:24] = (20_000).to_bytes(4, "big") * 2
    path.write_bytes(bytes(data))


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("this is not a picture")


def cut_short(path: Path) -> None:
    save(path, np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:40])


@pytest.mark.parametrize("spoil", [huge, nothing, text, cut_short, lambda path: None, Path.mkdir])
def test_a_hostile_file_is_named_and_the_others_are_used(spoil: Callable[[Path], None], folder: Path) -> None:
    spoil(folder / "bad.png")
    save(folder / "good.png", flat(90))
    store, wishes, given = Store(), Latest[Any](), Latest[Given]()
    stage = PictureStage(store, wishes, given)
    store.set_many(
        {"reference.1.file": "bad.png", "reference.2.file": "good.png", "mask.file": "bad.png"}, "test"
    )
    wishes.put(session())
    stage.tick()
    made = given.get(0)
    assert made is not None and [one.level for one in made.references] == [90]  # type: ignore[attr-defined]
    assert made.mask is None
    assert set(stage.notes) == {"reference.1.file", "mask.file"}
    assert "bad.png" in stage.notes["reference.1.file"] and "Fix: " in stage.notes["reference.1.file"]


def test_a_picture_that_was_mended_is_read_at_the_next_change(folder: Path) -> None:
    text(folder / "a.png")
    store = Store()
    shelf = Shelf(session())
    store.set("reference.1.file", "a.png", "test")
    assert shelf.given(store.snapshot()).references == () and shelf.errors
    save(folder / "a.png", flat(7))
    assert len(shelf.given(store.snapshot()).references) == 1 and not shelf.errors


def test_each_picture_is_read_and_encoded_once(folder: Path) -> None:
    path = Path(save(folder / "a.png", flat(7)))
    store = Store()
    shelf = Shelf(session())
    store.set_many({"reference.1.file": "a.png", "reference.3.file": "a.png"}, "test")
    first = shelf.given(store.snapshot()).references
    path.unlink()
    store.set("extension.chunks", 3, "test")
    assert shelf.given(store.snapshot()).references == first and first[0] is first[1]
    store.set("reference.fit", "crop", "test")
    assert [one.fit for one in shelf.given(store.snapshot()).references] == ["crop", "crop"]  # type: ignore[attr-defined]


def test_a_picture_that_was_written_anew_is_read_anew_without_being_asked(folder: Path) -> None:
    """Somebody paints in another program while the show runs."""
    path = folder / "a.png"
    save(path, flat(7))
    store, wishes, given = Store(), Latest[Any](), Latest[Given]()
    stage = PictureStage(store, wishes, given)
    store.set_many({"reference.1.file": "a.png", "mask.file": "a.png"}, "test")
    wishes.put(session())
    stage.tick()
    first = given.get(0)
    stage.tick()
    assert given.get(0) is None, "nothing was written"
    save(path, flat(200))
    os.utime(path, ns=(1, 1))
    stage.tick()
    made = given.get(0)
    assert first is not None and first.mask is not None and not first.mask.any()
    assert made is not None and made.mask is not None and (made.mask == 255).all()
    assert [one.level for one in made.references] == [200]  # type: ignore[attr-defined]
    path.write_bytes(path.read_bytes()[:30])
    stage.tick()
    half = given.get(0)
    assert half is not None and half.mask is not None and half.mask.all(), "half of a file replaces nothing"
    assert "a.png" in stage.notes["mask.file"]


def test_a_drawn_mask_is_a_file_called_after_what_it_holds(folder: Path) -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[:, :15] = 255
    name = keep_mask(mask)
    assert keep_mask(mask) == name != keep_mask(255 - mask)
    assert (read_still(picture_path(name)).image[..., 0] == mask).all()
    assert picture_path(name).parent == (folder / "masks").resolve()
    assert len(list((folder / "masks").iterdir())) == 2


@pytest.mark.parametrize("name", ["../secret.png", "a/../../b.png", "../../../../etc/passwd"])
def test_a_name_does_not_lead_out_of_the_folder(name: str, folder: Path) -> None:
    with pytest.raises(CuelightError, match="outside"):
        picture_path(name)
    assert picture_path("ink.png") == folder.resolve() / "ink.png"
    assert picture_path(str(folder / "ink.png")) == folder / "ink.png"


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    image = np.zeros((4, 6, 4), np.uint8)
    image[..., 2] = 255  # red, as OpenCV writes it
    image[:, :3, 3] = 255
    image[:, 3, 3] = 128
    made = read_still(Path(save(tmp_path / "cut.png", image))).image
    assert (made[:, :3] == (255, 0, 0)).all() and (made[:, 4:] == 255).all()
    assert made[0, 3].tolist() == [255, 127, 127]
    deep = read_still(Path(save(tmp_path / "deep.png", image.astype(np.uint16) * 257))).image
    assert np.array_equal(deep[:, [0, 1, 2, 4, 5]], made[:, [0, 1, 2, 4, 5]])
    gray = read_still(Path(save(tmp_path / "gray.png", image[..., 2]))).image
    assert gray.shape == (4, 6, 3) and (gray == 255).all()


CMYK_RED = (
    "eNr7f+P/OwY+x5T8pFSGFAYQ+H+bwZlBgJuHj4dLgI+XT0hQQFhCQ0pCTEzCUFlVVsPK2NbG0tjC3MEjxs/BJdzV3CIgNzA8Pi"
    "k9I93Ot7CyIKUiJjU9+f8BBhEOBiBkcRZk8BVkiBRk8BZk+H+EQYSBkQEVsINEBdBFGf7fYuBjcWbwZYhk8GZgsGdwkO8/wf//"
    "JgDSsyTA"
)
"""An 8 x 8 JPEG of four inks, all of it magenta and yellow: deflated, in base 64."""


def test_the_colours_of_a_cmyk_picture_are_right(tmp_path: Path) -> None:
    path = tmp_path / "cmyk.jpg"
    path.write_bytes(zlib.decompress(base64.b64decode(CMYK_RED)))
    made = read_still(path).image
    assert made.shape == (8, 8, 3)
    red, green, blue = made.reshape(-1, 3).mean(axis=0)
    assert red > 240 and green < 15 and blue < 15


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_of_an_animation_the_first_picture_is_used_and_that_is_said(suffix: str, folder: Path) -> None:
    animation(folder / f"a.{suffix}")
    still = read_still(folder / f"a.{suffix}")
    assert still.animated and abs(int(still.image.mean()) - 10) < 12
    store = Store()
    store.set("reference.1.file", f"a.{suffix}", "test")
    shelf = Shelf(session())
    assert len(shelf.given(store.snapshot()).references) == 1
    assert "its first picture is used" in shelf.remarks["reference.1.file"]


# --- masks --------------------------------------------------------------------------------------------------


def chunk() -> ChunkInput:
    video = np.stack([flat(level, 8, 8) for level in (10, 20)])
    return ChunkInput(np.full((2, 8, 8, 3), 77, np.uint8), None, "gray", video)


def given() -> Given:
    return Given(session())


def test_a_mask_picture_is_fitted_and_made_black_and_white(folder: Path) -> None:
    wide = np.full((30, 300), 90, np.uint8)
    wide[:, 150:] = 200
    save(folder / "m.png", wide)
    store = Store()
    store.set("mask.file", "m.png", "test")
    mask = Shelf(session()).given(store.snapshot()).mask
    assert mask is not None and mask.shape == (HEIGHT, WIDTH)
    assert set(np.unique(mask)) == {0, 255}


def test_a_mask_that_was_asked_for_and_is_missing_is_known() -> None:
    store = Store()
    assert not with_pictures(chunk(), given(), Extension(), store.snapshot()).wanted_mask
    store.set("mask.file", "gone.png", "test")
    assert with_pictures(chunk(), given(), Extension(), store.snapshot()).wanted_mask
    store.set("mask.inpaint", False, "test")
    assert not with_pictures(chunk(), given(), Extension(), store.snapshot()).wanted_mask


# --- key frames ---------------------------------------------------------------------------------------------


def test_key_frames_are_ramped_over_their_chunks_and_then_over() -> None:
    extension = Extension()
    assert [extension.turn("a", 3) for _ in range(4)] == [
        (1.0, pytest.approx(1 / 3)), (pytest.approx(2 / 3), pytest.approx(2 / 3)),
        (pytest.approx(1 / 3), 1.0), (0.0, 0.0),
    ]  # fmt: skip
    assert extension.turn("b", 1) == (1.0, 1.0), "others have a turn of their own"
    assert extension.turn("b", 1) == (0.0, 0.0)


def test_key_frames_that_are_over_stay_over_when_more_chunks_are_asked_for() -> None:
    extension = Extension()
    assert extension.turn("a", 1) == (1.0, 1.0)
    assert [extension.turn("a", chunks) for chunks in (4, 8)] == [(0.0, 0.0), (0.0, 0.0)]
    assert extension.turn("b", 4) == (1.0, 0.25), "others begin"
    assert extension.turn("b", 2)[1] == 1.0, "fewer chunks while they play: it is reached sooner"
    assert extension.turn("b", 4) == (0.0, 0.0)


def test_a_key_frame_has_its_turn_again_when_it_is_put_up_again(folder: Path) -> None:
    save(folder / "a.png", flat(7))
    store, extension = Store(), Extension()
    shelf = Shelf(session())
    turns = []
    for name in ("a.png", None, "", "a.png"):
        if name is not None:
            store.set("extension.last", name, "test")
        made = with_pictures(chunk(), shelf.given(store.snapshot()), extension, store.snapshot())
        turns.append(made.last is not None)
        assert made.first is None
    assert turns == [True, False, False, True]


# --- what is kept -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("feather", [0.0, 0.1, 0.25])
def test_kept_pixels_are_exactly_the_cameras(feather: float) -> None:
    source = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    generated = np.full((40, 40, 3), 200, np.uint8)
    mask = np.zeros((40, 40), np.uint8)
    mask[:, :20] = 255
    shown = paste(generated, source, mask, feather)
    assert np.array_equal(shown[:, 20:], source[:, 20:])
    reach = round(feather * 40)
    assert (shown[:, : 19 - reach] == 200).all(), "deep inside all is generated"
    if reach:
        soft = paste(generated, np.zeros_like(source), mask, feather)[20, 19 - reach : 21, 0]
        assert (np.diff(soft.astype(int)) < 0).all(), "and little by little less towards the border"


def test_masks_that_keep_all_or_nothing() -> None:
    source, generated = flat(10, 8, 8), flat(200, 8, 8)
    assert paste(generated, source, np.full((8, 8), 255, np.uint8), 0.1) is generated
    assert np.array_equal(paste(generated, source, np.zeros((8, 8), np.uint8), 0.1), source)


def test_each_generated_picture_lies_over_its_own_input() -> None:
    """A stream's first chunk shows fewer pictures than it takes; nothing may shift by that."""
    kept = Kept()
    black = np.zeros((12, 8, 8), np.uint8)
    inputs = [flat(level, 8, 8) for level in range(36)]
    shown: list[int] = []
    for number, count in enumerate((9, 12, 12)):
        kept.take(inputs[12 * number : 12 * number + 12], black)
        made = kept.shown(np.full((count, 8, 8, 3), 250, np.uint8), 0.0)
        shown += [int(picture.mean()) for picture in made]
    assert shown == list(range(33))


def test_the_raw_picture_is_one_switch_away_and_loses_no_step() -> None:
    kept = Kept()
    black = np.zeros((2, 8, 8), np.uint8)
    generated = np.full((2, 8, 8, 3), 250, np.uint8)
    kept.take([flat(1, 8, 8), flat(2, 8, 8)], black)
    assert kept.shown(generated, None) is generated
    kept.take([flat(3, 8, 8), flat(4, 8, 8)], black)
    assert [int(picture.mean()) for picture in kept.shown(generated, 0.0)] == [3, 4]
    kept.take([flat(5, 8, 8), flat(6, 8, 8)], None)
    assert kept.shown(generated, 0.0) is generated, "without a mask nothing is kept"
    kept.take([flat(7, 8, 8)], black)
    kept.forget()
    assert kept.shown(generated, 0.0) is generated

"""Depth: the relief of a person, the downloaded network, and levels that do not pump."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from engine.core.errors import AnnotatorError
from engine.core.paths import models_dir
from engine.core.types import Image
from engine.model import registry
from engine.video.depth import Depth, Levels
from engine.video.depth_network import FILES, DepthNetwork, find_network
from engine.video.relief import PERSON, relief
from tests.video.films import photo
from tests.video.onnx_file import depth_onnx

RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture(scope="module")
def person_depth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Depth]:
    depth = Depth(tmp_path_factory.mktemp("no models"))
    yield depth
    depth.close()


def disk(radius: float, height: int = 128, width: int = 224) -> np.ndarray:
    ys, xs = np.mgrid[0:height, 0:width]
    away = np.hypot(ys - height / 2 + 0.5, xs - width / 2 + 0.5)
    return np.clip(radius - away + 0.5, 0, 1).astype(np.float32)


def gray_picture(height: int = 128, width: int = 224) -> Image:
    return np.full((height, width, 3), 120, np.uint8)


# --- the relief --------------------------------------------------------------------------------------------


def test_a_disk_becomes_a_ball_before_a_room_that_rises_from_far_to_near() -> None:
    near = relief(gray_picture(), disk(40), 0.5)
    assert near.dtype == np.float32 and near.min() >= 0 and near.max() <= 1
    row = near[64, 72:152]  # from rim to rim
    assert row[[0, -1]] == pytest.approx([PERSON, PERSON], abs=0.15)
    assert near[64, 112] > 0.8, "its middle is near"
    assert (np.diff(row[2:40]) > -0.01).all() and (np.diff(row[40:-2]) < 0.01).all(), "round, no spikes"
    assert np.abs(np.diff(row[3:-3])).max() < 0.08
    assert (near[:20, 0] < 0.06).all() and near[-1, 0] == pytest.approx(0.3, abs=0.01)
    assert (np.diff(near[:, 0]) >= 0).all()


def test_the_persons_rim_is_a_step() -> None:
    near = relief(gray_picture(), disk(40), 0.0)
    assert near[64, 74] - near[64, 69] > 0.25


def test_a_chest_does_not_tower_over_the_head() -> None:
    sure = np.maximum(disk(18), 0)
    sure = np.roll(sure, -35, axis=0)
    sure[50:, 40:184] = 1
    near = relief(gray_picture(), sure, 0.0)
    head, chest = float(near[28, 112]), float(near[100, 112])
    assert head > 0.6
    assert chest - head < 0.3


def test_where_the_border_cuts_the_person_the_body_goes_on() -> None:
    sure = np.zeros((128, 224), np.float32)
    sure[64:, 60:164] = 1
    near = relief(gray_picture(), sure, 0.0)
    assert near[127, 112] > near[70, 112]


def test_shading_is_read_inside_the_person_only_and_on_demand() -> None:
    image = gray_picture()
    image[55:61, 95:103] = 20  # an eye
    image[10:20, 10:20] = 255  # a lamp on the wall
    flat, shaded = relief(image, disk(40), 0.0), relief(image, disk(40), 1.0)
    assert flat[58, 99] - shaded[58, 99] > 0.02, "a dark eye is hollow"
    outside = disk(44) == 0
    assert (flat[outside] == shaded[outside]).all()
    assert np.abs(flat - shaded).max() < 0.12, "a detail, never the shape"


def test_specks_are_no_person_and_nobody_is_the_room_alone() -> None:
    sure = disk(40)
    sure[5:8, 5:8] = 1
    near = relief(gray_picture(), sure, 0.5)
    assert near[6, 6] < 0.1
    empty = relief(gray_picture(), np.zeros((128, 224), np.float32), 0.5)
    assert empty.max() == pytest.approx(0.3)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 200), (37, 53), (368, 640)])
def test_any_size_works(size: tuple[int, int]) -> None:
    near = relief(np.full((*size, 3), 90, np.uint8), np.ones(size, np.float32), 1.0)
    assert near.shape == size and np.isfinite(near).all()


# --- the annotator without a network -----------------------------------------------------------------------


def test_a_photograph_becomes_head_and_shoulders_near_before_a_far_wall(person_depth: Depth) -> None:
    image = photo()
    for _ in range(3):
        result = person_depth.annotate(image, 0.5, 1.0, False)
    assert result.found and result.mask is None and result.control is not None
    assert (result.control[..., 0] == result.control[..., 1]).all()
    assert (result.control[..., 0] == result.control[..., 2]).all()
    near = result.control[..., 0].astype(int)
    assert near[200, 110] > 180, "the chest"
    assert near[60, 110] > 150, "the face"
    assert near[60, 250] < 60, "the wall"


def test_it_says_that_it_is_no_measured_depth_and_how_to_get_one(person_depth: Depth) -> None:
    note = person_depth.annotate(photo(), 0.5, 1.0, False).note
    what, _, fix = note.partition("  Fix: ")
    assert "not a measured depth" in what
    assert fix == "download it with: cuelight models get depth"


def test_nobody_is_said_and_the_show_goes_on(person_depth: Depth) -> None:
    for _ in range(4):
        result = person_depth.annotate(gray_picture(), 0.5, 1.0, False)
    assert not result.found and result.note == "no person seen"
    assert result.control is not None and result.control.max() < 90


def test_gain_flattens_to_mid_gray(person_depth: Depth) -> None:
    control = person_depth.annotate(photo(), 0.5, 0.0, False).control
    assert control is not None and (control == 128).all()


def test_it_wants_a_picture(person_depth: Depth) -> None:
    with pytest.raises(AnnotatorError, match="depth"):
        person_depth.annotate(np.zeros((8, 8), np.uint8), 0.5, 1.0, False)


# --- the network -------------------------------------------------------------------------------------------


def half_red(height: int = 90, width: int = 160) -> Image:
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width // 2 :, 0] = 255
    return image


def test_a_downloaded_network_is_used(models: Path) -> None:
    depth_onnx(models / FILES[0], RED)
    depth = Depth(models)
    result = depth.annotate(half_red(), 0.5, 1.0, False)
    depth.close()
    assert result.found and result.note == ""
    assert result.control is not None and result.control.shape == (90, 160, 3)
    assert (result.control[:, 90:] > 245).all(), "red is near for this network, and near is white"
    assert (result.control[:, :70] < 10).all()


def test_the_network_reads_colours_as_it_was_trained_to(models: Path) -> None:
    """RGB order, ImageNet's mean and deviation; the answer has the picture's size."""
    white = np.full((40, 70, 3), 255, np.uint8)
    for weights, mean, deviation in (
        (RED, 0.485, 0.229), (GREEN, 0.456, 0.224), (BLUE, 0.406, 0.225),
    ):  # fmt: skip
        found = DepthNetwork(depth_onnx(models / "n.onnx", weights)).find(white)
        assert found.shape == (40, 70)
        assert found.mean() == pytest.approx((1 - mean) / deviation, rel=1e-4)


def test_pictures_of_odd_sizes_reach_the_network_in_whole_patches(models: Path) -> None:
    network = DepthNetwork(depth_onnx(models / "n.onnx", GREEN))
    for size in ((1, 1), (3, 900), (37, 53), (368, 640)):
        assert network.find(np.full((*size, 3), 7, np.uint8)).shape == size


class FixedSession:
    """What onnxruntime offers, for a network that takes one size only."""

    def __init__(self, path: str, providers: list[str]) -> None:
        if b"Conv" not in Path(path).read_bytes():
            raise RuntimeError("InvalidProtobuf: parsing failed\nmore lines")
        self.providers = providers

    def get_inputs(self) -> list[object]:
        class Input:
            name = "pixel_values"

        return [Input()]

    def run(self, _outputs: None, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        colours = feed["pixel_values"]
        if colours.shape != (1, 3, 518, 518):
            raise ValueError("INVALID_ARGUMENT: got invalid dimensions")
        return [colours[:, 0]]


@pytest.fixture
def onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    library = ModuleType("onnxruntime")
    library.InferenceSession = FixedSession  # type: ignore[attr-defined]
    library.get_available_providers = lambda: ["CPUExecutionProvider"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "onnxruntime", library)


@pytest.mark.usefixtures("onnxruntime")
def test_onnxruntime_runs_it_where_installed_also_a_copy_of_one_size(models: Path) -> None:
    found = DepthNetwork(depth_onnx(models / "n.onnx", RED)).find(half_red())
    assert found.shape == (90, 160)
    assert found[45, 120] > found[45, 40]


def test_the_network_sees_a_picture_at_about_its_own_size(
    models: Path, onnxruntime: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, ...]] = []

    def run(_session: FixedSession, _outputs: None, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        shapes.append(feed["pixel_values"].shape)
        return [feed["pixel_values"][:, 0]]

    monkeypatch.setattr(FixedSession, "run", run)
    network = DepthNetwork(depth_onnx(models / "n.onnx", RED))
    for size in ((128, 224), (368, 640), (640, 368), (2000, 3000), (1, 900)):
        network.find(np.zeros((*size, 3), np.uint8))
    assert shapes[1:] == [
        (1, 3, 126, 224), (1, 3, 252, 434), (1, 3, 434, 252), (1, 3, 252, 378), (1, 3, 126, 504),
    ]  # fmt: skip


@pytest.mark.usefixtures("onnxruntime")
def test_what_onnxruntime_cannot_read_is_named(models: Path) -> None:
    models.mkdir()
    (models / "n.onnx").write_bytes(b"no network at all")
    with pytest.raises(AnnotatorError, match=r"n\.onnx cannot be used.*parsing failed\)") as caught:
        DepthNetwork(models / "n.onnx")
    assert "cuelight models get depth" in caught.value.fix


@pytest.mark.parametrize("damage", ["garbage", "cut", "not finite"])
def test_a_broken_file_is_named_and_the_relief_takes_its_place(models: Path, damage: str) -> None:
    path = depth_onnx(models / FILES[0], RED if damage != "not finite" else (float("inf"), 0.0, 0.0))
    if damage == "garbage":
        path.write_bytes(b"\x08\x08<html>404</html>" * 50)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:150])
    depth = Depth(models)
    result = depth.annotate(photo(), 0.5, 1.0, False)
    depth.close()
    assert result.control is not None and result.found
    assert "a relief of the person" in result.note
    assert "model.onnx cannot be used as a depth network" in result.note
    assert "cuelight models get depth" in result.note and "\n" not in result.note


def test_the_file_is_looked_for_where_the_table_of_models_puts_it(models: Path) -> None:
    rows = registry.load()
    (row,) = rows.files_of("depth").values()
    assert row.local(models) == models / FILES[0]
    assert find_network(models) is None
    row.local(models).parent.mkdir(parents=True)
    row.local(models).touch()
    assert find_network(models) is None, "an empty file is no network"
    row.local(models).write_bytes(b"x")
    assert find_network(models) == row.local(models)


def test_by_default_it_is_looked_for_in_the_users_folder(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUELIGHT_MODELS", str(models))
    depth_onnx(models_dir() / FILES[0], RED)
    depth = Depth()
    assert depth.annotate(half_red(), 0.5, 1.0, False).note == ""


# --- levels ------------------------------------------------------------------------------------------------


def ramp(low: float, high: float) -> np.ndarray:
    return np.tile(np.linspace(low, high, 101, dtype=np.float32), (50, 1))


def test_levels_spread_the_first_picture_from_far_to_near() -> None:
    spread = Levels().spread(ramp(-3, 12))
    assert spread[0, 0] == 0 and spread[0, -1] == 1
    assert spread[0, 50] == pytest.approx(0.5, abs=0.01)


def test_a_hand_before_the_lens_does_not_darken_the_room_at_once() -> None:
    levels = Levels()
    for _ in range(5):
        before = levels.spread(ramp(0, 10))[:, :40]
    with_hand = ramp(0, 10)
    with_hand[:, 80:] = 15
    after = levels.spread(with_hand)[:, :40]
    assert np.abs(after - before).max() < 0.02
    assert np.abs(Levels().spread(with_hand)[:, :40] - before).max() > 0.1, "each picture alone would pump"
    for _ in range(100):
        after = levels.spread(with_hand)[:, :40]
    assert np.abs(after - before).max() > 0.1, "in time the levels follow"


def test_noise_on_a_wall_is_not_blown_up() -> None:
    wall = (100 + np.random.default_rng(1).normal(0, 1e-3, (60, 60))).astype(np.float32)
    assert Levels().spread(wall).std() < 0.05


def test_another_scene_has_its_levels_at_once() -> None:
    levels = Levels()
    levels.spread(ramp(0, 1))
    assert levels.spread(ramp(50, 90))[0, 50] == pytest.approx(0.5, abs=0.01)

"""Pose and segmentation: the networks in mediapipe on a photograph and the demo clip, and VACE's colours."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from engine.core.errors import AnnotatorError
from engine.core.skeleton import COLORS, LIMBS
from engine.core.types import Image
from engine.video.annotators import Annotator, make_annotator
from engine.video.fit import fit_crop
from engine.video.opencv import cv2
from engine.video.people import Body, _without_noise
from engine.video.pose import FACE_POINTS, NECK, draw_skeleton, openpose_points
from engine.video.sources import open_source
from tests.video.films import photo


@pytest.fixture(scope="module")
def dancer() -> list[Image]:
    """Nine pictures over the demo clip at the engine's size."""
    source = open_source("demo")
    pictures = []
    for index in range(270):
        image = source.read()
        assert image is not None
        if index % 30 == 0:
            pictures.append(fit_crop(image, 128, 224))
    source.close()
    return pictures


@pytest.fixture
def pose() -> Iterator[Annotator]:
    annotator = make_annotator("pose")
    yield annotator
    annotator.close()


@pytest.fixture
def segmentation() -> Iterator[Annotator]:
    annotator = make_annotator("segmentation")
    yield annotator
    annotator.close()


STANDING = {
    0: (0.50, 0.10), 1: (0.50, 0.25), 2: (0.40, 0.25), 3: (0.30, 0.35), 4: (0.20, 0.45), 5: (0.60, 0.25),
    6: (0.70, 0.35), 7: (0.80, 0.45), 8: (0.45, 0.50), 9: (0.40, 0.70), 10: (0.35, 0.90), 11: (0.55, 0.50),
    12: (0.60, 0.70), 13: (0.65, 0.90), 14: (0.48, 0.08), 15: (0.52, 0.08), 16: (0.45, 0.10),
    17: (0.55, 0.10),
}  # fmt: skip
# The limbs of OpenPose, named, with their usual (ControlNet) colours: VACE's have red and blue swapped.
CONTROLNET = {
    (1, 2): (255, 0, 0),  # neck to right shoulder
    (1, 5): (255, 85, 0),  # neck to left shoulder
    (2, 3): (255, 170, 0),
    (3, 4): (255, 255, 0),
    (5, 6): (170, 255, 0),
    (6, 7): (85, 255, 0),
    (1, 8): (0, 255, 0),
    (8, 9): (0, 255, 85),
    (9, 10): (0, 255, 170),
    (1, 11): (0, 255, 255),
    (11, 12): (0, 170, 255),
    (12, 13): (0, 85, 255),
    (1, 0): (0, 0, 255),  # neck to nose
    (0, 14): (85, 0, 255),
    (14, 16): (170, 0, 255),
    (0, 15): (255, 0, 255),
    (15, 17): (255, 0, 170),
}


def standing(height: int, width: int) -> np.ndarray:
    return np.array([STANDING[index] for index in range(18)], np.float32) * np.array(
        [width, height], np.float32
    )


def test_limbs_have_vace_colours_red_and_blue_swapped() -> None:
    assert dict(zip(LIMBS, COLORS, strict=False)) == {limb: rgb[::-1] for limb, rgb in CONTROLNET.items()}
    assert COLORS[0] == (0, 0, 255), "neck to right shoulder is blue in VACE's pictures"


def test_limbs_are_drawn_at_sixty_percent_and_joints_at_full() -> None:
    seen = np.ones(18, bool)
    points = standing(1024, 1024)
    canvas = draw_skeleton(points, seen, 1024, 1024)
    for (a, b), color in list(zip(LIMBS, COLORS, strict=False))[:12]:
        x, y = np.round((points[a] + points[b]) / 2).astype(int)
        assert np.abs(canvas[y, x].astype(int) - np.array(color) * 0.6).max() <= 2, (a, b)
    for index in (4, 7, 10, 13):  # wrists and ankles
        x, y = np.round(points[index]).astype(int)
        assert tuple(canvas[y, x].tolist()) == COLORS[index]


def test_thickness_follows_the_size_and_never_vanishes() -> None:
    """VACE draws at 1024 with limbs 8 pixels wide; at the engine's 128 they keep 2.5 pixels."""
    only = np.zeros(18, bool)
    only[[3, 4]] = True
    points = np.zeros((18, 2), np.float32)

    def width_of(height: int) -> float:
        points[3], points[4] = (height / 2, height * 0.1), (height / 2, height * 0.9)
        row = draw_skeleton(points, only, height, height)[height // 2].max(axis=1).astype(float)
        return float(row.sum() / row.max())

    assert width_of(1024) == pytest.approx(8.5, abs=1)
    assert width_of(2048) == pytest.approx(16.5, abs=1.5)
    assert width_of(128) == pytest.approx(2.5, abs=0.8)


def test_unseen_points_and_their_limbs_are_left_out() -> None:
    seen = np.ones(18, bool)
    seen[4] = False
    with_hand = draw_skeleton(standing(256, 256), np.ones(18, bool), 256, 256)
    without = draw_skeleton(standing(256, 256), seen, 256, 256)
    x, y = (standing(256, 256)[3:5].mean(axis=0)).astype(int)
    assert with_hand[y, x].any()
    assert not without[y, x].any()
    assert not draw_skeleton(standing(256, 256), np.zeros(18, bool), 256, 256).any()


def test_the_face_is_68_white_points_of_some_size() -> None:
    """As VACE's annotator draws it: radius 3 where the short side is 1024, over the limbs."""
    assert len(set(FACE_POINTS)) == len(FACE_POINTS) == 68
    face = np.full((468, 2), 500, np.float32)
    for place, index in enumerate(dict.fromkeys(FACE_POINTS)):
        face[index] = (100 + 20 * (place % 10), 200 + 20 * (place // 10))
    nobody = np.zeros(18, bool)
    canvas = draw_skeleton(standing(1024, 1024), nobody, 1024, 1024, face)
    assert (canvas[face[162].astype(int)[1], face[162].astype(int)[0]] == 255).all()
    assert set(np.unique(canvas)) == {0, 255}
    dots = cv2.connectedComponents(canvas[..., 0])[0] - 1
    assert dots == 68
    assert np.count_nonzero(canvas[..., 0]) / dots == pytest.approx(np.pi * 3.3**2, rel=0.2)
    tiny = draw_skeleton(standing(128, 224), nobody, 128, 224, face / 100)
    assert not tiny.any(), "the points of a far face would run together"


def test_much_detail_adds_the_face_to_the_skeleton(pose: Annotator) -> None:
    image = photo()
    plain = pose.annotate(image, 0.5, 1.0, False).control
    with_face = pose.annotate(image, 1.0, 1.0, False).control
    assert plain is not None and with_face is not None
    white = (with_face.min(axis=2) > 180) & (plain.min(axis=2) < 100)
    ys, xs = np.nonzero(white)
    assert len(ys) > 30, "white points"
    assert xs.min() > 60 and xs.max() < 160 and ys.min() > 20 and ys.max() < 110, "on her face"


def test_points_far_outside_do_no_harm() -> None:
    points = np.full((18, 2), 1e9, np.float32)
    points[::2] = -1e9
    assert draw_skeleton(points, np.ones(18, bool), 128, 224).shape == (128, 224, 3)


def test_the_neck_is_between_the_shoulders() -> None:
    points, visibility = np.zeros((33, 2), np.float32), np.ones(33, np.float32)
    points[11], points[12] = (0.6, 0.4), (0.2, 0.2)
    found, seen = openpose_points(Body(points, visibility))
    assert found[NECK].tolist() == pytest.approx([0.4, 0.3])
    assert seen[NECK]
    visibility[12] = 0.0
    assert not openpose_points(Body(points, visibility))[1][NECK]


def test_pose_finds_the_person_on_a_photograph(pose: Annotator) -> None:
    image = photo()
    result = pose.annotate(image, 0.5, 1.0, False)
    assert result.found and not result.note
    assert result.mask is None
    assert result.control is not None and result.control.shape == image.shape
    drawn = result.control.max(axis=2) > 60
    assert drawn[40:70, 90:130].any(), "on her face"
    assert drawn[110:140, 45:165].any(), "along her shoulders"
    assert not drawn[:, 205:].any() and not drawn[:20].any(), "and not on the wall"
    assert (pose.annotate(image, 0.5, 0.0, False).control == 0).all()


def test_pose_finds_the_dancer_of_the_demo_clip(pose: Annotator, dancer: list[Image]) -> None:
    results = [pose.annotate(image, 0.5, 1.0, False) for image in dancer]
    assert all(result.found for result in results)
    for result in results:
        assert result.control is not None
        ys, _ = np.nonzero(result.control.max(axis=2) > 60)
        assert ys.max() - ys.min() > 70, "from head to foot"


def test_pose_says_when_nobody_is_there(pose: Annotator) -> None:
    result = pose.annotate(np.full((128, 224, 3), 90, np.uint8), 0.5, 1.0, False)
    assert not result.found
    assert result.note == "no person seen"
    assert result.control is not None and not result.control.any()


def test_segmentation_masks_the_person(segmentation: Annotator) -> None:
    image = photo()
    for _ in range(3):
        result = segmentation.annotate(image, 0.5, 1.0, False)
    assert result.found
    assert result.mask is not None and result.control is not None
    assert set(np.unique(result.mask)) == {0, 255}
    assert result.mask[200, 110] == 255, "the chest"
    assert result.mask[60, 250] == 0, "the wall behind"
    assert (result.control[result.mask == 255] == 128).all()
    assert (result.control[result.mask == 0] == image[result.mask == 0]).all(), "kept pixels are untouched"


def test_inverted_the_background_is_generated(segmentation: Annotator) -> None:
    image = photo()
    for _ in range(3):
        plain = segmentation.annotate(image, 0.5, 1.0, False)
    turned = segmentation.annotate(image, 0.5, 1.0, True)
    assert plain.mask is not None and turned.mask is not None
    assert turned.mask[60, 250] == 255 and turned.mask[200, 110] == 0
    # Together they cover everything: both are a little wider than their side.
    assert ((plain.mask == 255) | (turned.mask == 255)).all()


def test_segmentation_finds_the_dancer_of_the_demo_clip(segmentation: Annotator, dancer: list[Image]) -> None:
    for image in dancer:
        result = segmentation.annotate(image, 0.5, 1.0, False)
        assert result.found
        assert result.mask is not None
        assert 0.02 < (result.mask == 255).mean() < 0.35


def test_segmentation_says_when_nobody_is_there(segmentation: Annotator) -> None:
    result = segmentation.annotate(np.full((128, 224, 3), 90, np.uint8), 0.5, 1.0, False)
    assert not result.found
    assert result.note == "no person seen"


@pytest.mark.parametrize("name", ["pose", "segmentation"])
def test_bad_pictures_are_refused_and_odd_sizes_work(name: str) -> None:
    annotator = make_annotator(name)
    with pytest.raises(AnnotatorError, match="RGB"):
        annotator.annotate(np.zeros((64, 64), np.uint8), 0.5, 1.0, False)
    for size in ((1, 1), (3, 200), (37, 53)):
        control = annotator.annotate(np.full((*size, 3), 40, np.uint8), 0.5, 1.0, False).control
        assert control is not None and control.shape == (*size, 3)
    annotator.close()
    annotator.close()


def test_the_same_pictures_give_the_same_bytes(dancer: list[Image]) -> None:
    def run(name: str) -> list[bytes]:
        annotator = make_annotator(name)
        drawn = [annotator.annotate(image, 0.5, 1.0, False).control for image in dancer[:3]]
        annotator.close()
        return [control.tobytes() for control in drawn if control is not None]

    for name in ("pose", "segmentation"):
        assert run(name) == run(name)


def test_the_networks_start_without_a_word_and_without_warnings() -> None:
    code = (
        "import numpy as np\n"
        "from engine.video.annotators import make_annotator\n"
        "from tests.video.films import photo\n"
        "for name in ('pose', 'segmentation'):\n"
        "    annotator = make_annotator(name)\n"
        "    assert annotator.annotate(photo(), 0.5, 1.0, False).found\n"
        "    annotator.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and done.stderr == ""


def test_only_the_noise_is_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with _without_noise():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nsomething real\n")
    assert capfd.readouterr().err == "something real\n"


def test_two_threads_that_load_at_once_leave_stderr_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    inside, may_end = threading.Event(), threading.Event()

    def first() -> None:
        with _without_noise():
            inside.set()
            assert may_end.wait(30)

    def second() -> None:
        with _without_noise():
            os.write(2, b"from the second\n")

    one, two = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    assert inside.wait(30)
    two.start()
    two.join(0.2)  # time to come in between, were it let in
    may_end.set()
    one.join()
    two.join()
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "from the second\nafterwards\n"


def test_without_mediapipe_the_message_says_what_to_install() -> None:
    code = (
        "import sys\n"
        "sys.modules['mediapipe'] = None\n"
        "from engine.video.annotators import make_annotator\n"
        "from engine.core.errors import AnnotatorError\n"
        "try:\n"
        "    make_annotator('pose')\n"
        "except AnnotatorError as error:\n"
        "    print(error.fix)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert "install mediapipe 0.10.14" in done.stdout, done.stderr

"""OpenCV next to PySide6: its own Qt must leave no trace in the environment."""

import os
import subprocess
import sys

import pytest

SHOW = "import os; print([os.environ.get('QT_QPA_PLATFORM_PLUGIN_PATH'), os.environ.get('QT_QPA_FONTDIR')])"


@pytest.mark.parametrize(
    ("before", "after"), [({}, "[None, None]"), ({"QT_QPA_FONTDIR": "/f"}, "[None, '/f']")]
)
def test_the_variables_of_qt_are_as_they_were(before: dict[str, str], after: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("QT_QPA_")} | before
    done = subprocess.run(
        [sys.executable, "-c", f"from engine.video.opencv import cv2; {SHOW}"],
        check=False, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == after


def test_sources_and_annotators_load_no_heavy_library() -> None:
    code = (
        "import sys\n"
        "import engine.video.sources, engine.video.annotators, engine.video.recorder, engine.video.scribble\n"
        "import engine.video.virtual_camera, engine.video.pose, engine.video.segmentation\n"
        "print(sorted({'av', 'mediapipe', 'pyvirtualcam', 'PySide6', 'torch'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr

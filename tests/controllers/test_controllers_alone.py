"""The controllers load with engine.core alone, open nothing and start nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

import controllers

ROOT = Path(controllers.__file__).parents[1]
FILES = sorted(path.stem for path in Path(controllers.__file__).parent.glob("[a-z]*.py"))

SCRIPT = """
import sys, threading
for name in ("torch", "PySide6", "cv2", "av", "mediapipe", "rtmidi", "sounddevice", "pyvirtualcam"):
    sys.modules[name] = None  # importing it now raises ImportError
import importlib
for stem in sys.argv[1:]:
    importlib.import_module("controllers." + stem)
ours = {name for name in sys.modules if name.startswith("engine.")}
assert all(name.startswith("engine.core") for name in ours), ours
assert threading.active_count() == 1
from controllers.midi_system import open_midi_system
from engine.core.errors import ControllerError
try:
    open_midi_system("auto")
except ControllerError as error:
    print(error)
"""


def test_controllers_load_alone_and_miss_rtmidi_politely() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *FILES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "MIDI: python-rtmidi is missing  Fix: pip install python-rtmidi"


@pytest.mark.parametrize("stem", FILES)
def test_every_file_says_what_it_is_for(stem: str) -> None:
    module = __import__(f"controllers.{stem}", fromlist=["__doc__"])
    assert module.__doc__ and len(module.__doc__) > 30

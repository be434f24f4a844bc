"""The core loads where neither torch nor Qt is installed, and starts nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

import engine.core

ROOT = Path(engine.core.__file__).parents[2]
FILES = sorted(path.stem for path in Path(engine.core.__file__).parent.glob("[a-z]*.py"))

SCRIPT = """
import sys, threading
for name in ("torch", "PySide6", "cv2", "av", "mediapipe", "mido", "rtmidi", "pythonosc", "sounddevice",
             "pyvirtualcam", "safetensors", "pydantic", "platformdirs"):
    sys.modules[name] = None  # importing it now raises ImportError
import importlib
for stem in sys.argv[1:]:
    importlib.import_module("engine.core." + stem)
ours = [name for name in sys.modules if name.startswith("engine") and not name.startswith("engine.core")]
assert ours == ["engine"], ours
assert threading.active_count() == 1
print("loaded", len(sys.argv) - 1)
"""


def test_core_loads_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *FILES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["loaded", str(len(FILES))]


@pytest.mark.parametrize("stem", FILES)
def test_every_file_says_what_it_is_for(stem: str) -> None:
    module = __import__(f"engine.core.{stem}", fromlist=["__doc__"])
    assert module.__doc__ and len(module.__doc__) > 30

"""What every test gets: no display, no home folder of the person running it, no thread left behind."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything imports Qt or torch: without a display Qt aborts, and busy OpenMP pools starve each other.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

OUR_THREADS = (
    "capture",
    "annotate",
    "prompt",
    "engine",
    "output",
    "stills",
    "recorder",
    "camera switch",
    "warm-up",
    "midi",
    "osc",
)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, cache and recordings of a test go to its own folder."""
    monkeypatch.setenv("CUELIGHT_HOME", str(tmp_path / "cuelight-home"))


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """A test that starts workers must end them."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5.0
    while left := [thread for thread in set(threading.enumerate()) - before if thread.name in OUR_THREADS]:
        if time.monotonic() > deadline:
            pytest.fail(f"threads left running: {sorted(thread.name for thread in left)}")
        left[0].join(0.1)

"""The virtual camera: a steady format on its own clock, a placeholder, and a way out when it is missing."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from engine.core.errors import OutputError
from engine.core.types import Image
from engine.video import virtual_camera
from engine.video.virtual_camera import (
    FPS,
    HEIGHT,
    STALE_S,
    WIDTH,
    VirtualCamera,
    open_pyvirtualcam,
    placeholder,
)
from tests.video.films import corners, quarters


class Screen:
    """A device that keeps what it is sent; `break_down` makes it fail as an unloaded driver does."""

    def __init__(self) -> None:
        self.device = "/dev/video9"
        self.opened = 0
        self.closed = 0
        self.frames: list[Image] = []
        self.broken = False
        self.missing = False
        self._news = threading.Condition()

    def open(self) -> "Screen":
        if self.missing:
            raise OutputError("there is no virtual camera", "load it")
        self.opened += 1
        self.broken = False
        return self

    def send(self, frame: Image) -> None:
        if self.broken:
            raise RuntimeError("device gone")
        with self._news:
            self.frames.append(frame)
            self._news.notify_all()

    def close(self) -> None:
        self.closed += 1

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(condition, timeout=30), "the device did not get what it should"

    def wait_for_more(self, count: int) -> None:
        goal = len(self.frames) + count
        self.wait(lambda: len(self.frames) >= goal)


@pytest.fixture
def screen() -> Screen:
    return Screen()


def is_placeholder(frame: Image) -> bool:
    return bool((frame == placeholder(HEIGHT, WIDTH)).all())


def test_it_sends_a_placeholder_then_the_picture(screen: Screen) -> None:
    camera = VirtualCamera(screen.open)
    assert camera.status == "off" and not camera.running and camera.device == ""
    camera.start()
    assert camera.running and camera.device == "/dev/video9"
    screen.wait_for_more(2)
    assert is_placeholder(screen.frames[0])
    picture = quarters(128, 224)
    camera.show(picture)
    screen.wait(lambda: not is_placeholder(screen.frames[-1]))
    assert corners(screen.frames[-1]) == ["red", "green", "blue", "white"]
    assert "1280x720 at 30" in camera.status and "/dev/video9" in camera.status
    camera.stop()
    camera.stop()
    assert camera.status == "off" and screen.closed == 1
    assert {frame.shape for frame in screen.frames} == {(HEIGHT, WIDTH, 3)}
    assert all(frame.flags.c_contiguous and frame.dtype == np.uint8 for frame in screen.frames)


def test_it_goes_on_sending_when_nothing_new_is_shown(screen: Screen) -> None:
    camera = VirtualCamera(screen.open)
    camera.show(quarters(128, 224))
    camera.start()
    begin = time.monotonic()
    screen.wait_for_more(15)
    camera.stop()
    assert time.monotonic() - begin >= 13 / FPS, "not faster than its rate"
    assert camera.sent == len(screen.frames)


def test_an_old_picture_gives_way_to_the_placeholder(screen: Screen) -> None:
    class Clock:
        ahead = 0.0

        def __call__(self) -> float:
            return time.monotonic() + self.ahead

    clock = Clock()
    camera = VirtualCamera(screen.open, clock)
    camera.start()
    camera.show(quarters(128, 224))
    screen.wait(lambda: bool(screen.frames) and not is_placeholder(screen.frames[-1]))
    clock.ahead = STALE_S + 0.1
    screen.wait(lambda: is_placeholder(screen.frames[-1]))
    camera.show(quarters(128, 224))
    screen.wait(lambda: not is_placeholder(screen.frames[-1]))
    camera.stop()


def test_showing_never_waits_and_never_raises(screen: Screen) -> None:
    camera = VirtualCamera(screen.open)
    camera.show(quarters(8, 8))  # before it starts
    camera.start()
    for _ in range(2000):
        camera.show(quarters(8, 8))
    camera.show(np.zeros((8, 8), np.uint8))  # no picture: the placeholder is sent
    screen.wait(lambda: bool(screen.frames) and is_placeholder(screen.frames[-1]))
    assert camera.sent < 500, "what was shown too fast is left out, not queued"
    camera.stop()


def test_a_wide_picture_is_letterboxed(screen: Screen) -> None:
    camera = VirtualCamera(screen.open)
    camera.show(np.full((100, 400, 3), 200, np.uint8))
    camera.start()
    screen.wait_for_more(1)
    camera.stop()
    frame = screen.frames[0]
    assert (frame[360] == 200).all() and (frame[:195] == 0).all() and (frame[-195:] == 0).all()


def test_a_device_that_goes_away_is_waited_for(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_camera, "_RETRY_S", 0.05)
    camera = VirtualCamera(screen.open)
    camera.start()
    screen.wait_for_more(1)
    screen.missing = True
    screen.broken = True
    deadline = time.monotonic() + 30
    while "there is no virtual camera" not in camera.status:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert camera.running and "waiting for the device" in camera.status and "Fix: load it" in camera.status
    sent = len(screen.frames)
    screen.missing = False
    screen.wait(lambda: len(screen.frames) > sent + 2)
    assert screen.opened == 2 and "on:" in camera.status
    camera.stop()
    assert screen.closed == 2


def test_without_a_device_it_does_not_start(screen: Screen) -> None:
    screen.missing = True
    camera = VirtualCamera(screen.open)
    with pytest.raises(OutputError):
        camera.start()
    assert not camera.running and camera.status == "off"
    camera.stop()
    screen.missing = False
    camera.start()
    screen.wait_for_more(1)
    camera.stop()


@pytest.mark.parametrize(
    ("system", "words"),
    [
        ("Linux", "modprobe v4l2loopback"),
        ("Windows", "OBS Studio"),
        ("Darwin", "system extension"),
    ],
)
def test_the_message_says_how_to_get_the_device(
    monkeypatch: pytest.MonkeyPatch, system: str, words: str
) -> None:
    import pyvirtualcam

    def missing(*args: object, **options: object) -> None:
        raise RuntimeError("'v4l2loopback' backend: No v4l2 loopback device found. Did you run 'modprobe'?")

    monkeypatch.setattr(pyvirtualcam, "Camera", missing)
    monkeypatch.setattr("platform.system", lambda: system)
    with pytest.raises(OutputError) as caught:
        open_pyvirtualcam()
    assert "no virtual camera" in caught.value.what
    assert words in caught.value.fix
    assert "\n" not in str(caught.value), "one line"


def test_without_pyvirtualcam_the_message_says_so() -> None:
    code = (
        "import sys\n"
        "sys.modules['pyvirtualcam'] = None\n"
        "from engine.core.errors import OutputError\n"
        "from engine.video.virtual_camera import VirtualCamera\n"
        "try:\n"
        "    VirtualCamera().start()\n"
        "except OutputError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert "pip install pyvirtualcam" in done.stdout, done.stderr


def test_the_placeholder_is_dark_and_says_whose_it_is() -> None:
    image = placeholder(HEIGHT, WIDTH)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert image.mean() < 40, "dark: it may be on a projector"
    assert image.max() > 180, "and there is something to read"
    assert placeholder(90, 160).shape == (90, 160, 3)

"""The virtual camera: the program's picture as a webcam in meetings, OBS and browsers.

The device sees one format for its whole life and a picture at every tick: a thread with a clock of its own
sends the newest picture, or a placeholder, whatever the rest of the program does. The only file that imports
pyvirtualcam (GPL-2), and only when the camera is started.
"""

import logging
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from engine.core.errors import OutputError
from engine.core.pacing import Pacer
from engine.core.types import Image
from engine.core.worker import Worker
from engine.video.camera import OWN_NAME, leave_out, let_in
from engine.video.fit import letterbox, picture_fault
from engine.video.opencv import cv2

WIDTH, HEIGHT, FPS = 1280, 720, 30
STALE_S = 3.0  # without a new picture for so long, the placeholder is shown
_RETRY_S = 2.0  # a device that went away is tried again this often
_CLASS = Path("/sys/class/video4linux")
_FIXES = {
    "Linux": (
        "install v4l2loopback (Debian and Ubuntu: sudo apt install v4l2loopback-dkms), then load it: "
        f'sudo modprobe v4l2loopback exclusive_caps=1 card_label="{OWN_NAME} Camera"'
    ),
    "Windows": "install OBS Studio (its virtual camera is used; do not start it in OBS itself)",
    "Darwin": "install OBS Studio, start and stop its virtual camera once, and allow its system extension",
}

_log = logging.getLogger(__name__)


class Device(Protocol):
    """What is needed of an open virtual camera device."""

    device: str

    def send(self, frame: Image) -> None:
        """Show `frame`, u8 [HEIGHT, WIDTH, 3] RGB."""
        ...

    def close(self) -> None:
        """Let go of the device."""
        ...


class VirtualCamera:
    """Sends 1280 x 720 at 30 frames per second from `start` to `stop`.

    `show` may be called from any thread at any rate. `open_device` and `clock` are replaced in tests.
    """

    def __init__(
        self,
        open_device: "Callable[[], Device] | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_device = open_device or open_pyvirtualcam
        self._clock = clock
        self._shown: tuple[Image, float] | None = None  # replaced as a whole: one reference, no lock
        self._fitted: tuple[Image, Image] | None = None  # last picture and its letterboxed form
        self._placeholder = placeholder(HEIGHT, WIDTH)
        self._device: Device | None = None
        self._worker: Worker | None = None
        self._trouble = ""
        self.sent = 0

    @property
    def running(self) -> bool:
        """True between `start` and `stop`, also while a device that went away is waited for."""
        return self._worker is not None

    @property
    def device(self) -> str:
        """The device it writes to ("" when not running); it is left out of the cameras."""
        device = self._device
        return device.device if device is not None else ""

    @property
    def status(self) -> str:
        """One line for the operator."""
        if self._worker is None:
            return "off"
        return self._trouble or f"on: {self.device}, {WIDTH}x{HEIGHT} at {FPS}"

    def start(self) -> None:
        """Open the device and begin to send. Raises OutputError, with how to get one, when there is none."""
        if self._worker is not None:
            return
        self._trouble = ""
        self._device = self._opened()
        worker = Worker("virtual camera", self._tick, self._report, _RETRY_S, self._let_go)
        self._pacer = Pacer(FPS, self._clock, worker.pause)
        self._worker = worker
        worker.start()

    def stop(self) -> None:
        """Stop sending and free the device. Stopping twice does nothing."""
        worker, self._worker = self._worker, None
        if worker is not None and not worker.stop():
            _log.error("the virtual camera's driver does not answer")

    def show(self, image: Image) -> None:
        """Make `image` (u8 [H, W, 3] RGB, any size) the picture that is sent; never waits, never raises."""
        self._shown = (image, self._clock())

    def _tick(self) -> None:
        """One picture, on the camera's thread. An error closes the device; the next tick opens it again."""
        if self._device is None:
            self._device = self._opened()
            self._trouble = ""
        self._pacer.tick()
        try:
            self._device.send(self._picture())
        except Exception:
            self._let_go()
            raise
        self.sent += 1

    def _picture(self) -> Image:
        shown = self._shown
        if shown is None or self._clock() - shown[1] > STALE_S:
            return self._placeholder
        image = shown[0]
        if self._fitted is None or self._fitted[0] is not image:
            if picture_fault(image):
                return self._placeholder
            self._fitted = (image, letterbox(image, HEIGHT, WIDTH))
        return self._fitted[1]

    def _report(self, name: str, error: BaseException) -> None:
        self._trouble = f"waiting for the device: {error}"

    def _opened(self) -> Device:
        device = self._open_device()
        leave_out(device.device)
        return device

    def _let_go(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            try:
                device.close()
            finally:
                let_in(device.device)


def open_pyvirtualcam() -> Device:
    """Open the system's virtual camera. Raises OutputError with how to get one."""
    try:
        import pyvirtualcam
    except ImportError as error:
        raise OutputError("the virtual camera needs pyvirtualcam", "pip install pyvirtualcam") from error
    try:
        opened: Device = pyvirtualcam.Camera(WIDTH, HEIGHT, FPS, device=_own_device())
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split()).split(". ")[0]  # its first sentence; the fix is ours
        raise OutputError(
            f"there is no virtual camera ({reason})", _FIXES.get(platform.system(), "")
        ) from error
    return opened


def placeholder(height: int, width: int) -> Image:
    """The picture that is sent while there is none: u8 [height, width, 3] RGB, dark, with our name."""
    down = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None, None]
    top, bottom = np.array([23, 25, 28], np.float32), np.array([14, 15, 17], np.float32)
    image = np.ascontiguousarray(np.broadcast_to(top + (bottom - top) * down, (height, width, 3))).astype(
        np.uint8
    )
    center, radius = (width // 2, round(height * 0.42)), round(height * 0.11)
    line = max(1, round(height * 0.008))
    cv2.circle(image, center, radius, (240, 180, 60), line, cv2.LINE_AA)
    cv2.circle(image, center, round(radius * 0.36), (240, 180, 60), -1, cv2.LINE_AA)
    _centered(image, "CUELIGHT", 0.66, 0.07, (215, 218, 223))
    _centered(image, "the picture comes in a moment", 0.74, 0.035, (154, 160, 168))
    return image


def _centered(image: Image, text: str, at: float, size: float, color: tuple[int, int, int]) -> None:
    """Write `text` in the middle, its base line at `at` of the height, letters `size` of the height high."""
    height, width = image.shape[:2]
    font = cv2.FONT_HERSHEY_DUPLEX
    scale = size * height / 22  # this font's capitals are about 22 pixels high at scale 1
    thick = max(1, round(scale * 1.4))
    wide = cv2.getTextSize(text, font, scale, thick)[0][0]
    cv2.putText(
        image, text, ((width - wide) // 2, round(at * height)), font, scale, color, thick, cv2.LINE_AA
    )


def _own_device() -> str | None:
    """The v4l2loopback device that carries our name, else None: the first one that is free."""
    for name in sorted(_CLASS.glob("video*/name")):
        if name.read_text(encoding="utf-8", errors="replace").startswith(OWN_NAME):
            return f"/dev/{name.parent.name}"
    return None

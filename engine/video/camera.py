"""Cameras, known by what they are and where they are plugged in, never by a number that changes.

Linux: identity from udev's links (/dev/v4l/by-id, by-path), else from sysfs; read through OpenCV's V4L2.
Windows and macOS: names and identities as the system reports them through FFmpeg (foreign_camera.py).
A camera that was unplugged makes `read` raise SourceError; whoever reads opens it again by the same identity.
"""

import array
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.core.errors import SourceError
from engine.core.types import Image
from engine.video.opencv import cv2

if TYPE_CHECKING:
    from engine.video.foreign_camera import ForeignCamera

OWN_NAME = "Cuelight"  # cameras whose name starts so are our own virtual one
_written: set[str] = set()  # by device or name, what this process shows pictures on: reading it is feedback
# Wanted, not demanded: the driver takes its nearest. More pixels would only cost time: the engine's
# pictures are smaller, and 16:9 shows the whole sensor of most webcams.
WANTED_SIZE = (640, 360)
WANTED_FPS = 30.0

_LINUX = platform.system() == "Linux"
_DEVICES = Path("/dev")
_LINKS = (Path("/dev/v4l/by-id"), Path("/dev/v4l/by-path"))
_CLASS = Path("/sys/class/video4linux")
_QUERY_CAPABILITIES = 0x80685600  # VIDIOC_QUERYCAP: 104 bytes back
_CAN_CAPTURE = 0x1 | 0x1000  # one plane, several planes
_HAS_DEVICE_CAPS = 0x80000000


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera that is plugged in now. `id` stays the same when it is unplugged and returns."""

    id: str
    name: str
    device: str


class CameraSource:
    """An open camera (Linux). Raises SourceError when it is in use, or sends no picture."""

    live = True

    def __init__(self, camera: Camera) -> None:
        self.name = camera.name
        self._device = camera.device
        number = int(camera.device.removeprefix("/dev/video"))
        self._capture = cv2.VideoCapture(number, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError(
                f"the camera {self.name} cannot be opened",
                f"close other programs that use it, and check that you may read {camera.device}",
            )
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, WANTED_SIZE[0])
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, WANTED_SIZE[1])
        self._capture.set(cv2.CAP_PROP_FPS, WANTED_FPS)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # never an old picture
        told = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = told if 1 <= told <= 240 else WANTED_FPS
        try:
            first = self.read()
        except SourceError:
            self._capture.release()
            raise
        self.size = (first.shape[1], first.shape[0])

    def read(self) -> Image:
        """Wait for the next picture, u8 [H, W, 3] RGB. Raises SourceError when unplugged or stalled."""
        ok, image = self._capture.read()
        if ok and image is not None and image.ndim == 3 and image.size:
            return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
        if os.path.exists(self._device):
            raise SourceError(
                f"the camera {self.name} sends no picture",
                "check its cable, and close other programs that use it; it is reopened by itself",
            )
        raise SourceError(
            f"the camera {self.name} was unplugged", "plug it in again; it is found again by itself"
        )

    def rewind(self) -> None:
        """A camera has no beginning: nothing happens."""

    def close(self) -> None:
        """Let go of the device. Closing twice does nothing."""
        self._capture.release()


def leave_out(device: str) -> None:
    """This process writes pictures to `device` from now on: it is no camera to it. Any thread.

    A path on Linux; elsewhere pyvirtualcam tells the camera's name.
    """
    _written.add(device)


def let_in(device: str) -> None:
    """Nothing is written to `device` any more. Any thread; what was not left out is no error."""
    _written.discard(device)


def list_cameras() -> list[Camera]:
    """The cameras that are plugged in, without our own virtual camera, in a steady order."""
    if _LINUX:
        found = _linux_cameras()
    else:
        from engine.video.foreign_camera import list_foreign_cameras

        found = list_foreign_cameras()
    own = [one for one in found if one.name.startswith(OWN_NAME) or {one.device, one.name} & _written]
    return [one for one in found if one not in own]


def find_camera(identity: str) -> Camera:
    """The camera with this `id` (or device path, or unambiguous name); "" is the first.

    Raises SourceError, naming the cameras that are there.
    """
    cameras = list_cameras()
    if not identity and cameras:
        return cameras[0]
    for same in (
        [one for one in cameras if one.id == identity],
        [one for one in cameras if one.device == identity],
        [one for one in cameras if one.name == identity],
    ):
        if len(same) == 1:
            return same[0]
        if same:
            twins = ", ".join(one.id for one in same)
            raise SourceError(f"several cameras are called {identity!r}", f"choose one by identity: {twins}")
    if not identity:
        raise SourceError("there is no camera", "plug one in, or play the demo clip (source demo)")
    there = "; ".join(f"{one.name} (camera:{one.id})" for one in cameras) or "none"
    raise SourceError(
        f"the camera {identity[:200]!r} is not plugged in",
        f"plug it in, or choose one that is there (now: {there})",
    )


def open_camera(identity: str) -> "CameraSource | ForeignCamera":
    """Open the camera with this identity. Raises SourceError."""
    camera = find_camera(identity)
    if _LINUX:
        return CameraSource(camera)
    from engine.video.foreign_camera import ForeignCamera

    return ForeignCamera(camera)


def _linux_cameras() -> list[Camera]:
    """Every node of the class video4linux that can capture, in the order of its number."""
    if not _CLASS.is_dir():
        return []
    nodes = sorted((node.name for node in _CLASS.glob("video*")), key=lambda name: int(name[5:] or 0))
    links = _udev_links()
    found: list[Camera] = []
    for node in nodes:
        device = str(_DEVICES / node)
        if not _captures(device):
            continue  # a UVC camera has a second node for metadata only
        name = _text(_CLASS / node / "name") or node
        identity = links.get(device) or _sysfs_identity(node, name)
        # Twins on one virtual bus: only then their order must tell them apart.
        twins = sum(one.id == identity or one.id.startswith(f"{identity}#") for one in found)
        found.append(Camera(f"{identity}#{twins + 1}" if twins else identity, name, device))
    return found


def _udev_links() -> dict[str, str]:
    """Device path to the name of its most telling link: by-id (knows the serial number) before by-path."""
    links: dict[str, str] = {}
    for folder in _LINKS:
        if folder.is_dir():
            for link in sorted(folder.iterdir()):
                links.setdefault(os.path.realpath(link), f"{folder.name}/{link.name}")
    return links


def _sysfs_identity(node: str, name: str) -> str:
    """Where the device hangs in the machine, and its name. Virtual devices hang nowhere: the name alone."""
    bus = os.path.realpath(_CLASS / node / "device")
    place = bus.removeprefix("/sys/devices/") if "/virtual/" not in bus else "virtual"
    index = _text(_CLASS / node / "index") or "0"
    return f"sysfs/{place}/{index}/{name}"


def _captures(device: str) -> bool:
    """Whether `device` gives pictures; asks the driver, does not start the camera."""
    import fcntl

    answer = array.array("B", bytes(104))
    try:
        handle = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        # Busy or forbidden: it is there, and opening it will say so. Gone: it is not.
        return isinstance(error, PermissionError) or error.errno == 16
    try:
        fcntl.ioctl(handle, _QUERY_CAPABILITIES, answer)
    except OSError:
        return False
    finally:
        os.close(handle)
    all_of_it, of_this_node = np.frombuffer(answer[84:92].tobytes(), np.uint32)
    able = of_this_node if all_of_it & _HAS_DEVICE_CAPS else all_of_it
    return bool(able & _CAN_CAPTURE)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""

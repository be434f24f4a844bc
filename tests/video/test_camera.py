"""Cameras by identity: what the system's folders say, who is left out, what is said when one is missing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.core.errors import SourceError
from engine.video import camera
from engine.video.camera import Camera, CameraSource, find_camera, leave_out, let_in, list_cameras
from engine.video.opencv import cv2
from engine.video.sources import open_source

USB = "devices/pci0000:00/0000:00:14.0/usb1/1-{}/1-{}:1.0"


class Machine:
    """A machine's /dev, /sys/class/video4linux and udev links, in a folder."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.capturing: set[str] = set()
        (root / "class").mkdir()
        for name in ("by-id", "by-path"):
            (root / name).mkdir()
        monkeypatch.setattr(camera, "_LINUX", True)
        monkeypatch.setattr(camera, "_DEVICES", root)
        monkeypatch.setattr(camera, "_CLASS", root / "class")
        monkeypatch.setattr(camera, "_LINKS", (root / "by-id", root / "by-path"))
        monkeypatch.setattr(camera, "_captures", lambda device: Path(device).name in self.capturing)

    def plug(
        self, number: int, name: str, *, bus: str, serial: str = "", captures: bool = True, index: int = 0
    ) -> None:
        node = f"video{number}"
        (self.root / node).touch()
        place = self.root / bus
        place.mkdir(parents=True, exist_ok=True)
        entry = self.root / "class" / node
        entry.mkdir()
        (entry / "name").write_text(f"{name}\n")
        (entry / "index").write_text(f"{index}\n")
        (entry / "device").symlink_to(place)
        if captures:
            self.capturing.add(node)
        if serial:
            (self.root / "by-id" / f"usb-{serial}-video-index{index}").symlink_to(f"../{node}")

    def unplug(self, number: int) -> None:
        node = f"video{number}"
        (self.root / node).unlink()
        for entry in (self.root / "class" / node).iterdir():
            entry.unlink()
        (self.root / "class" / node).rmdir()
        self.capturing.discard(node)
        for folder in ("by-id", "by-path"):
            for link in (self.root / folder).iterdir():
                if not link.exists():
                    link.unlink()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_no_camera_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(camera, "_LINUX", True)
    monkeypatch.setattr(camera, "_CLASS", tmp_path / "missing")
    assert list_cameras() == []
    with pytest.raises(SourceError) as caught:
        open_source("camera:")
    assert "no camera" in caught.value.what and "demo" in caught.value.fix


def test_identity_survives_another_number(machine: Machine) -> None:
    machine.plug(0, "Built-in", bus=USB.format(1, 1), serial="Built_in_0001")
    machine.plug(2, "HD Webcam", bus=USB.format(2, 2), serial="HD_Webcam_ABC")
    before = find_camera("by-id/usb-HD_Webcam_ABC-video-index0")
    assert (before.name, Path(before.device).name) == ("HD Webcam", "video2")
    machine.unplug(0)
    machine.unplug(2)
    with pytest.raises(SourceError, match="not plugged in"):
        find_camera(before.id)
    machine.plug(0, "HD Webcam", bus=USB.format(3, 3), serial="HD_Webcam_ABC")
    machine.plug(1, "Built-in", bus=USB.format(1, 1), serial="Built_in_0001")
    after = find_camera(before.id)
    assert (after.id, Path(after.device).name) == (before.id, "video0")


def test_metadata_nodes_are_no_cameras(machine: Machine) -> None:
    machine.plug(0, "HD Webcam", bus=USB.format(1, 1), serial="HD_Webcam_ABC")
    machine.plug(1, "HD Webcam", bus=USB.format(1, 1), serial="HD_Webcam_ABC", index=1, captures=False)
    assert [one.name for one in list_cameras()] == ["HD Webcam"]


def test_twins_without_a_serial_number_are_told_apart_by_their_place(machine: Machine) -> None:
    machine.plug(0, "Cheap Cam", bus=USB.format(1, 1))
    machine.plug(2, "Cheap Cam", bus=USB.format(2, 2))
    first, second = list_cameras()
    assert first.id != second.id
    assert "1-1" in first.id and "1-2" in second.id
    with pytest.raises(SourceError) as caught:
        find_camera("Cheap Cam")
    assert first.id in caught.value.fix and second.id in caught.value.fix
    machine.unplug(0)
    assert find_camera(second.id).device == second.device
    assert find_camera("Cheap Cam").id == second.id


def test_twins_on_a_virtual_bus_get_numbers(machine: Machine) -> None:
    for number in (4, 5):
        machine.plug(number, "Phone", bus="devices/virtual/video4linux/x")
    assert [one.id for one in list_cameras()] == ["sysfs/virtual/0/Phone", "sysfs/virtual/0/Phone#2"]


def test_our_own_virtual_camera_is_left_out(machine: Machine) -> None:
    machine.plug(0, "HD Webcam", bus=USB.format(1, 1))
    machine.plug(8, "Cuelight Camera", bus="devices/virtual/video4linux/video8")
    machine.plug(9, "OBS Virtual Camera", bus="devices/virtual/video4linux/video9")
    assert [one.name for one in list_cameras()] == ["HD Webcam", "OBS Virtual Camera"]
    # pyvirtualcam may be writing to a device with another name: it is left out while it does.
    busy = str(machine.root / "video9")
    leave_out(busy)
    try:
        assert [one.name for one in list_cameras()] == ["HD Webcam"]
        with pytest.raises(SourceError, match="not plugged in"):
            find_camera("OBS Virtual Camera")
    finally:
        let_in(busy)
    assert find_camera("OBS Virtual Camera").device == busy
    leave_out("OBS Virtual Camera")  # elsewhere than on Linux it is told by its name
    try:
        assert [one.name for one in list_cameras()] == ["HD Webcam"]
    finally:
        let_in("OBS Virtual Camera")


def test_a_camera_is_found_by_device_name_or_as_the_first(machine: Machine) -> None:
    machine.plug(10, "B", bus=USB.format(1, 1))
    machine.plug(9, "A", bus=USB.format(2, 2))
    assert [one.name for one in list_cameras()] == ["A", "B"], "by number, 9 before 10"
    assert find_camera("").name == "A"
    assert find_camera("B").name == "B"
    assert find_camera(str(machine.root / "video10")).name == "B"


def test_a_missing_camera_is_named_with_those_that_are_there(machine: Machine) -> None:
    machine.plug(0, "HD Webcam", bus=USB.format(1, 1), serial="HD_Webcam_ABC")
    with pytest.raises(SourceError) as caught:
        open_source("camera:by-id/usb-Lost-video-index0")
    assert "usb-Lost" in caught.value.what
    assert "HD Webcam (camera:by-id/usb-HD_Webcam_ABC-video-index0)" in caught.value.fix


class Driver:
    """What cv2.VideoCapture does: opens, gives BGR pictures, and says no when the camera is gone."""

    def __init__(self, opens: bool = True, pictures: int = 100) -> None:
        self.opens = opens
        self.pictures = pictures
        self.released = 0

    def __call__(self, number: int, backend: int) -> "Driver":
        self.number = number
        return self

    def isOpened(self) -> bool:
        return self.opens

    def set(self, key: int, value: float) -> bool:
        return True

    def get(self, key: int) -> float:
        return 30.0 if key == cv2.CAP_PROP_FPS else 0.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.pictures -= 1
        if self.pictures < 0:
            return False, None
        return True, np.full((360, 640, 3), (10, 20, 200), np.uint8)  # BGR: red

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> Callable[[Driver], Driver]:
    def use(driver: Driver) -> Driver:
        monkeypatch.setattr(cv2, "VideoCapture", driver)
        return driver

    return use


def test_pictures_are_rgb_and_the_number_is_the_devices(drive: Callable[[Driver], Driver]) -> None:
    driver = drive(Driver())
    source = CameraSource(Camera("id", "HD Webcam", "/dev/video12"))
    assert driver.number == 12
    assert source.live and source.size == (640, 360) and source.fps == 30
    image = source.read()
    assert image[0, 0].tolist() == [200, 20, 10]
    source.rewind()
    source.close()
    assert driver.released == 1


def test_a_busy_camera_says_what_to_do(drive: Callable[[Driver], Driver]) -> None:
    driver = drive(Driver(opens=False))
    with pytest.raises(SourceError) as caught:
        CameraSource(Camera("id", "HD Webcam", "/dev/video0"))
    assert "HD Webcam" in caught.value.what and "other programs" in caught.value.fix
    assert driver.released == 1


def test_a_camera_without_pictures_is_closed_again(drive: Callable[[Driver], Driver]) -> None:
    driver = drive(Driver(pictures=0))
    with pytest.raises(SourceError):
        CameraSource(Camera("id", "HD Webcam", "/dev/video0"))
    assert driver.released == 1


def test_unplugged_and_stalled_are_told_apart(drive: Callable[[Driver], Driver], tmp_path: Path) -> None:
    node = tmp_path / "video3"
    node.touch()
    drive(Driver(pictures=2))
    source = CameraSource(Camera("id", "HD Webcam", "/dev/video3"))
    source._device = str(node)
    source.read()
    with pytest.raises(SourceError, match="sends no picture"):
        source.read()
    node.unlink()
    with pytest.raises(SourceError) as caught:
        source.read()
    assert "unplugged" in caught.value.what and "by itself" in caught.value.fix


def test_a_system_without_capture_devices_has_no_cameras() -> None:
    from engine.video.foreign_camera import ForeignCamera, list_foreign_cameras

    assert list_foreign_cameras("no-such-system") == []
    with pytest.raises(SourceError, match="HD Webcam"):
        ForeignCamera(Camera("id", "HD Webcam", "/dev/video-none"), "v4l2")


def test_a_foreign_camera_gives_pictures_until_it_is_gone(tmp_path: Path) -> None:
    """Driven with a film instead of a device: the same calls, without the hardware."""
    from engine.video.foreign_camera import ForeignCamera
    from tests.video.films import grays, number_of, write_film

    film = write_film(tmp_path / "a.mp4", grays(4))
    source = ForeignCamera(Camera("id", "HD Webcam", str(film)), "mp4")
    assert source.live and source.size == (64, 48) and source.fps == 30
    assert [number_of(source.read()) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(SourceError, match="was lost"):
        source.read()
    source.rewind()
    source.close()
    source.close()

"""Cameras on Windows (DirectShow) and macOS (AVFoundation), through FFmpeg's capture devices in PyAV.

Written from their documentation and not yet tried on those systems. On Windows a camera's identity is its
device path; on macOS what FFmpeg reports, which may be only a number. A driver that stalls is not noticed.
"""

import sys
from collections.abc import Generator

import numpy as np

from engine.core.errors import SourceError
from engine.core.types import Image
from engine.video.camera import WANTED_FPS, WANTED_SIZE, Camera

FORMAT = "dshow" if sys.platform == "win32" else "avfoundation"


class ForeignCamera:
    """An open camera. Raises SourceError when it is in use or gone."""

    live = True

    def __init__(self, camera: Camera, capture_format: str = FORMAT) -> None:
        import av

        self.name = camera.name
        url = f"video={camera.device}" if capture_format == "dshow" else camera.device
        # AVFoundation refuses a rate it does not know exactly, DirectShow picks its own best.
        options = {"framerate": f"{WANTED_FPS:.0f}", "video_size": f"{WANTED_SIZE[0]}x{WANTED_SIZE[1]}"}
        try:
            try:
                self._container = av.open(url, format=capture_format, options=options)
            except av.FFmpegError:
                self._container = av.open(url, format=capture_format)
            self._pictures = self._decode()
        except av.FFmpegError as error:
            raise SourceError(
                f"the camera {self.name} cannot be opened ({error.strerror})",
                "close other programs that use it, and allow this program to use the camera",
            ) from error
        self.fps = float(self._container.streams.video[0].average_rate or WANTED_FPS)
        try:
            first = self.read()
        except SourceError:
            self.close()
            raise
        self.size = (first.shape[1], first.shape[0])

    def read(self) -> Image:
        """Wait for the next picture, u8 [H, W, 3] RGB. Raises SourceError when the camera is gone."""
        import av

        try:
            return next(self._pictures)
        except (av.FFmpegError, StopIteration) as error:
            raise SourceError(
                f"the camera {self.name} was lost", "plug it in again; it is found again by itself"
            ) from error

    def rewind(self) -> None:
        """A camera has no beginning: nothing happens."""

    def close(self) -> None:
        """Let go of the device. Closing twice does nothing."""
        # In this order: a frame that outlives its device would give its memory back to nobody, and crash.
        self._pictures.close()
        self._container.close()

    def _decode(self) -> Generator[Image, None, None]:
        for frame in self._container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def list_foreign_cameras(capture_format: str = FORMAT) -> list[Camera]:
    """The cameras the system reports; none when this PyAV has no capture devices."""
    import av

    try:
        import av.device
    except ImportError:  # older releases cannot list them
        return []
    try:
        devices = av.device.enumerate_input_devices(capture_format)
    except (av.FFmpegError, ValueError):
        return []
    return [
        Camera(one.name, one.description or one.name, one.name)
        for one in devices
        if "video" in one.media_types or not one.media_types
    ]

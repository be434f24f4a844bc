"""Moving pictures decoded with PyAV: a clip file, at a steady rate, and a live MPEG-TS stream over TCP.

Everything is used from one thread, `close` too. A stream's read comes back after `READ_S` seconds at the
latest, so stopping never waits longer than that.
"""

import math
from collections.abc import Generator
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from engine.core.errors import SourceError
from engine.core.types import Image

if TYPE_CHECKING:
    from av import FFmpegError
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

LONGEST_SIDE = 1920  # larger pictures are shrunk while they are decoded; the engine's are far smaller
OPEN_S = 5.0  # a stream that has not shown a picture after this long cannot be opened
READ_S = 2.0  # a stream silent for this long is lost
_FPS = (1.0, 60.0)  # rates outside are read at the nearest of these, by repeating or leaving out pictures
_USUAL_FPS = 30.0  # for files that do not say
_BAD_PACKETS = 300  # damaged pieces in a row after which a file counts as unreadable
# What may be in a file: pictures themselves, never a list of other files and addresses to fetch them from.
_FORMATS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,nut,ivf,dv,gif,h264,hevc,m4v,obu,mjpeg,"
    "yuv4mpegpipe,mp3,wav,flac,aac"
)
# Their pictures come in the right order, but with wrong times or none.
_UNTIMED = frozenset({"avi", "h264", "hevc", "m4v", "obu", "mjpeg"})
_GAP_S = 20.0  # a longer pause between two pictures is a fault of the file and is left out
_BT709 = 1
_BT709_HEIGHT = 720  # untagged pictures this high were made with HD colours


class ClipSource:
    """A video file, played once: `read` gives its pictures `fps` per second of clip time, then None.

    Clips with an uneven rate are evened out by their time stamps, so that a clip lasts as long as it should.
    Rotation marks and oblong pixels are applied. Raises SourceError when made from a file without a picture.
    """

    live = False

    def __init__(self, path: Path, name: str = "") -> None:
        self._path = path
        self.name = name or path.name
        self._current: _Timed | None
        self._next: _Timed | None
        self._play()
        self.fps = self._decoder.fps
        height, width = self._decoder.first.image.shape[:2]
        self.size = (width, height)

    def read(self) -> Image | None:
        """The next picture, u8 [H, W, 3] RGB; None at the end of the clip. Raises SourceError."""
        if self._current is None:
            return None
        # The picture nearest in time: half a frame early counts as now.
        now = self._decoder.first.time + self._count / self.fps
        while self._next is not None and self._next.time <= now + 0.5 / self.fps:
            self._current, self._next = self._next, self._decoder.next()
        if self._next is None and self._current.time + self._decoder.lasts < now + 0.25 / self.fps:
            self._current = None
            return None
        self._count += 1
        return self._current.image

    def rewind(self) -> None:
        """Start again at the first picture. Raises SourceError when the file is gone."""
        # Opening again is right for every format; seeking to the start is not.
        self._decoder.close()
        self._play()

    def close(self) -> None:
        """Let go of the file. Closing twice does nothing."""
        self._decoder.close()
        self._current = self._next = None

    def _play(self) -> None:
        self._decoder = _Decoder(str(self._path), self.name, protocols="file")
        self._count = 0
        self._current = self._decoder.first
        self._next = self._decoder.next()


class StreamSource:
    """A live MPEG-TS stream from `tcp://host:port`: `read` waits for the next picture.

    Raises SourceError when nobody answers or no picture comes within `OPEN_S` seconds.
    """

    live = True

    def __init__(self, uri: str) -> None:
        self.name = tcp_address(uri)
        self._decoder = _Decoder(self.name, self.name, protocols="tcp", live=True)
        self.fps = self._decoder.fps
        self._first: Image | None = self._decoder.first.image
        height, width = self._first.shape[:2]
        self.size = (width, height)

    def read(self) -> Image | None:
        """The next picture, u8 [H, W, 3] RGB. Raises SourceError when the stream ends or falls silent."""
        if self._first is not None:
            image, self._first = self._first, None
            return image
        found = self._decoder.next()
        if found is None:
            raise SourceError(
                f"the stream {self.name} ended", "start the sender again; it is reopened by itself"
            )
        return found.image

    def rewind(self) -> None:
        """A live stream has no beginning: nothing happens."""

    def close(self) -> None:
        """Hang up. Closing twice does nothing."""
        self._decoder.close()


def tcp_address(uri: str) -> str:
    """`uri` as plain tcp://host:port. Raises SourceError when it is anything else."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port:
        raise SourceError(
            f"{uri[:200]!r} is no stream address", "write tcp://host:port, for example tcp://127.0.0.1:5000"
        )
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


class _Timed:
    """A decoded frame and its time in seconds. It becomes a picture when somebody looks at it."""

    def __init__(self, frame: "VideoFrame", time: float, pixel: float, colours: "VideoReformatter") -> None:
        self.time = time
        self._frame = frame
        self._pixel = pixel
        self._colours = colours

    @cached_property
    def image(self) -> Image:
        """The frame as u8 [H, W, 3] RGB, upright, with square pixels, at most LONGEST_SIDE."""
        return _picture(self._frame, self._pixel, self._colours)


class _Decoder:
    """The frames of one opened file or stream, in order."""

    def __init__(self, url: str, name: str, *, protocols: str, live: bool = False) -> None:
        self._name = name
        self._live = live
        self._container = _open(url, name, protocols, live)
        from av.video.reformatter import VideoReformatter

        self._colours = VideoReformatter()  # one for all frames: making it costs more than using it
        try:
            self._stream = _video_stream(self._container, name)
            self.lasts, self.fps = _rate(self._stream)
            self._pixel = _pixel_aspect(self._stream)
            self._frames = self._decode()
            self._untimed = not _UNTIMED.isdisjoint(self._container.format.name.split(","))
            self._time: float | None = None
            self._shift = 0.0
            first = self.next()
            if first is None:
                raise SourceError(f"{name} contains no picture that can be decoded", "choose another file")
            self.first = first
        except BaseException:
            self._container.close()
            raise

    def next(self) -> _Timed | None:
        """The next frame; None at the end. Raises SourceError."""
        import av

        try:
            frame = next(self._frames, None)
        except av.FFmpegError as error:
            if self._live:
                fix = "check the sender and the network; it is reopened by itself"
                raise SourceError(f"the stream {self._name} was lost ({_reason(error)})", fix) from error
            raise SourceError(
                f"{self._name} cannot be read further ({_reason(error)})",
                "check the disk, or choose another file",
            ) from error
        if frame is None:
            return None
        self._time = self._time_of(frame.time)
        return _Timed(frame, self._time, self._pixel, self._colours)

    def _time_of(self, told: float | None) -> float:
        """The next frame's time: what the file told, or just after the last frame where that cannot be."""
        if self._time is None:
            return 0.0 if told is None or self._untimed else told
        after = self._time + self.lasts
        if told is None or self._untimed:
            return after
        if told + self._shift > self._time + _GAP_S:
            self._shift = after - told  # the clock of the file jumped: from here on it counts from now
        return told + self._shift if told + self._shift > self._time else after

    def close(self) -> None:
        """Let go of the file or the connection."""
        self._frames.close()
        self._container.close()

    def _decode(self) -> "Generator[VideoFrame, None, None]":
        """Frames in display order; damaged pieces are passed over, a cut-off end is the end."""
        import av

        bad = 0
        packets = self._container.demux(self._stream)
        while bad < _BAD_PACKETS:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except av.InvalidDataError:
                bad += 1
                continue
            bad = 0 if frames else bad
            yield from frames


def _open(url: str, name: str, protocols: str, live: bool) -> "InputContainer":
    """The container at `url`, reached by `protocols` only."""
    try:
        import av
    except ImportError as error:
        raise SourceError(f"{name} needs PyAV, which is not installed", "pip install av") from error
    options = {"protocol_whitelist": protocols, "format_whitelist": _FORMATS}
    if live:
        options |= {"fflags": "nobuffer", "flags": "low_delay", "probesize": "1000000"}
        options |= {"analyzeduration": "1000000"}
    try:
        if live:
            return av.open(url, format="mpegts", options=options, timeout=(OPEN_S, READ_S))
        return av.open(url, options=options)
    except av.FFmpegError as error:
        if live:
            raise SourceError(
                f"the stream {name} cannot be opened ({_reason(error)})",
                "start the sender first (MPEG-TS over TCP, listening), and check address and port",
            ) from error
        raise SourceError(
            f"{name} cannot be read as a video ({_reason(error)})",
            "choose a video file (MP4, MOV, MKV, WebM, AVI); a copy that was cut off must be copied again",
        ) from error


def _video_stream(container: "InputContainer", name: str) -> "VideoStream":
    import av.stream

    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:  # the cover of a piece of music
            return stream
    raise SourceError(f"{name} contains no video", "choose a file with moving pictures")


def _rate(stream: "VideoStream") -> tuple[float, float]:
    """How long one picture lasts in the file, in seconds, and the rate it is played at."""
    told = stream.average_rate or stream.guessed_rate or Fraction(0)
    rate = float(told) if told > 0 else _USUAL_FPS
    return min(1 / rate, _GAP_S / 2), min(max(rate, _FPS[0]), _FPS[1])


def _pixel_aspect(stream: "VideoStream") -> float:
    """Width of a pixel divided by its height."""
    told = stream.sample_aspect_ratio
    return float(told) if told and 0.1 < told < 10 else 1.0


def _picture(frame: "VideoFrame", pixel: float, colours: "VideoReformatter") -> Image:
    width, height = frame.width * max(pixel, 1.0), frame.height / min(pixel, 1.0)
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    untagged = int(frame.colorspace) == 2  # "unspecified"
    space = _BT709 if untagged and frame.height >= _BT709_HEIGHT else None
    image = colours.reformat(frame, *size, format="rgb24", src_colorspace=space).to_ndarray()
    turns = round(frame.rotation / 90) % 4 if math.isfinite(frame.rotation) else 0
    return np.ascontiguousarray(np.rot90(image, turns)).astype(np.uint8, copy=False)


def _reason(error: "FFmpegError") -> str:
    """The short reason inside an error of FFmpeg, without its error number and the file's name."""
    return (error.strerror or str(error) or type(error).__name__).rstrip(".").lower()

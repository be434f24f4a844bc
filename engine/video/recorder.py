"""The recorder: H.264 in a file that stays playable whatever happens to the program, the machine or the disk.

MP4 is written in fragments of a second and becomes an ordinary MP4 when it is closed; MKV in clusters of a
second. Killed in between, all but the last second or two plays. One thread, never the one that renders.

Same frames, same bytes: one encoder thread, a fixed preset, no dates and no random numbers in the file.
"""

import io
import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from engine.core.errors import OutputError
from engine.core.types import Image
from engine.video.fit import letterbox, picture_fault

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# hybrid_fragmented: fragments while it grows, one index at the end.
_FORMATS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": ("mp4", {"movflags": "hybrid_fragmented+frag_keyframe"}),
    ".mkv": ("matroska", {"cluster_time_limit": "1000"}),
}
_ENCODER = {"preset": "veryfast", "crf": "18", "threads": "1"}
_BT709, _TV_RANGE = 1, 1
_SIZES = (2, 8192)


class Recorder:
    """Writes pictures at a constant rate to `path` (.mp4 or .mkv), one `write` per frame time.

    Odd sizes become even by one row or column of black. An existing file is refused, so that no take is ever
    lost, unless `overwrite` says otherwise. Raises OutputError, and leaves nothing behind, when `path` is a
    folder, cannot be written, or has another suffix.
    """

    def __init__(self, path: Path, width: int, height: int, fps: float, *, overwrite: bool = False) -> None:
        container, options = _format(path)
        if not (_SIZES[0] <= width <= _SIZES[1] and _SIZES[0] <= height <= _SIZES[1]):
            allowed = f"choose {_SIZES[0]} to {_SIZES[1]} for both"
            raise OutputError(f"a picture of {width} x {height} cannot be recorded", allowed)
        if not 1 <= fps <= 240:
            raise OutputError(f"{fps} frames per second cannot be recorded", "choose 1 to 240")
        self.path = path
        self.frames = 0
        self._width, self._height = width + width % 2, height + height % 2
        self._rate = Fraction(fps).limit_denominator(1001)
        self._error: OutputError | None = None
        self._tape = _open_tape(path, overwrite)
        try:
            self._container, self._stream = self._start(container, options)
        except BaseException as error:
            self._tape.close()
            path.unlink(missing_ok=True)
            if isinstance(error, (OSError, ValueError, ImportError)):
                raise OutputError(f"{path.name} cannot be recorded ({error})", "reinstall PyAV") from error
            raise

    @property
    def seconds(self) -> float:
        """How long the recording is now."""
        return float(self.frames / self._rate)

    def write(self, image: Image) -> None:
        """Add one frame time: `image` u8 [H, W, 3] RGB; another size than the recording's is letterboxed.

        Raises OutputError when the disk is full or gone: the recording is then closed, what is on the disk
        plays, and every further `write` raises the same error.
        """
        import av

        if self._error is not None:
            raise self._error
        fault = picture_fault(image)
        if fault:
            raise OutputError(f"this picture cannot be recorded: {fault}", "hand in 8-bit RGB pictures")
        fitted = letterbox(image, self._height, self._width)
        frame = self._colours.reformat(
            av.VideoFrame.from_ndarray(fitted, format="rgb24"), format="yuv420p", dst_colorspace=_BT709
        )
        frame.pts = self.frames
        self._mux(frame)
        self.frames += 1

    def close(self) -> None:
        """Write what the encoder still holds, and the index. A recording without a frame is removed.

        Closing twice does nothing. Raises OutputError when the end cannot be written (what is on the disk
        plays).
        """
        if self._error is not None or self._tape.closed:
            return
        if self.frames:
            self._mux(None)
            self._container.close()
            self._check()
        else:
            self._tape.seal()
            self._container.close()
            self.path.unlink(missing_ok=True)
        self._tape.close()

    def _mux(self, frame: "VideoFrame | None") -> None:
        """Encode `frame` (None: the end) and write what comes out. Raises OutputError."""
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
            self._check()
            self._tape.mark()

    def _check(self) -> None:
        """When writing failed: keep what plays on the disk, let nothing more reach it, and say why."""
        error = self._tape.error
        if error is None:
            return
        self._error = OutputError(
            f"the recording {self.path.name} stopped after {self.seconds:.0f} s: {error.strerror or error}",
            "free some space or choose another disk; what was recorded until then plays",
        )
        self._tape.cut()
        self._container.close()
        self._tape.close()
        raise self._error from error

    def _start(self, container: str, options: dict[str, str]) -> "tuple[OutputContainer, VideoStream]":
        import av
        from av.video.reformatter import VideoReformatter

        self._colours = VideoReformatter()
        options = options | {"fflags": "+bitexact", "flush_packets": "1"}
        opened = av.open(self._tape, "w", format=container, options=options)
        second = round(self._rate)
        encoder = _ENCODER | {"x264-params": f"keyint={second}:min-keyint={second}:scenecut=0"}
        stream = opened.add_stream("libx264", rate=self._rate, options=encoder)
        stream.width, stream.height, stream.pix_fmt = self._width, self._height, "yuv420p"
        stream.codec_context.time_base = 1 / self._rate
        tags = stream.codec_context
        tags.color_primaries = tags.color_trc = tags.colorspace = _BT709
        tags.color_range = _TV_RANGE
        return opened, stream


class _Tape:
    """The file under the muxer. After a failure (`error`), or sealed, it takes nothing more.

    Without this, a muxer that finishes on a full disk would overwrite its good beginning with an index whose
    end never reached the disk. `mark` says that everything so far is whole; `cut` goes back to that point.
    """

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._sealed = False
        self._whole = 0
        self.error: OSError | None = None

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._file.closed

    def mark(self) -> None:
        """Everything written until now is whole."""
        self._whole = os.fstat(self._file.fileno()).st_size

    def cut(self) -> None:
        """Take away what was written after the last mark, and seal."""
        self.seal()
        self._file.truncate(self._whole)

    def seal(self) -> None:
        """Write nothing any more."""
        self._sealed = True

    def write(self, data: bytes) -> int:
        """Write all of `data`; failing is noted, not raised: an exception would be lost inside the muxer."""
        rest = memoryview(data)
        size = len(rest)
        try:
            while rest and not self._sealed:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = error
            self.seal()
        return size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to `offset`; the new place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file; twice does nothing."""
        self._file.close()


def _format(path: Path) -> tuple[str, dict[str, str]]:
    known = _FORMATS.get(path.suffix.lower())
    if known is None:
        raise OutputError(f"{path.name} is no recording's name", f"let it end in {' or '.join(_FORMATS)}")
    return known


def _open_tape(path: Path, overwrite: bool) -> _Tape:
    """Make `path` and open it for writing. Raises OutputError."""
    try:
        return _Tape(io.FileIO(path, "w" if overwrite else "x"))
    except (FileExistsError, IsADirectoryError):
        if path.is_dir():
            raise OutputError(f"{path} is a folder", "give the name of a file inside it") from None
        raise OutputError(f"{path} exists already", "choose another name, or remove it first") from None
    except (FileNotFoundError, NotADirectoryError):
        raise OutputError(f"there is no folder {path.parent}", "make it, or choose another place") from None
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror})", "choose another place, or change its permissions"
        ) from error

"""Where pictures come from, chosen by one line of text. Each kind of source has a file of its own.

* `demo`: the bundled clip
* `camera:ID`: a camera by its identity (see list_cameras); `camera:` is the first one
* `file:PATH`, `image:PATH`: a clip, a still picture; a plain path is told apart by its suffix
* `tcp://host:port`: a live MPEG-TS stream
"""

import os
import stat
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from engine.core.errors import SourceError
from engine.core.paths import assets_dir
from engine.core.types import Image
from engine.video.camera import Camera, list_cameras

__all__ = ["DEMO", "Camera", "Source", "list_cameras", "open_source", "source_path"]

DEMO = "demo"


class Source(Protocol):
    """An open source. Used from one thread, `close` included.

    `fps` is its rate; a `live` source gives pictures when they happen (its read waits), the others as fast as
    they are read. `size` is width and height of its first picture; later ones may differ.
    """

    name: str
    fps: float
    live: bool
    size: tuple[int, int]

    def read(self) -> Image | None:
        """The next picture, u8 [H, W, 3] RGB; None at the end of a clip. Raises SourceError when lost."""
        ...

    def rewind(self) -> None:
        """Back to the first picture; live sources ignore it. Raises SourceError."""
        ...

    def close(self) -> None:
        """Let go of file, device or connection. Closing twice does nothing."""
        ...


def open_source(uri: str) -> Source:
    """Open what `uri` names (see above). Raises SourceError saying what is wrong and how to fix it."""
    text = uri.strip()
    if not text:
        raise SourceError("no source is named", "write demo, camera:, a path, or tcp://host:port")
    kind, _, rest = text.partition(":")
    if kind == "camera":
        from engine.video.camera import open_camera

        return open_camera(rest.strip())
    if kind == "tcp":
        from engine.video.clip import StreamSource

        return StreamSource(text)
    named = _named(text)
    if named is None:
        raise SourceError(
            f"{kind}:// sources are not supported", "write demo, camera:ID, a path, or tcp://host:port"
        )
    path = _file(named)
    if text == DEMO:
        return _clip(path, "demo clip")
    return _still(path) if kind == "image" or _is_picture(path) else _clip(path)


def source_path(uri: str) -> Path | None:
    """The file that `open_source` reads for `uri`, there or not; None for none. Raises SourceError."""
    named = _named(uri.strip())
    return None if named is None else Path(os.path.expanduser(named))


def _clip(path: Path, name: str = "") -> Source:
    from engine.video.clip import ClipSource

    return ClipSource(path, name)


def _still(path: Path) -> Source:
    from engine.video.still import StillSource

    return StillSource(path)


def _is_picture(path: Path) -> bool:
    from engine.video.still import SUFFIXES

    return path.suffix.lower() in SUFFIXES


def _named(text: str) -> str | None:
    """The path that a source names, as it is written; None for one that is no file.

    The web form file:///a%20b is understood too. Raises SourceError.
    """
    if text == DEMO:
        return str(assets_dir() / "demo.mp4")
    kind, _, rest = text.partition(":")
    if kind in ("camera", "tcp"):
        return None
    if kind not in ("file", "image"):
        return None if rest.startswith("//") else text
    if not rest.startswith("//"):
        return rest
    try:
        return unquote(urlsplit(rest).path)
    except ValueError as error:
        raise SourceError(f"{text[:200]} is no address ({error})", "write the plain path") from error


def _file(text: str) -> Path:
    """The existing regular file `text`. Raises SourceError."""
    path = Path(os.path.expanduser(text))
    shown = text if len(text) <= 200 else text[:200] + "…"
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise SourceError(f"there is no file {shown}", "check the path, or choose the file again") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceError(f"{shown} cannot be opened ({reason})", "choose another file") from error
    if stat.S_ISDIR(mode):
        raise SourceError(f"{shown} is a folder", "choose a video or a picture inside it")
    if not stat.S_ISREG(mode):
        raise SourceError(f"{shown} is not a file", "choose a video or a picture; cameras are camera:ID")
    return path

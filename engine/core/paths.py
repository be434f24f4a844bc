"""Where things lie: bundled data, the user's folders, and safe writing into them.

Nothing is created here except by `write_atomic`. CUELIGHT_HOME, when set, holds everything of the
user's (config, cache, recordings, models) in one folder.
"""

import contextlib
import os
import re
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from engine.core.errors import CuelightError

_RESERVED = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
_LONGEST_NAME = 80


def assets_dir() -> Path:
    """The bundled data: weights of the embedded model, demo clip, theme."""
    return _bundle() / "assets"


def presets_dir() -> Path:
    """The bundled looks and mappings."""
    return _bundle() / "presets"


def config_dir() -> Path:
    """The user's settings, mappings and looks."""
    home = _home()
    if home is not None:
        return home / "config"
    if sys.platform == "win32":
        return _env_dir("APPDATA", "AppData/Roaming") / "Cuelight"
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/Cuelight"
    return _env_dir("XDG_CONFIG_HOME", ".config") / "cuelight"


def cache_dir() -> Path:
    """Files that can be made or downloaded again."""
    home = _home()
    if home is not None:
        return home / "cache"
    if sys.platform == "win32":
        return _env_dir("LOCALAPPDATA", "AppData/Local") / "Cuelight" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/Cuelight"
    return _env_dir("XDG_CACHE_HOME", ".cache") / "cuelight"


def recordings_dir() -> Path:
    """Where recordings and snapshots go."""
    home = _home()
    if home is not None:
        return home / "recordings"
    return Path.home() / ("Movies" if sys.platform == "darwin" else "Videos") / "Cuelight"


def models_dir() -> Path:
    """Where downloaded model files lie; CUELIGHT_MODELS, when set, names another folder (a big disk)."""
    named = os.environ.get("CUELIGHT_MODELS", "")
    if named:
        return Path(named).expanduser()
    home = _home()
    if home is not None:
        return home / "models"
    if sys.platform == "win32":
        return _env_dir("LOCALAPPDATA", "AppData/Local") / "Cuelight" / "Models"
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/Cuelight/Models"
    return _env_dir("XDG_DATA_HOME", ".local/share") / "cuelight" / "models"


def safe_name(text: str) -> str:
    """`text` as the stem of a file name on every system; never empty, at most 80 characters."""
    text = unicodedata.normalize("NFC", text)
    kept = "".join(letter if letter.isalnum() or letter in "-_. " else " " for letter in text)
    name = re.sub(r"\s+", " ", kept).strip(" .")[:_LONGEST_NAME].strip(" .")
    if name.split(".")[0].lower() in _RESERVED:
        name = "_" + name
    return name or "untitled"


def inside(base: Path, path: str | Path) -> Path:
    """`path` below `base`, with links resolved. Raises CuelightError when it leads elsewhere."""
    root = base.resolve()
    found = Path(os.path.realpath(root / path))  # unlike `resolve`, it lets links that go in a circle be
    if found != root and root not in found.parents:
        raise CuelightError(f"{path} lies outside {base}", f"give a path inside {base}")
    return found


def named_file(folder: Path, named: str) -> Path:
    """The file that a row or a command names: a path of its own, or the name of a file below `folder`.

    Raises CuelightError for a name that leads out of that folder.
    """
    path = Path(os.path.expanduser(named))  # unlike the method, it leaves an unknown ~name as it is
    return path if path.is_absolute() else inside(folder, path)


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` as `replacing` does. Raises OSError, leaving nothing behind."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` at the end, so that a reader finds the old or the new.

    Makes the folder when missing. Raises OSError (disk full, no permission); then, and when the block
    raises, nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _bundle() -> Path:
    """The folder that holds assets/ and presets/: the checkout, or a frozen program's own folder."""
    frozen = getattr(sys, "_MEIPASS", None)  # set by PyInstaller only
    return Path(frozen) if frozen is not None else Path(__file__).resolve().parents[2]


def _home() -> Path | None:
    home = os.environ.get("CUELIGHT_HOME", "")
    return Path(home).expanduser() if home else None


def _env_dir(variable: str, otherwise: str) -> Path:
    named = os.environ.get(variable, "")
    # The XDG rules say that a relative path is to be ignored.
    return Path(named) if os.path.isabs(named) else Path.home() / otherwise

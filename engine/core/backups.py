"""Older versions of a performer's own files, kept beside them: a show is not lost to one bad evening."""

import contextlib
import glob
import time
from collections.abc import Callable
from pathlib import Path

from engine.core.paths import write_atomic

FOLDER = "backups"
KEPT = 10


def back_up(path: Path, now: Callable[[], float] = time.time) -> None:
    """Copy the file at `path` into the folder `backups` beside it, if it differs from its newest copy there.

    The KEPT newest copies of it stay. What cannot be copied is let be: saving goes on without. Never raises
    OSError.
    """
    folder = path.parent / FOLDER
    with contextlib.suppress(OSError):
        if not path.is_file():
            return
        data, copies = path.read_bytes(), _copies(folder, path)
        if copies and copies[-1].read_bytes() == data:
            return
        stamp = time.strftime("%Y-%m-%d_%H-%M-%S", time.gmtime(now()))
        place = folder / f"{path.stem}-{stamp}-{int(now() * 1000) % 1000:03d}{path.suffix}"
        write_atomic(place, data)
        for old in [*copies, place][:-KEPT]:
            old.unlink()


def _copies(folder: Path, path: Path) -> list[Path]:
    """The copies of a file, oldest first: their names sort by time."""
    return sorted(folder.glob(f"{glob.escape(path.stem)}-????-??-??_??-??-??-???{path.suffix}"))

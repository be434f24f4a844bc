"""Older versions of a performer's own files, kept beside them: a show is not lost to one bad evening."""

import contextlib
import glob
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

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
        copies = _copies(folder, path)
        if copies and copies[-1].read_bytes() == path.read_bytes():
            return
        folder.mkdir(exist_ok=True)
        stamp = time.strftime("%Y-%m-%d_%H-%M-%S", time.gmtime(now()))
        place = folder / f"{path.stem}-{stamp}-{int(now() * 1000) % 1000:03d}{path.suffix}"
        part = place.with_name(f".{place.name}.part")  # a copy is whole or not there
        shutil.copyfile(path, part)
        os.replace(part, place)
        for old in [*copies, place][:-KEPT]:
            old.unlink()


def _copies(folder: Path, path: Path) -> list[Path]:
    """The copies of a file, oldest first: their names sort by time."""
    return sorted(folder.glob(f"{glob.escape(path.stem)}-????-??-??_??-??-??-???{path.suffix}"))

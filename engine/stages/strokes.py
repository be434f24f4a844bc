"""Drawn masks that nobody needs any more. Each stroke is a file, so that looks and undo can name it.

Called once when the program starts: then no undo step exists, and what is in use was restored already.
"""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from engine.core.paths import config_dir, presets_dir
from engine.stages.pictures import DRAWN, picture_folder

KEPT_S = 30 * 24 * 3600.0
"""A younger one stays in any case: a look that names it may lie on a stick, another window may undo to it."""


def forget_strokes(in_use: Iterable[str], now: float | None = None) -> int:
    """Delete drawn masks older than KEPT_S that neither a file of the user's names nor `in_use` does.

    `now`: seconds since 1970. Looks, mappings and settings are all searched, whatever their format; where one
    of them cannot be read, nothing is deleted. Returns how many were deleted.
    """
    latest = (time.time() if now is None else now) - KEPT_S
    old = [path for path in (picture_folder() / DRAWN).glob("*.png") if path.stat().st_mtime < latest]
    if not old:
        return 0
    named = "\n".join(in_use)
    try:
        named += "\n".join(path.read_text("utf-8", errors="replace") for path in _texts())
    except OSError:
        return 0  # it may name any of them
    gone = [path for path in old if path.stem not in named]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def _texts() -> Iterator[Path]:
    """Everything of the user's and of the program's that could name a mask."""
    for folder in (config_dir(), presets_dir()):
        yield from (path for path in folder.rglob("*.toml*") if path.is_file())

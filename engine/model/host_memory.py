"""Main memory on its way between a running model and the system.

Between two layers a model on a processor takes and frees tens of megabytes at a time. The C library hands
such pieces back at once, and the system clears them anew whenever they are touched again: on a small machine
that costs as much as the convolutions in between.
"""

from __future__ import annotations

import ctypes
import sys

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Names of two settings in glibc's malloc.h."""
LARGEST_PIECE = 2**28
KEPT = 2**30
"""Bytes: pieces up to the one are kept for the next who asks, up to the other in sum."""


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, within bounds; False where the C library has no such setting.

    For the whole process and for good; may be called again.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    try:
        tune = library.mallopt
    except AttributeError:  # another C library than glibc
        return False
    return bool(tune(MMAP_THRESHOLD, LARGEST_PIECE)) and bool(tune(TRIM_THRESHOLD, KEPT))

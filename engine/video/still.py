"""A still picture as a source: the same picture at every read."""

from pathlib import Path

import numpy as np

from engine.core.errors import SourceError
from engine.core.types import Image
from engine.video.fit import bounded
from engine.video.opencv import cv2

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"})
LONGEST_SIDE = 1920  # larger pictures are shrunk once; the engine's are far smaller
_MOST_BYTES = 256 * 2**20


class StillSource:
    """One picture file (PNG, JPEG, WebP, BMP, TIFF), turned upright as its EXIF mark says.

    Raises SourceError when made from something that is no such picture.
    """

    live = False
    fps = 30.0

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._image = _load(path)
        height, width = self._image.shape[:2]
        self.size = (width, height)

    def read(self) -> Image | None:
        """The picture, u8 [H, W, 3] RGB; it never ends."""
        return self._image

    def rewind(self) -> None:
        """Nothing moves, nothing to rewind."""

    def close(self) -> None:
        """No file is held."""


def _load(path: Path) -> Image:
    fix = "choose a PNG, JPEG, WebP, BMP or TIFF picture"
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SourceError(f"{path.name} is larger than {_MOST_BYTES // 2**20} MB", "save a smaller copy")
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        what = f"{path.name} cannot be read ({error.strerror})"
        raise SourceError(what, "check the file and its permissions") from error
    if not data.size:
        raise SourceError(f"{path.name} is an empty file", fix)
    try:
        # Decoded from memory, so that any file name works on every system. Transparency is dropped.
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:  # far too many pixels, promised by the header
        raise SourceError(f"{path.name} cannot be read as a picture ({error.err})", fix) from error
    if image is None:
        raise SourceError(f"{path.name} cannot be read as a picture", fix)
    small = bounded(np.asarray(image, np.uint8), LONGEST_SIDE)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8)

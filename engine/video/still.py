"""A still picture as a source: the same picture at every read."""

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.core.errors import SourceError
from engine.core.types import Image
from engine.video.fit import bounded
from engine.video.opencv import cv2

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"})
LONGEST_SIDE = 1920  # larger pictures are shrunk once; the engine's are far smaller
_MOST_BYTES = 256 * 2**20
_FIX = "choose a PNG, JPEG, WebP, BMP or TIFF picture"


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


@dataclass(frozen=True, eq=False, slots=True)
class Still:
    """A picture out of a file, u8 [H, W, 3] RGB; `animated`: the first of several."""

    image: Image
    animated: bool


def read_still(path: Path) -> Still:
    """The picture in a file, at most `LONGEST_SIDE` long, transparent parts on white.

    References are cut out on white. Raises SourceError naming the file.
    """
    data = _bytes(path)
    image = _decoded(path, data, cv2.IMREAD_COLOR)
    whole = _decoded(path, data, cv2.IMREAD_UNCHANGED)
    if whole.ndim == 3 and whole.shape[2] == 4 and whole.shape[:2] == image.shape[:2]:
        most = float(np.iinfo(whole.dtype).max) if whole.dtype.kind == "u" else 1.0
        share = np.asarray(whole[..., 3:], np.float32) / np.float32(most)
        image = np.rint(255 + (image.astype(np.float32) - 255) * share).astype(np.uint8)
    return Still(_small_rgb(image), _pictures_in(data) > 1)


def _load(path: Path) -> Image:
    # Transparency is dropped.
    return _small_rgb(_decoded(path, _bytes(path), cv2.IMREAD_COLOR))


def _bytes(path: Path) -> npt.NDArray[np.uint8]:
    """What the file holds. Raises SourceError when it cannot be read, is empty or too large."""
    try:
        told = path.stat()
        if not stat.S_ISREG(told.st_mode):  # a pipe or a device might never end
            raise SourceError(f"{path.name} is not a file", _FIX)
        if told.st_size > _MOST_BYTES:
            raise SourceError(f"{path.name} is larger than {_MOST_BYTES // 2**20} MB", "save a smaller copy")
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        what = f"{path.name} cannot be read ({error.strerror})"
        raise SourceError(what, "check the file and its permissions") from error
    if not data.size:
        raise SourceError(f"{path.name} is an empty file", _FIX)
    return data


def _decoded(path: Path, data: npt.NDArray[np.uint8], flags: int) -> npt.NDArray[Any]:
    """The picture in `data`; decoded from memory, so that any file name works on every system."""
    try:
        image = cv2.imdecode(data, flags)
    except cv2.error as error:  # far too many pixels, promised by the header
        what = f"{path.name} cannot be read as a picture ({error.err})"
        raise SourceError(what, f"{_FIX}, of at most 100 million pixels") from error
    if image is None:
        raise SourceError(f"{path.name} cannot be read as a picture", _FIX)
    return image


def _pictures_in(data: npt.NDArray[np.uint8]) -> int:
    """1, or 2 for an animation."""
    try:
        _, pictures = cv2.imdecodemulti(data, cv2.IMREAD_REDUCED_COLOR_8, None, (0, 2))
    except cv2.error:  # a format that holds one picture only
        return 1
    return len(pictures)


def _small_rgb(image: npt.NDArray[Any]) -> Image:
    small = bounded(np.asarray(image, np.uint8), LONGEST_SIDE)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8)

"""Small films and pictures drawn for the tests of engine.video."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from engine.core.types import Image
from engine.video.opencv import cv2

RED, GREEN, BLUE, WHITE = (230, 30, 30), (30, 210, 40), (30, 50, 220), (240, 240, 240)
PHOTO = Path(__file__).parents[1] / "data" / "astronaut.png"


def quarters(height: int, width: int) -> Image:
    """Red, green, blue and white: one colour for each quarter, row by row."""
    image = np.empty((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = RED, GREEN
    image[height // 2 :, : width // 2], image[height // 2 :, width // 2 :] = BLUE, WHITE
    return image


def corners(image: Image) -> list[str]:
    """The names of the colours in the four quarters of `image`, row by row."""
    names = {"red": RED, "green": GREEN, "blue": BLUE, "white": WHITE}
    height, width = image.shape[:2]
    found = []
    for y in (height // 4, 3 * height // 4):
        for x in (width // 4, 3 * width // 4):
            off = {name: np.abs(image[y, x].astype(int) - color).max() for name, color in names.items()}
            nearest = min(off, key=lambda name: off[name])
            assert off[nearest] < 25, f"{image[y, x]} at {x}, {y} is none of the four colours"
            found.append(nearest)
    return found


def level(index: int) -> int:
    """The gray level of picture `index` of a film of `grays`: 12 steps that H.264 keeps apart."""
    return 20 + 18 * (index % 12)


def grays(count: int, height: int = 48, width: int = 64) -> list[Image]:
    """Flat pictures whose level tells their number."""
    return [np.full((height, width, 3), level(index), np.uint8) for index in range(count)]


def number_of(image: Image) -> int:
    """Which picture of `grays` this is (modulo 12)."""
    return round((float(image.mean()) - 20) / 18)


def write_film(
    path: Path,
    images: Sequence[Image],
    fps: int = 30,
    times: Sequence[int] | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    container_format: str | None = None,
) -> Path:
    """An H.264 film; `times` are the pictures' times in 1/fps, when they are not 0, 1, 2 ..."""
    height, width = images[0].shape[:2]
    with av.open(str(path), "w", format=container_format, options=options or {}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "12"})
        # yuv444p where a side is odd, which yuv420p cannot hold.
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p" if height % 2 == width % 2 == 0 else "yuv444p"
        if rotation:
            stream.set_display_rotation(rotation)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = times[index] if times is not None else index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def photo() -> Image:
    """A photograph of a person (NASA, public domain), 256 x 256."""
    return np.asarray(cv2.cvtColor(cv2.imread(str(PHOTO)), cv2.COLOR_BGR2RGB), np.uint8)

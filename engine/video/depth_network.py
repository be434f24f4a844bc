"""A downloaded depth network in an ONNX file: one picture in, how near each pixel is out.

The interface is Depth Anything V2's as published: an input `[1, 3, H, W]` of colours in RGB order less
ImageNet's mean over its deviation, H and W multiples of 14, and an output `[1, H, W]` of inverse depth (near
is large) on a scale of its own. onnxruntime runs it where that is installed (then on a GPU it knows of), else
OpenCV on the processor.

On one slow core the same graph with random weights takes 0.2 s for 126 x 224 and 0.7 s for
252 x 448, with either library: without a GPU the control picture follows at a few pictures a second.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from engine.core.errors import AnnotatorError
from engine.core.types import Image
from engine.video.opencv import cv2

Plane = npt.NDArray[np.float32]
Run = Callable[[Plane], Plane]

FILES = ("onnx-community/depth-anything-v2-small/onnx/model.onnx",)
"""Where the network belongs, below the models folder; the first that is there is used."""
FIX = "download it with: cuelight models get depth"

_MULTIPLE = 14  # pixels along one side of a patch
# The network sees a picture at about its own size. The published 518 is for pictures larger than ours.
_SHORT_SIDES = (126, 252)
_FIXED_SIDE = 518  # some copies of the file take nothing else
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


def find_network(models: Path) -> Path | None:
    """The network's file in the folder `models`; None where it was not downloaded."""
    places = (models / name for name in FILES)
    return next((place for place in places if place.is_file() and place.stat().st_size > 0), None)


class DepthNetwork:
    """Inverse depth of one picture after the other. One thread. It remembers nothing between pictures."""

    def __init__(self, path: Path) -> None:
        """Load `path`. Raises AnnotatorError where it is no such network."""
        self._path = path
        self._run: Run = _opened(path)
        self._fixed = False
        self.find(np.zeros((64, 64, 3), np.uint8))

    def find(self, image: Image) -> Plane:
        """Inverse depth of `image` (u8 [H, W, 3]), f32 [H, W], larger = nearer. Raises AnnotatorError."""
        height, width = image.shape[:2]
        if not self._fixed:
            try:
                return self._found(image, *_network_size(height, width))
            except AnnotatorError:
                self._fixed = True  # then it has to be a copy with one size, or it is broken
        return self._found(image, _FIXED_SIDE, _FIXED_SIDE)

    def _found(self, image: Image, rows: int, columns: int) -> Plane:
        small = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        colours = (small / np.float32(255) - _MEAN) / _DEVIATION
        try:
            made = np.asarray(self._run(np.ascontiguousarray(colours.transpose(2, 0, 1)[None])), np.float32)
        except Exception as error:  # both libraries raise many kinds; the file is at fault in each
            raise _broken(self._path, str(error)) from error
        near = np.squeeze(made)
        if near.ndim != 2 or not np.isfinite(near).all():
            raise _broken(self._path, f"its result of shape {list(made.shape)} is no finite picture of depth")
        height, width = image.shape[:2]
        return np.asarray(cv2.resize(near, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _network_size(height: int, width: int) -> tuple[int, int]:
    """Rows and columns that the network is given: multiples of a patch, proportions kept, at least one."""
    least, most = _SHORT_SIDES
    short = min(max(min(height, width), least), most)
    scale = short / min(height, width)
    # A ribbon of a picture would become a huge one; nobody shows more than four times as wide as high.
    most = 4 * short // _MULTIPLE * _MULTIPLE
    rows, columns = (min(round(side * scale / _MULTIPLE) * _MULTIPLE, most) for side in (height, width))
    return rows, columns


def _opened(path: Path) -> Run:
    try:
        library = importlib.import_module("onnxruntime")
    except ImportError:
        return _with_opencv(path)
    return _with_onnxruntime(library, path)


def _with_opencv(path: Path) -> Run:
    try:
        # Read here: OpenCV cannot open every file name on every system.
        network = cv2.dnn.readNetFromONNX(np.fromfile(path, np.uint8))
    except (OSError, cv2.error) as error:
        raise _broken(path, str(error)) from error

    def run(colours: Plane) -> Plane:
        network.setInput(colours)
        return np.asarray(network.forward(), np.float32)

    return run


def _with_onnxruntime(library: ModuleType, path: Path) -> Run:
    try:
        session = library.InferenceSession(str(path), providers=library.get_available_providers())
        name = session.get_inputs()[0].name
    except Exception as error:  # it has a dozen kinds of its own, without a common one
        raise _broken(path, str(error)) from error
    return lambda colours: np.asarray(session.run(None, {name: colours})[0], np.float32)


def _broken(path: Path, why: str) -> AnnotatorError:
    first = next((line.strip() for line in why.splitlines() if line.strip()), "")[:160]
    what = f"{path} cannot be used as a depth network ({first})"
    return AnnotatorError(
        what, f"remove the file, then {FIX}; or install onnxruntime, which reads more kinds"
    )

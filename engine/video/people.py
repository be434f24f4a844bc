"""The one file that imports mediapipe: its three networks that see a person. They run offline.

The library is loaded on first use (seconds). While a network starts, its native code prints notes for its own
developers on the process's stderr, before any setting could stop it: they are held back, and every other line
that was written meanwhile is passed on.
"""

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.core.errors import AnnotatorError
from engine.core.types import Image

SURE = 0.5  # a pixel belongs to the person from this certainty on
SEEN = 0.3  # points of a body less visible than this are left out
PRESENT = 0.005  # less of the picture than this is nobody

_NOISE = re.compile(
    rb"Created TensorFlow Lite XNNPACK delegate"
    rb"|All log messages before absl::InitializeLog\(\)"
    rb"|inference_feedback_manager\.cc"
)
_REDIRECTED = threading.Lock()


@dataclass(frozen=True, eq=False, slots=True)
class Body:
    """One person's 33 mediapipe landmarks: `points` f32 [33, 2] as x, y in parts of the picture's width and
    height (they may lie outside 0..1), `visibility` f32 [33] from 0 to 1.
    """

    points: npt.NDArray[np.float32]
    visibility: npt.NDArray[np.float32]


class BodyTracker:
    """Finds one body and follows it from picture to picture. One stream, one thread."""

    def __init__(self, annotator: str = "pose") -> None:
        """Load the network (`model_complexity` 1 is the one the wheel carries).

        Raises AnnotatorError in the name of `annotator`.
        """
        with _quiet_start(annotator):
            from mediapipe.python.solutions.pose import Pose

            self._network = Pose(model_complexity=1)
            self._network.process(np.zeros((64, 64, 3), np.uint8))
        self._open = True

    def find(self, image: Image) -> Body | None:
        """The body in `image` (u8 [H, W, 3]), or None when there is none."""
        found = self._network.process(np.ascontiguousarray(image)).pose_landmarks
        if found is None:
            return None
        points = np.array([(mark.x, mark.y) for mark in found.landmark], np.float32)
        visibility = np.array([mark.visibility for mark in found.landmark], np.float32)
        return Body(points, visibility)

    def close(self) -> None:
        """Stop the network's threads and free it."""
        if self._open:
            self._open = False
            self._network.close()


class FaceTracker:
    """Finds one face, not too small, and follows it from picture to picture. One stream, one thread."""

    def __init__(self, annotator: str) -> None:
        """Load the network. Raises AnnotatorError in the name of `annotator`."""
        with _quiet_start(annotator):
            from mediapipe.python.solutions.face_mesh import FaceMesh

            self._network = FaceMesh(max_num_faces=1)
            self._network.process(np.zeros((64, 64, 3), np.uint8))
        self._open = True

    def find(self, image: Image) -> npt.NDArray[np.float32] | None:
        """The 468 points of mediapipe's face mesh in `image` (u8 [H, W, 3]), or None when there is none.

        f32 [468, 2] as x, y in parts of the picture's width and height; they may lie outside 0..1.
        """
        found = self._network.process(np.ascontiguousarray(image)).multi_face_landmarks
        if not found:
            return None
        return np.array([(mark.x, mark.y) for mark in found[0].landmark], np.float32)

    def close(self) -> None:
        """Stop the network's threads and free it."""
        if self._open:
            self._open = False
            self._network.close()


class PersonMask:
    """Tells a person from the background, picture by picture. One stream, one thread."""

    def __init__(self, annotator: str = "segmentation") -> None:
        """Load the network for landscape pictures. Raises AnnotatorError in the name of `annotator`."""
        with _quiet_start(annotator):
            from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

            self._network = SelfieSegmentation(model_selection=1)
            self._network.process(np.zeros((64, 64, 3), np.uint8))
        self._open = True

    def find(self, image: Image) -> npt.NDArray[np.float32]:
        """How surely each pixel of `image` (u8 [H, W, 3]) belongs to a person: f32 [H, W], 0..1."""
        mask = self._network.process(np.ascontiguousarray(image)).segmentation_mask
        return np.asarray(mask, np.float32)

    def close(self) -> None:
        """Stop the network's threads and free it."""
        if self._open:
            self._open = False
            self._network.close()


class CalmPerson:
    """A person mask whose outline does not flicker: half of it is the last picture's. One thread."""

    _MEMORY = 0.5  # share of the last picture's certainty; the outline lags half a frame

    def __init__(self, annotator: str) -> None:
        """Load the network. Raises AnnotatorError in the name of `annotator`."""
        self._network = PersonMask(annotator)
        self._last: npt.NDArray[np.float32] | None = None

    def find(self, image: Image) -> npt.NDArray[np.float32]:
        """How surely each pixel of `image` (u8 [H, W, 3]) belongs to a person: f32 [H, W], 0..1."""
        sure = self._network.find(image)
        if self._last is not None and self._last.shape == sure.shape:
            sure = sure * (1 - self._MEMORY) + self._last * self._MEMORY
        self._last = sure
        return sure

    def close(self) -> None:
        """Free the network. Closing twice does nothing."""
        self._network.close()


@contextlib.contextmanager
def _quiet_start(annotator: str) -> Iterator[None]:
    """Load mediapipe and start a network inside, without its start-up notes."""
    try:
        with _without_noise():
            _follow_protobuf()
            yield
    except ImportError as missing:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise AnnotatorError(
            f"the annotator {annotator} needs mediapipe, which is not installed ({missing})",
            "install mediapipe 0.10.14 (it exists for Python 3.8 to 3.12; "
            f"this is {version}), or choose another annotator",
        ) from missing


def _follow_protobuf() -> None:
    """Let mediapipe 0.10.14 reach protobuf's factory by its new name.

    It asks SymbolDatabase.GetPrototype for every result, which warns each time that it will go away and
    then does exactly this.
    """
    from google.protobuf import message_factory, symbol_database  # type: ignore[import-untyped]

    symbol_database.Default().GetPrototype = message_factory.GetMessageClass


@contextlib.contextmanager
def _without_noise() -> Iterator[None]:
    """Collect what is written to file descriptor 2 inside; write it there afterwards, without the noise.

    One thread at a time: of two, the second would put back the first one's file for the real thing.
    """
    with _REDIRECTED, contextlib.ExitStack() as opened:
        try:
            real = os.dup(2)
        except OSError:  # a windowed program may have no stderr at all
            yield
            return
        held = opened.enter_context(tempfile.TemporaryFile())
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            held.seek(0)
            for line in held:
                if not _NOISE.search(line):
                    os.write(2, line)

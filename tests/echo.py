"""A session without a model: it shows the control pictures it was given, so that frames can be told apart."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.chunk import ChunkInput, ChunkOutput, Live, Settings
from engine.core.types import Image
from engine.modes import Mode

FRAMES_IN = 12


@dataclass(frozen=True)
class EchoConditioning:
    text: str
    known: tuple[str, ...]
    ignored: tuple[str, ...]


class EchoSession:
    """Frame i is control picture i, faded to gray by the context scale, with the seed in its corner.

    `first_lacks`: so many frames fewer come out of a stream's first chunk (with the public codecs: 3).
    """

    first_lacks = 3

    def __init__(self, pipeline: str, height: int, width: int, choice: object = None) -> None:
        self.pipeline, self.height, self.width = pipeline, height, width
        self.frames_in = FRAMES_IN
        self.chunks: list[ChunkInput] = []
        self.resets = 0
        self.closed = False
        self._waiting: list[Image] = []
        self._started = False

    def conditioning(self, text: str) -> EchoConditioning:
        words = tuple(text.split())
        return EchoConditioning(text, words[:1], words[1:])

    def step(
        self,
        chunk: ChunkInput,
        live: Callable[[], Live],
        conditioning: EchoConditioning,
        settings: Settings,
        *,
        emit: Callable[[ChunkOutput], None],
    ) -> None:
        self.chunks.append(chunk)
        control = np.full((FRAMES_IN, self.height, self.width, 3), 128, np.uint8)
        if chunk.control is not None:
            control = chunk.control
        faded = 128 + (control.astype(np.float32) - 128) * min(1.0, live().context_scale)
        pictures = np.rint(faded).astype(np.uint8)
        pictures[:, 0, 0] = settings.seed % 256
        self._waiting.extend(pictures)
        count = FRAMES_IN if self._started else FRAMES_IN - self.first_lacks
        self._started = True
        out, self._waiting = self._waiting[:count], self._waiting[count:]
        emit(ChunkOutput(np.stack(out), Mode("echo", ""), live().version, {}))

    def reference(self, picture: Image, fit: str = "white") -> tuple[int, str]:
        return int(picture.mean()), fit

    def reset(self) -> None:
        self.resets += 1
        self._waiting, self._started = [], False

    def close(self) -> None:
        self.closed = True

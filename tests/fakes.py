"""Stand-ins with a real behaviour of their own: clock, source, annotator, session, outputs.

They are not mocks: each does in a small way what the real part does, and can be told to fail as the real
part fails. Written from one thread, read from another: plain attributes, replaced as a whole.
"""

import itertools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from engine.chunk import ChunkInput, ChunkOutput, Live, Settings
from engine.core.errors import EngineError, OutputError, SourceError, WeightsError
from engine.core.types import Image
from engine.modes import Mode
from engine.video.annotators import Annotation

HEIGHT, WIDTH = 128, 224


class FakeClock:
    """A clock that moves only when told; waiting on it moves it."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def wait(self, seconds: float) -> None:
        self.now += max(0.0, seconds)


def flat(level: int, height: int = 36, width: int = 64) -> Image:
    """A picture of one gray level (0..255)."""
    return np.full((height, width, 3), level % 256, np.uint8)


class FakeSource:
    """A camera (`length` None) or a clip of `length` pictures; picture k is flat with level k.

    `vanish()` makes the next read raise SourceError, as an unplugged camera does.
    """

    def __init__(self, name: str, fps: float = 60.0, length: int | None = None) -> None:
        self.name = name
        self.fps = fps
        self.live = length is None
        self.size = (64, 36)
        self.closed = threading.Event()
        self.rewinds = 0
        self._length = length
        self._position = 0
        self._gone = False

    def vanish(self) -> None:
        self._gone = True

    def read(self) -> Image | None:
        if self.live:
            self.closed.wait(1.0 / self.fps)
        if self._gone:
            raise SourceError(f"{self.name} vanished", "plug it in again")
        if self._length is not None and self._position >= self._length:
            return None
        self._position += 1
        return flat(self._position)

    def rewind(self) -> None:
        self.rewinds += 1
        self._position = 0

    def close(self) -> None:
        self.closed.set()


class FakeSources:
    """What can be opened: `makes` by uri; a uri that is not there (any more) raises SourceError."""

    def __init__(self, **makes: Callable[[], FakeSource]) -> None:
        self.makes = makes
        self.opened: list[FakeSource] = []
        self.refused: list[str] = []

    def open(self, uri: str) -> FakeSource:
        make = self.makes.get(uri)
        if make is None:
            self.refused.append(uri)
            raise SourceError(f"{uri} is not there", "plug it in")
        source = make()
        self.opened.append(source)
        return source


class FakeAnnotator:
    """Draws the negative; raises when its `fault` is set."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fault: Exception | None = None
        self.closed = False

    def annotate(self, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
        if self.fault is not None:
            raise self.fault
        if self.name == "none":
            return Annotation(None, None)
        mask = np.full(image.shape[:2], 255, np.uint8) if self.name == "segmentation" else None
        return Annotation(255 - image, mask)

    def close(self) -> None:
        self.closed = True


class FakeAnnotators:
    """Makes annotators; a name in `broken` raises its error instead."""

    def __init__(self) -> None:
        self.made: dict[str, FakeAnnotator] = {}
        self.broken: dict[str, Exception] = {}

    def make(self, name: str, bodies: object = None) -> FakeAnnotator:
        del bodies
        if name in self.broken:
            raise self.broken[name]
        self.made[name] = FakeAnnotator(name)
        return self.made[name]


class FakeSession:
    """Generates the control pictures' negatives in order, `chunk_s` seconds per chunk: first 9, then 12.

    As with the public tiny autoencoders, the last 3 pictures of a chunk are shown with the next one.

    `faults` are raised, one per step, before anything is emitted. `lives` are the live values it heard.
    """

    frames_in = 12
    device = "cpu"
    expected_s: float | None = None

    def __init__(self, height: int, width: int, chunk_s: float, faults: list[Exception]) -> None:
        self.height, self.width = height, width
        self.chunk_s = chunk_s
        self.faults = faults
        self.steps: list[tuple[ChunkInput, Any, Settings]] = []
        self.lives: list[Live] = []
        self.resets = self.replays = 0
        self.closed = threading.Event()
        self.worn: dict[int, str | None] = {}
        self._waiting: list[Image] = []
        self._first = True

    def conditioning(self, text: str) -> Any:
        if text.startswith("!"):
            raise EngineError(f"cannot read {text!r}", "write words")
        words = text.split()
        known, ignored = (tuple(w for w in words if (w == "zzz") is odd) for odd in (False, True))
        return SimpleNamespace(text=text, known=known, ignored=ignored)

    def step(
        self,
        chunk: ChunkInput,
        live: Callable[[], Live],
        conditioning: Any,
        settings: Settings,
        *,
        emit: Callable[[ChunkOutput], None],
    ) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.closed.wait(self.chunk_s)
        self.steps.append((chunk, conditioning, settings))
        heard = live()
        self.lives.append(heard)
        count = 9 if self._first else self.frames_in
        self._first = False
        if chunk.control is None:
            self._waiting += [np.zeros((self.height, self.width, 3), np.uint8)] * self.frames_in
        else:
            self._waiting += list(255 - chunk.control)
        frames, self._waiting = np.stack(self._waiting[:count]), self._waiting[count:]
        emit(ChunkOutput(frames, Mode(f"V2V {chunk.annotator}", "fake"), heard.version, {}, "2 steps"))

    def reference(self, picture: Image, fit: str = "white") -> Any:
        return SimpleNamespace(level=int(picture.mean()), fit=fit)

    def read_lora(self, path: Path) -> Any:
        if "bad" in path.name:
            raise WeightsError(f"{path.name} is no LoRA.", "Choose another file.")
        return SimpleNamespace(name=path.name, unknown=("odd",) if "odd" in path.name else ())

    def set_lora(self, slot: int, lora: Any, strength: float = 1.0) -> None:
        self.worn[slot] = lora.name if lora is not None else None

    def reset(self, replay: bool = False) -> None:
        self.resets += 1
        self.replays += replay
        self._waiting, self._first = [], True

    def close(self) -> None:
        self.closed.set()


class FakeEngine:
    """Opens sessions and keeps them; `faults` of the step and `refusals` of opening are used up in order."""

    def __init__(self, chunk_s: float = 0.05) -> None:
        self.chunk_s = chunk_s
        self.sessions: list[FakeSession] = []
        self.opened: list[tuple[str, int, int]] = []
        self.faults: list[Exception] = []
        self.refusals: list[Exception] = []
        self.gate = threading.Event()  # opening waits for it
        self.gate.set()

    def open(self, pipeline: str, height: int, width: int, choice: object = None) -> Any:
        self.opened.append((pipeline, height, width))
        self.gate.wait(30)
        if self.refusals:
            raise self.refusals.pop(0)
        session = FakeSession(height, width, self.chunk_s, self.faults)
        self.sessions.append(session)
        return session


class FakeRecorder:
    """Keeps what it is given; can be full (OutputError) or hang on `gate`."""

    def __init__(self, path: Path, width: int, height: int, fps: float) -> None:
        self.path, self.size, self.fps = path, (width, height), fps
        self.images: list[Image] = []
        self.closed = False

    def write(self, image: Image) -> None:
        self.images.append(image)

    def close(self) -> None:
        self.closed = True


class FakeRecorders:
    """Opens recorders and keeps them. `capacity` pictures fit on the disk; `gate` lets writes through."""

    def __init__(self, capacity: int | None = None) -> None:
        self.capacity = capacity
        self.refusal: Exception | None = None
        self.opened: list[FakeRecorder] = []
        self.gate = threading.Event()
        self.gate.set()

    def open(self, path: Path, width: int, height: int, fps: float) -> FakeRecorder:
        if self.refusal is not None:
            raise self.refusal
        disk = self

        class OnThisDisk(FakeRecorder):
            def write(self, image: Image) -> None:
                disk.gate.wait(30)
                if disk.capacity is not None and len(self.images) >= disk.capacity:
                    raise OutputError("the disk is full", "free some space")
                super().write(image)

        self.opened.append(OnThisDisk(path, width, height, fps))
        return self.opened[-1]


class FakeVirtualCamera:
    """A device that keeps the last picture; `refusal` is raised by start, `gate` delays it."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.refusal = refusal
        self.gate = threading.Event()
        self.gate.set()
        self.running = False
        self.shown: list[Image] = []

    @property
    def status(self) -> str:
        return "on: fake" if self.running else "off"

    def start(self) -> None:
        self.gate.wait(30)
        if self.refusal is not None:
            raise self.refusal
        self.running = True

    def stop(self) -> None:
        self.running = False

    def show(self, image: Image) -> None:
        self.shown.append(image)


def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait until `condition` holds; fails naming `what`. Generous: it ends as soon as it is true."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError(f"never happened: {what}")


def gaps(times: Sequence[float]) -> list[float]:
    """Differences of successive times."""
    return [later - earlier for earlier, later in itertools.pairwise(times)]

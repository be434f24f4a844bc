"""Capture: reads the source named by source.uri and stamps its frames. Runs on the thread "capture".

It outlives its source: a camera that vanishes is opened again, a clip that ends is rewound or says so,
and a source that cannot be opened leaves the one before it running. It does not know who sees the frames.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.core.channels import Closed, Latest
from engine.core.errors import SourceError
from engine.core.pacing import Pacer, back_off
from engine.core.store import Store
from engine.core.types import Frame
from engine.stages.reports import Reports, describe
from engine.video.sources import Source

RETRY_S = 0.5
# While the source before is still on screen, an unreachable address must not interrupt it often.
RETRY_BEHIND_S = 2.0
RETRY_BEHIND_MOST_S = 30.0
# A clip's own idea of its rate may be nonsense; slower than this and a change of source would wait.
SLOWEST_FPS, FASTEST_FPS = 1.0, 120.0


@dataclass(frozen=True)
class SourceState:
    """What the source does: `text` for the status, `reason` (empty when `ok`) for the ladder."""

    text: str
    ok: bool
    reason: str


class CaptureStage:
    """Puts each frame into `frames` (for the annotator) and `preview` (for everybody who peeks)."""

    def __init__(
        self,
        store: Store,
        open_source: Callable[[str], Source],
        frames: Latest[Frame],
        preview: Latest[Frame],
        reports: Reports,
        clock: Callable[[], float],
    ) -> None:
        self.state = SourceState("opening the source", False, "opening the source")
        self._store = store
        self._open_source = open_source
        self._frames = frames
        self._preview = preview
        self._reports = reports
        self._clock = clock
        self._changed = threading.Event()
        self._source: Source | None = None
        self._pacer: Pacer | None = None
        self._showing: str | None = None  # the uri of `_source`
        self._tried: str | None = None  # the uri last asked for, opened or not
        self._failures = 0
        self._retry_at = 0.0
        self._index = 0
        self._ended = False
        self._fresh = True  # nothing read since opening or rewinding

    def wake(self) -> None:
        """A source parameter changed, or the runtime stops: end any wait."""
        self._changed.set()

    def tick(self) -> None:
        """Open what is asked for if need be, then read one frame."""
        try:
            self._follow(self._store.snapshot().text("source.uri"))
            if self._source is None:
                self._wait(self._retry_at - self._clock())
            elif self._ended:
                self._stay_ended(self._source)
            else:
                self._read(self._source)
        except Closed:
            raise
        except SourceError as error:
            self._lose(error)
        except Exception as error:
            self._lose(error)
            raise

    def close(self) -> None:
        """Release the device."""
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def _follow(self, uri: str) -> None:
        """Open `uri` unless it is showing already or failed a moment ago."""
        if uri == self._showing:
            if self._source is not None and self._tried != uri:
                self._say_running(self._source)  # back from a source that could not be opened
            self._tried = uri
            return
        if uri != self._tried:
            self._tried, self._failures, self._retry_at = uri, 0, 0.0
        if self._clock() < self._retry_at:
            return
        try:
            source = self._open_source(uri)
        except Exception as error:  # a driver's own too: the source that plays has nothing to do with it
            self._cannot_open(error)
            return
        self.close()
        self._source, self._showing, self._failures = source, uri, 0
        self._pacer = None
        if not source.live:
            rate = min(max(source.fps, SLOWEST_FPS), FASTEST_FPS)
            self._pacer = Pacer(rate, self._clock, self._wait)
        self._ended, self._fresh = False, True
        self._say_running(source)

    def _cannot_open(self, error: Exception) -> None:
        self._reports.add("capture", error)
        delay = RETRY_S
        text = describe(error)
        if self._source is not None:
            delay = back_off(RETRY_BEHIND_S, self._failures, RETRY_BEHIND_MOST_S)
            text += f" (still showing {self._source.name})"
        self._failures += 1
        self._retry_at = self._clock() + delay
        self.state = SourceState(text, False, _reason(error))

    def _read(self, source: Source) -> None:
        if self._pacer is not None:
            self._pacer.tick()
        image = source.read()
        if image is None:
            self._end(source)
            return
        captured_at = self._clock()
        if self._store.snapshot().flag("source.mirror"):
            image = np.ascontiguousarray(image[:, ::-1])
        if self._fresh:
            self._fresh = False
            if self._tried == self._showing:
                self._say_running(source)
        frame = Frame(image, captured_at, self._index)
        self._index += 1
        self._frames.put(frame)
        self._preview.put(frame)

    def _end(self, source: Source) -> None:
        if source.live:
            raise SourceError(
                f"{source.name} stopped sending", "it is opened again by itself when it is back"
            )
        if self._fresh:
            raise SourceError(f"{source.name} holds no pictures", "choose another source")
        self._ended = True
        self._stay_ended(source)

    def _stay_ended(self, source: Source) -> None:
        if self._store.snapshot().flag("source.loop"):
            source.rewind()
            self._ended, self._fresh = False, True
            return
        if self._tried == self._showing:  # otherwise the operator is reading why the new one cannot be opened
            self.state = SourceState(f"{source.name}: clip ended", False, "clip ended")
        self._wait(RETRY_S)

    def _lose(self, error: Exception) -> None:
        """Let go of a source that failed; it is opened again after a moment."""
        self._reports.add("capture", error)
        self.state = SourceState(describe(error), False, _reason(error))
        source, self._source = self._source, None
        self._showing = None
        self._retry_at = self._clock() + RETRY_S
        if source is not None:
            source.close()

    def _say_running(self, source: Source) -> None:
        width, height = source.size
        self.state = SourceState(f"{source.name}, {width}x{height} at {source.fps:.3g} fps", True, "")

    def _wait(self, seconds: float) -> None:
        if self._changed.wait(max(0.0, seconds)):
            self._changed.clear()


def _reason(error: Exception) -> str:
    """What the ladder says: an error of ours without its fix."""
    return error.what if isinstance(error, SourceError) else describe(error)

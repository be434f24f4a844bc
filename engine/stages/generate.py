"""Generate: one chunk per tick from the newest control frames. Thread "engine".

It loads the session, loads it again when the model or the size changes, and rebuilds it after any
exception. It does not know cameras or outputs: control frames come from a ring, chunks go to a fifo.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from engine.chunk import ChunkOutput, Live, Settings, parse_step_list
from engine.core.channels import Closed, Fifo, Latest, Ring
from engine.core.commands import REPLAY
from engine.core.errors import CuelightError, EngineError
from engine.core.pacing import back_off
from engine.core.store import Snapshot, Store
from engine.core.types import ControlFrame, Image
from engine.model.load import Choice
from engine.modes import Mode
from engine.session import Session
from engine.stages.asked import Wanted, chunk_input, chunk_settings, feather, live_values, with_pictures
from engine.stages.extension import Extension
from engine.stages.kept import Kept
from engine.stages.loras import Adapters
from engine.stages.pictures import Given
from engine.stages.prompt import Spoken
from engine.stages.reports import Reports, describe

# Motion keeps its speed while the engine needs at most this long for a chunk; older input is passed over.
LONGEST_SPAN_S = 2.0
FIRST_SPAN_S = 0.5
BACK_OFF_S = 0.5
BACK_OFF_MOST_S = 8.0
_WAIT_S = 0.25  # without new frames, how often commands and reloads are looked at


class OpenSession(Protocol):
    """Builds a session of a pipeline for pictures of a size. Raises WeightsError or EngineError."""

    def __call__(  # noqa: D102
        self, pipeline: str, height: int, width: int, choice: Choice | None = ...
    ) -> Session: ...


@dataclass(frozen=True)
class EngineState:
    """`word` for the lamp; `reason` for the ladder, empty while it runs."""

    word: Literal["loading", "running", "failed"]
    reason: str


@dataclass(frozen=True, eq=False)
class Chunk:
    """Generated frames (u8 [N, H, W, 3]) on their way to the output.

    `captured_at` is the capture time of the control frame each one shows; `made_at` when they were
    ready, `took` seconds after their input was taken. `effort`: steps and hints, in words.
    """

    frames: Image
    captured_at: tuple[float, ...]
    mode: Mode
    version: int
    made_at: float
    took: float
    effort: str = ""


class GenerateStage:
    """The session and what it needs at each chunk."""

    def __init__(
        self,
        store: Store,
        open_session: OpenSession,
        controls: Ring[ControlFrame],
        wishes: Sequence[Latest[Session]],
        spoken: Latest[Spoken],
        adapters: Latest[Adapters],
        given: Latest[Given],
        chunks: Fifo[Chunk],
        reports: Reports,
        clock: Callable[[], float],
    ) -> None:
        self.state = EngineState("loading", "loading model")
        self.device = ""
        self.commands: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._store = store
        self._open_session = open_session
        self._controls = controls
        self._wishes = wishes
        self._spoken = spoken
        self._adapters = adapters
        self._worn: Adapters | None = None
        self._given = given
        self._extension = Extension()
        self._kept = Kept()
        self._chunks = chunks
        self._reports = reports
        self._clock = clock
        self._changed = threading.Event()
        self._session: Session | None = None
        self._loaded: Wanted | None = None  # what `_session` was opened with
        self._tried: Wanted | None = None  # what was last asked for, opened or not
        self._failures = 0
        self._retry_at = 0.0
        self._taken_until: float | None = None
        self._next_take = 0.0
        self._unshown: list[float] = []  # capture times of pictures taken and not yet generated

    @property
    def expected_s(self) -> float:
        """Seconds that the chunk in hand should take; 0 where it is not known."""
        session = self._session
        return 0.0 if session is None else session.expected_s or 0.0

    @property
    def session(self) -> Session | None:
        """The session in use, or None while there is none."""
        return self._session

    def wake(self) -> None:
        """The model was changed, or the runtime stops: end any wait."""
        self._changed.set()

    def tick(self) -> None:
        """Make one chunk; waits for frames. An exception drops the session, and the next tick rebuilds it."""
        try:
            self._turn()
        except Closed:
            raise
        except Exception as error:
            self._fail(error)
            raise

    def close(self) -> None:
        """Release the model."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _turn(self) -> None:
        snapshot = self._store.snapshot()
        wanted = Wanted.of(snapshot)
        if wanted != self._tried:  # another model does not wait for the failures of the one before
            self._tried, self._failures, self._retry_at = wanted, 0, 0.0
        if self._wait_until(self._retry_at):
            return
        if self._session is None or wanted != self._loaded:
            self._load(wanted)
            return
        self._obey(self._session)
        spoken = self._hear(self._session)
        if spoken is None or self._wait_until(self._next_take):
            return
        frames = self._take(self._session, snapshot)
        if frames:
            self._wear(self._session, snapshot)
            self._make(self._session, spoken, frames, snapshot)

    def _load(self, wanted: Wanted) -> None:
        self.state = EngineState("loading", f"loading model {wanted.pipeline} {wanted.height}x{wanted.width}")
        self.close()  # first, so that there is room for the new one
        session = self._open_session(wanted.pipeline, wanted.height, wanted.width, wanted.choice)
        self._session, self._loaded = session, wanted
        self.device = str(session.device)
        self._taken_until = None
        self._unshown = []
        self._kept.forget()
        for wishes in self._wishes:
            wishes.put(session)
        self.state = EngineState("running", "")

    def _obey(self, session: Session) -> None:
        while not self.commands.empty():
            session.reset(replay=self.commands.get_nowait() == REPLAY)
            self._unshown = []
            self._kept.forget()

    def _hear(self, session: Session) -> Spoken | None:
        """The newest prompt made for this session; waits a little for the first one."""
        spoken = self._spoken.peek()
        if spoken is None or spoken.session is not session:
            self._spoken.get(_WAIT_S)
            spoken = self._spoken.peek()
        return spoken if spoken is not None and spoken.session is session else None

    def _wear(self, session: Session, snapshot: Snapshot) -> None:
        """Put the LoRAs that were read for this session into their slots."""
        wanted = self._adapters.peek()
        if wanted is None or wanted is self._worn or wanted.session is not session:
            return
        known = self._worn is not None and self._worn.session is session
        worn = self._worn.loras if known and self._worn is not None else (None,) * len(wanted.loras)
        for slot, (lora, old) in enumerate(zip(wanted.loras, worn, strict=True)):
            if lora is not old:
                session.set_lora(slot, lora, snapshot.number(f"lora.{slot + 1}.strength"))
        self._worn = wanted

    def _take(self, session: Session, snapshot: Snapshot) -> list[ControlFrame]:
        """Control frames spread over the time since the last take; [] when nothing new came."""
        now = self._clock()
        since = now - FIRST_SPAN_S if self._taken_until is None else self._taken_until
        since = max(since, now - LONGEST_SPAN_S)
        frames = self._controls.take(session.frames_in, since, _captured_at, _WAIT_S)
        if not frames or any(f.frame.image.shape[:2] != (session.height, session.width) for f in frames):
            return []
        self._taken_until = frames[-1].frame.captured_at
        # More frames than the output shows would be work for nothing.
        self._next_take = self._clock() + session.frames_in / snapshot.number("output.fps")
        return frames

    def _make(
        self, session: Session, spoken: Spoken, frames: Sequence[ControlFrame], snapshot: Snapshot
    ) -> None:
        started = self._clock()
        given = self._given.peek()
        chunk = chunk_input(frames)
        if given is not None and given.session is session:
            chunk = with_pictures(chunk, given, self._extension, snapshot)
        self._kept.take(chunk.video if chunk.video is not None else (), chunk.mask)
        self._unshown += [frame.frame.captured_at for frame in frames]

        def emit(output: ChunkOutput) -> None:
            # A stream's first chunk may show fewer pictures than it took; the next ones begin with those.
            count = len(output.frames)
            captured, self._unshown = tuple(self._unshown[:count]), self._unshown[count:]
            shown = self._kept.shown(output.frames, feather(snapshot))
            now = self._clock()
            self._chunks.put(
                Chunk(shown, captured, output.mode, output.version, now, now - started, output.effort)
            )

        session.step(
            chunk,
            self._live,
            spoken.conditioning,
            self._settings(snapshot),
            emit=emit,
        )
        self._failures = 0

    def _settings(self, snapshot: Snapshot) -> Settings:
        """What holds for this chunk; a step list that says nothing is reported and passed over."""
        try:
            listed = parse_step_list(snapshot.text("engine.step_list"))
        except EngineError as error:
            self._reports.add("engine", error)
            listed = ()
        return replace(chunk_settings(snapshot), step_list=listed, deadline_s=self._deadline(snapshot))

    def _deadline(self, snapshot: Snapshot) -> float | None:
        """Seconds for the next chunk, where somebody set a rate that must be kept."""
        rate = snapshot.whole("engine.rate")
        return None if rate == 0 or self._session is None else self._session.frames_in / rate

    def _live(self) -> Live:
        """The values that are heard inside a chunk, as they are now."""
        return live_values(self._store.snapshot())

    def _fail(self, error: Exception) -> None:
        self._retry_at = self._clock() + back_off(BACK_OFF_S, self._failures, BACK_OFF_MOST_S)
        self._failures += 1
        what = error.what if isinstance(error, CuelightError) else describe(error)
        self.state = EngineState("failed", f"engine failed, rebuilding: {what}")
        try:
            self.close()
        except Exception as further:  # a broken session may not even close; it is dropped all the same
            self._reports.add("engine", further)

    def _wait_until(self, instant: float) -> bool:
        """Wait until `instant` or a wake; False when there was nothing to wait for."""
        seconds = instant - self._clock()
        if seconds <= 0:
            return False
        if self._changed.wait(seconds):
            self._changed.clear()
        return True


def _captured_at(frame: ControlFrame) -> float:
    return frame.frame.captured_at

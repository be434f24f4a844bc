"""Generate: one chunk per tick from the newest control frames. Thread "engine".

It loads the session, loads it again when the model or the size changes, and rebuilds it after any
exception. It does not know cameras or outputs: control frames come from a ring, chunks go to a fifo.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, cast

import numpy as np

from engine.core.channels import Closed, Fifo, Latest, Ring
from engine.core.errors import CuelightError, EngineError
from engine.core.parameters import LORA_SLOTS
from engine.core.store import Snapshot, Store
from engine.core.types import ControlFrame, Image
from engine.model.blend import Method
from engine.model.load import Choice
from engine.model.umt5_encoder import Placement
from engine.model.vae import VAEKind
from engine.modes import Mode
from engine.session import ChunkInput, ChunkOutput, Live, Session, Settings, parse_step_list
from engine.stages.annotate import engine_size
from engine.stages.extension import Extension
from engine.stages.kept import Kept
from engine.stages.loras import Adapters
from engine.stages.pictures import Given
from engine.stages.prompt import Spoken
from engine.stages.reports import Reports, describe
from engine.video.masks import GENERATED, inpainting, united

# Motion keeps its speed while the engine needs at most this long for a chunk; older input is passed over.
LONGEST_SPAN_S = 2.0
FIRST_SPAN_S = 0.5
RESET, REPLAY = COMMANDS = ("reset", "replay")
"""A stream without its past; and with the noise it began with."""
BACK_OFF_S = 0.5
BACK_OFF_MOST_S = 8.0
_WAIT_S = 0.25  # without new frames, how often commands and reloads are looked at


class OpenSession(Protocol):
    """Builds a session of a pipeline for pictures of a size. Raises WeightsError or EngineError."""

    def __call__(  # noqa: D102
        self, pipeline: str, height: int, width: int, choice: Choice | None = ...
    ) -> Session: ...


@dataclass(frozen=True)
class Wanted:
    """What a session is opened with; another one means a reload."""

    pipeline: str
    height: int
    width: int
    choice: Choice

    @staticmethod
    def of(snapshot: Snapshot) -> "Wanted":
        """What the values ask for."""
        return Wanted(snapshot.text("engine.pipeline"), *engine_size(snapshot), chosen(snapshot))


def chosen(snapshot: Snapshot) -> Choice:
    """How the model is to be loaded."""
    return Choice(
        cast(VAEKind, snapshot.text("engine.vae")),
        snapshot.flag("engine.fp8"),
        cast(Placement, snapshot.text("engine.text_encoder")),
    )


@dataclass(frozen=True)
class EngineState:
    """`word` for the lamp; `reason` for the ladder, empty while it runs."""

    word: Literal["loading", "running", "failed"]
    reason: str


@dataclass(frozen=True, eq=False)
class Chunk:
    """Generated frames (u8 [N, H, W, 3]) on their way to the output.

    `captured_at` is the capture time of the control frame each one shows; `made_at` when they were
    ready, `took` seconds after their input was taken.
    """

    frames: Image
    captured_at: tuple[float, ...]
    mode: Mode
    version: int
    made_at: float
    took: float


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
        self._failures = 0
        self._retry_at = 0.0
        self._taken_until: float | None = None
        self._next_take = 0.0
        self._unshown: list[float] = []  # capture times of pictures taken and not yet generated

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
        if self._wait_until(self._retry_at):
            return
        snapshot = self._store.snapshot()
        wanted = Wanted.of(snapshot)
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
                Chunk(shown, captured, output.mode, output.version, made_at=now, took=now - started)
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
        return replace(chunk_settings(snapshot), step_list=listed)

    def _live(self) -> Live:
        """The values that are heard inside a chunk, as they are now."""
        return live_values(self._store.snapshot())

    def _fail(self, error: Exception) -> None:
        back_off = min(BACK_OFF_S * 2**self._failures, BACK_OFF_MOST_S)
        self._failures += 1
        self._retry_at = self._clock() + back_off
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


def live_values(snapshot: Snapshot) -> Live:
    """The values that are heard inside a chunk."""
    loras = tuple(snapshot.number(f"lora.{slot}.strength") for slot in range(1, LORA_SLOTS + 1))
    return Live(snapshot.number("vace.context_scale"), snapshot.version, loras)


def chunk_settings(snapshot: Snapshot) -> Settings:
    """The values that hold for a whole chunk, but for a step list written by hand."""
    return Settings(
        steps=snapshot.whole("engine.steps"),
        seed=snapshot.whole("engine.seed"),
        warped=snapshot.flag("engine.warp"),
        noise_scale=snapshot.number("noise.scale"),
        motion=snapshot.number("noise.motion"),
        transition=snapshot.whole("prompt.transition"),
        blend=cast(Method, snapshot.text("prompt.blend")),
    )


def chunk_input(frames: Sequence[ControlFrame]) -> ChunkInput:
    """One chunk's input as the newest frame's annotator drew it.

    Where the annotator was changed within the frames, the older ones take the control picture of the
    first new one. The frames of a latent have one mask, the union of theirs. Returns control
    u8 [F, H, W, 3] or None, mask u8 [F, H, W] or None.
    """
    newest = frames[-1]
    kind = (newest.annotator, newest.control is None, newest.mask is None)
    alike = newest
    chosen: list[ControlFrame] = []
    for frame in reversed(frames):
        if (frame.annotator, frame.control is None, frame.mask is None) == kind:
            alike = frame
        chosen.append(alike)
    chosen.reverse()
    controls = [frame.control for frame in chosen if frame.control is not None]
    masks = [frame.mask for frame in chosen if frame.mask is not None]
    control = np.stack(controls) if controls else None
    mask = np.stack(masks) if masks else None
    if control is not None and mask is not None:
        control, mask = united(control, mask)
    return ChunkInput(
        control=control,
        mask=mask,
        annotator=newest.annotator,
        video=np.stack([frame.frame.image for frame in frames]),
        note="" if newest.found else newest.note,
    )


def with_pictures(chunk: ChunkInput, given: Given, extension: Extension, snapshot: Snapshot) -> ChunkInput:
    """The chunk with its references and key frames, under the drawn or loaded mask besides its own."""
    first, last = 0.0, 0.0
    if given.first is not None or given.last is not None:
        first, last = extension.turn(given.shown, snapshot.whole("extension.chunks"))
    wanted = bool(snapshot.text("mask.file").strip()) or snapshot.text("mask.source") != "none"
    return replace(
        chunk if given.mask is None else _masked(chunk, given.mask),
        first=given.first if first > 0 else None,
        last=given.last if last > 0 else None,
        first_strength=first,
        last_strength=last,
        references=given.references,
        wanted_mask=wanted,
    )


def _masked(chunk: ChunkInput, mask: Image) -> ChunkInput:
    """The chunk with `mask` (u8 [H, W]) too: what either mask lets be generated, is.

    Where the chunk's own mask kept something, its control picture holds the camera's pixels: gray takes their
    place, for nothing leads there.
    """
    video = chunk.video
    if video is None or mask.shape != video.shape[1:3]:
        return chunk  # of another size than the session's: it is being loaded anew
    masks = np.repeat(mask[None], len(video), axis=0)
    if chunk.control is None or chunk.mask is None:
        return replace(
            chunk,
            control=np.stack(
                [
                    inpainting(image, None if chunk.control is None else chunk.control[index], mask)
                    for index, image in enumerate(video)
                ]
            ),
            mask=masks,
        )
    added = (masks > 127) & (chunk.mask <= 127)
    control = np.where(added[..., None], np.uint8(GENERATED), chunk.control)
    return replace(chunk, control=control, mask=np.maximum(masks, chunk.mask))


def feather(snapshot: Snapshot) -> float | None:
    """Width of the border around what is kept, in parts of the height; None where nothing is pasted."""
    return snapshot.number("mask.feather") if snapshot.flag("mask.composite") else None


def _captured_at(frame: ControlFrame) -> float:
    return frame.frame.captured_at

"""Output: one picture per tick at the paced rate, whatever the engine does. Thread "output".

It plays generated frames, climbs down the never-black ladder when there are none, and applies what is
heard at the next frame: mix, clean camera, freeze, blackout, dim. Nothing here waits for anybody: it
peeks at channels and offers pictures to outputs that have threads of their own.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from engine.core.channels import Closed, Fifo, Latest
from engine.core.pacing import Pacer
from engine.core.store import Snapshot, Store
from engine.core.types import ControlFrame, Frame, Image, OutputFrame
from engine.stages.camera_out import CameraOut
from engine.stages.compose import Canvas, Fader, blend, dimmed
from engine.stages.generate import Chunk
from engine.stages.ladder import Ladder, Situation, reason
from engine.stages.playback import Playback, Playing, held
from engine.stages.recording import Recording
from engine.stages.reports import Reports, describe

FRESH_S = 1.0  # an older camera or control picture counts as gone
_METER_FRAMES = 90
_LATENCY_SMOOTHING = 0.1


@dataclass(frozen=True)
class Trouble:
    """Why there may be no generated picture: `text` in words (empty: none known)."""

    text: str
    loading: bool


@dataclass(frozen=True, eq=False)
class _Picture:
    image: Image
    rung: str
    reason: str
    captured_at: float | None
    version: int


class Meter:
    """What the output really did: rate, longest gap, latency from capture to screen."""

    def __init__(self) -> None:
        self.longest_gap_s = 0.0
        self.latency_s = 0.0
        self._times: deque[float] = deque(maxlen=_METER_FRAMES)

    @property
    def fps(self) -> float:
        """Output frames per second over the last few seconds."""
        times = tuple(self._times)
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0

    def shown(self, now: float) -> None:
        """A frame went out at `now`."""
        if self._times:
            self.longest_gap_s = max(self.longest_gap_s, now - self._times[-1])
        self._times.append(now)

    def waited(self, seconds: float) -> None:
        """A generated frame was first shown `seconds` after its source was captured."""
        old = self.latency_s
        self.latency_s = seconds if old == 0.0 else old + _LATENCY_SMOOTHING * (seconds - old)


class OutputStage:
    """Everything between generated chunks and the audience."""

    def __init__(
        self,
        store: Store,
        chunks: Fifo[Chunk],
        camera: Latest[Frame],
        control: Latest[ControlFrame],
        program: Latest[OutputFrame],
        recording: Recording,
        camera_out: CameraOut,
        trouble: Callable[[], Trouble],
        reports: Reports,
        clock: Callable[[], float],
        wait: Callable[[float], object],
        canvas: Canvas,
        expected: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`expected`: seconds that the chunk in hand should take, 0 where it is not known."""
        self.playback = Playback()
        self.meter = Meter()
        self.pacer = Pacer(store.snapshot().number("output.fps"), clock, wait)
        self.mode: tuple[str, str] = ("", "")
        self.effort = ""
        """With how many steps and hints the newest pictures were made, in words."""
        self._store = store
        self._chunks = chunks
        self._camera = camera
        self._control = control
        self._program = program
        self._recording = recording
        self._camera_out = camera_out
        self._trouble = trouble
        self._reports = reports
        self._clock = clock
        self._canvas = canvas
        self._expected = expected
        self._ladder = Ladder()
        self._fader = Fader()
        self._held_since: float | None = None
        self._frozen: Image | None = None
        self._index = 0

    def tick(self) -> None:
        """Wait for the next frame's time and show it."""
        self.pacer.set_rate(self._store.snapshot().number("output.fps"))
        self.pacer.tick()
        now = self._clock()
        snapshot = self._store.snapshot()
        try:
            self._receive(now)
            picture = self._overridden(self._picture(snapshot, now), snapshot)
        except Closed:
            raise
        except Exception as error:  # whatever is wrong with a picture, there is another one
            self._reports.add("output", error)
            why = describe(error)
            picture = _Picture(self._canvas.slate(why), "slate", why, None, snapshot.version)
        self._show(picture, snapshot)

    def stalled(self, now: float) -> bool:
        """True when generated pictures were there and have stopped coming."""
        age = self._chunk_age(now)
        return age is not None and age > self._situation(now).stall_after

    def _receive(self, now: float) -> None:
        """Take in the chunks that have arrived."""
        while (chunk := self._chunks.get(timeout=0)) is not None:
            self.playback.push(chunk, now)
            self.mode = (chunk.mode.name, chunk.mode.reason)
            self.effort = chunk.effort

    def _picture(self, snapshot: Snapshot, now: float) -> _Picture:
        """The picture of the ladder's rung, faded into from the one before."""
        playing = self.playback.picture(now)
        situation = self._situation(now)
        rung = self._ladder.step(now, situation)
        why = reason(rung, situation)
        if rung != "hold":
            self._held_since = None
        if rung == "generated" and playing is not None and playing.new:
            self.meter.waited(now - playing.captured_at)
        image, captured_at, version = self._rung(rung, why, playing, now, snapshot)
        if rung in ("generated", "hold"):
            image = self._mixed(image, snapshot.number("output.mix"))
        return _Picture(self._fader.apply(rung, image, now), rung, why, captured_at, version)

    def _rung(
        self, rung: str, why: str, playing: Playing | None, now: float, snapshot: Snapshot
    ) -> tuple[Image, float | None, int]:
        """One rung's picture on the canvas, when it was captured, and the version it was made with."""
        if playing is not None and rung == "generated":
            return self._canvas.fit(rung, playing.image), playing.captured_at, playing.version
        if playing is not None and rung == "hold":
            return self._hold(playing, now), playing.captured_at, playing.version
        control, camera = self._control.peek(), self._camera.peek()
        if rung == "control" and control is not None and control.control is not None:
            at = control.frame.captured_at
            return self._canvas.fit(rung, control.control), at, snapshot.version
        if rung == "camera" and camera is not None:
            return self._canvas.fit(rung, camera.image), camera.captured_at, snapshot.version
        return self._canvas.slate(why), None, snapshot.version

    def _hold(self, playing: Playing, now: float) -> Image:
        frames = self.playback.last_frames
        if self._held_since is None:
            self._held_since = now
        if frames is None:
            return self._canvas.fit("generated", playing.image)
        first, second, amount = held(frames, now - self._held_since)
        return self._canvas.fit("hold", blend(frames[first], frames[second], amount))

    def _mixed(self, image: Image, mix: float) -> Image:
        camera = self._camera.peek()
        if mix <= 0.0 or camera is None:
            return image
        return blend(image, self._canvas.fit("camera", camera.image), mix)

    def _overridden(self, picture: _Picture, snapshot: Snapshot) -> _Picture:
        """What the operator decides over the ladder: clean camera, freeze, blackout, dim."""
        image, rung, why = picture.image, picture.rung, picture.reason
        captured_at = picture.captured_at
        camera = self._camera.peek()
        if snapshot.flag("output.clean_camera") and camera is not None:
            image, rung, why = self._canvas.fit("camera", camera.image), "camera", "clean camera"
            captured_at = camera.captured_at
        if snapshot.flag("output.freeze"):
            self._frozen = image if self._frozen is None else self._frozen
            image, why = self._frozen, "freeze"
        else:
            self._frozen = None
        if snapshot.flag("output.blackout"):
            image, why = self._canvas.black, "blackout"
        image = dimmed(image, snapshot.number("output.dim"))
        return _Picture(image, rung, why, captured_at, picture.version)

    def _show(self, picture: _Picture, snapshot: Snapshot) -> None:
        now = self._clock()
        self._program.put(
            OutputFrame(
                image=picture.image,
                rung=picture.rung,
                reason=picture.reason,
                captured_at=picture.captured_at,
                version=picture.version,
                shown_at=now,
                index=self._index,
            )
        )
        self._index += 1
        self.meter.shown(now)
        self._recording.offer(picture.image, now, snapshot)
        self._camera_out.offer(picture.image, snapshot)

    def _situation(self, now: float) -> Situation:
        control, camera = self._control.peek(), self._camera.peek()
        trouble = self._trouble()
        return Situation(
            chunk_age=self._chunk_age(now),
            chunk_s=max(self.playback.chunk_s, self._expected()),
            control=control is not None
            and control.control is not None
            and now - control.frame.captured_at < FRESH_S,
            camera=camera is not None and now - camera.captured_at < FRESH_S,
            loading=trouble.loading,
            trouble=trouble.text,
        )

    def _chunk_age(self, now: float) -> float | None:
        arrived = self.playback.last_chunk_at
        return None if arrived is None else now - arrived

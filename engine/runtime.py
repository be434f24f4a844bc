"""The runtime: the threads of the live stream and the channels between them. This is the thread page.

Frames flow forward only; values are read from the store by each stage at its own tick; nothing calls
backwards.

    thread         one tick          takes from                   gives to
    capture        one frame         the source                   Latest frames, Latest source_preview
    annotate       newest frame      Latest frames, given         Ring controls, Latest control_preview
    prompt         newest text       Latest wishes (a session)    Latest spoken (conditioning)
    loras          named files       Latest wishes (a session)    Latest adapters
    pictures       named files       Latest wishes (a session)    Latest given
    engine         one chunk         Ring controls, spoken,       Fifo chunks (2), all wishes
                                     adapters, given,
                                     commands, snapshots
    output         one frame         Fifo chunks, both previews   Latest program, recorder, virtual camera
    recorder       one picture       Fifo (1 s)                   a file
    camera switch  on or off         Latest                       virtual camera (its own thread and clock)
    warm-up        once, at start    -                            - (loads the annotators' libraries)

When something cannot keep up:
    frames, previews, program   the newest replaces the older one; counted
    controls (about 3 s)        the engine takes an even sample over the time since its last chunk, so that
                                motion keeps its speed; what it passes over is counted
    chunks                      the engine waits: a slow output never makes a queue of old pictures
    recorder                    a picture that does not fit is counted and replaced by the next one
    output                      repeats the picture, or climbs down the never-black ladder; both are counted

Each stage's code is one file of engine/stages. A tick that raises is reported and tried again; the source
is reopened, the session rebuilt, and the output goes on meanwhile.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.core.channels import Closed, Fifo, Latest, Ring
from engine.core.commands import COMMANDS
from engine.core.errors import AnnotatorError, ParameterError
from engine.core.parameters import TABLE
from engine.core.store import Change, Store
from engine.core.types import ControlFrame, Frame, OutputFrame
from engine.core.worker import Worker
from engine.session import Session, open_session
from engine.stages.annotate import AnnotateStage
from engine.stages.camera_out import CameraDevice, CameraOut
from engine.stages.capture import CaptureStage
from engine.stages.compose import Canvas
from engine.stages.generate import Chunk, GenerateStage, OpenSession
from engine.stages.loras import Adapters, LoraStage
from engine.stages.output import OutputStage, Trouble
from engine.stages.pictures import ROWS as PICTURE_ROWS
from engine.stages.pictures import Given, PictureStage
from engine.stages.prompt import PromptStage, Spoken
from engine.stages.recording import OpenRecorder, Recording, free_bytes
from engine.stages.reports import Report, Reports
from engine.stages.stills import STILLS, Stills
from engine.video.annotators import MakeAnnotator, make_annotator
from engine.video.recorder import Recorder
from engine.video.sources import Source, open_source
from engine.video.virtual_camera import VirtualCamera

_CONTROLS_KEPT = 128  # 3 s at 30 frames a second, 2 s at 60
_CHUNKS = 2
_STOP_S = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Status:
    """What the operator should know, at one instant.

    Rates in frames per second, times in milliseconds; `latency_ms` is from capture to screen.
    `drops` counts input thrown away, by place; `repeats` output frames that showed the same generated
    picture again; `skipped` beats the output missed. `engine` is loading, running, stalled or failed;
    `device` is what it runs on. `rung` and `reason` say what the audience sees and why. `recording` is
    the file being written. `loras`: what is wrong with each LoRA slot, empty where nothing is. `pictures`:
    the same by the key of the row that names the picture. `effort`: the steps and hints of the newest chunk,
    in words; `expected_ms`: what the one in hand should take by the costs measured so far, 0 where unknown.
    """

    fps_generated: float
    fps_output: float
    latency_ms: float
    chunk_ms: float
    longest_gap_ms: float
    drops: dict[str, int]
    repeats: int
    skipped: int
    rung: str
    reason: str
    engine: str
    mode: str
    mode_reason: str
    ignored_words: tuple[str, ...]
    prompt_note: str
    loras: tuple[str, ...]
    source: str
    source_ok: bool
    annotator_note: str
    virtual_camera: str
    recording: str
    device: str
    errors: tuple[Report, ...]
    pictures: Mapping[str, str] = field(default_factory=dict)
    effort: str = ""
    expected_ms: float = 0.0


class Runtime:
    """The running stream: start it, ask its status, send it commands, stop it.

    Values come from `store`. What touches the world (sources, annotators, model, outputs, time) is given,
    so that tests put their own in its place. `canvas` is height and width of the output pictures.
    One start and one stop; a new stream is a new Runtime.
    """

    def __init__(
        self,
        store: Store,
        *,
        open_session: OpenSession = open_session,
        open_source: Callable[[str], Source] = open_source,
        make_annotator: MakeAnnotator = make_annotator,
        open_recorder: OpenRecorder = Recorder,
        free_bytes: Callable[[Path], int] = free_bytes,
        make_virtual_camera: Callable[[], CameraDevice] = VirtualCamera,
        clock: Callable[[], float] = time.monotonic,
        canvas: tuple[int, int] = (360, 640),
    ) -> None:
        self.source_preview: Latest[Frame] = Latest()
        self.control_preview: Latest[ControlFrame] = Latest()
        self.program: Latest[OutputFrame] = Latest()
        self._store = store
        self._make_annotator = make_annotator
        self._clock = clock
        self._reports = Reports(clock)
        self._stopping = threading.Event()
        self._unsubscribe: Callable[[], None] | None = None

        self._frames: Latest[Frame] = Latest()
        self._controls: Ring[ControlFrame] = Ring(_CONTROLS_KEPT)
        self._text_wishes: Latest[Session] = Latest()
        self._lora_wishes: Latest[Session] = Latest()
        self._spoken: Latest[Spoken] = Latest()
        self._adapters: Latest[Adapters] = Latest()
        self._picture_wishes: Latest[Session] = Latest()
        self._given: Latest[Given] = Latest()
        self._chunks: Fifo[Chunk] = Fifo(_CHUNKS)

        reports = self._reports
        self._capture = CaptureStage(store, open_source, self._frames, self.source_preview, reports, clock)
        self._annotate = AnnotateStage(
            store,
            make_annotator,
            self._frames,
            self._given,
            self._controls,
            self.control_preview,
            reports,
            clock,
        )
        self._prompt = PromptStage(store, self._text_wishes, self._spoken, reports)
        self._loras = LoraStage(store, self._lora_wishes, self._adapters)
        self._pictures = PictureStage(store, self._picture_wishes, self._given)
        self._generate = GenerateStage(
            store,
            open_session,
            self._controls,
            (self._text_wishes, self._lora_wishes, self._picture_wishes),
            self._spoken,
            self._adapters,
            self._given,
            self._chunks,
            reports,
            clock,
        )
        self._stills = Stills(store, self.program, reports)
        self._recording = Recording(store, open_recorder, reports, free_bytes=free_bytes)
        self._camera_out = CameraOut(store, make_virtual_camera, reports)
        self._output = OutputStage(
            store=store,
            chunks=self._chunks,
            camera=self.source_preview,
            control=self.control_preview,
            program=self.program,
            recording=self._recording,
            camera_out=self._camera_out,
            trouble=self._trouble,
            reports=reports,
            clock=clock,
            wait=self._stopping.wait,
            canvas=Canvas(*canvas),
            expected=lambda: self._generate.expected_s,
        )
        report = reports.add
        self._workers = (
            Worker("output", self._output.tick, report, retry_s=0.0),  # the pacer waits already
            Worker("capture", self._capture.tick, report, finish=self._capture.close),
            Worker("annotate", self._annotate.tick, report, finish=self._annotate.close),
            Worker("prompt", self._prompt.tick, report),
            Worker("loras", self._loras.tick, report),
            Worker("pictures", self._pictures.tick, report),
            Worker("warm-up", self._warm_up, report),
            Worker("engine", self._generate.tick, report, retry_s=0.0, finish=self._generate.close),
            Worker("stills", self._stills.tick, report),
            Worker("recorder", self._recording.tick, report, finish=self._recording.finish),
            Worker("camera switch", self._camera_out.tick, report, finish=self._camera_out.finish),
        )

    def start(self) -> None:
        """Start all threads; the output shows something from its first frame on."""
        self._unsubscribe = self._store.subscribe(self._changed)
        for worker in self._workers:
            worker.start()

    def stop(self, timeout: float = _STOP_S) -> tuple[str, ...]:
        """End all threads and close devices and files; returns the names of threads that did not end."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        for worker in self._workers:
            worker.signal_stop()
        self._stopping.set()
        for channel in (
            self._frames,
            self._controls,
            self._text_wishes,
            self._lora_wishes,
            self._spoken,
            self._adapters,
            self._picture_wishes,
            self._given,
            self._chunks,
        ):
            channel.close()
        self._stills.shut()
        self._capture.wake()
        self._generate.wake()
        deadline = time.monotonic() + timeout
        stuck = [worker for worker in self._workers[:-2] if not worker.stop(deadline - time.monotonic())]
        # The outputs end last: now nobody offers pictures any more.
        self._recording.shut()
        self._camera_out.shut()
        stuck += [worker for worker in self._workers[-2:] if not worker.stop(deadline - time.monotonic())]
        for preview in (self.source_preview, self.control_preview, self.program):
            preview.close()
        return tuple(worker.name for worker in stuck)

    def command(self, name: str) -> None:
        """Do something once; commands are queued and none is lost. `engine.core.commands` tells what they do.

        Any thread, never waits. Raises ParameterError for an unknown command.
        """
        if name not in COMMANDS:
            raise ParameterError(f"there is no command {name!r}", f"use one of {', '.join(COMMANDS)}")
        if name in STILLS:
            self._stills.take(name)
        else:
            self._generate.commands.put(name)

    def status(self) -> Status:
        """What is going on; may be called from any thread, takes no time."""
        output, playback = self._output, self._output.playback
        shown = self.program.peek()
        source = self._capture.state
        stalled = output.stalled(self._clock())
        engine = self._generate.state.word
        return Status(
            fps_generated=0.0 if stalled else playback.fps,
            fps_output=output.meter.fps,
            latency_ms=output.meter.latency_s * 1000,
            chunk_ms=playback.chunk_s * 1000,
            longest_gap_ms=output.meter.longest_gap_s * 1000,
            drops=self._drops(),
            repeats=playback.repeats,
            skipped=output.pacer.skipped,
            rung=shown.rung if shown is not None else "slate",
            reason=shown.reason if shown is not None else "starting",
            engine="stalled" if stalled and engine == "running" else engine,
            mode=output.mode[0],
            mode_reason=output.mode[1],
            ignored_words=self._prompt.ignored,
            prompt_note=self._prompt.note,
            loras=self._loras.notes,
            source=source.text,
            source_ok=source.ok,
            annotator_note=self._annotate.note,
            virtual_camera=self._camera_out.status,
            recording=self._recording.path,
            device=self._generate.device,
            errors=self._reports.recent(),
            pictures=self._pictures.notes,
            effort=output.effort,
            expected_ms=self._generate.expected_s * 1000,
        )

    def _drops(self) -> dict[str, int]:
        return {
            "camera": self._frames.dropped,
            "control": self._controls.dropped,
            "chunks": self._chunks.dropped,
            "generated": self._output.playback.skipped,
            "recorder": self._recording.drops,
        }

    def _changed(self, change: Change) -> None:
        """A value was set, on any thread: wake whom it concerns."""
        if change.key.startswith("source."):
            self._capture.wake()
        elif TABLE[change.key].effect == "reload":
            self._generate.wake()
        elif change.key == "prompt.text":
            self._ask(self._text_wishes)
        elif change.key.startswith("lora.") and change.key.endswith(".file"):
            self._ask(self._lora_wishes)
        elif change.key in PICTURE_ROWS:
            self._ask(self._picture_wishes)

    def _ask(self, wishes: Latest[Session]) -> None:
        """Have something made for the session in use; a new session asks for itself."""
        session = self._generate.session
        if session is not None:
            with contextlib.suppress(Closed):  # set while the runtime stops
                wishes.put(session)

    def _warm_up(self) -> None:
        """Load what every annotator needs, once.

        Loading a large library stops all threads for up to half a second. That must not happen when the
        annotator is first chosen, in the middle of the show.
        """
        for name in TABLE["annotator.name"].choices:
            if self._stopping.is_set():
                break
            try:
                self._make_annotator(name).close()
            except AnnotatorError as error:
                _log.info("%s", error)  # told to the operator when it is chosen
            except Exception:  # a library's own trouble: told when it is chosen, and the next one is loaded
                _log.info("the annotator %s cannot be loaded", name, exc_info=True)
        raise Closed

    def _trouble(self) -> Trouble:
        """Why there may be no generated picture, for the ladder."""
        engine, source = self._generate.state, self._capture.state
        text = "; ".join(part for part in (engine.reason, source.reason) if part)
        return Trouble(text, engine.word == "loading")

"""`cuelight render`: a clip, picture or camera through annotator and model into a video file.

One straight line, no threads: source, crop, annotator, session, recorder. The same input, settings and
seed give the same frames. It does not know the live runtime, its channels or its ladder.
"""

import hashlib
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from engine.chunk import ChunkInput, ChunkOutput, parse_step_list
from engine.core.automation import Move, values_at
from engine.core.errors import EngineError, OutputError, ParameterError, SourceError
from engine.core.parameters import TABLE, Value
from engine.core.store import Snapshot, Store
from engine.core.types import ControlFrame, Frame, Image
from engine.model.text import Conditioning
from engine.session import Session, open_session
from engine.stages.annotate import aimed, control_frame, control_settings, engine_size, layout_box, placement
from engine.stages.asked import (
    Wanted,
    chunk_input,
    chunk_settings,
    feather,
    live_values,
    with_pictures,
)
from engine.stages.extension import Extension
from engine.stages.kept import Kept
from engine.stages.loras import lora_path, names_of
from engine.stages.pictures import Given, Shelf
from engine.video.annotators import Annotation, Annotator, make_annotator
from engine.video.bodies import Bodies
from engine.video.control import ControlDesk
from engine.video.fit import bounded
from engine.video.recorder import Recorder
from engine.video.sources import Source, open_source, source_path
from engine.video.still import StillSource

SUFFIXES = (".mp4", ".mkv")
# A camera's frames wait in memory: at this size and for so long about 1.2 GB.
FILMED_SIDE = 640
LONGEST_FILMED_S = 60
# What belongs to the live output or to the window has no meaning in a file made once.
USED_KEYS = tuple(
    key for key, row in TABLE.items() if row.stage in ("annotate", "engine") or key == "source.mirror"
)


@dataclass(frozen=True)
class RenderStats:
    """What was made, and how fast. Times exclude loading the model and opening the input.

    `generated_fps` counts the whole line (reading, annotating, generating, encoding); `engine_fps` only
    the time inside the model. `chunk_ms_*` leave out the first chunk, which is shorter and warms up.
    `sha256` is over the bytes of all frames in order, before they are encoded. `modes`: what the lamp says of
    each chunk, its mode and the reason.
    """

    frames: int
    fps: float
    seconds: float
    wall_seconds: float
    generated_fps: float
    engine_fps: float
    first_chunk_ms: float
    chunk_ms_p50: float
    chunk_ms_p99: float
    chunks: int
    width: int
    height: int
    pipeline: str
    annotator: str
    seed: int
    prompt: str
    ignored_words: tuple[str, ...]
    sha256: str
    modes: tuple[str, ...]


Watch = Callable[[ChunkInput, ChunkOutput], None]
"""Somebody who looks on: told of each chunk what was asked for, and what the model made of it."""


def unwatched(chunk: ChunkInput, output: ChunkOutput) -> None:
    """Nobody looks on."""


class Timeline:
    """The values at every instant of a rendered file: settings, and moves over them."""

    def __init__(self, values: Snapshot, moves: Sequence[Move] = (), fps: float = 1.0) -> None:
        """`fps`: frames per second of the file. Raises ParameterError for a value that cannot move there."""
        for move in moves:
            settings({move.key: move.last})
            if TABLE[move.key].effect == "reload":
                raise ParameterError(
                    f"{move.key} cannot change inside a file", "render the parts into files of their own"
                )
        self._values, self._moves, self._fps = values, tuple(moves), fps

    def at(self, frame: int) -> Snapshot:
        """The values while frame `frame` is made."""
        if not self._moves:
            return self._values
        return settings(given(self._values) | values_at(self._moves, frame / self._fps))


@dataclass
class Stream:
    """One session with everything a step needs besides pictures.

    `watch` is told every chunk; `step_seconds` collects its time and `modes` what the lamp says of it.
    """

    session: Session
    timeline: Timeline
    watch: Watch = unwatched
    step_seconds: list[float] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    emitted: int = 0
    conditioning: Conditioning = field(init=False)
    _prompt: str | None = None
    _worn: tuple[str, ...] = ()
    _extension: Extension = field(default_factory=Extension)
    _kept: Kept = field(default_factory=Kept)

    def __post_init__(self) -> None:
        self._shelf = Shelf(self.session)
        self._hear(self.timeline.at(0))

    def step(self, chunk: list[ControlFrame]) -> list[Image]:
        """Generate one chunk from `session.frames_in` control frames; returns its frames."""
        made: list[Image] = []

        def emit(output: ChunkOutput) -> None:
            self.watch(taken, output)
            self.modes.append(f"{output.mode.name}: {output.mode.reason}")
            made.extend(self._kept.shown(output.frames, feather(values)))

        values = self.timeline.at(self.emitted)
        taken = with_pictures(chunk_input(chunk), self.given(values), self._extension, values)
        self._kept.take(taken.video if taken.video is not None else (), taken.mask)
        live = live_values(values)
        step_list = parse_step_list(values.text("engine.step_list"))
        self._hear(values)
        self._wear(values)
        begin = time.perf_counter()
        self.session.step(
            taken,
            lambda: live,
            self.conditioning,
            replace(chunk_settings(values), step_list=step_list),
            emit=emit,
        )
        self.step_seconds.append(time.perf_counter() - begin)
        if not made:
            raise EngineError("the engine made no frames from a chunk", "run `cuelight doctor`")
        self.emitted += len(made)
        return made

    def given(self, values: Snapshot) -> Given:
        """The pictures that the values name. Raises for one that cannot be used."""
        given = self._shelf.given(values)
        for error in self._shelf.errors.values():
            raise error
        return given

    def _wear(self, values: Snapshot) -> None:
        """Put on the LoRAs that the slots name now, and take off those they name no more."""
        named = names_of(values)
        for slot, (name, worn) in enumerate(itertools.zip_longest(named, self._worn, fillvalue="")):
            if name != worn:
                lora = self.session.read_lora(lora_path(name)) if name else None
                self.session.set_lora(slot, lora, values.number(f"lora.{slot + 1}.strength"))
        self._worn = named

    def _hear(self, values: Snapshot) -> None:
        """Embed the prompt where it is another one."""
        text = values.text("prompt.text")
        if self._prompt != text:
            self._prompt, self.conditioning = text, self.session.conditioning(text)


def generate(controls: Iterable[ControlFrame], stream: Stream) -> Iterator[Image]:
    """Generated frames u8 [H, W, 3], exactly one for each control frame.

    A stream's first chunk gives fewer frames than it takes, so the input runs ahead; at the end the last
    control frame is repeated until every frame that was asked for has come.
    """
    coming = iter(controls)
    taken = given = 0
    last: list[ControlFrame] = []
    while True:
        fresh = list(itertools.islice(coming, stream.session.frames_in))
        taken += len(fresh)
        if given == taken:
            return
        last = (fresh or last)[-1:]
        missing = stream.session.frames_in - len(fresh)
        for frame in stream.step(fresh + last * missing)[: taken - given]:
            given += 1
            yield frame


def annotate(
    frames: Iterable[Image],
    timeline: Timeline,
    still: Callable[[Snapshot], Image | None] = lambda values: None,
) -> Iterator[ControlFrame]:
    """Lay every frame on the engine's picture and draw its control picture, as the values at its time say.

    `still` tells the mask u8 [H, W] of the engine's picture that the values name.
    """
    with ExitStack() as opened:
        bodies = Bodies()
        annotators: dict[str, Annotator] = {}

        def draw(name: str, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
            if name not in annotators:
                annotators[name] = opened.enter_context(closing(make_annotator(name, bodies)))
            return aimed(annotators[name], layout_box(values)).annotate(image, detail, gain, invert)

        values = timeline.at(0)
        desk = ControlDesk(draw)
        for index, image in enumerate(frames):
            values = timeline.at(index)
            wanted = control_settings(values)
            seen = np.ascontiguousarray(image[:, ::-1]) if values.flag("source.mirror") else image
            place = placement(seen, values)
            composed = desk.annotate(place.view(seen), wanted, place, still(values))
            frame = Frame(seen, captured_at=0.0, index=index)  # nothing is live: no latency to measure
            yield control_frame(frame, composed, wanted.name)


def source_frames(
    source: Source, seconds: float | None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Image]:
    """The frames to render: a clip's own ones (cut at `seconds`), or `seconds` of a picture or a camera.

    A camera's frames are all read first, then sampled evenly in time: generation is slower or faster than
    the camera, and the result must last as long as what was filmed.
    """
    if seconds is None and (source.live or isinstance(source, StillSource)):
        raise SourceError(f"{source.name} has no end of its own", "say how long: --seconds 10")
    count = None if seconds is None else max(1, round(seconds * source.fps))
    if source.live and count is not None:
        if count > LONGEST_FILMED_S * source.fps:
            raise SourceError(
                f"{source.name} cannot be filmed for so long before it is rendered",
                f"film at most {LONGEST_FILMED_S} s, or record the show from the window",
            )
        yield from _filmed(source, count, clock)
        return
    made = 0
    while made != count and (image := source.read()) is not None:
        made += 1
        yield image
    if made == 0:
        raise SourceError(f"{source.name} holds no frames", "choose another file")


def given(values: Snapshot) -> dict[str, Value]:
    """The values that somebody set, by key."""
    return {key: value for key, value in values.values.items() if values.source_of(key) != "default"}


def settings(given: Mapping[str, Value]) -> Snapshot:
    """The defaults with `given` over them. Raises ParameterError for a key that render does not read."""
    store = Store()
    store.set_many(given, "command line")
    for key in given:
        if key not in USED_KEYS:
            raise ParameterError(
                f"{key} belongs to the live {TABLE[key].stage} and changes nothing in a rendered file",
                "leave it out",
            )
    return store.snapshot()


def render(
    uri: str,
    out: Path,
    values: Snapshot,
    seconds: float | None = None,
    progress: Callable[[int, float], None] = lambda frames, fps: None,
    moves: Sequence[Move] = (),
    watch: Watch = unwatched,
) -> RenderStats:
    """Render `uri` into the video file `out`; `out` appears whole or not at all.

    `seconds` cuts a clip; a still picture or a camera needs it. `progress` is told frames and frames/s.
    `moves` change the values on the way. `watch` is told every chunk.
    Raises ParameterError, SourceError, AnnotatorError, WeightsError, EngineError or OutputError.
    """
    _check_output(uri, out)
    height, width = engine_size(values)
    with closing(open_source(uri)) as source:
        timeline = Timeline(values, moves, source.fps)
        frames = source_frames(source, seconds)
        # One frame is read before the model is loaded: an unusable input is told at once.
        frames = itertools.chain([next(frames)], frames)
        wanted = Wanted.of(values)
        with closing(open_session(wanted.pipeline, height, width, wanted.choice)) as session:
            stream = Stream(session, timeline, watch)
            begin = time.perf_counter()
            digest = hashlib.sha256()
            count = 0
            with _whole_or_nothing(out) as part, closing(Recorder(part, width, height, source.fps)) as file:
                controls = annotate(frames, timeline, lambda values: stream.given(values).mask)
                for frame in generate(controls, stream):
                    file.write(frame)
                    digest.update(np.ascontiguousarray(frame).tobytes())
                    count += 1
                    progress(count, count / (time.perf_counter() - begin))
            wall = time.perf_counter() - begin
    return _stats(stream, values, count, source.fps, wall, digest.hexdigest())


def _filmed(source: Source, count: int, clock: Callable[[], float]) -> Iterator[Image]:
    begin = clock()
    until = count / source.fps
    times: list[float] = []
    images: list[Image] = []
    while not times or times[-1] < until:
        image = source.read()
        if image is None:
            break
        times.append(clock() - begin)
        images.append(bounded(image, FILMED_SIDE))
    if not images:
        raise SourceError(f"{source.name} sent no picture", "check the camera or the sender")
    wanted = np.arange(count) / source.fps
    for index in np.searchsorted(times, wanted):
        yield images[min(int(index), len(images) - 1)]


def _check_output(uri: str, out: Path) -> None:
    if out.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{out} is no video file name", f"end it in {' or '.join(SUFFIXES)}")
    if out.is_dir():
        raise OutputError(f"{out} is a folder", "name a file in it")
    folder = out.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"there is no folder {folder}", "make it, or name another one")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"nothing can be written into {folder}", "choose another folder")
    if out.exists() and _same_file(out, source_path(uri)):
        raise OutputError(f"{out} is the input itself", "choose another name")


def _same_file(out: Path, source: Path | None) -> bool:
    """Whether a file that is there is the source; one that cannot be looked at is another one's to refuse."""
    try:
        return source is not None and out.samefile(source)
    except OSError:
        return False


@contextmanager
def _whole_or_nothing(out: Path) -> Iterator[Path]:
    """A temporary name beside `out` (same file system, same suffix) that becomes `out` on success."""
    part = out.with_name(f".{out.stem[:40]}.{os.getpid()}.part{out.suffix}")
    try:
        yield part
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)


def _stats(stream: Stream, values: Snapshot, count: int, fps: float, wall: float, sha256: str) -> RenderStats:
    chunk_ms = np.array(stream.step_seconds) * 1000
    later = chunk_ms[1:] if len(chunk_ms) > 1 else chunk_ms
    height, width = engine_size(values)
    return RenderStats(
        frames=count,
        fps=fps,
        seconds=count / fps,
        wall_seconds=wall,
        generated_fps=count / wall,
        engine_fps=stream.emitted / sum(stream.step_seconds),
        first_chunk_ms=float(chunk_ms[0]),
        chunk_ms_p50=float(np.percentile(later, 50)),
        chunk_ms_p99=float(np.percentile(later, 99)),
        chunks=len(chunk_ms),
        width=width,
        height=height,
        pipeline=values.text("engine.pipeline"),
        annotator=values.text("annotator.name"),
        seed=values.whole("engine.seed"),
        prompt=values.text("prompt.text"),
        ignored_words=tuple(stream.conditioning.ignored),
        sha256=sha256,
        modes=tuple(stream.modes),
    )

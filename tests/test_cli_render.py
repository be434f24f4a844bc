"""`cuelight render`: as many frames as the clip, the same for the same seed, and nothing half-made."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import engine.render
from engine.chunk import ChunkInput, ChunkOutput
from engine.cli import main
from engine.core.automation import parse_move
from engine.core.errors import OutputError, ParameterError, SourceError
from engine.core.types import ControlFrame, Frame, Image
from engine.modes import Mode
from engine.render import Stream, Timeline, annotate, generate, render, settings, source_frames
from engine.video.opencv import cv2
from tests.echo import EchoSession
from tests.fakes import FakeClock

HEIGHT, WIDTH = 128, 224
EDGES = {"annotator.name": "edges", "engine.seed": 7}


def picture(index: int) -> Image:
    """A white square on black that moves with `index`."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    left = 20 + 3 * index
    image[40:90, left : left + 50] = 255
    return image


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render's own arithmetic is tested here; the model has its own tests."""
    monkeypatch.setattr(engine.render, "open_session", EchoSession)


@pytest.fixture
def clip(tmp_path: Path) -> Callable[[int], Path]:
    """Writes a clip of so many frames, 15 per second."""

    def write(frames: int) -> Path:
        path = tmp_path / f"in{frames}.mp4"
        with av.open(str(path), "w") as file:
            stream = file.add_stream("libx264", rate=15, options={"crf": "10"})
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for index in range(frames):
                for packet in stream.encode(av.VideoFrame.from_ndarray(picture(index % 40), format="rgb24")):
                    file.mux(packet)
            for packet in stream.encode(None):
                file.mux(packet)
        return path

    return write


def decoded(path: Path) -> tuple[int, float, str]:
    """Frames, rate and codec of a video file."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        return (
            sum(1 for _ in file.decode(video=0)),
            float(stream.average_rate or 0),
            stream.codec_context.name,
        )


def asked(control: Image | None, mask: Image | None = None) -> ControlFrame:
    """A control frame as an annotator would have made it."""
    return ControlFrame(Frame(picture(0), 0.0, 0), control, mask, "edges", True, "")


class ListSource:
    """A source of given pictures; `live` ones take 1/rate seconds of the clock each."""

    name = "list"
    size = (WIDTH, HEIGHT)

    def __init__(
        self, pictures: list[Image], fps: float, clock: FakeClock | None = None, rate: float = 0
    ) -> None:
        self.fps, self.live = fps, clock is not None
        self._pictures, self._clock, self._rate = list(pictures), clock, rate
        self.closed = False

    def read(self) -> Image | None:
        if self._clock is not None:
            self._clock.advance(1 / self._rate)
        return self._pictures.pop(0) if self._pictures else None

    def rewind(self) -> None: ...

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("count", [1, 5, 9, 10, 12, 13, 24, 25, 118, 120])
@pytest.mark.parametrize("lacks", [0, 3])
def test_one_frame_comes_out_for_each_that_goes_in(count: int, lacks: int) -> None:
    session = EchoSession("pocket", HEIGHT, WIDTH)
    session.first_lacks = lacks
    controls = [asked(picture(index % 40)) for index in range(count)]
    frames = list(generate(iter(controls), Stream(session, Timeline(settings(EDGES)))))
    assert len(frames) == count
    for index in range(count):
        assert np.array_equal(frames[index][1:], picture(index % 40)[1:]), index
    # No chunk more than needed: each gives 12 frames, the first perhaps fewer.
    assert len(session.chunks) == -(-(count + lacks) // 12)


def test_the_input_runs_on_with_its_last_picture() -> None:
    session = EchoSession("pocket", HEIGHT, WIDTH)
    controls = [asked(picture(index)) for index in range(10)]
    list(generate(controls, Stream(session, Timeline(settings({})))))
    seen = np.concatenate([chunk.control for chunk in session.chunks if chunk.control is not None])
    assert all(np.array_equal(late, picture(9)) for late in seen[10:])


def test_pictures_lead_a_rendered_file_too(tmp_path: Path) -> None:
    session = EchoSession("pocket", HEIGHT, WIDTH)
    half = np.zeros((HEIGHT, WIDTH), np.uint8)
    half[:, : WIDTH // 2] = 255
    for name, image in (("half", half), ("ref", picture(0))):
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    values = {
        "mask.file": str(tmp_path / "half.png"), "mask.feather": 0.0, "vace.context_scale": 0.0,
        "reference.2.file": str(tmp_path / "ref.png"), "extension.last": str(tmp_path / "ref.png"),
        "extension.chunks": 2,
    }  # fmt: skip
    timeline = Timeline(settings(values))
    stream = Stream(session, timeline)
    pictures = (picture(index) for index in range(36))
    controls = annotate(pictures, timeline, lambda now: stream.given(now).mask)
    frames = list(generate(controls, stream))
    for index, frame in enumerate(frames):
        assert (frame[1:, : WIDTH // 2] == 128).all(), "what this session makes of everything at scale 0"
        assert np.array_equal(frame[1:, WIDTH // 2 :], picture(index)[1:, WIDTH // 2 :]), "kept, and in step"
    assert [len(chunk.references) for chunk in session.chunks] == [1] * 4
    assert [chunk.last_strength for chunk in session.chunks if chunk.last is not None] == [0.5, 1.0]
    with pytest.raises(SourceError, match=r"gone\.png"):
        lost = Stream(session, Timeline(settings({"mask.file": "/gone.png"})))
        list(annotate([picture(0)], lost.timeline, lambda now: lost.given(now).mask))


def test_masks_go_along_and_no_control_is_no_control() -> None:
    session = EchoSession("pocket", HEIGHT, WIDTH)
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    list(generate([asked(picture(0), mask)] * 4, Stream(session, Timeline(settings({})))))
    list(generate([asked(None)] * 4, Stream(session, Timeline(settings({})))))
    first, *_, last = session.chunks
    assert first.mask is not None and first.mask.shape == (12, HEIGHT, WIDTH)
    assert last.control is None and last.mask is None


def test_who_looks_on_is_told_every_chunk_and_what_the_lamp_says_is_kept() -> None:
    class Told(EchoSession):
        """Says how many chunks there were, as a lamp would."""

        def step(self, chunk, live, conditioning, settings, *, emit):  # type: ignore[no-untyped-def]
            def lit(output: ChunkOutput) -> None:
                emit(replace(output, mode=Mode("V2V", f"chunk {len(self.chunks)}")))

            super().step(chunk, live, conditioning, settings, emit=lit)

    seen: list[tuple[ChunkInput, ChunkOutput]] = []
    session = Told("pocket", HEIGHT, WIDTH)
    stream = Stream(session, Timeline(settings({})), lambda *told: seen.append(told))  # type: ignore[arg-type]
    list(generate([asked(picture(index)) for index in range(30)], stream))
    assert stream.modes == ["V2V: chunk 1", "V2V: chunk 2", "V2V: chunk 3"]
    assert [output.mode.reason for _, output in seen] == ["chunk 1", "chunk 2", "chunk 3"]
    assert all(chunk is made for (chunk, _), made in zip(seen, session.chunks, strict=True))


def test_render_makes_the_clips_frames_rate_and_duration(clip: Callable[[int], Path], tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    stats = render(str(clip(31)), out, settings(EDGES))
    assert decoded(out) == (31, 15.0, "h264")
    assert (stats.frames, stats.seconds, stats.fps) == (31, pytest.approx(31 / 15), 15.0)
    assert (stats.width, stats.height, stats.seed, stats.chunks) == (WIDTH, HEIGHT, 7, 3)
    assert stats.ignored_words == ("figure,", "night")
    assert stats.generated_fps > 0 and stats.engine_fps >= stats.generated_fps
    assert 0 < stats.chunk_ms_p50 <= stats.chunk_ms_p99
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.mp4"]
    assert not list(tmp_path.glob(".*"))


def test_same_seed_same_bytes_other_seed_other_bytes(clip: Callable[[int], Path], tmp_path: Path) -> None:
    path = str(clip(14))
    one, same, other = (
        render(path, tmp_path / f"{number}.mp4", settings(EDGES | {"engine.seed": seed}))
        for number, seed in enumerate((7, 7, 8))
    )
    assert one.sha256 == same.sha256 != other.sha256
    assert (tmp_path / "0.mp4").read_bytes() == (tmp_path / "1.mp4").read_bytes()


def test_the_hash_is_of_the_frames_bytes_in_order(clip: Callable[[int], Path], tmp_path: Path) -> None:
    shown: list[Image] = []

    class Remembering(EchoSession):
        def step(self, *args: object, emit: Callable[[ChunkOutput], None], **named: object) -> None:
            def remember(output: ChunkOutput) -> None:
                shown.extend(output.frames)
                emit(output)

            super().step(*args, emit=remember, **named)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.render, "open_session", Remembering)
        stats = render(str(clip(10)), tmp_path / "out.mp4", settings(EDGES))
    expected = hashlib.sha256(b"".join(frame.tobytes() for frame in shown[:10])).hexdigest()
    assert stats.sha256 == expected


def test_seconds_cut_a_clip_and_never_lengthen_it(clip: Callable[[int], Path], tmp_path: Path) -> None:
    path = str(clip(30))
    assert render(path, tmp_path / "a.mp4", settings(EDGES), 1.0).frames == 15
    assert render(path, tmp_path / "b.mp4", settings(EDGES), 60.0).frames == 30


def test_a_camera_is_sampled_in_time_and_must_be_given_a_duration() -> None:
    clock = FakeClock()
    # The camera promises 30 frames a second and gives 10: the result must still last 2 seconds.
    camera = ListSource([picture(index) for index in range(40)], 30.0, clock, rate=10)
    frames = list(source_frames(camera, 2.0, clock))
    assert len(frames) == 60
    seen = [next(i for i in range(40) if np.array_equal(frame, picture(i))) for frame in frames]
    assert seen == sorted(seen) and seen[0] == 0 and seen[-1] == 19
    with pytest.raises(SourceError, match="--seconds"):
        next(source_frames(camera, None, clock))
    with pytest.raises(SourceError, match="at most 60 s"):
        next(source_frames(camera, 61.0, clock))


def test_a_still_picture_needs_a_duration(tmp_path: Path) -> None:
    from engine.video.opencv import cv2

    path = tmp_path / "still.png"
    cv2.imwrite(str(path), picture(3))
    with pytest.raises(SourceError, match="--seconds"):
        render(str(path), tmp_path / "out.mp4", settings(EDGES))
    stats = render(str(path), tmp_path / "out.mp4", settings(EDGES), 0.5)
    assert stats.frames == 15 and decoded(tmp_path / "out.mp4")[0] == 15


def test_a_source_without_frames_is_refused() -> None:
    with pytest.raises(SourceError, match="no frames"):
        list(source_frames(ListSource([], 15.0), None))


def test_mirroring_turns_the_source_round(clip: Callable[[int], Path], tmp_path: Path) -> None:
    path = str(clip(3))
    plain = render(path, tmp_path / "a.mp4", settings(EDGES))
    mirrored = render(path, tmp_path / "b.mp4", settings(EDGES | {"source.mirror": True}))
    assert plain.sha256 != mirrored.sha256


@pytest.mark.parametrize("name", ["out.avi", "out", "folder", "missing/out.mp4"])
def test_an_unusable_output_is_refused_before_anything_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError) as error:
        render("never-opened.mp4", tmp_path / name, settings(EDGES))
    assert error.value.fix


def test_a_name_that_no_disk_takes_is_a_clear_error(tmp_path: Path, clip: Callable[[int], Path]) -> None:
    with pytest.raises(SourceError, match="cannot be opened"):
        render("x" * 300, clip(3), settings(EDGES))


@pytest.mark.parametrize("uri", ["{}", " {} ", "file:{}", "file://{}", "~/{name}"])
def test_the_input_is_not_overwritten(
    uri: str, clip: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clip(3)
    monkeypatch.setenv("HOME", str(path.parent))
    before = path.read_bytes()
    with pytest.raises(OutputError, match="input itself"):
        render(uri.format(path, name=path.name), path, settings(EDGES))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OutputError("the disk is full"), RuntimeError("boom")]
)
def test_an_interrupted_render_leaves_nothing_and_keeps_the_old_file(
    error: BaseException, clip: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"an older render")
    sessions: list[EchoSession] = []

    class Failing(EchoSession):
        def __init__(self, *size: Any) -> None:
            super().__init__(*size)
            sessions.append(self)

        def step(self, *args: object, **named: object) -> None:
            if self.chunks:
                raise error
            super().step(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.render, "open_session", Failing)
    with pytest.raises(type(error)):
        render(str(clip(40)), out, settings(EDGES))
    assert out.read_bytes() == b"an older render"
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []
    assert sessions[0].closed


def test_settings_that_render_does_not_read_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"output\.blackout belongs to the live output"):
        settings({"output.blackout": True})
    with pytest.raises(ParameterError, match="cannot be"):
        settings({"vace.context_scale": 3.0})


def test_the_command_line_reaches_every_setting(
    clip: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, numbers = tmp_path / "o.mp4", tmp_path / "stats.json"
    words = ["render", str(clip(20)), "-o", str(out), "--json", str(numbers), "--seconds", "1"]
    words += ["--annotator", "gray", "--prompt", "ice xyzzy", "--seed", "5", "--pipeline", "pocket"]
    words += ["--set", "engine.resolution=160x288", "--set", "vace.context_scale=0.5"]
    assert main(words) == 0
    stats = json.loads(numbers.read_text())
    expected = {"frames": 15, "seed": 5, "prompt": "ice xyzzy", "annotator": "gray", "pipeline": "pocket"}
    assert {key: stats[key] for key in expected} == expected
    assert (stats["height"], stats["width"]) == (160, 288)
    assert stats["ignored_words"] == ["xyzzy"]
    said = capsys.readouterr().out
    assert "15 frames" in said and "xyzzy" in said


def test_values_move_inside_a_file(clip: Callable[[int], Path], tmp_path: Path) -> None:
    moves = [parse_move("0", "prompt.text=gold"), parse_move("1", "prompt.text=ice"),
             parse_move("0-2", "engine.seed=0..60"), parse_move("1", "annotator.name=gray")]  # fmt: skip
    sessions: list[EchoSession] = []
    heard: list[tuple[str, int, str]] = []

    class Session(EchoSession):
        def __init__(self, *size: Any, **more: Any) -> None:
            super().__init__(*size, **more)
            sessions.append(self)

        def step(self, chunk: ChunkInput, live: Any, conditioning: Any, settings: Any, *, emit: Any) -> None:
            heard.append((conditioning.text, settings.seed, chunk.annotator))
            super().step(chunk, live, conditioning, settings, emit=emit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.render, "open_session", Session)
        render(str(clip(45)), tmp_path / "out.mp4", settings(EDGES), moves=moves)
    # The clip has 15 frames a second; chunks begin with frame 0, 9, 21, 33.
    assert [text for text, _, _ in heard] == ["gold", "gold", "ice", "ice"]
    assert [seed for _, seed, _ in heard] == [0, 18, 42, 60]
    assert [annotator for _, _, annotator in heard] == ["edges", "gray", "gray", "gray"]
    with pytest.raises(ParameterError, match="cannot change inside a file"):
        Timeline(settings({}), [parse_move("1", "engine.resolution=160x288")])
    with pytest.raises(ParameterError, match="changes nothing in a rendered file"):
        Timeline(settings({}), [parse_move("1", "output.blackout=on")])

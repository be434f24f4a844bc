"""From camera frames to chunks: annotate, prompt and engine ticked by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.chunk import Settings
from engine.core.channels import Fifo, Latest, Ring
from engine.core.errors import AnnotatorError, CuelightError, EngineError, WeightsError
from engine.core.store import Store
from engine.core.types import ControlFrame, Frame, Image
from engine.stages.annotate import AnnotateStage, engine_size
from engine.stages.asked import chunk_input
from engine.stages.generate import Chunk, GenerateStage
from engine.stages.loras import LoraStage, lora_path
from engine.stages.pictures import PictureStage, keep_mask
from engine.stages.prompt import PromptStage
from engine.stages.reports import Reports
from engine.video.opencv import cv2
from tests.fakes import HEIGHT, WIDTH, FakeAnnotators, FakeClock, FakeEngine, flat


class Line:
    """The three stages in a row on one clock; `film` feeds camera frames, `turn` makes one engine tick."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Store()
        self.reports = Reports(self.clock)
        self.annotators = FakeAnnotators()
        self.engine = FakeEngine(chunk_s=0.0)
        self.frames: Latest[Frame] = Latest()
        self.controls: Ring[ControlFrame] = Ring(128)
        self.preview: Latest[ControlFrame] = Latest()
        self.wishes: Latest[Any] = Latest()
        self.lora_wishes: Latest[Any] = Latest()
        self.spoken: Any = Latest()
        self.adapters: Latest[Any] = Latest()
        self.picture_wishes: Latest[Any] = Latest()
        self.given: Latest[Any] = Latest()
        self.pictures = PictureStage(self.store, self.picture_wishes, self.given)
        self.loras = LoraStage(self.store, self.lora_wishes, self.adapters)
        self.chunks: Fifo[Chunk] = Fifo(2)
        self.annotate = AnnotateStage(
            self.store,
            self.annotators.make,
            self.frames,
            self.given,
            self.controls,
            self.preview,
            self.reports,
            self.clock,
        )
        self.prompt = PromptStage(self.store, self.wishes, self.spoken, self.reports)
        self.generate = GenerateStage(
            self.store, self.engine.open, self.controls,
            (self.wishes, self.lora_wishes, self.picture_wishes), self.spoken, self.adapters, self.given,
            self.chunks, self.reports, self.clock,
        )  # fmt: skip

        def wait_until(instant: float) -> bool:
            waits = instant > self.clock.now
            self.clock.now = max(self.clock.now, instant)
            return waits

        self.generate._wait_until = wait_until  # type: ignore[method-assign]
        self.level = 0

    def film(self, seconds: float, fps: float = 30.0) -> None:
        for _ in range(round(seconds * fps)):
            self.clock.advance(1 / fps)
            self.level += 1
            self.frames.put(Frame(flat(self.level), self.clock.now, self.level))
            self.annotate.tick()

    def load(self) -> None:
        self.generate.tick()
        self.prompt.tick()

    def turn(self) -> Chunk | None:
        self.generate.tick()
        return self.chunks.get(timeout=0)

    def level_of(self, chunk: Chunk) -> int:
        """The camera's level in the last picture of a chunk."""
        return round((chunk.captured_at[-1] - 1000) * 30)

    def chunk(self) -> Chunk:
        """The next chunk; ticks that only wait are passed over."""
        for _ in range(4):
            if (made := self.turn()) is not None:
                return made
        raise AssertionError("no chunk was made")


@pytest.fixture
def line() -> Line:
    made = Line()
    made.load()
    return made


def levels(chunk: Chunk) -> list[int]:
    """Camera levels that the frames show (annotator and session both draw the negative)."""
    return [int(frame.mean()) for frame in chunk.frames]


def test_one_chunk_from_camera_to_fifo(line: Line) -> None:
    line.film(1.0)
    chunk = line.chunk()
    assert chunk.frames.shape == (9, HEIGHT, WIDTH, 3)
    assert len(chunk.captured_at) == 9
    shown = levels(chunk)
    assert shown[-1] < 30 and chunk.captured_at[-1] == pytest.approx(1000 + shown[-1] / 30)
    assert chunk.mode.name == "V2V scribble"
    line.film(1.2)
    chunk = line.chunk()
    assert levels(chunk)[2] == 30 and levels(chunk)[0] > shown[-1], "what was taken and not yet shown"
    assert levels(chunk)[3:] == list(range(33, 58, 3)), "an even sample of the time since the last chunk"
    assert chunk.captured_at == pytest.approx([1000 + level / 30 for level in levels(chunk)])
    step, conditioning, settings = line.engine.sessions[0].steps[-1]
    assert (step.annotator, conditioning.text) == ("scribble", "gold figure, night")
    assert settings == Settings(steps=0, seed=42)
    assert step.video is not None and [int(picture.mean()) for picture in step.video][-1] == 66
    assert step.control is not None and step.control.shape == (12, HEIGHT, WIDTH, 3)
    assert line.generate.state.word == "running"
    assert chunk.effort == "2 steps"


def test_a_least_rate_is_a_deadline_and_what_is_expected_is_told(line: Line) -> None:
    line.film(1.0)
    line.store.set("engine.rate", 24, "test")
    line.chunk()
    session = line.engine.sessions[0]
    assert session.steps[-1][2].deadline_s == 0.5, "twelve pictures at 24 a second"
    assert line.generate.expected_s == 0.0
    session.expected_s = 0.3
    assert line.generate.expected_s == 0.3
    line.store.set("engine.rate", 0, "test")
    line.film(1.0)
    line.chunk()
    assert session.steps[-1][2].deadline_s is None


def test_a_step_list_that_says_nothing_is_reported_and_the_show_goes_on(line: Line) -> None:
    line.store.set("engine.step_list", "1000, soon", "test")
    line.film(1.0)
    assert len(line.chunk().frames) == 9
    assert line.engine.sessions[0].steps[-1][2].step_list == ()
    assert "cannot be followed" in line.reports.recent()[-1].text
    line.store.set("engine.step_list", "1000 600", "test")
    line.film(1.0)
    line.chunk()
    assert line.engine.sessions[0].steps[-1][2].step_list == (1000, 600)


def test_loras_are_put_on_at_a_chunk_boundary_and_taken_off(line: Line) -> None:
    session = line.engine.sessions[0]
    line.loras.tick()  # asked for by the loading
    line.film(0.6)
    line.chunk()
    assert session.worn == {}
    line.store.set("lora.1.file", "ink.safetensors", "test")
    line.store.set("lora.3.file", "/elsewhere/odd.safetensors", "test")
    line.lora_wishes.put(session)
    line.loras.tick()
    assert session.worn == {}, "nothing is put on inside a chunk"
    line.film(0.6)
    line.chunk()
    assert session.worn == {0: "ink.safetensors", 2: "odd.safetensors"}
    assert line.loras.notes[0] == "" and "1 keys of it name nothing" in line.loras.notes[2]
    line.store.set("lora.1.file", "bad.safetensors", "test")
    line.store.set("lora.3.file", "", "test")
    line.lora_wishes.put(session)
    line.loras.tick()
    line.film(0.6)
    line.chunk()
    assert session.worn == {0: None, 2: None}
    assert line.loras.notes == ("bad.safetensors is no LoRA.  Fix: Choose another file.", "", "", "")
    assert session.resets == 0


def test_a_lora_is_named_by_its_path_or_by_its_name_in_the_models_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUELIGHT_MODELS", str(tmp_path))
    assert lora_path("ink.safetensors") == tmp_path.resolve() / "loras" / "ink.safetensors"
    assert lora_path(str(tmp_path / "x.pt")) == tmp_path / "x.pt"


@pytest.mark.parametrize("name", ["../secret.pt", "a/../../b.safetensors", "../../../../etc/passwd"])
def test_a_lora_of_a_strangers_look_does_not_lead_out_of_the_folder(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: Line
) -> None:
    monkeypatch.setenv("CUELIGHT_MODELS", str(tmp_path / "models"))
    with pytest.raises(CuelightError, match="outside"):
        lora_path(name)
    line.store.set("lora.1.file", name, "test")
    line.lora_wishes.put(line.engine.sessions[0])
    line.loras.tick()
    assert "outside" in line.loras.notes[0] and "Fix: " in line.loras.notes[0], "said, and the show goes on"


def test_a_drawn_stroke_is_in_the_next_chunk(line: Line) -> None:
    session = line.engine.sessions[0]
    line.film(1.0)
    line.chunk()
    assert session.steps[-1][0].mask is None
    for columns in (50, 120):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[:, :columns] = 255
        line.store.set("mask.file", keep_mask(mask), "gui")
        line.picture_wishes.put(session)
        line.pictures.tick()
        line.film(0.8)
        chunk = line.chunk()
        step = session.steps[-1][0]
        assert step.mask is not None and (step.mask == mask).all() and step.wanted_mask
        assert (chunk.frames[-1][:, columns + 10 :] == line.level_of(chunk)).all(), "kept"
    assert session.resets == 0 and len(line.engine.sessions) == 1


def test_another_autoencoder_or_precision_is_a_reload(line: Line) -> None:
    for key, value in (("engine.pipeline", "longlive"), ("engine.vae", "wan"), ("engine.fp8", True)):
        line.store.set(key, value, "test")
        line.load()
    assert len(line.engine.sessions) == 4 and line.engine.sessions[2].closed.is_set()


def test_what_a_bundled_model_does_not_have_is_no_reload(line: Line) -> None:
    line.store.set_many({"engine.vae": "wan", "engine.fp8": True, "engine.text_encoder": "cpu"}, "gui")
    line.film(1.0)
    line.chunk()
    assert len(line.engine.sessions) == 1


def test_slow_engine_passes_over_what_is_too_old(line: Line) -> None:
    line.film(1.0)
    line.chunk()
    line.film(5.0)
    chunk = line.chunk()
    assert chunk.captured_at[3] > line.clock.now - 2.0, "after the three that were still to be shown"
    assert line.controls.dropped > 30


def test_fast_engine_waits_for_the_camera(line: Line) -> None:
    """Never more frames than the output can show: 12 frames at 30 per second take 0.4 s."""
    line.film(1.0)
    line.chunk()
    taken = line.clock.now
    line.film(1 / 30)
    assert line.turn() is None
    assert line.clock.now == pytest.approx(taken + 0.4)
    assert line.turn() is not None


def test_no_source_no_chunk(line: Line) -> None:
    line.film(0.5)
    line.chunk()
    assert line.turn() is None
    assert line.turn() is None
    assert line.generate.state.word == "running"


def test_live_values_are_read_inside_the_chunk(line: Line) -> None:
    line.film(1.0)
    version = line.store.set("vace.context_scale", 0.25, "midi")
    chunk = line.chunk()
    heard = line.engine.sessions[0].lives[-1]
    assert (heard.context_scale, heard.version, chunk.version) == (0.25, version, version)


def test_exception_in_a_step_rebuilds_the_session(line: Line) -> None:
    line.film(1.0)
    line.engine.faults.append(RuntimeError("CUDA out of memory"))
    with pytest.raises(RuntimeError):
        for _ in range(3):
            line.turn()
    assert "engine failed" in line.generate.state.reason
    assert "CUDA out of memory" in line.generate.state.reason
    assert line.engine.sessions[0].closed.is_set()
    assert line.generate.session is None
    failed_at = line.clock.now
    line.generate.tick()
    assert line.clock.now == pytest.approx(failed_at + 0.5), "a short back-off"
    line.load()
    assert len(line.engine.sessions) == 2
    line.film(1.0)
    assert len(line.chunk().frames) == 9, "a new stream"
    assert line.generate.state.word == "running"


def test_back_off_grows_and_is_bounded(line: Line) -> None:
    line.generate.close()
    line.engine.refusals = [WeightsError(f"bad weights {k}", "download again") for k in range(8)]
    waits = []
    for _ in range(8):
        with pytest.raises(WeightsError):
            while True:
                line.generate.tick()
        assert line.generate.state.word == "failed" and "bad weights" in line.generate.state.reason
        before = line.clock.now
        line.generate.tick()
        waits.append(line.clock.now - before)
    assert waits == pytest.approx([0.5, 1, 2, 4, 8, 8, 8, 8])
    line.load()
    assert line.generate.state.word == "running"


def fail(line: Line, times: int) -> None:
    """Let the model not open, so many times in a row."""
    line.generate.close()
    line.engine.refusals = [WeightsError("no such file", "download it") for _ in range(times)]
    for _ in range(times):
        with pytest.raises(WeightsError):
            while True:
                line.generate.tick()


def test_hours_of_failures_do_not_end_the_waiting(line: Line) -> None:
    fail(line, 1100)
    before = line.clock.now
    line.generate.tick()
    assert line.clock.now - before == pytest.approx(8.0)


def test_another_model_does_not_wait_for_the_failures_of_the_one_before(line: Line) -> None:
    fail(line, 5)
    failed_at = line.clock.now
    line.store.set("engine.resolution", "160x288", "gui")
    line.generate.tick()
    assert line.clock.now == failed_at and line.generate.state.word == "running"


def test_resolution_change_reloads(line: Line) -> None:
    line.film(1.0)
    line.chunk()
    line.store.set("engine.resolution", "160x288", "gui")
    line.film(0.5)
    assert line.turn() is None, "this tick loaded"
    assert line.engine.opened[-1] == ("pocket", 160, 288)
    assert line.engine.sessions[0].closed.is_set()
    line.prompt.tick()
    line.film(0.5)
    chunk = line.chunk()
    assert chunk.frames.shape[1:3] == (160, 288)


def test_frames_of_another_size_are_not_used(line: Line) -> None:
    line.film(0.5)
    line.store.set("engine.resolution", "160x288", "gui")
    line.film(1 / 30)
    line.store.set("engine.resolution", "128x224", "gui")
    assert line.turn() is None
    line.film(0.6)
    assert line.chunk().frames.shape[1:3] == (128, 224)


def test_reset_is_queued_and_obeyed(line: Line) -> None:
    line.film(1.0)
    line.chunk()
    line.generate.commands.put("reset")
    line.generate.commands.put("reset")
    line.film(1.0)
    assert len(line.chunk().frames) == 9
    assert (line.engine.sessions[0].resets, line.engine.sessions[0].replays) == (2, 0)
    line.generate.commands.put("replay")
    line.film(1.0)
    assert len(line.chunk().frames) == 9
    assert (line.engine.sessions[0].resets, line.engine.sessions[0].replays) == (3, 1)


def test_prompt_follows_the_text(line: Line) -> None:
    line.store.set("prompt.text", "ice zzz cave", "gui")
    line.wishes.put(line.generate.session)
    line.prompt.tick()
    assert line.prompt.ignored == ("zzz",) and line.prompt.note == ""
    spoken = line.spoken.peek()
    assert spoken.version == line.store.snapshot().version_of("prompt.text")
    line.film(1.0)
    line.chunk()
    assert line.engine.sessions[0].steps[-1][1].text == "ice zzz cave"


@pytest.mark.parametrize(
    ("text", "note"), [("", "is empty"), ("  ", "is empty"), ("zzz", "none of these words")]
)
def test_prompt_that_leads_nowhere_is_noted(line: Line, text: str, note: str) -> None:
    line.store.set("prompt.text", text, "gui")
    line.wishes.put(line.generate.session)
    line.prompt.tick()
    assert note in line.prompt.note


def test_prompt_that_cannot_be_read_keeps_the_old_one(line: Line) -> None:
    line.store.set("prompt.text", "!", "gui")
    line.wishes.put(line.generate.session)
    with pytest.raises(EngineError):
        line.prompt.tick()
    line.film(1.0)
    line.chunk()
    assert line.engine.sessions[0].steps[-1][1].text == "gold figure, night"


def test_first_prompt_that_cannot_be_read_starts_without() -> None:
    line = Line()
    line.store.set("prompt.text", "!", "gui")
    line.load()
    assert "cannot read" in line.reports.recent()[-1].text
    line.film(1.0)
    line.chunk()
    assert line.engine.sessions[0].steps[-1][1].text == ""


def test_known_prompts_come_from_the_cache(line: Line) -> None:
    first = line.spoken.peek().conditioning
    for text in ("ice", "gold figure, night"):
        line.store.set("prompt.text", text, "gui")
        line.wishes.put(line.generate.session)
        line.prompt.tick()
    assert line.spoken.peek().conditioning is first


def test_annotator_failure_costs_the_control_not_the_frame(line: Line) -> None:
    line.film(0.1)
    line.annotators.made["scribble"].fault = RuntimeError("no lines today")
    line.film(1.0)
    assert "no lines today" in line.annotate.note
    newest = line.preview.peek()
    assert newest is not None and newest.control is None and not newest.found
    assert line.annotators.made["scribble"].closed
    line.chunk()
    assert line.engine.sessions[0].steps[-1][0].control is None
    line.film(2.5)
    assert line.annotate.note == "", "made again after a moment"
    assert line.chunk().mode.name == "V2V scribble"


def test_missing_annotator_is_tried_seldom(line: Line) -> None:
    line.annotators.broken["pose"] = AnnotatorError("mediapipe is missing", "pip install mediapipe")
    line.store.set("annotator.name", "pose", "gui")
    line.film(1.5)
    assert "mediapipe is missing" in line.annotate.note
    assert line.reports.recent()[-1].count == 1
    line.store.set("annotator.name", "scribble", "gui")
    line.film(0.1)
    assert line.annotate.note == ""


def test_annotator_takes_its_knobs_and_size(line: Line) -> None:
    line.film(0.1)
    first = line.annotators.made["scribble"]
    line.store.set("engine.resolution", "192x336", "gui")
    line.film(0.1)
    assert first.closed, "annotators remember pictures: a new size takes a new one"
    newest = line.preview.peek()
    assert newest is not None and newest.frame.image.shape == (192, 336, 3)
    line.annotate.close()
    assert line.annotators.made["scribble"].closed
    assert engine_size(line.store.snapshot()) == (192, 336)


def control_frame(
    level: int, annotator: str, control: Image | None, mask: Image | None = None
) -> ControlFrame:
    return ControlFrame(Frame(flat(level), float(level), level), control, mask, annotator, True, "")


def test_chunk_input_speaks_with_one_voice() -> None:
    old = [control_frame(k, "edges", flat(k)) for k in range(3)]
    new = [control_frame(k, "segmentation", flat(k), flat(k)[..., 0]) for k in range(3, 6)]
    made = chunk_input([*old, *new])
    assert made.annotator == "segmentation"
    assert made.control is not None and made.mask is not None
    assert [int(c.mean()) for c in made.control] == [3, 3, 3, 3, 4, 5]
    assert [int(m.mean()) for m in made.mask] == [5, 5, 5, 5, 5, 5], "the union over a latent's frames"
    none = chunk_input([*old, control_frame(9, "none", None)])
    assert (none.control, none.mask, none.annotator) == (None, None, "none")
    walking = []
    for k in range(4):
        mask = np.zeros(flat(k).shape[:2], np.uint8)
        mask[:, k] = 255
        walking.append(control_frame(k, "segmentation", flat(k), mask))
    united = chunk_input(walking)
    assert united.mask is not None and united.control is not None
    assert (united.mask[:, :, :4] == 255).all() and not united.mask[:, :, 4:].any()
    assert (united.control[0, :, 1:4] == 128).all(), "no old pixel is left where another frame generates"
    assert (united.control[2, :, 2] == 2).all()
    region = flat(9)[..., 0]
    parted = chunk_input([*old, *[replace(frame, region=region) for frame in old]])
    assert parted.mask is None and parted.region is not None
    assert parted.region.shape == (6, *region.shape) and (parted.region == 9).all()
    assert chunk_input(old).region is None
    hole = chunk_input([old[0], control_frame(1, "edges", None), old[2]])
    assert hole.control is not None
    assert [int(np.mean(c)) for c in hole.control] == [0, 2, 2]


# --- pictures that lead -------------------------------------------------------------------------------------


def test_pictures_come_and_go_without_stopping_the_stream(line: Line, tmp_path: Path) -> None:
    session = line.engine.sessions[0]
    for name, level in (("a", 40), ("b", 200)):
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), flat(level))
    heard = []
    for values in (
        {},
        {
            "reference.1.file": str(tmp_path / "a.png"),
            "extension.first": str(tmp_path / "b.png"),
            "extension.chunks": 2,
        },
        {"reference.3.file": str(tmp_path / "b.png")},
        {"reference.1.file": str(tmp_path / "gone.png")},
        {"reference.1.file": "", "reference.3.file": "", "extension.first": ""},
    ):
        line.store.set_many(values, "test")
        line.picture_wishes.put(session)
        line.pictures.tick()
        line.film(1.0)
        line.chunk()
        chunk = session.steps[-1][0]
        levels_of = [one.level for one in chunk.references]  # type: ignore[attr-defined]
        heard.append((levels_of, chunk.first is not None and (int(chunk.first.mean()), chunk.first_strength)))
    assert heard == [
        ([], False), ([40], (200, 1.0)), ([40, 200], (200, 0.5)), ([200], False), ([], False)
    ]  # fmt: skip
    assert session.resets == 0 and len(line.engine.sessions) == 1


def test_kept_pixels_are_those_that_the_frame_was_made_from(line: Line, tmp_path: Path) -> None:
    """The fake session shows the control picture's negative, three pictures late, as public models do."""
    half = np.zeros((HEIGHT, WIDTH), np.uint8)
    half[:, : WIDTH // 2] = 255
    assert cv2.imwrite(str(tmp_path / "half.png"), half)
    line.store.set_many({"mask.file": str(tmp_path / "half.png"), "mask.feather": 0.0}, "test")
    line.picture_wishes.put(line.engine.sessions[0])
    line.pictures.tick()
    for _ in range(3):
        line.film(0.5)
        for frame, at in zip(*_shown(line.chunk()), strict=True):
            level = round((at - 1000) * 30)
            assert (frame[:, WIDTH // 2 :] == level).all(), "the camera's picture of that very instant"
            assert (frame[:, : WIDTH // 2] == level).all(), "and what was generated from it"
    line.store.set("mask.composite", False, "test")
    line.film(0.5)
    frames, _ = _shown(line.chunk())
    assert (frames[-1][:, WIDTH // 2 :] != frames[-1][:, : WIDTH // 2]).all(), "what the model made of it"


def _shown(chunk: Chunk) -> tuple[Image, tuple[float, ...]]:
    return chunk.frames, chunk.captured_at

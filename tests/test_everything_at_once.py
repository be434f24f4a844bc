"""Every mode over the real model: all that can be given, in any order, on one stream that never stops."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.adherence.cases import drawn_frames
from engine.chunk import ChunkInput, ChunkOutput, Live, Settings, present
from engine.core.parameters import Value
from engine.core.types import Frame
from engine.model.load import Choice, Pipeline, load_pipeline
from engine.modes import mode_of
from engine.session import Session
from engine.stages.asked import live_values
from engine.stages.generate import Chunk
from engine.video.annotators import make_annotator
from engine.video.opencv import cv2
from tests.stages.test_generate import Line

SIDE = 64
FRAMES = 12


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return load_pipeline("pocket")


def noise(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_every_combination_runs_on_one_stream_as_the_truth_table_says(pipeline: Pipeline) -> None:
    """Mode, layout of the context and the past in the cache, for each chunk that follows another one."""
    session = Session(pipeline, SIDE, SIDE)
    references = tuple(session.reference(noise(40, 50, 3, seed=seed)) for seed in range(3))
    half = np.zeros((FRAMES, SIDE, SIDE), np.uint8)
    half[:, :, : SIDE // 2] = 255
    text = session.conditioning("gold figure")
    latents, policy = pipeline.spec.latents_per_chunk, session._stream.policy
    made: list[ChunkOutput] = []
    combinations = product(*[(False, True)] * 4, (0, 3), (False, True))
    for number, (control, mask, first, last, count, video) in enumerate(combinations):
        chunk = ChunkInput(
            noise(FRAMES, SIDE, SIDE, 3) if control or mask else None,
            half if mask else None,
            "gray",
            noise(FRAMES, SIDE, SIDE, 3, seed=1) if video else None,
            noise(30, 90, 3, seed=2) if first else None,
            noise(90, 30, 3, seed=3) if last else None,
            references=references[:count],
        )
        settings = Settings(steps=1, noise_scale=0.7 if video else 1.0)
        assert session._stream.start == number * latents, "no chunk begins the stream anew"
        plan = policy.plan(session._stream.start, latents)
        session.step(chunk, lambda: Live(1.0, 0), text, settings, emit=made.append)
        assert session._stream.policy is policy and policy.plan(number * latents, latents) == plan
        expected = mode_of(present(chunk, latents, settings.noise_scale))
        assert made[-1].mode == expected
        assert made[-1].frames.shape == (FRAMES, SIDE, SIDE, 3) and made[-1].frames.std() > 0
        part = "masked" if mask else "control" if control else "free"
        layout = ["given" if first else part, part, "given" if last else part]
        asked = control or mask or first or last or count
        assert made[-1].mode.layout == (tuple(layout) if asked else ())
        assert made[-1].mode.references == count
    assert len(made) == 64


class Show(Line):
    """The stages with Pocket and the annotators of the program, ticked by hand."""

    def __init__(self, loaded: Pipeline, folder: Path) -> None:
        super().__init__()
        self.sessions: list[Session] = []
        self.resets = 0
        self.folder = folder
        self._pictures = list(drawn_frames(1.0))

        def opened(pipeline: str, height: int, width: int, choice: Choice | None = None) -> Session:
            session = Session(loaded, height, width)
            reset = session.reset

            def counted(replay: bool = False) -> None:
                self.resets += 1
                reset(replay)

            session.reset = counted  # type: ignore[method-assign]
            self.sessions.append(session)
            return session

        self.generate._open_session = opened
        self.annotate._make_annotator = make_annotator
        self.store.set_many({"engine.steps": 1}, "test")
        self.load()

    def film(self, seconds: float, fps: float = 10.0) -> None:
        for _ in range(round(seconds * fps)):
            self.clock.advance(1 / fps)
            self.level += 1
            picture = self._pictures[self.level % len(self._pictures)]
            self.frames.put(Frame(picture, self.clock.now, self.level))
            self.annotate.tick()

    def next(self, values: dict[str, Value], spoil: Callable[[], object] = lambda: None) -> Chunk:
        """The very next chunk after a change; there is always one, of the right size."""
        self.store.set_many(values, "osc")
        spoil()
        self.picture_wishes.put(self.sessions[-1])
        self.pictures.tick()
        self.lora_wishes.put(self.sessions[-1])
        self.loras.tick()
        self.film(0.4)
        chunk = self.chunk()
        size = (self.sessions[-1].height, self.sessions[-1].width, 3)
        assert chunk.frames.shape == (FRAMES, *size) and self.generate.state.word == "running"
        return chunk


@pytest.fixture
def show(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Show:
    monkeypatch.setenv("CUELIGHT_HOME", str(tmp_path))
    folder = tmp_path / "config" / "pictures"
    folder.mkdir(parents=True)
    for number in range(3):
        assert cv2.imwrite(str(folder / f"r{number}.png"), noise(50 + number, 70, 3, seed=number))
    half = np.zeros((300, 200), np.uint8)
    half[:, :90] = 255
    for name, mask in (("half", half), ("black", half * 0), ("white", half * 0 + 255), ("other", 255 - half)):
        assert cv2.imwrite(str(folder / f"{name}.png"), mask)
    assert cv2.imwrite(str(folder / "first.png"), noise(40, 4000, 3, seed=7))
    assert cv2.imwrite(str(folder / "last.png"), noise(900, 30, 3, seed=8))
    return Show(pipeline, folder)


ALL: dict[str, Value] = {
    "reference.1.file": "r0.png", "reference.2.file": "r1.png", "reference.3.file": "r2.png",
    "mask.file": "half.png", "extension.first": "first.png", "extension.last": "last.png",
    "extension.chunks": 3,
}  # fmt: skip


def test_all_at_once_then_anything_changes_and_the_next_chunk_has_it(show: Show) -> None:
    names = []

    def turn(values: dict[str, Value], spoil: Callable[[], object] = lambda: None) -> str:
        mode = show.next(values, spoil).mode
        names.append(mode.name)
        return mode.reason

    assert turn({}).startswith("scribble 1.00")
    said = turn(ALL)
    assert all(word in said for word in ("scribble", "55 % kept", "first frame", "last frame 0.33", "3 ref"))
    said = turn({"noise.scale": 0.6, "canvas.zoom": 1.7, "canvas.x": 0.5})
    assert "65 % outside" in said and "noise 0.60" in said and "first frame 0.67" in said
    said = turn({}, lambda: (show.folder / "half.png").write_bytes(b"garbage"))
    assert "26 % kept" in said and "half.png" in show.pictures.notes["mask.file"], "the mask before stays"
    said = turn({"mask.file": "black.png"}, (show.folder / "half.png").unlink)
    assert "ignored: the camera's picture is kept" in said
    said = turn({"mask.file": "white.png", "canvas.zoom": 1.0, "canvas.x": 0.0})
    assert "all white" in said
    said = turn({"reference.2.file": "", "annotator.name": "layout", "annotator.second": "flow"})
    assert "layout 1.00 + flow" in said and "2 references" in said
    said = turn({"annotator.name": "none", "annotator.second": "none", "vace.context_scale": 0.0})
    assert said == "noise 0.60 over the camera"
    said = turn({"vace.context_scale": 2.0, "noise.scale": 1.0, "mask.file": "other.png"})
    assert "45 % kept at 2.00" in said or "55 % kept at 2.00" in said
    assert names == [
        "V2V", "EXTEND + INPAINT + R2V", "EXTEND + OUTPAINT + INPAINT + R2V",
        "EXTEND + OUTPAINT + INPAINT + R2V", "OUTPAINT + R2V", "V2V + R2V", "V2V + R2V", "V2V",
        "INPAINT + R2V",
    ]  # fmt: skip
    assert len(show.sessions) == 1 and show.resets == 0
    assert show.sessions[0]._stream.start == 3 * len(names)


def test_what_is_taken_away_inside_a_chunk_is_gone_in_the_next(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    show.next(ALL)

    def taken_away() -> Live:
        show.store.set_many(dict.fromkeys(ALL, "") | {"extension.chunks": 1}, "midi")
        show.picture_wishes.put(show.sessions[-1])
        show.pictures.tick()
        return live_values(show.store.snapshot())

    monkeypatch.setattr(show.generate, "_live", taken_away)
    assert "3 references" in show.next({}).mode.reason
    monkeypatch.undo()
    show.film(0.4)
    assert show.chunk().mode.name == "V2V"
    assert len(show.sessions) == 1 and show.resets == 0


def ink(path: Path, pipeline: Pipeline) -> str:
    """A LoRA file for the main blocks' queries."""
    draw, dim = torch.Generator().manual_seed(1), pipeline.spec.arch.dim
    tensors = {}
    for block in range(pipeline.spec.arch.layers):
        base = f"diffusion_model.blocks.{block}.self_attn.q"
        tensors[f"{base}.lora_A.weight"] = torch.randn(4, dim, generator=draw) / dim**0.5
        tensors[f"{base}.lora_B.weight"] = torch.randn(dim, 4, generator=draw)
    save_file(tensors, path)
    return str(path)


def test_another_size_takes_everything_along(show: Show, pipeline: Pipeline) -> None:
    """Also a LoRA that acts in a part of the picture, whose mask has the size of the picture."""
    lora: dict[str, Value] = {
        "lora.1.file": ink(show.folder / "ink.safetensors", pipeline), "lora.1.region": "inside",
    }  # fmt: skip
    before = show.next(ALL | lora | {"extension.chunks": 8})
    assert "LoRA 1" in before.mode.reason
    show.store.set("engine.resolution", "160x288", "gui")
    show.film(0.4)
    assert show.turn() is None and len(show.sessions) == 2
    show.prompt.tick()
    after = show.next({})
    assert before.frames.shape[1:3] == (128, 224) and after.frames.shape[1:3] == (160, 288)
    for word in ("3 references", "55 % kept", "LoRA 1"):
        assert word in after.mode.reason
    assert "EXTEND" in after.mode.name
    show.next({"lora.1.region": "outside", "mask.file": "black.png"})
    show.next({"mask.file": "", "mask.source": "none"})
    assert "LoRA" not in show.next({"lora.1.file": ""}).mode.reason
    assert len(show.sessions) == 2 and show.resets == 0

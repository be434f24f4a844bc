"""The whole runtime on real threads: kill tests, reloads, storms, and nothing left running.

Nothing here asserts how fast the machine is: conditions are waited for, and the gap between output frames
is asserted on a clock of its own in tests/stages/test_output.py.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from controllers.osc import OscServer
from controllers.osc_wire import encode
from engine.core.errors import AnnotatorError, EngineError, OutputError, ParameterError
from engine.core.parameters import Value
from engine.core.store import Store
from engine.core.types import OutputFrame
from engine.runtime import Runtime
from engine.stages.pictures import keep_mask, picture_path
from engine.video.still import read_still
from tests.conftest import OUR_THREADS
from tests.fakes import (
    FakeAnnotators,
    FakeEngine,
    FakeRecorders,
    FakeSource,
    FakeSources,
    FakeVirtualCamera,
    until,
)


class Stage:
    """A runtime with everything around it faked."""

    def __init__(self) -> None:
        self.store = Store()
        self.sources = FakeSources(
            demo=lambda: FakeSource("demo", fps=60.0, length=None),
            clip=lambda: FakeSource("clip", fps=60.0, length=30),
        )
        self.annotators = FakeAnnotators()
        self.engine = FakeEngine()
        self.recorders = FakeRecorders()
        self.camera = FakeVirtualCamera()
        self.runtime = Runtime(
            self.store,
            open_session=self.engine.open,
            open_source=self.sources.open,
            make_annotator=self.annotators.make,
            open_recorder=self.recorders.open,
            free_bytes=lambda folder: 10**12,
            make_virtual_camera=lambda: self.camera,
            canvas=(36, 64),
        )

    def rung(self) -> str:
        shown = self.runtime.program.peek()
        return "" if shown is None else shown.rung

    def until_rung(self, rung: str) -> OutputFrame:
        until(lambda: self.rung() == rung, f"rung {rung}: {self.runtime.status()}")
        shown = self.runtime.program.peek()
        assert shown is not None
        return shown


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    # The same patience, shorter: these tests are about order, not about seconds.
    for name, seconds in (
        ("ladder.HOLD_S", 0.3),
        ("ladder.DWELL_S", 0.2),
        ("output.FRESH_S", 0.5),
        ("generate.BACK_OFF_S", 0.2),
        ("capture.RETRY_S", 0.1),
    ):
        monkeypatch.setattr(f"engine.stages.{name}", seconds)
    stage = Stage()
    stage.runtime.start()
    yield stage
    assert stage.runtime.stop() == ()
    left = {thread.name for thread in threading.enumerate()} & set(OUR_THREADS)
    assert not left


def test_a_wire_takes_the_output_as_it_is_now(
    live: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUELIGHT_HOME", str(tmp_path))
    live.until_rung("generated")
    server = OscServer(live.store, port=0, on_command=live.runtime.command)
    server.start()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            for name in ("take_reference_2", "snapshot"):
                wire.sendto(encode(f"/cuelight/command/{name}", 1), ("127.0.0.1", server.port))
        until(lambda: live.store.get("reference.2.file") != "", "the row names the picture")
        until(lambda: any(tmp_path.glob("recordings/*.png")), "the snapshot is written")
    finally:
        server.stop()
    named = str(live.store.get("reference.2.file"))
    assert read_still(picture_path(named)).image.shape == (36, 64, 3)


def test_camera_to_generated_picture(live: Stage) -> None:
    shown = live.until_rung("generated")
    assert shown.image.shape == (36, 64, 3)
    until(lambda: live.runtime.status().latency_ms > 0, "a measured latency")
    status = live.runtime.status()
    assert status.engine == "running" and status.source_ok and status.reason == ""
    assert status.mode == "V2V scribble" and status.errors == ()
    assert set(status.drops) == {"camera", "control", "chunks", "generated", "recorder"}
    for preview in (live.runtime.source_preview, live.runtime.control_preview):
        assert preview.peek() is not None
    names = {thread.name for thread in threading.enumerate()}
    assert {"capture", "annotate", "prompt", "engine", "output", "recorder", "camera switch"} <= names


def test_before_the_model_is_there_the_camera_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.engine.gate.clear()
    stage.runtime.start()
    try:
        shown = stage.until_rung("control")
        assert shown.reason.startswith("loading model")
        assert stage.runtime.status().engine == "loading"
        stage.engine.gate.set()
        stage.until_rung("generated")
    finally:
        stage.engine.gate.set()
        assert stage.runtime.stop() == ()


def test_engine_that_raises_is_rebuilt(live: Stage) -> None:
    live.until_rung("generated")
    live.engine.faults.append(RuntimeError("CUDA error: out of memory"))
    until(lambda: len(live.engine.sessions) == 2, "a rebuilt session")
    until(lambda: len(live.engine.sessions[1].steps) > 3, "chunks from it")
    live.until_rung("generated")
    errors = live.runtime.status().errors
    assert errors[-1].where == "engine" and "out of memory" in errors[-1].text


def test_engine_that_stays_broken_shows_the_control_picture(live: Stage) -> None:
    live.until_rung("generated")
    live.engine.refusals = [EngineError("no memory left", "choose a smaller size")] * 2
    live.engine.faults.append(RuntimeError("step broke"))
    until(lambda: live.rung() in ("hold", "control"), "a fallback")
    shown = live.until_rung("control")
    assert "engine failed" in shown.reason and live.runtime.status().engine == "failed"
    assert shown.image.any()
    live.until_rung("generated")
    assert live.runtime.status().engine == "running"


def test_camera_vanishes_and_returns(live: Stage) -> None:
    live.until_rung("generated")
    make = live.sources.makes.pop("demo")
    live.sources.opened[0].vanish()
    shown = live.until_rung("slate")
    assert shown.reason == "demo is not there" and shown.image.any()
    status = live.runtime.status()
    assert not status.source_ok and status.fps_generated == 0.0 and status.engine == "stalled"
    live.sources.makes["demo"] = make
    live.until_rung("generated")
    assert live.runtime.status().source_ok


def test_clip_ends_and_another_source_takes_over(live: Stage) -> None:
    live.store.set_many({"source.loop": False, "source.uri": "clip"}, "gui")
    until(lambda: live.runtime.status().reason == "clip ended", "the reason on screen")
    assert live.rung() in ("hold", "slate")
    live.store.set("source.uri", "nowhere", "gui")
    until(lambda: "still showing clip" in live.runtime.status().source, "a clear message")
    live.store.set("source.uri", "demo", "gui")
    live.until_rung("generated")
    assert live.runtime.status().source_ok


def test_reload_holds_the_picture(live: Stage) -> None:
    live.until_rung("generated")
    live.engine.gate.clear()
    live.store.set("engine.resolution", "160x288", "gui")
    shown = live.until_rung("hold")
    assert shown.reason == "loading model pocket 160x288" and shown.image.any()
    live.engine.gate.set()
    live.until_rung("generated")
    assert live.engine.opened[-1] == ("pocket", 160, 288)


def test_prompt_and_ignored_words(live: Stage) -> None:
    live.until_rung("generated")
    live.store.set("prompt.text", "ice zzz", "gui")
    until(lambda: live.runtime.status().ignored_words == ("zzz",), "ignored words shown")
    session = live.engine.sessions[0]
    until(lambda: session.steps[-1][1].text == "ice zzz", "the new prompt in a chunk")


def test_knob_storm_ends_on_the_last_value_and_costs_no_frame(live: Stage) -> None:
    live.until_rung("generated")
    first = live.runtime.program.peek()

    def storm(key: str, source: str) -> None:
        for step in range(3000):
            live.store.set(key, step / 3000, source)
        live.store.set(key, 0.625, source)

    pairs = [("vace.context_scale", "midi"), ("annotator.gain", "osc"), ("output.mix", "gui")]
    threads = [threading.Thread(target=storm, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [live.store.get(key) for key, _ in pairs] == [0.625] * 3
    session = live.engine.sessions[0]
    until(lambda: session.lives[-1].context_scale == 0.625, "the engine hears the last value")
    last = live.runtime.program.peek()
    assert first is not None and last is not None and last.index > first.index
    assert live.runtime.status().errors == ()
    assert len(live.engine.sessions) == 1


def test_modes_masks_and_canvas_change_during_the_show_and_it_never_stops(
    live: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUELIGHT_HOME", str(tmp_path))
    live.until_rung("generated")
    session = live.engine.sessions[0]
    mask = np.zeros((128, 224), np.uint8)
    mask[:, :100] = 255
    changes: list[dict[str, Value]] = [
        {"canvas.zoom": 2.0, "canvas.x": -1.0},
        {"canvas.fit": "whole", "canvas.keep": False},
        {"mask.file": keep_mask(mask)},
        {"mask.file": "gone.png", "canvas.zoom": 1.0, "canvas.fit": "crop"},
        {"mask.file": keep_mask(255 - mask), "canvas.keep": True},
        {"annotator.name": "layout", "layout.x": 0.1},
        {"mask.file": "", "annotator.name": "scribble"},
    ]
    for values in changes:
        made = len(session.steps)
        live.store.set_many(values, "osc")
        until(lambda made=made: len(session.steps) >= made + 2, f"chunks after {values}")
        live.until_rung("generated")
    assert live.engine.sessions == [session] and session.resets == 0
    assert live.runtime.status().errors == () and live.runtime.status().engine == "running"
    seen = [step.around for step, _, _ in session.steps]
    assert 0.75 in seen and seen[-1] == 0.0
    assert any(step.mask is not None and (step.mask[-1] == mask).all() for step, _, _ in session.steps)


def test_full_disk_stops_the_recording_not_the_show(live: Stage) -> None:
    live.until_rung("generated")
    live.recorders.capacity = 5
    live.store.set("output.record", True, "gui")
    until(lambda: live.store.get("output.record") is False, "recording switched off")
    before = live.runtime.program.peek()
    assert before is not None
    until(lambda: (live.runtime.program.peek() or before).index > before.index + 5, "the show goes on")
    status = live.runtime.status()
    assert "the disk is full" in status.errors[-1].text and status.recording == ""


def test_recording_is_closed_when_the_runtime_stops() -> None:
    stage = Stage()
    stage.runtime.start()
    stage.until_rung("generated")
    stage.store.set("output.record", True, "gui")
    until(lambda: bool(stage.runtime.status().recording), "a recording")
    assert stage.runtime.stop() == ()
    take = stage.recorders.opened[0]
    assert take.closed and take.images


def test_missing_virtual_camera_is_one_line(live: Stage) -> None:
    live.camera.refusal = OutputError("there is no virtual camera", "load v4l2loopback")
    live.store.set("output.virtual_camera", True, "gui")
    until(lambda: "load v4l2loopback" in live.runtime.status().virtual_camera, "how to get it")
    assert live.store.get("output.virtual_camera") is False
    live.camera.refusal = None
    live.store.set("output.virtual_camera", True, "gui")
    until(lambda: bool(live.camera.shown), "pictures on the device")
    assert live.runtime.status().virtual_camera == "on: fake"


def test_commands(live: Stage) -> None:
    live.until_rung("generated")
    for _ in range(3):
        live.runtime.command("reset")
    until(lambda: live.engine.sessions[0].resets == 3, "every command obeyed")
    with pytest.raises(ParameterError, match="no command 'explode'"):
        live.runtime.command("explode")


@pytest.mark.parametrize("moment", ["at once", "while loading", "while generating", "while failing"])
def test_stops_at_any_moment(moment: str) -> None:
    stage = Stage()
    prepare: dict[str, Callable[[], object]] = {
        "at once": lambda: None,
        "while loading": lambda: until(lambda: bool(stage.engine.opened), "loading"),
        "while generating": lambda: stage.until_rung("generated"),
        "while failing": lambda: until(lambda: stage.runtime.status().engine == "failed", "failure"),
    }
    if moment == "while failing":
        stage.engine.refusals = [EngineError("never works")] * 50
    stage.runtime.start()
    prepare[moment]()
    assert stage.runtime.stop() == ()
    assert not {thread.name for thread in threading.enumerate()} & set(OUR_THREADS)
    assert all(source.closed.is_set() for source in stage.sources.opened)
    assert all(session.closed.is_set() for session in stage.engine.sessions)
    stage.store.set("prompt.text", "after the end", "gui")


def test_stop_without_start() -> None:
    assert Stage().runtime.stop() == ()


def test_annotators_are_loaded_before_they_are_needed() -> None:
    stage = Stage()
    stage.annotators.broken["pose"] = AnnotatorError("mediapipe is missing", "pip install mediapipe")
    stage.annotators.broken["edges"] = TypeError("a library's own trouble")
    stage.runtime.start()
    try:
        until(lambda: "segmentation" in stage.annotators.made, "warmed up")
        stage.until_rung("generated")
        assert stage.runtime.status().errors == (), "told when it is chosen, not before"
        stage.store.set("annotator.name", "pose", "gui")
        until(lambda: "mediapipe is missing" in stage.runtime.status().annotator_note, "told then")
    finally:
        assert stage.runtime.stop() == ()

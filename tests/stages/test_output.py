"""The output stage on a clock of its own: it never stops, never goes black by itself, and says why."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.core.channels import Fifo, Latest
from engine.core.store import Store
from engine.core.types import ControlFrame, Frame, OutputFrame
from engine.modes import Mode
from engine.stages.camera_out import CameraOut
from engine.stages.compose import Canvas
from engine.stages.generate import Chunk
from engine.stages.output import OutputStage, Trouble
from engine.stages.recording import Recording
from engine.stages.reports import Reports
from tests.fakes import FakeClock, FakeRecorders, FakeVirtualCamera, flat, gaps

GENERATED, CAMERA, CONTROL = 200, 100, 50


class Bench:
    """An output stage whose surroundings are put in place by hand; one `tick` is one output frame."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Store()
        self.chunks: Fifo[Chunk] = Fifo(2)
        self.camera: Latest[Frame] = Latest()
        self.control: Latest[ControlFrame] = Latest()
        self.program: Latest[OutputFrame] = Latest()
        self.trouble = Trouble("", False)
        self.recorders = FakeRecorders()
        self.device = FakeVirtualCamera()
        self.reports = reports = Reports(self.clock)
        self.recording = Recording(self.store, self.recorders.open, reports, lambda: Path("take.mkv"))
        self.camera_out = CameraOut(self.store, lambda: self.device, reports)
        self.stage = OutputStage(
            store=self.store,
            chunks=self.chunks,
            camera=self.camera,
            control=self.control,
            program=self.program,
            recording=self.recording,
            camera_out=self.camera_out,
            trouble=lambda: self.trouble,
            reports=reports,
            clock=self.clock,
            wait=self.clock.wait,
            canvas=Canvas(36, 64),
            expected=lambda: self.expected_s,
        )
        self.frames: list[OutputFrame] = []
        self.expected_s = 0.0
        self.source_runs = True
        self.engine_runs = True
        self.next_chunk = self.clock.now

    def tick(self) -> OutputFrame:
        now = self.clock.now
        if self.source_runs:
            frame = Frame(flat(CAMERA), now, 0)
            self.camera.put(frame)
            self.control.put(ControlFrame(frame, flat(CONTROL), None, "scribble", True, ""))
        if self.source_runs and self.engine_runs and now >= self.next_chunk:
            self.next_chunk = now + 0.5
            captured = tuple(now - 1.0 + 0.5 * k / 12 for k in range(12))
            frames = np.stack([flat(GENERATED)] * 12)
            self.chunks.put(Chunk(frames, captured, Mode("V2V", "test"), 5, now, 0.5, "2 steps"), timeout=0)
        self.stage.tick()
        shown = self.program.get(timeout=0)
        assert shown is not None
        self.frames.append(shown)
        return shown

    def run(self, seconds: float) -> list[OutputFrame]:
        end = self.clock.now + seconds
        start = len(self.frames)
        while self.clock.now < end:
            self.tick()
        return self.frames[start:]

    def level(self) -> int:
        """Gray level of the picture shown now."""
        return int(self.tick().image.mean())


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_plays_what_is_generated(bench: Bench) -> None:
    shown = bench.run(3.0)[30:]
    assert {frame.rung for frame in shown} == {"generated"}
    assert {frame.reason for frame in shown} == {""}
    assert {int(frame.image.mean()) for frame in shown} == {GENERATED}
    assert {frame.version for frame in shown} == {5}
    assert [frame.index for frame in bench.frames] == list(range(len(bench.frames)))
    assert bench.stage.meter.fps == pytest.approx(30.0, rel=0.01)
    assert bench.stage.meter.longest_gap_s == pytest.approx(1 / 30, rel=0.01)
    assert 1.0 < bench.stage.meter.latency_s < 1.3
    assert bench.stage.mode == ("V2V", "test")


@pytest.mark.parametrize("dies", ["engine", "source", "both"])
def test_never_black_whatever_dies(bench: Bench, dies: str) -> None:
    bench.run(3.0)
    bench.engine_runs = dies == "source"
    bench.source_runs = dies == "engine"
    bench.trouble = Trouble(f"{dies} is gone", False)
    dead = bench.run(10.0)
    rungs = list(dict.fromkeys(frame.rung for frame in dead))
    assert rungs == ["generated", "hold", "control" if dies == "engine" else "slate"]
    first_hold = next(frame for frame in dead if frame.rung == "hold")
    assert first_hold.shown_at - dead[0].shown_at <= 1.5
    assert {frame.reason for frame in dead if frame.rung != "generated"} == {f"{dies} is gone"}
    assert all(frame.image.any() for frame in dead), "never black"
    bench.engine_runs = bench.source_runs = True
    bench.trouble = Trouble("", False)
    bench.next_chunk = bench.clock.now
    back = bench.run(3.0)
    assert back[-1].rung == "generated" and back[-1].reason == ""
    assert int(back[-1].image.mean()) == GENERATED
    assert max(gaps([frame.shown_at for frame in bench.frames])) <= 1 / 30 + 1e-6


def test_change_of_rung_is_a_fade(bench: Bench) -> None:
    bench.run(3.0)
    bench.engine_runs = False
    fall = [int(frame.image.mean()) for frame in bench.run(8.0)]
    between = [level for level in fall if CONTROL < level < GENERATED]
    assert len(between) >= 12, "half a second of steps between the two pictures"
    assert between == sorted(between, reverse=True)


def test_camera_when_there_is_no_control_picture(bench: Bench) -> None:
    bench.engine_runs = False
    for _ in range(60):
        now = bench.clock.now
        bench.source_runs = False
        bench.camera.put(Frame(flat(CAMERA), now, 0))
        bench.control.put(ControlFrame(Frame(flat(CAMERA), now, 0), None, None, "none", True, ""))
        bench.trouble = Trouble("loading model", True)
        shown = bench.tick()
    assert (shown.rung, shown.reason, int(shown.image.mean())) == ("camera", "loading model", CAMERA)


def test_a_chunk_that_is_expected_to_take_long_is_no_stall(bench: Bench) -> None:
    bench.run(3.0)
    assert bench.stage.effort == "2 steps"
    bench.engine_runs, bench.expected_s = False, 2.0  # more steps were asked for
    assert {frame.rung for frame in bench.run(2.0)} == {"generated"}
    bench.expected_s = 0.0
    assert bench.run(0.5)[-1].rung == "hold"


def test_reload_holds_the_picture(bench: Bench) -> None:
    bench.run(3.0)
    bench.engine_runs = False
    bench.trouble = Trouble("loading model", True)
    shown = bench.run(12.0)
    assert list(dict.fromkeys(frame.rung for frame in shown)) == ["generated", "hold"]
    assert shown[-1].reason == "loading model"
    assert int(shown[-1].image.mean()) == GENERATED


@pytest.mark.parametrize(
    ("values", "level", "rung", "reason"),
    [
        ({"output.blackout": True}, 0, "generated", "blackout"),
        ({"output.dim": 0.5}, GENERATED // 2, "generated", ""),
        ({"output.dim": 0.0}, 0, "generated", ""),
        ({"output.mix": 1.0}, CAMERA, "generated", ""),
        ({"output.mix": 0.5}, (GENERATED + CAMERA) // 2, "generated", ""),
        ({"output.clean_camera": True}, CAMERA, "camera", "clean camera"),
        ({"output.clean_camera": True, "output.dim": 0.5}, CAMERA // 2, "camera", "clean camera"),
        ({"output.clean_camera": True, "output.blackout": True}, 0, "camera", "blackout"),
    ],
)
def test_operator_is_heard_at_the_next_frame(
    bench: Bench, values: dict[str, object], level: int, rung: str, reason: str
) -> None:
    bench.run(3.0)
    bench.store.set_many(values, "gui")
    shown = bench.tick()
    assert (int(shown.image.mean()), shown.rung, shown.reason) == (level, rung, reason)
    bench.store.set_many({key: Store().get(key) for key in values}, "gui")
    assert bench.level() == GENERATED


def test_freeze_holds_what_is_shown(bench: Bench) -> None:
    bench.run(3.0)
    bench.store.set("output.freeze", True, "gui")
    assert bench.level() == GENERATED
    bench.store.set("output.mix", 1.0, "gui")
    bench.engine_runs = False
    shown = bench.run(9.0)[-1]
    assert (int(shown.image.mean()), shown.reason) == (GENERATED, "freeze")
    bench.store.set("output.blackout", True, "gui")
    assert bench.level() == 0
    bench.store.set("output.blackout", False, "gui")
    assert bench.level() == GENERATED
    bench.store.set("output.freeze", False, "gui")
    assert bench.level() == CONTROL


def test_rate_follows_the_knob(bench: Bench) -> None:
    bench.run(1.0)
    bench.store.set("output.fps", 60, "gui")
    bench.run(2.0)
    assert gaps([frame.shown_at for frame in bench.frames])[-1] == pytest.approx(1 / 60)


def test_a_broken_chunk_costs_one_slate(bench: Bench) -> None:
    bench.run(3.0)
    bench.engine_runs = False
    frames = np.zeros((12, 4, 4), np.uint8)  # no colours
    broken = Chunk(frames, (0.0,) * 12, Mode("V2V", "test"), 5, bench.clock.now, 0.5)
    bench.chunks.put(broken)
    shown = bench.run(1.0)
    assert "slate" in {frame.rung for frame in shown}
    assert bench.reports.recent()[-1].where == "output"
    assert max(gaps([frame.shown_at for frame in bench.frames])) <= 1 / 30 + 1e-6
    bench.engine_runs = True
    assert bench.run(4.0)[-1].rung == "generated"


def hang(bench: Bench) -> Callable[[], None]:
    """Outputs that hang for ever: a disk that does not answer, a driver that does not start."""
    bench.recorders.gate.clear()
    bench.device.gate.clear()
    threads = [threading.Thread(target=tick) for tick in (bench.recording.tick, bench.camera_out.tick)]
    for thread in threads:
        thread.start()

    def release() -> None:
        bench.recorders.gate.set()
        bench.device.gate.set()
        for thread in threads:
            thread.join(30)

    return release


def test_hanging_outputs_cost_no_frame(bench: Bench) -> None:
    release = hang(bench)
    try:
        bench.store.set_many({"output.record": True, "output.virtual_camera": True}, "gui")
        bench.run(10.0)
        assert max(gaps([frame.shown_at for frame in bench.frames])) <= 1 / 30 + 1e-6
        assert bench.recording.drops > 200, "what the disk could not take is counted"
    finally:
        release()


def test_pictures_reach_the_virtual_camera(bench: Bench) -> None:
    bench.run(3.0)
    bench.store.set("output.virtual_camera", True, "gui")
    bench.tick()
    bench.camera_out.tick()
    assert bench.camera_out.status == "on: fake"
    bench.run(0.5)
    assert len(bench.device.shown) == 15
    assert bench.device.shown[-1] is bench.frames[-1].image
    bench.store.set("output.virtual_camera", False, "gui")
    bench.tick()
    bench.camera_out.tick()
    bench.run(0.5)
    assert len(bench.device.shown) == 15 and not bench.device.running
    assert bench.camera_out.status == ""

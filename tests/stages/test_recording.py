"""Recording and the virtual camera's switch: right length, clear ends, nothing waits."""

import threading
from pathlib import Path

import numpy as np
import pytest

from engine.core.errors import OutputError
from engine.core.paths import recordings_dir
from engine.core.store import Store
from engine.stages.camera_out import CameraOut
from engine.stages.recording import LEAST_FREE, Recording
from engine.stages.reports import Reports
from tests.fakes import FakeClock, FakeRecorders, FakeVirtualCamera, flat


class Deck:
    """A recording whose two ends are driven by hand."""

    def __init__(self, capacity: int | None = None, free: int = 10 * LEAST_FREE) -> None:
        self.free = free
        self.clock = FakeClock(0.0)
        self.store = Store()
        self.disk = FakeRecorders(capacity)
        self.reports = Reports(self.clock)
        self.recording = Recording(
            self.store, self.disk.open, self.reports, free_bytes=lambda folder: self.free
        )

    def switch(self, on: bool) -> None:
        self.store.set("output.record", on, "gui")

    def offer(self, count: int, fps: int = 30, write: bool = True) -> None:
        self.store.set("output.fps", fps, "gui")
        for _ in range(count):
            self.recording.offer(flat(7), self.clock.now, self.store.snapshot())
            self.clock.advance(1 / fps)
            if write:
                self.write_all()

    def write_all(self) -> None:
        while len(self.recording._queue):
            self.recording.tick()


@pytest.fixture
def deck() -> Deck:
    return Deck()


def test_a_take_from_on_to_off(deck: Deck) -> None:
    deck.offer(10)
    assert deck.disk.opened == []
    deck.switch(True)
    deck.offer(45)
    take = deck.disk.opened[0]
    assert deck.recording.path == str(take.path)
    assert take.path.parent == recordings_dir() and take.path.suffix == ".mkv" and take.path.parent.is_dir()
    assert (take.size, take.fps) == ((64, 36), 30.0)
    deck.switch(False)
    deck.offer(5)
    assert len(take.images) == 45
    assert take.closed and deck.recording.path == ""
    deck.switch(True)
    deck.offer(3)
    assert len(deck.disk.opened) == 2 and len(deck.disk.opened[1].images) == 3


def test_off_and_on_between_two_frames_is_a_new_take(deck: Deck) -> None:
    deck.switch(True)
    deck.offer(3)
    deck.switch(False)
    deck.switch(True)
    deck.offer(3)
    assert [len(take.images) for take in deck.disk.opened] == [3, 3]
    assert [take.closed for take in deck.disk.opened] == [True, False]


def test_length_follows_the_clock(deck: Deck) -> None:
    deck.switch(True)
    deck.offer(30)
    deck.clock.advance(1.0)  # the output thread was late
    deck.offer(30)
    deck.offer(60, fps=60)  # the output's rate was changed
    assert len(deck.disk.opened) == 1
    assert len(deck.disk.opened[0].images) == pytest.approx(120, abs=1)


def test_a_slow_disk_is_caught_up_and_counted(deck: Deck) -> None:
    deck.switch(True)
    deck.offer(1)
    deck.offer(119, write=False)
    assert deck.recording.drops == 119 - 60
    deck.write_all()
    deck.offer(30)
    assert len(deck.disk.opened[0].images) == 150


def test_stop_is_not_lost_while_the_queue_is_full(deck: Deck) -> None:
    deck.switch(True)
    deck.offer(90, write=False)
    deck.switch(False)
    deck.offer(5, write=False)
    deck.write_all()
    deck.offer(1)
    assert deck.disk.opened[0].closed
    deck.switch(True)
    deck.offer(2)
    assert len(deck.disk.opened) == 2


def test_full_disk_ends_the_take_not_the_show() -> None:
    deck = Deck(capacity=20)
    deck.switch(True)
    deck.offer(25)
    assert deck.store.get("output.record") is False
    assert deck.store.snapshot().source_of("output.record") == "recorder"
    take = deck.disk.opened[0]
    assert len(take.images) == 20 and take.closed
    assert deck.recording.path == ""
    report = deck.reports.recent()[-1]
    assert report.where == "recorder" and "disk is full" in report.text and "free some space" in report.text
    assert report.count == 1, "told once"
    deck.disk.capacity = None
    deck.switch(True)
    deck.offer(5)
    assert len(deck.disk.opened[1].images) == 5


@pytest.mark.parametrize(
    "error", [OutputError("cannot write there", "choose"), RuntimeError("encoder broke")]
)
def test_a_refused_recording_is_told_once(deck: Deck, error: Exception) -> None:
    deck.disk.refusal = error
    deck.switch(True)
    deck.offer(5)
    assert deck.store.get("output.record") is False
    assert [report.count for report in deck.reports.recent()] == [1]
    assert deck.recording.path == ""


def test_unusable_folder_is_a_message(deck: Deck) -> None:
    recordings_dir().parent.mkdir(parents=True)
    recordings_dir().write_text("a file where the folder should be")
    deck.switch(True)
    deck.offer(2)
    assert deck.store.get("output.record") is False
    assert len(deck.reports.recent()) == 1


def test_two_takes_in_a_second_have_two_names(deck: Deck) -> None:
    names = set()
    for _ in range(3):
        deck.switch(True)
        deck.offer(2)
        Path(deck.recording.path).write_bytes(b"")
        names.add(deck.recording.path)
        deck.switch(False)
        deck.offer(1)
    assert len(names) == 3


def test_what_is_queued_at_the_end_is_written(deck: Deck) -> None:
    deck.switch(True)
    deck.offer(10, write=False)
    deck.recording.shut()
    deck.write_all()
    deck.recording.finish()
    assert len(deck.disk.opened[0].images) == 10 and deck.disk.opened[0].closed


def test_missing_virtual_camera_is_told_with_its_fix() -> None:
    store, reports = Store(), Reports(FakeClock())
    device = FakeVirtualCamera(OutputError("there is no virtual camera", "load v4l2loopback"))
    out = CameraOut(store, lambda: device, reports)
    store.set("output.virtual_camera", True, "gui")
    picture = np.zeros((2, 2, 3), np.uint8)
    out.offer(picture, store.snapshot())
    out.tick()
    assert store.get("output.virtual_camera") is False
    assert "load v4l2loopback" in out.status
    out.offer(picture, store.snapshot())
    out.tick()
    assert "load v4l2loopback" in out.status, "stays readable after the switch went off"
    device.refusal = None
    store.set("output.virtual_camera", True, "gui")
    out.offer(picture, store.snapshot())
    out.tick()
    assert out.status == "on: fake"
    out.finish()
    assert not device.running


def test_switch_thread_ends_when_shut() -> None:
    out = CameraOut(Store(), FakeVirtualCamera, Reports(FakeClock()))
    ended = threading.Event()

    def run() -> None:
        try:
            out.tick()
        except Exception:
            ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    out.shut()
    thread.join(30)
    assert ended.is_set()


def test_a_disk_that_fills_up_ends_the_recording_with_a_whole_file_and_not_the_show(deck: Deck) -> None:
    deck.switch(True)
    deck.offer(90)
    (take,) = deck.disk.opened
    deck.free = LEAST_FREE - 1
    deck.offer(90)
    assert take.closed and len(take.images) == 120, "looked at after every 60 pictures"
    assert deck.store.get("output.record") is False
    told = deck.reports.recent()[-1].text
    assert "less than 2 GB are free" in told and "make room" in told


def test_on_a_full_disk_no_recording_begins() -> None:
    deck = Deck(free=LEAST_FREE - 1)
    deck.switch(True)
    deck.offer(10)
    assert deck.disk.opened == [] and deck.store.get("output.record") is False
    assert deck.recording.path == ""

"""Capture: sources that end, vanish, return and are swapped; frames stamped and in order."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from engine.core.channels import Latest
from engine.core.errors import SourceError
from engine.core.store import Store
from engine.core.types import Frame
from engine.stages import capture
from engine.stages.capture import CaptureStage
from engine.stages.reports import Reports
from tests.fakes import FakeClock, FakeSource, FakeSources


@dataclass
class Rig:
    """A capture stage ticked by hand on a fake clock; `take` gives the level of the frame of one tick."""

    store: Store = field(default_factory=Store)
    clock: FakeClock = field(default_factory=FakeClock)
    sources: FakeSources = field(default_factory=FakeSources)
    frames: Latest[Frame] = field(default_factory=Latest)
    preview: Latest[Frame] = field(default_factory=Latest)

    def __post_init__(self) -> None:
        self.reports = Reports(self.clock)
        self.stage = CaptureStage(
            self.store, self.sources.open, self.frames, self.preview, self.reports, self.clock
        )
        self.stage._wait = self.clock.wait  # type: ignore[method-assign]

    def take(self) -> int | None:
        self.stage.tick()
        frame = self.frames.get(timeout=0)
        return None if frame is None else int(frame.image[0, 0, 0])


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    made.sources.makes.update(
        demo=lambda: FakeSource("demo", fps=25.0, length=3),
        still=lambda: FakeSource("still", fps=0.01, length=1),
        empty=lambda: FakeSource("empty", length=0),
        cam=lambda: FakeSource("cam", fps=1000.0),
    )
    yield made
    made.stage.close()


def test_clip_is_paced_and_stamped(rig: Rig) -> None:
    rig.store.set("source.loop", False, "test")
    times = []
    for level in (1, 2, 3):
        assert rig.take() == level
        frame = rig.preview.peek()
        assert frame is not None and frame.captured_at == rig.clock.now
        times.append(frame.captured_at)
    assert times == pytest.approx([times[0], times[0] + 0.04, times[0] + 0.08])
    assert rig.stage.state.ok and rig.stage.state.text == "demo, 64x36 at 25 fps"


def test_looping_clip_starts_again(rig: Rig) -> None:
    levels = [level for level in (rig.take() for _ in range(10)) if level is not None]
    assert levels == [1, 2, 3, 1, 2, 3, 1, 2]
    assert rig.sources.opened[0].rewinds == 2
    assert rig.stage.state.ok


def test_ended_clip_says_so_and_goes_on_when_looped(rig: Rig) -> None:
    rig.store.set("source.loop", False, "test")
    assert [rig.take() for _ in range(6)] == [1, 2, 3, None, None, None]
    assert rig.stage.state.reason == "clip ended"
    assert not rig.sources.opened[0].closed.is_set()
    rig.store.set("source.loop", True, "test")
    assert [rig.take() for _ in range(3)] == [None, 1, 2]
    assert rig.stage.state.ok
    assert len(rig.sources.opened) == 1


def test_vanished_camera_is_opened_again(rig: Rig) -> None:
    rig.store.set("source.uri", "cam", "test")
    assert [rig.take(), rig.take()] == [1, 2]
    del rig.sources.makes["cam"]
    rig.sources.opened[0].vanish()
    assert rig.take() is None
    assert rig.stage.state.reason == "cam vanished"
    assert rig.sources.opened[0].closed.is_set()
    before = rig.clock.now
    for _ in range(8):
        assert rig.take() is None
    tried = len(rig.sources.refused)
    assert tried == pytest.approx((rig.clock.now - before) / capture.RETRY_S, abs=1.0)
    assert "plug it in" in rig.stage.state.text
    rig.sources.makes["cam"] = lambda: FakeSource("cam again", fps=1000.0)
    levels = [rig.take() for _ in range(4)]
    assert [level for level in levels if level is not None][:2] == [1, 2]
    assert rig.stage.state.ok and rig.stage.state.text.startswith("cam again")


def test_source_is_switched_live(rig: Rig) -> None:
    assert rig.take() == 1
    rig.store.set("source.uri", "cam", "test")
    assert [rig.take(), rig.take()] == [1, 2]
    assert rig.sources.opened[0].closed.is_set()
    frame = rig.preview.peek()
    assert frame is not None and frame.index == 2, "frames are numbered on"


def test_bad_uri_keeps_the_show_and_says_why(rig: Rig) -> None:
    assert rig.take() == 1
    rig.store.set("source.uri", "nowhere", "test")
    levels = [rig.take() for _ in range(7)]
    assert [level for level in levels if level is not None] == [2, 3, 1, 2, 3], "the clip goes on, looped"
    assert len(rig.sources.refused) == 1, "tried again only after a while"
    state = rig.stage.state
    assert not state.ok and "nowhere is not there" in state.text and "still showing demo" in state.text
    assert rig.reports.recent()[-1].where == "capture"
    rig.clock.advance(60.0)
    rig.take()
    assert len(rig.sources.refused) == 2
    rig.sources.makes["nowhere"] = lambda: FakeSource("somewhere", fps=1000.0)
    rig.clock.advance(60.0)
    rig.take()
    assert rig.stage.state.text.startswith("somewhere") and rig.stage.state.ok


def test_a_drivers_surprise_on_opening_leaves_the_running_source_alone(rig: Rig) -> None:
    def crash() -> FakeSource:
        raise ValueError("netloc contains invalid characters")

    assert rig.take() == 1
    rig.sources.makes["crash"] = crash
    rig.store.set("source.uri", "crash", "test")
    assert [level for level in (rig.take() for _ in range(4)) if level is not None] == [2, 3, 1]
    assert "invalid characters" in rig.stage.state.text and "still showing demo" in rig.stage.state.text
    assert not rig.sources.opened[0].closed.is_set()


def test_an_address_that_never_answers_is_tried_for_ever(rig: Rig) -> None:
    """The wait between two tries stays bounded: after a thousand a power of two would overflow."""
    assert rig.take() == 1
    rig.store.set("source.uri", "nowhere", "test")
    for _ in range(1100):
        rig.clock.advance(31.0)
        rig.take()
    assert len(rig.sources.refused) == 1100
    assert not rig.sources.opened[0].closed.is_set() and "still showing demo" in rig.stage.state.text


def test_back_from_a_bad_uri(rig: Rig) -> None:
    rig.take()
    rig.store.set("source.uri", "nowhere", "test")
    rig.take()
    rig.store.set("source.uri", "demo", "test")
    assert rig.take() is not None
    assert rig.stage.state.ok and rig.stage.state.text.startswith("demo")
    assert len(rig.sources.opened) == 1, "the running clip was not opened again"


def test_bad_first_uri_is_shown_and_tried_again(rig: Rig) -> None:
    rig.store.set("source.uri", "nowhere", "test")
    for _ in range(4):
        assert rig.take() is None
    assert rig.stage.state.reason == "nowhere is not there"
    assert len(rig.sources.refused) >= 2


def test_empty_uri_is_an_error_like_any_other(rig: Rig) -> None:
    rig.store.set("source.uri", "", "test")
    before = rig.clock.now
    for _ in range(4):
        assert rig.take() is None
    assert rig.clock.now > before, "it waits between two tries"
    assert rig.stage.state.reason == " is not there"


def test_clip_without_pictures_is_an_error(rig: Rig) -> None:
    rig.store.set("source.uri", "empty", "test")
    assert rig.take() is None
    assert "holds no pictures" in rig.stage.state.text
    assert rig.stage.state.ok is False


def test_stream_that_stops_sending_is_lost(rig: Rig) -> None:
    class Stream(FakeSource):
        def read(self) -> None:
            return None

    rig.sources.makes["stream"] = lambda: Stream("stream")
    rig.store.set("source.uri", "stream", "test")
    rig.take()
    assert rig.stage.state.reason == "stream stopped sending"


def test_surprises_are_raised_to_the_worker_but_the_source_is_let_go(rig: Rig) -> None:
    class Broken(FakeSource):
        def read(self) -> None:
            raise RuntimeError("decoder crashed")

    rig.sources.makes["broken"] = lambda: Broken("broken")
    rig.store.set("source.uri", "broken", "test")
    with pytest.raises(RuntimeError):
        rig.take()
    assert rig.sources.opened[0].closed.is_set()
    assert "decoder crashed" in rig.stage.state.reason


def test_mirror_swaps_left_and_right(rig: Rig) -> None:
    class Half(FakeSource):
        def read(self) -> object:  # type: ignore[override]
            image = super().read()
            assert image is not None
            image[:, 32:] = 0
            return image

    rig.sources.makes["half"] = lambda: Half("half", fps=1000.0)
    rig.store.set("source.uri", "half", "test")
    rig.store.set("source.mirror", True, "test")
    rig.take()
    frame = rig.preview.peek()
    assert frame is not None
    assert not frame.image[:, :32].any() and frame.image[:, 32:].all()
    assert frame.image.flags.c_contiguous


def test_nonsense_rate_does_not_block(rig: Rig) -> None:
    rig.store.set("source.uri", "still", "test")
    before = rig.clock.now
    rig.take()
    rig.take()
    assert rig.clock.now - before <= 1.0 / capture.SLOWEST_FPS + 1e-6


def test_lost_error_is_a_source_error() -> None:
    source = FakeSource("cam")
    source.vanish()
    source.close()
    with pytest.raises(SourceError, match="vanished"):
        source.read()

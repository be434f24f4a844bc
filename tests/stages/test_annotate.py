"""The annotate stage: values reach the control picture, in the live show as in a rendered file."""

from collections.abc import Iterator

import numpy as np
import pytest

from engine import render
from engine.core.channels import Latest, Ring
from engine.core.errors import AnnotatorError
from engine.core.parameters import Value
from engine.core.store import Store
from engine.core.types import ControlFrame, Frame, Image
from engine.render import Timeline, settings
from engine.stages.annotate import RETRY_S, AnnotateStage, control_settings
from engine.stages.pictures import Given
from engine.stages.reports import Reports
from engine.video.annotation import Annotation
from engine.video.annotators import make_annotator
from engine.video.control import ControlSettings

CAMERA = np.random.default_rng(8).integers(0, 255, (128, 224, 3)).astype(np.uint8)


class Drawing:
    """Draws its name's level; the mask annotators mask the left half until they lose it."""

    def __init__(self, name: str, studio: "Drawings") -> None:
        self.name, self.studio, self.closed = name, studio, False

    def annotate(self, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
        if self.name in self.studio.faults:
            raise self.studio.faults[self.name]
        found = self.name not in self.studio.lost
        note = "" if found else "no person seen"
        if self.name == "segmentation":
            mask = np.zeros(image.shape[:2], np.uint8)
            mask[:, : image.shape[1] // 2] = 255 if found else 0
            return Annotation(image, 255 - mask if invert else mask, found, note)
        level = {"gray": 100, "depth": 200, "pose": 50}[self.name] if found else 0
        return Annotation(np.full_like(image, level), None, found, note)

    def close(self) -> None:
        self.closed = True


class Drawings:
    def __init__(self) -> None:
        self.made: list[Drawing] = []
        self.lost: set[str] = set()
        self.faults: dict[str, Exception] = {}

    def make(self, name: str, bodies: object = None) -> Drawing:
        del bodies
        self.made.append(Drawing(name, self))
        return self.made[-1]


class Show:
    """The stage with its channels, fed by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.drawings = Drawings()
        self.store = Store()
        self.frames: Latest[Frame] = Latest()
        self.controls: Ring[ControlFrame] = Ring(24)
        self.preview: Latest[ControlFrame] = Latest()
        self.given: Latest[Given] = Latest()
        self.reports = Reports(lambda: self.now)
        self.stage = AnnotateStage(
            self.store, self.drawings.make, self.frames, self.given, self.controls, self.preview,
            self.reports,
            lambda: self.now,
        )  # fmt: skip
        self.shown = 0

    def set(self, **values: Value) -> None:
        self.store.set_many({key.replace("__", "."): value for key, value in values.items()}, "gui")

    def see(self, image: Image = CAMERA) -> ControlFrame:
        """What the stage makes of one camera picture."""
        self.frames.put(Frame(image, self.now, self.shown))
        self.shown += 1
        self.stage.tick()
        made = self.preview.peek()
        assert made is not None and made.frame.index == self.shown - 1
        return made


@pytest.fixture
def show() -> Iterator[Show]:
    show = Show()
    yield show
    show.stage.close()


EVERY: dict[str, Value] = {
    "annotator.name": "gray", "annotator.detail": 0.2, "annotator.gain": 0.9, "annotator.second": "depth",
    "annotator.second_gain": 0.3, "annotator.smoothing": 0.4, "annotator.hold": 7, "mask.source": "face",
    "mask.invert": True, "mask.grow": 0.05, "canvas.keep": False, "mask.inpaint": False,
}  # fmt: skip


def test_every_value_of_the_table_reaches_the_drawing(show: Show) -> None:
    show.store.set_many(EVERY, "gui")
    assert control_settings(show.store.snapshot()) == ControlSettings(
        "gray", 0.2, 0.9, "depth", 0.3, 0.4, 7, "face", True, 0.05, False, False
    )


def test_a_second_annotator_and_a_mask_are_composed_live(show: Show) -> None:
    show.set(annotator__name="gray", annotator__second="depth", mask__source="person")
    made = show.see()
    assert made.annotator == "gray" and made.found
    assert made.control is not None and made.mask is not None
    assert (made.control[made.mask == 255] == 150).all()
    assert (made.control[made.mask == 0] == CAMERA[made.mask == 0]).all()


def test_a_mask_may_be_a_region_only(show: Show) -> None:
    show.set(annotator__name="gray", mask__source="person")
    kept = show.see()
    show.set(mask__inpaint=False)
    made = show.see()
    assert made.mask is None and (made.control == 100).all()
    assert kept.mask is not None and np.array_equal(made.region, kept.mask)


def test_values_changed_during_the_show_are_heard_with_the_next_frame(show: Show) -> None:
    show.set(annotator__name="gray")
    assert (show.see().control == 100).all()
    show.set(annotator__second="depth", annotator__second_gain=0.0)
    assert (show.see().control == 100).all()
    show.set(annotator__second_gain=1.0)
    assert (show.see().control == 150).all()
    show.set(annotator__second="none", mask__source="background")
    made = show.see()
    assert made.mask is not None and not made.mask[:, 0].any() and made.mask[:, -1].all()


def test_a_lost_person_is_held_said_and_comes_back(show: Show) -> None:
    show.set(annotator__name="pose", annotator__hold=2)
    show.see()
    show.drawings.lost.add("pose")
    held = show.see()
    assert held.found and (held.control == 50).all() and "held" in show.stage.note
    for _ in range(20):
        lost = show.see()
    assert not lost.found and show.stage.note == "no person seen"
    show.drawings.lost.clear()
    back = show.see()
    assert back.found and (back.control == 50).all() and show.stage.note == ""


def test_a_broken_second_annotator_costs_only_itself_and_is_tried_again(show: Show) -> None:
    show.drawings.faults["depth"] = AnnotatorError("the depth file is broken", "download it again")
    show.set(annotator__name="gray", annotator__second="depth")
    for _ in range(3):
        made = show.see()
        assert (made.control == 100).all()
        assert "the depth file is broken" in made.note and "download it again" in made.note
    assert [drawing.name for drawing in show.drawings.made] == ["gray", "depth"], "not tried at every frame"
    assert show.drawings.made[1].closed
    show.drawings.faults.clear()
    show.now += RETRY_S
    made = show.see()
    assert (made.control == 150).all() and made.note == ""


def test_a_broken_mask_leaves_the_control_picture(show: Show) -> None:
    show.drawings.faults["segmentation"] = RuntimeError("out of memory")
    show.set(annotator__name="gray", mask__source="person")
    made = show.see()
    assert (made.control == 100).all() and made.mask is None and "out of memory" in made.note


def test_a_change_of_size_holds_nothing_of_the_old_one(show: Show) -> None:
    show.set(annotator__name="pose", annotator__hold=100, annotator__smoothing=0.9)
    show.see()
    show.drawings.lost.add("pose")
    show.store.set("engine.resolution", "192x336", "gui")
    made = show.see()
    assert made.control is not None and made.control.shape == (192, 336, 3)
    assert not made.found and not made.control.any()


def test_a_rendered_file_has_the_same_control_pictures(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    values: dict[str, Value] = EVERY | {
        "mask.source": "person", "annotator.second": "pose", "canvas.zoom": 1.7,
        "canvas.x": 0.4, "canvas.keep": True,
    }  # fmt: skip
    pictures = [CAMERA, 255 - CAMERA, CAMERA // 2]
    show.store.set_many(values, "gui")
    live = [show.see(image) for image in pictures]
    monkeypatch.setattr(render, "make_annotator", show.drawings.make)
    rendered = list(render.annotate(pictures, Timeline(settings(values))))
    for one, other in zip(live, rendered, strict=True):
        assert one.control is not None and other.control is not None
        assert (one.control == other.control).all() and np.array_equal(one.mask, other.mask)
        assert one.found == other.found and one.note == other.note and one.around == other.around > 0
        assert (one.frame.image == other.frame.image).all()


# --- canvas and the mask that stays -------------------------------------------------------------------------


def test_the_canvas_follows_its_knobs_frame_by_frame(show: Show) -> None:
    show.set(annotator__name="none")
    assert show.see().mask is None
    show.set(canvas__zoom=2.0, canvas__x=-1.0, canvas__y=1.0)
    made = show.see()
    assert made.mask is not None and made.control is not None and made.around == 0.75
    assert not made.mask[64:, :112].any() and (made.mask == 255).mean() == 0.75
    assert (made.control[made.mask == 255] == 128).all()
    assert (made.control[64:, :112] == made.frame.image[64:, :112]).all()
    show.set(canvas__x=1.0)
    moved = show.see()
    assert moved.mask is not None and not moved.mask[64:, 112:].any() and moved.mask[64:, :112].all()
    show.set(annotator__name="gray", canvas__keep=False)
    led = show.see()
    assert led.mask is None and led.control is not None and led.drawn_by == (("gray", 1.0),)
    assert (led.control[64:, 112:] == 100).all() and (led.control[:64] == 128).all()


def test_moving_the_picture_makes_no_annotator_anew(show: Show) -> None:
    show.set(annotator__name="pose")
    for zoom in (1.0, 1.3, 2.2, 3.0):
        show.set(canvas__zoom=zoom)
        assert show.see().control is not None
    assert len(show.drawings.made) == 1


def test_a_camera_of_another_aspect_lies_whole_on_the_canvas(show: Show) -> None:
    show.set(annotator__name="none", canvas__fit="whole")
    tall = np.full((320, 180, 3), 90, np.uint8)
    made = show.see(tall)
    assert made.mask is not None and made.frame.image.shape == (128, 224, 3)
    assert not made.mask[:, 76:148].any() and made.mask[:, :76].all() and made.mask[:, 148:].all()


def test_the_mask_that_was_given_reaches_the_next_frame(show: Show) -> None:
    show.set(annotator__name="gray")
    left = np.zeros((128, 224), np.uint8)
    left[:, :100] = 255
    show.given.put(Given(None, mask=left))  # type: ignore[arg-type]
    made = show.see()
    assert np.array_equal(made.mask, left) and made.control is not None
    assert (made.control[left == 255] == 100).all() and (made.control[left == 0] == CAMERA[left == 0]).all()
    show.given.put(Given(None, mask=255 - left))  # type: ignore[arg-type]
    assert np.array_equal(show.see().mask, 255 - left)


def test_the_box_moves_with_its_knobs() -> None:
    show = Show()
    show.stage._make_annotator = make_annotator
    show.set(annotator__name="layout", layout__width=0.25, layout__height=0.5)
    for x in (0.25, 0.75):
        show.set(layout__x=x)
        made = show.see()
        assert made.control is not None
        _, columns = np.nonzero(made.control[..., 0] == 0)
        assert columns.mean() / 224 == pytest.approx(x, abs=0.01)
    show.stage.close()

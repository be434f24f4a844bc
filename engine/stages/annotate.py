"""Annotate: lays each frame on the engine's picture and draws its control picture. Thread "annotate".

An annotator that fails costs the control picture, never the frame: the engine then runs without control
and the operator reads why. It does not know the model.
"""

from collections.abc import Callable

from engine.core.channels import Closed, Latest, Ring
from engine.core.store import Snapshot, Store
from engine.core.types import ControlFrame, Frame, Image
from engine.stages.pictures import Given
from engine.stages.reports import Reports, describe
from engine.video.annotators import Annotation, Annotator, MakeAnnotator
from engine.video.bodies import Bodies
from engine.video.canvas import Framing, Placement, placed
from engine.video.control import Composed, ControlDesk, ControlSettings
from engine.video.layout import Box, Layout

RETRY_S = 2.0


def engine_size(snapshot: Snapshot) -> tuple[int, int]:
    """Height and width of the engine's pictures, from engine.resolution."""
    height, width = snapshot.text("engine.resolution").split("x")
    return int(height), int(width)


def control_settings(snapshot: Snapshot) -> ControlSettings:
    """How the control picture is to be drawn, from the annotator and mask values."""
    return ControlSettings(
        name=snapshot.text("annotator.name"),
        detail=snapshot.number("annotator.detail"),
        gain=snapshot.number("annotator.gain"),
        second=snapshot.text("annotator.second"),
        second_gain=snapshot.number("annotator.second_gain"),
        smoothing=snapshot.number("annotator.smoothing"),
        hold=snapshot.whole("annotator.hold"),
        mask=snapshot.text("mask.source"),
        invert=snapshot.flag("mask.invert"),
        grow=snapshot.number("mask.grow"),
        keep=snapshot.flag("canvas.keep"),
        inpaint=snapshot.flag("mask.inpaint"),
    )


def framing(snapshot: Snapshot) -> Framing:
    """How the camera's picture is to lie on the engine's."""
    return Framing(
        zoom=snapshot.number("canvas.zoom"),
        x=snapshot.number("canvas.x"),
        y=snapshot.number("canvas.y"),
        whole=snapshot.text("canvas.fit") == "whole",
    )


def layout_box(snapshot: Snapshot) -> Box:
    """Where the layout's box is to be."""
    x, y, width, height = (snapshot.number(f"layout.{side}") for side in ("x", "y", "width", "height"))
    return Box(x, y, width, height, snapshot.text("layout.follow"), snapshot.text("layout.shape"))


def aimed(annotator: Annotator, box: Box) -> Annotator:
    """`annotator`; told where its box is to be, if it draws one."""
    if isinstance(annotator, Layout):
        annotator.box = box
    return annotator


def placement(image: Image, snapshot: Snapshot) -> Placement:
    """Where `image` (u8 [H, W, 3]), a camera's, lies on the engine's picture."""
    return placed((image.shape[0], image.shape[1]), engine_size(snapshot), framing(snapshot))


def control_frame(frame: Frame, composed: Composed, annotator: str) -> ControlFrame:
    """What the engine is given of `frame`, as it was composed."""
    return ControlFrame(
        Frame(composed.picture, frame.captured_at, frame.index),
        composed.control,
        composed.mask,
        annotator,
        composed.found,
        composed.note,
        composed.drawn_by,
        composed.around,
        composed.region,
    )


class AnnotateStage:
    """Takes the newest of `frames`, under the mask of `given`; gives control frames to the engine and to
    whoever peeks.
    """

    def __init__(
        self,
        store: Store,
        make_annotator: MakeAnnotator,
        frames: Latest[Frame],
        given: Latest[Given],
        controls: Ring[ControlFrame],
        preview: Latest[ControlFrame],
        reports: Reports,
        clock: Callable[[], float],
    ) -> None:
        self.note = ""
        self._store = store
        self._make_annotator = make_annotator
        self._frames = frames
        self._given = given
        self._controls = controls
        self._preview = preview
        self._reports = reports
        self._clock = clock
        self._size = (0, 0)
        self._box = Box()
        self._bodies = Bodies()
        self._annotators: dict[str, Annotator] = {}
        self._retry_at: dict[str, float] = {}  # of annotators that failed
        self._faults: dict[str, str] = {}  # what is said of them until then
        self._desk = ControlDesk(self._draw)

    def tick(self) -> None:
        """Annotate the newest frame; waits for one."""
        frame = self._frames.get()
        if frame is None:
            return
        snapshot = self._store.snapshot()
        place = placement(frame.image, snapshot)
        if place.seen != self._size:
            self.close()  # they remember pictures of the old size
            self._size = place.seen
        self._box = layout_box(snapshot)
        given = self._given.peek()
        still = None if given is None else given.mask
        composed = self._desk.annotate(place.view(frame.image), control_settings(snapshot), place, still)
        self.note = composed.note
        made = control_frame(frame, composed, snapshot.text("annotator.name"))
        self._controls.put(made)
        self._preview.put(made)

    def close(self) -> None:
        """Release every annotator that was made."""
        while self._annotators:
            self._annotators.popitem()[1].close()
        self._desk.forget()

    def _draw(self, name: str, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
        """What the annotator `name` draws; nothing, with a note, while it is broken."""
        if self._clock() < self._retry_at.get(name, 0.0):
            return Annotation(None, None, False, self._faults[name])
        try:
            if name not in self._annotators:
                self._annotators[name] = self._make_annotator(name, self._bodies)
            annotator = aimed(self._annotators[name], self._box)
            return annotator.annotate(image, detail, gain, invert)
        except Closed:
            raise
        except Exception as error:  # whatever a library raises, the frame goes on without control
            return self._without(name, error)

    def _without(self, name: str, error: Exception) -> Annotation:
        self._reports.add("annotate", error)
        self._retry_at[name] = self._clock() + RETRY_S
        broken = self._annotators.pop(name, None)
        if broken is not None:
            broken.close()
        self._faults[name] = f"no control picture: {describe(error)}"
        return Annotation(None, None, False, self._faults[name])

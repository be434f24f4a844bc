"""The table of annotators: one row each. Their code, and what it needs, is imported when one is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from engine.core.errors import AnnotatorError
from engine.core.types import Image
from engine.video.annotation import Annotation, Annotator, require_picture
from engine.video.bodies import Bodies
from engine.video.mixing import DARK_COLORS, DARK_LINES, LIGHT_COLORS, LIGHT_LINES, TONES, Kind

__all__ = ["ANNOTATORS", "Annotation", "Annotator", "AnnotatorRow", "MakeAnnotator", "make_annotator"]


@dataclass(frozen=True, slots=True)
class AnnotatorRow:
    """One annotator. `uses` names the values that change its picture: detail, gain, invert.

    `kind` is what its picture consists of, None where it has none of its own: `masks` then says whether it
    makes a mask. `make` is given the body tracker of the stream. `cost_ms` is processor time for one picture
    of 640 x 360, measured on one core (see BENCHMARKS.md); `device` where it runs; `fallback` what
    takes its place where something is missing.
    """

    name: str
    label: str
    make: Callable[[Bodies], Annotator]
    licence: str
    about: str
    uses: tuple[str, ...] = ()
    kind: Kind | None = None
    cost_ms: float = 0.0
    device: str = "processor"
    fallback: str = "none is needed"

    @property
    def masks(self) -> bool:
        """Whether it makes a mask instead of a control picture."""
        return "invert" in self.uses


class Nothing:
    """No control picture and no mask: the model is led by the prompt alone."""

    def annotate(self, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
        """An empty annotation."""
        require_picture(image, "none")
        return Annotation(control=None, mask=None)

    def close(self) -> None:
        """Nothing is held."""


def _nothing(_: Bodies) -> Annotator:
    return Nothing()


def _scribble(_: Bodies) -> Annotator:
    from engine.video.scribble import Scribble

    return Scribble()


def _edges(_: Bodies) -> Annotator:
    from engine.video.edges import Edges

    return Edges()


def _gray(_: Bodies) -> Annotator:
    from engine.video.gray import Gray

    return Gray()


def _depth(_: Bodies) -> Annotator:
    from engine.video.depth import Depth

    return Depth()


def _flow(_: Bodies) -> Annotator:
    from engine.video.flow import Flow

    return Flow()


def _pose(bodies: Bodies) -> Annotator:
    from engine.video.pose import Pose

    return Pose(bodies)


def _face(bodies: Bodies) -> Annotator:
    from engine.video.parts import Face, PartMask

    return PartMask("face", Face(bodies))


def _hands(bodies: Bodies) -> Annotator:
    from engine.video.parts import Hands, PartMask

    return PartMask("hands", Hands(bodies))


def _segmentation(_: Bodies) -> Annotator:
    from engine.video.segmentation import Segmentation

    return Segmentation()


def _layout(bodies: Bodies) -> Annotator:
    from engine.video.layout import Layout

    return Layout(bodies)


_OURS = "Apache-2.0 (Cuelight)"
_MEDIAPIPE = "Apache-2.0 (mediapipe and its models)"
_DEPTH = f"{_MEDIAPIPE}; Apache-2.0 (Depth Anything V2 small, where downloaded)"
_SILENT = "without mediapipe no control picture, and the show goes on"

# In the order they came into the program: knobs and OSC messages choose by number.
_ROWS = (
    AnnotatorRow(
        "none", "None", _nothing, _OURS, "No control picture: the prompt alone leads.",
        cost_ms=0,
    ),
    AnnotatorRow(
        "scribble", "Scribble", _scribble, _OURS,
        "A calm line drawing of the picture, dark strokes on white.",
        ("detail", "gain"), DARK_LINES, cost_ms=19,
    ),
    AnnotatorRow(
        "edges", "Edges", _edges, _OURS,
        "Thin white edges on black.",
        ("detail", "gain"), LIGHT_LINES, cost_ms=1,
    ),
    AnnotatorRow(
        "gray", "Gray", _gray, _OURS,
        "The picture without its colours: shapes and light stay, colours are generated.",
        ("gain",), TONES, cost_ms=0.1,
    ),
    AnnotatorRow(
        "pose", "Pose", _pose, _MEDIAPIPE,
        "The skeleton of one person, coloured limbs on black; with detail from 0.75 on the face too.",
        ("detail", "gain"), LIGHT_COLORS, cost_ms=35, fallback=_SILENT,
    ),
    AnnotatorRow(
        "segmentation", "Person mask", _segmentation, _MEDIAPIPE,
        "The person is generated and the room kept, or (inverted) the other way round.",
        ("invert",), cost_ms=11, fallback=_SILENT,
    ),
    AnnotatorRow(
        "depth", "Depth", _depth, _DEPTH,
        "Near is white. Without the downloaded network a relief of the person, not a measured depth.",
        ("detail", "gain"), TONES, cost_ms=13, device="processor; a GPU where onnxruntime knows one",
        fallback="the relief, whose cost is given here",
    ),
    AnnotatorRow(
        "flow", "Motion", _flow, _OURS,
        "Optical flow: the colour tells where a part moves to, white is still.",
        ("gain",), DARK_COLORS, cost_ms=22,
    ),
    AnnotatorRow(
        "face", "Face mask", _face, _MEDIAPIPE,
        "The face is generated and all else kept, or (inverted) the other way round.",
        ("invert",), cost_ms=12, fallback="for a far face the points of the body, for 35 ms more",
    ),
    AnnotatorRow(
        "hands", "Hands mask", _hands, _MEDIAPIPE,
        "The hands are generated and all else kept, or (inverted) the other way round.",
        ("invert",), cost_ms=39, fallback=_SILENT,
    ),
    AnnotatorRow(
        "layout", "Layout", _layout, _OURS,
        "A box where the subject is to be: drag it, move it by knobs, or let a part of the body carry it.",
        ("gain",), DARK_LINES, cost_ms=0.1,
        fallback="following a part of the body needs mediapipe and 36 ms more",
    ),
)  # fmt: skip

ANNOTATORS: Mapping[str, AnnotatorRow] = MappingProxyType({row.name: row for row in _ROWS})


class MakeAnnotator(Protocol):
    """What `make_annotator` is, for those that are given another."""

    def __call__(self, name: str, bodies: Bodies | None = None) -> Annotator: ...  # noqa: D102


def make_annotator(name: str, bodies: Bodies | None = None) -> Annotator:
    """A new annotator for one stream. Raises AnnotatorError for an unknown name or a missing library.

    `bodies`: the stream's own, which all its annotators share; without it this one has a tracker to itself.
    """
    row = ANNOTATORS.get(name)
    if row is None:
        raise AnnotatorError(f"there is no annotator {name[:80]!r}", f"choose one of {', '.join(ANNOTATORS)}")
    return row.make(bodies or Bodies())

"""The table of annotators: one row each. Their code, and what it needs, is imported when one is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from engine.core.errors import AnnotatorError
from engine.core.types import Image
from engine.video.annotation import Annotation, Annotator, require_picture

__all__ = ["ANNOTATORS", "Annotation", "Annotator", "AnnotatorRow", "make_annotator"]


@dataclass(frozen=True, slots=True)
class AnnotatorRow:
    """One annotator. `uses` names the values that change its picture: detail, gain, invert."""

    name: str
    label: str
    make: Callable[[], Annotator]
    licence: str
    about: str
    uses: tuple[str, ...] = ()


class Nothing:
    """No control picture and no mask: the model is led by the prompt alone."""

    def annotate(self, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
        """An empty annotation."""
        require_picture(image, "none")
        return Annotation(control=None, mask=None)

    def close(self) -> None:
        """Nothing is held."""


def _scribble() -> Annotator:
    from engine.video.scribble import Scribble

    return Scribble()


def _edges() -> Annotator:
    from engine.video.edges import Edges

    return Edges()


def _gray() -> Annotator:
    from engine.video.gray import Gray

    return Gray()


def _pose() -> Annotator:
    from engine.video.pose import Pose

    return Pose()


def _segmentation() -> Annotator:
    from engine.video.segmentation import Segmentation

    return Segmentation()


_OURS = "Apache-2.0 (Cuelight)"
_MEDIAPIPE = "Apache-2.0 (mediapipe and its models)"

_ROWS = (
    AnnotatorRow("none", "None", Nothing, _OURS, "No control picture: the prompt alone leads."),
    AnnotatorRow(
        "scribble", "Scribble", _scribble, _OURS,
        "A calm line drawing of the picture, dark strokes on white.", ("detail", "gain"),
    ),
    AnnotatorRow(
        "edges", "Edges", _edges, _OURS,
        "Thin white edges on black.", ("detail", "gain"),
    ),
    AnnotatorRow(
        "gray", "Gray", _gray, _OURS,
        "The picture without its colours: shapes and light stay, colours are generated.", ("gain",),
    ),
    AnnotatorRow(
        "pose", "Pose", _pose, _MEDIAPIPE,
        "The skeleton of one person, coloured limbs on black.", ("gain",),
    ),
    AnnotatorRow(
        "segmentation", "Person mask", _segmentation, _MEDIAPIPE,
        "The person is generated and the room kept, or (inverted) the other way round.", ("invert",),
    ),
)  # fmt: skip

ANNOTATORS: Mapping[str, AnnotatorRow] = MappingProxyType({row.name: row for row in _ROWS})


def make_annotator(name: str) -> Annotator:
    """A new annotator for one stream. Raises AnnotatorError for an unknown name or a missing library."""
    row = ANNOTATORS.get(name)
    if row is None:
        raise AnnotatorError(f"there is no annotator {name[:80]!r}", f"choose one of {', '.join(ANNOTATORS)}")
    return row.make()

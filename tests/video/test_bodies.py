"""The body tracker that annotators share: one look at a picture, and a network only while somebody looks."""

import numpy as np
import pytest

from engine.core.errors import AnnotatorError
from engine.core.types import Image
from engine.video.bodies import Bodies
from engine.video.layout import Box, Layout
from engine.video.people import Body


class Tracker:
    """Sees a body in every picture, its points where the picture's first number says."""

    def __init__(self, annotator: str) -> None:
        self.annotator = annotator
        self.looks = 0
        self.closed = 0

    def find(self, image: Image) -> Body:
        self.looks += 1
        return Body(np.full((33, 2), image[0, 0, 0] / 100, np.float32), np.ones(33, np.float32))

    def close(self) -> None:
        self.closed += 1


class Loader:
    def __init__(self) -> None:
        self.made: list[Tracker] = []

    def __call__(self, annotator: str) -> Tracker:
        self.made.append(Tracker(annotator))
        return self.made[-1]


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def bodies(loader: Loader) -> Bodies:
    return Bodies(loader)  # type: ignore[arg-type]


def picture(level: int) -> Image:
    return np.full((40, 60, 3), level, np.uint8)


def test_a_picture_is_looked_at_once_however_many_ask(bodies: Bodies, loader: Loader) -> None:
    pose, hands = bodies.watch("pose"), bodies.watch("hands")
    image = picture(30)
    assert pose.find(image) is hands.find(image) is not None
    assert (loader.made[0].annotator, loader.made[0].looks) == ("pose", 1)
    again = image.copy()
    seen = hands.find(again)
    assert seen is pose.find(again) and loader.made[0].looks == 2, "an equal picture is another frame"


def test_the_network_is_there_while_somebody_looks(bodies: Bodies, loader: Loader) -> None:
    pose, hands = bodies.watch("pose"), bodies.watch("hands")
    image = picture(30)
    pose.find(image)
    pose.close()
    pose.close()
    assert pose.find(image) is None and hands.find(image) is not None
    assert loader.made[0].closed == 0
    hands.close()
    assert loader.made[0].closed == 1
    again = bodies.watch("face")
    assert again.find(image) is not None
    assert len(loader.made) == 2 and loader.made[1].looks == 1, "what the old network saw is forgotten"


def test_a_network_that_cannot_be_loaded_leaves_nobody_watching(loader: Loader) -> None:
    def missing(annotator: str) -> Tracker:
        if not loader.made:
            loader(annotator)
            raise AnnotatorError(f"the annotator {annotator} needs mediapipe", "install it")
        return loader(annotator)

    bodies = Bodies(missing)  # type: ignore[arg-type]
    with pytest.raises(AnnotatorError, match="layout"):
        bodies.watch("layout")
    bodies.watch("pose").close()
    assert [tracker.closed for tracker in loader.made] == [0, 1]


def test_a_layout_that_follows_shares_the_look_and_one_that_does_not_needs_none(
    bodies: Bodies, loader: Loader
) -> None:
    layout, image = Layout(bodies), picture(25)
    layout.annotate(image, 0.5, 1.0, False)
    assert loader.made == []
    pose = bodies.watch("pose")
    pose.find(image)
    layout.box = Box(width=0.2, height=0.2, follow="head")
    drawn = layout.annotate(image, 0.5, 1.0, False).control
    assert loader.made[0].looks == 1 and drawn is not None
    columns = np.nonzero((drawn < 128).any(axis=(0, 2)))[0]
    assert abs(columns.mean() / 60 - 0.25) < 0.02
    pose.close()
    assert loader.made[0].closed == 0
    layout.close()
    assert loader.made[0].closed == 1

"""One look at each picture for a body, shared by all annotators of a stream that ask for it.

The tracker is the dearest network there is. Pose, a layout that is carried, hands and a far face would each
run one of their own over the same picture; two that follow the same body would not even agree.
"""

from collections.abc import Callable

from engine.core.types import Image
from engine.video.people import Body, BodyTracker


class Bodies:
    """The body tracker of one stream. One thread.

    It is there while somebody watches: loaded for the first, freed with the last.
    """

    def __init__(self, open_tracker: Callable[[str], BodyTracker] = BodyTracker) -> None:
        """`open_tracker` loads the network in the name of an annotator."""
        self._open_tracker = open_tracker
        self._tracker: BodyTracker | None = None
        self._watchers = 0
        self._seen: tuple[Image, Body | None] | None = None  # the newest picture, and what was found in it

    def watch(self, annotator: str) -> "BodyWatch":
        """A look at the body for `annotator`, until it is closed. Raises AnnotatorError in its name."""
        if self._tracker is None:
            self._tracker = self._open_tracker(annotator)
        self._watchers += 1
        return BodyWatch(self)

    def find(self, image: Image) -> Body | None:
        """The body in `image` (u8 [H, W, 3]); the very same array is looked at once, however many ask."""
        if self._seen is None or self._seen[0] is not image:
            self._seen = image, None if self._tracker is None else self._tracker.find(image)
        return self._seen[1]

    def leave(self) -> None:
        """One watcher less."""
        self._watchers -= 1
        if self._watchers == 0 and self._tracker is not None:
            tracker, self._tracker, self._seen = self._tracker, None, None
            tracker.close()


class BodyWatch:
    """One annotator's look at the body."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies: Bodies | None = bodies

    def find(self, image: Image) -> Body | None:
        """The body in `image` (u8 [H, W, 3]), or None when there is none, or this look is closed."""
        return None if self._bodies is None else self._bodies.find(image)

    def close(self) -> None:
        """Look no more. Closing twice does nothing."""
        bodies, self._bodies = self._bodies, None
        if bodies is not None:
            bodies.leave()

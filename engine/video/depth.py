"""Depth: how near everything is, near = white, as VACE was trained to read it.

With the downloaded network it is a measured relative depth. Without, it is a relief of the person
(`engine.video.relief`), and the annotation says so.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.core.errors import AnnotatorError
from engine.core.paths import models_dir
from engine.core.types import Image
from engine.video.annotation import Annotation, fade, require_picture, to_rgb
from engine.video.depth_network import FIX, DepthNetwork, find_network
from engine.video.people import PRESENT, SURE, CalmPerson
from engine.video.relief import relief

Plane = npt.NDArray[np.float32]

NEUTRAL = 128  # a level wall: neither near nor far


class Depth:
    """Near is white. `gain` flattens it to mid gray; `detail`: how much of the shading a relief reads."""

    def __init__(self, models: Path | None = None) -> None:
        """`models`: the folder of downloaded files, the user's by default.

        A network that cannot be used is not fatal: the relief takes its place and the note says why. Raises
        AnnotatorError when there is neither a network nor mediapipe.
        """
        self._note = "a relief of the person, not a measured depth"
        self._network: DepthNetwork | None = None
        self._person: CalmPerson | None = None
        self._levels = Levels()
        path = find_network(models_dir() if models is None else models)
        if path is None:
            self._note += f"  Fix: {FIX}"
        else:
            try:
                self._network = DepthNetwork(path)
            except AnnotatorError as error:
                self._note += f": {error}"
        if self._network is None:
            self._person = CalmPerson("depth")

    def annotate(self, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
        """The depth of `image` (u8 [H, W, 3]), three equal channels."""
        require_picture(image, "depth")
        if self._network is not None:
            near = self._levels.spread(self._network.find(image))
            return Annotation(_picture(near, gain), None)
        assert self._person is not None
        sure = self._person.find(image)
        near = relief(image, sure, min(max(detail, 0.0), 1.0))
        if np.count_nonzero(sure >= SURE) < PRESENT * sure.size:
            return Annotation(_picture(near, gain), None, False, "no person seen")
        return Annotation(_picture(near, gain), None, note=self._note)

    def close(self) -> None:
        """Free the networks."""
        if self._person is not None:
            self._person.close()


class Levels:
    """Brings a network's own scale to 0..1 with limits that move slowly, so that brightness does not pump.

    VACE's training pictures spread each picture from its nearest to its farthest pixel; a hand before the
    lens would then darken the whole room at once.
    """

    _FOLLOW = 0.06  # of the way to a picture's own limits, each picture: half of it in a third of a second
    _CUT = 0.6  # limits that jump by more than this part of the range belong to another scene
    _OUTLIERS = 1.0  # percent at either end that may fall outside

    def __init__(self) -> None:
        self._limits: Plane | None = None

    def spread(self, near: Plane) -> Plane:
        """`near` (f32 [H, W], any scale, larger = nearer) between the limits, 0..1."""
        ends = (self._OUTLIERS, 100 - self._OUTLIERS)
        own = np.percentile(near[::2, ::2], ends).astype(np.float32)
        if self._limits is not None:
            room = float(self._limits[1] - self._limits[0])
            if float(np.abs(own - self._limits).max()) <= self._CUT * max(room, 1e-6):
                own = self._limits + (own - self._limits) * np.float32(self._FOLLOW)
        self._limits = own
        low, high = float(own[0]), float(own[1])
        # A wall all over has no depth to spread: noise would be blown up to full contrast.
        least = 1e-3 * max(abs(low), abs(high), 1e-6)
        return np.clip((near - low) / max(high - low, least), 0, 1).astype(np.float32)


def _picture(near: Plane, gain: float) -> Image:
    return fade(to_rgb(np.round(near * 255).astype(np.uint8)), NEUTRAL, gain)

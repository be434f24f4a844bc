"""Control pictures of drawn scenes, in VACE's conventions and with the faults of real annotators.

Each maker takes a `Raster` and the scene as a camera would see it, and gives the control picture, its mask
where the mode has one (255 = generate), and the `Guide`: what the control tells, from which the target is
painted. Half of all lines, and all motion, are found by the annotators that the program itself uses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.core.skeleton import BODY_POINTS
from engine.pocket.guides import (
    from_area,
    from_box,
    from_depth,
    from_flow,
    from_gray,
    from_joints,
    from_lines,
    luma_of,
)
from engine.pocket.painting import Guide
from engine.pocket.scene import Raster
from engine.pocket.skeleton import skeleton_picture
from engine.pocket.styles import Image, Plane
from engine.video.annotation import Annotator
from engine.video.edges import Edges
from engine.video.flow import Flow
from engine.video.layout import Box, outline
from engine.video.masks import inpainting
from engine.video.opencv import cv2
from engine.video.scribble import Scribble

KINDS = ("scribble", "edges", "depth", "gray", "pose", "inpaint", "flow", "layout")
FILLED = ("flow", "layout")
"""Those that say where a body is to be, without a mask: it is to fill what moves, or the box."""
LOST_JOINTS = 0.1
"""How many joints the worst annotator does not find."""


@dataclass(frozen=True)
class Flaws:
    """How far a control is from the truth, drawn once a clip.

    `lost` `[H, W]`: 1 where lines are missing. `shift`: by how many pixels (x, y) lines lie beside the truth.
    `thin`: how strong lines are. `noise`: deviation of the depth, 0..1. `levels`: how many depths are told
    apart. `wide`: by how many pixels (negative: narrower) a mask is off. `found` `[14]`: which joints are.
    """

    lost: Plane
    shift: NDArray[np.float32]
    thin: float
    noise: float
    levels: int
    wide: int
    found: NDArray[np.bool_]

    @staticmethod
    def random(rng: np.random.Generator, height: int, width: int) -> Flaws:
        """Flaws for a clip of this size; a third of all clips have nearly none."""
        strength = 0.0 if rng.random() < 0.35 else rng.uniform(0.2, 1.0)
        coarse = rng.random((max(3, height // 16), max(4, width // 16))).astype(np.float32)
        lost = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        return Flaws(
            lost=(lost < 0.22 * strength).astype(np.float32),
            shift=rng.normal(size=2).astype(np.float32) * 0.5 * strength,
            thin=rng.uniform(0.5, 1.2),
            noise=0.04 * strength,
            levels=256 if rng.random() < 0.7 else int(rng.integers(12, 64)),
            wide=int(np.round(rng.normal() * 1.5 * strength)),
            found=rng.random(BODY_POINTS) >= LOST_JOINTS * strength,
        )


@dataclass(frozen=True)
class Wander:
    """How a layout's box goes about: `middle`, `size` and `swing` in parts of the picture, `rate` a frame."""

    middle: NDArray[np.float64]
    size: NDArray[np.float64]
    swing: NDArray[np.float64]
    rate: NDArray[np.float64]

    @staticmethod
    def random(rng: np.random.Generator) -> Wander:
        """A box from small to nearly the whole picture, which stands still or goes far."""
        return Wander(
            rng.uniform(0.2, 0.8, 2), rng.uniform((0.12, 0.2), (0.6, 0.95)), rng.uniform(0, 0.3, 2),
            rng.uniform(0.01, 0.2, 2),
        )  # fmt: skip

    def box(self, frame: int) -> Box:
        """Where the box is in a frame."""
        x, y = self.middle + self.swing * np.sin(self.rate * frame)
        return Box(float(x), float(y), float(self.size[0]), float(self.size[1]))


@dataclass(frozen=True)
class Control:
    """A control picture u8 `[H, W, 3]`, its mask u8 `[H, W]` or None, and what the two tell a painter."""

    picture: Image
    mask: Image | None
    guide: Guide


class ControlMaker:
    """Makes the controls of one clip, picture after picture: real annotators remember the last one."""

    def __init__(
        self, kind: str, flaws: Flaws, rng: np.random.Generator, annotator: Annotator | None = None
    ) -> None:
        """`kind` is one of KINDS; lines are found by `annotator`, or known from the scene without one.

        Motion is always found.
        """
        self.kind, self.flaws = kind, flaws
        self._rng, self._annotator = rng, annotator or (Flow() if kind == "flow" else None)
        self._detail = float(rng.uniform(0.2, 0.8))
        self._wander, self._frame = Wander.random(rng), -1

    @staticmethod
    def random(kind: str, rng: np.random.Generator, height: int, width: int) -> ControlMaker:
        """A maker with flaws, half of the time with the program's own annotator of lines."""
        found = rng.random() < 0.5
        line_annotators: dict[str, type[Annotator]] = {"scribble": Scribble, "edges": Edges}
        make = line_annotators.get(kind) if found else None
        return ControlMaker(kind, Flaws.random(rng, height, width), rng, make() if make else None)

    def make(self, raster: Raster, camera: Image) -> Control:
        """The control of the next moment; `camera` u8 `[H, W, 3]` is the scene in a camera's colours."""
        self._frame += 1
        match self.kind:
            case "scribble" | "edges":
                return self._lines(raster, camera)
            case "depth":
                return self._depth(raster)
            case "gray":
                luma = np.asarray(cv2.cvtColor(camera, cv2.COLOR_RGB2GRAY), np.uint8)
                return Control(_spread(luma), None, from_gray(luma_of(_spread(luma))))
            case "pose":
                return self._pose(raster)
            case "flow":
                found = self._found(camera)
                return Control(found, None, from_flow(found))
            case "layout":
                drawn = outline(self._wander.box(self._frame), *raster.depth.shape)
                return Control(drawn, None, from_box(drawn))
            case _:
                return self._inpaint(raster, camera)

    def _lines(self, raster: Raster, camera: Image) -> Control:
        dark = self.kind == "scribble"
        if self._annotator is not None:
            picture = self._found(camera)
            ink = luma_of(picture)
            return Control(picture, None, from_lines(1 - ink if dark else ink))
        ink = self._shifted(raster.lines * (1 - self.flaws.lost))
        drawn = np.clip(ink * self.flaws.thin * 1.3, 0, 1)
        return Control(_spread((1 - drawn if dark else drawn) * 255), None, from_lines(ink))

    def _found(self, camera: Image) -> Image:
        """What the program's own annotator draws."""
        assert self._annotator is not None
        picture = self._annotator.annotate(camera, self._detail, 1.0, False).control
        assert picture is not None  # lines and motion are always drawn
        return picture

    def _shifted(self, lines: Plane) -> Plane:
        """Lines a little beside the truth."""
        matrix = np.array([[1, 0, self.flaws.shift[0]], [0, 1, self.flaws.shift[1]]], np.float32)
        return np.asarray(cv2.warpAffine(lines, matrix, lines.shape[::-1]), np.float32)

    def _depth(self, raster: Raster) -> Control:
        noise = self._rng.normal(size=raster.depth.shape).astype(np.float32) * self.flaws.noise
        true = cv2.GaussianBlur(raster.depth, (0, 0), 0.8)
        found = np.asarray(cv2.GaussianBlur(raster.depth + noise, (0, 0), 0.8), np.float32)
        low, high = float(found.min()), float(found.max())
        steps = self.flaws.levels - 1
        told = np.round(np.clip((found - low) / max(high - low, 1e-3), 0, 1) * steps) / steps
        guide = from_depth(np.clip((true - low) / np.float32(max(high - low, 1e-3)), 0, 1))
        return Control(_spread(told * 255), None, guide)

    def _pose(self, raster: Raster) -> Control:
        if raster.joints is None:
            raise ValueError("a pose control needs a scene with a person")
        size = raster.depth.shape
        picture = skeleton_picture(raster.joints, self.flaws.found, *size)
        return Control(picture, None, from_joints(raster.joints, *size))

    def _inpaint(self, raster: Raster, camera: Image) -> Control:
        mask = generated_area(raster, 1 + self.flaws.wide)
        return Control(
            inpainting(camera, None, mask), mask, from_area(mask.astype(np.float32) / np.float32(255))
        )


def generated_area(raster: Raster, wider: int = 1) -> Image:
    """The inpainting mask `[H, W]`: 255 on the subject and `wider` pixels around it, 0 elsewhere."""
    size = 2 * abs(wider) + 1
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    change = cv2.dilate if wider > 0 else cv2.erode
    return np.asarray(change(raster.mask, disk), np.uint8) * np.uint8(255)


def _spread(plane: NDArray[np.float32] | NDArray[np.uint8]) -> Image:
    """0..255 in three equal channels, u8."""
    rounded = np.clip(plane.astype(np.float32) + 0.5, 0, 255).astype(np.uint8)
    return np.repeat(rounded[..., None], 3, 2)

"""Control pictures of drawn scenes, in VACE's conventions and with the faults of real annotators.

Each maker takes a `Raster` (and the scene as a camera would see it) and gives the control picture, its mask
where the mode has one (255 = generate), and the `Guide`: what the control tells, from which the target is
painted.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.pocket.styles import Guide, Image, Plane, Raster, line_distance

KINDS = ("scribble", "edges", "depth", "gray", "pose", "inpaint")
NEUTRAL = 128
"""Mid gray: the colour of what is to be generated in an inpainting picture."""


@dataclass(frozen=True)
class Flaws:
    """How far a control is from the truth, drawn once a clip.

    `lost` `[H, W]`: 1 where lines are missing. `shift`: by how many pixels (x, y) lines lie beside the truth.
    `thin`: how strong lines are. `noise`: deviation of the depth, 0..1.
    """

    lost: Plane
    shift: NDArray[np.float32]
    thin: float
    noise: float

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
        )


@dataclass(frozen=True)
class Control:
    """A control picture u8 `[H, W, 3]`, its mask u8 `[H, W]` or None, and what the two tell a painter."""

    picture: Image
    mask: Image | None
    guide: Guide


def make_control(kind: str, raster: Raster, camera: Image, flaws: Flaws, rng: np.random.Generator) -> Control:
    """The control of a kind for one moment; `camera` is the scene in a camera's colours."""
    return _MAKERS[kind](raster, camera, flaws, rng)


def _from_lines(raster: Raster, flaws: Flaws) -> Plane:
    """The lines of a scene as an annotator finds them: some lost, all a little beside the truth."""
    matrix = np.array([[1, 0, flaws.shift[0]], [0, 1, flaws.shift[1]]], np.float32)
    found = raster.lines * (1 - flaws.lost)
    return np.asarray(cv2.warpAffine(found, matrix, found.shape[::-1]), np.float32)


def _scribble(raster: Raster, camera: Image, flaws: Flaws, rng: np.random.Generator) -> Control:
    ink = _from_lines(raster, flaws)
    return Control(_spread((1 - np.clip(ink * flaws.thin * 1.3, 0, 1)) * 255), None, line_guide(ink))


def _edges(raster: Raster, camera: Image, flaws: Flaws, rng: np.random.Generator) -> Control:
    ink = _from_lines(raster, flaws)
    return Control(_spread(np.clip(ink * flaws.thin * 1.3, 0, 1) * 255), None, line_guide(ink))


def _depth(raster: Raster, camera: Image, flaws: Flaws, rng: np.random.Generator) -> Control:
    noisy = raster.depth + rng.normal(size=raster.depth.shape).astype(np.float32) * flaws.noise
    soft = np.asarray(cv2.GaussianBlur(noisy, (0, 0), 0.8), np.float32)
    low, high = float(soft.min()), float(soft.max())
    picture = _spread((soft - low) / max(high - low, 1e-3) * 255)
    near = np.clip(raster.depth * 2.2, 0, 1)
    return Control(picture, None, Guide(_borders(raster.depth, 6), 0.25 + 0.55 * raster.depth, near))


def _gray(raster: Raster, camera: Image, flaws: Flaws, rng: np.random.Generator) -> Control:
    luma = cv2.cvtColor(camera, cv2.COLOR_RGB2GRAY).astype(np.float32)
    tone = luma / np.float32(255)
    return Control(_spread(luma), None, Guide(_borders(tone, 4), 0.1 + 0.8 * tone, np.full_like(tone, 0.9)))


def _pose(raster: Raster, camera: Image, flaws: Flaws, rng: np.random.Generator) -> Control:
    body = (raster.pose.max(2) > 30).astype(np.uint8)
    reach = max(3, round(0.045 * len(body))) | 1
    body = cv2.dilate(body, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    return Control(raster.pose, None, _area_guide(body.astype(np.float32)))


def _inpaint(raster: Raster, camera: Image, flaws: Flaws, rng: np.random.Generator) -> Control:
    mask = generated_area(raster)
    picture = camera.copy()
    picture[mask > 127] = NEUTRAL
    return Control(picture, mask, _area_guide(mask.astype(np.float32) / np.float32(255)))


_MAKERS = {
    "scribble": _scribble, "edges": _edges, "depth": _depth,
    "gray": _gray, "pose": _pose, "inpaint": _inpaint,
}  # fmt: skip


def line_guide(lines: Plane) -> Guide:
    """What lines alone tell: material around them, lighter away from them; far from all is the setting."""
    away = line_distance(lines) / lines.shape[0]
    return Guide(lines, 0.30 + 0.42 * (1 - np.exp(-away / 0.08)), np.exp(-((away / 0.17) ** 2)))


def _area_guide(area: Plane) -> Guide:
    """What an area alone tells: material inside, rounder towards its border."""
    lines = _borders(area, 1)
    away = line_distance(lines) / lines.shape[0]
    near = np.asarray(cv2.GaussianBlur(area, (0, 0), 0.8), np.float32)
    return Guide(lines, 0.30 + 0.42 * (1 - np.exp(-away / 0.08)), near)


def _borders(plane: Plane, contrast: float) -> Plane:
    """Lines 0..1 where a plane changes."""
    change = cv2.morphologyEx(plane, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    return np.clip(np.asarray(change, np.float32) * contrast, 0, 1)


def generated_area(raster: Raster) -> Image:
    """The inpainting mask `[H, W]`: 255 on the subject and one pixel around it, 0 elsewhere."""
    return np.asarray(cv2.dilate(raster.mask, np.ones((3, 3), np.uint8)), np.uint8) * np.uint8(255)


def _spread(plane: Plane) -> Image:
    """0..255 in three equal channels, u8."""
    return np.repeat(np.clip(plane + 0.5, 0, 255).astype(np.uint8)[..., None], 3, 2)

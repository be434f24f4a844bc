"""One training clip: a scene in motion, its picture in the asked-for look, and its control pictures."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.pocket.controls import Flaws, make_control
from engine.pocket.scenes import random_scene
from engine.pocket.styles import Image, Raster, paint, random_look

FRAMES_PER_SECOND = 16

SHARES = {"scribble": 0.36, "edges": 0.16, "depth": 0.15, "gray": 0.13, "pose": 0.11, "inpaint": 0.09}
"""How often training draws each kind of control."""


@dataclass(frozen=True)
class Clip:
    """Pictures `target` and `control` u8 `[F, H, W, 3]`, the control's kind, its mask u8 `[F, H, W]` or None.

    Where a mask is 255 the picture is to be generated; elsewhere the target is the camera's picture.
    """

    target: Image
    control: Image
    kind: str
    mask: Image | None
    prompt: str


def draw_clip(seed: int, frames: int, height: int, width: int, kind: str | None = None) -> Clip:
    """Draw a clip of a size in pixels; the same arguments give the same clip.

    `kind` is that of its control; None draws one by `SHARES`.
    """
    rng = np.random.default_rng(seed)
    scene = random_scene(rng, width / height)
    look = random_look(rng, scene.subject)
    drawn = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    if drawn == "pose" and scene.skeleton is None:
        drawn = "scribble"
    kind = kind or drawn
    colors = _camera_colors(rng)
    flaws = Flaws.random(rng, height, width)
    start, pace = rng.uniform(0, 20), rng.uniform(0.3, 1.6)
    target, controls, masks = [], [], []
    for index in range(frames):
        raster = scene.raster(start + pace * index / FRAMES_PER_SECOND, height, width)
        camera = _as_camera(raster, colors)
        control = make_control(kind, raster, camera, flaws, rng)
        picture = paint(control.guide, look)
        if control.mask is not None:
            picture = np.where(control.mask[..., None] > 127, picture, camera)
            masks.append(control.mask)
        target.append(picture)
        controls.append(control.picture)
    return Clip(np.stack(target), np.stack(controls), kind, np.stack(masks) if masks else None, look.prompt)


def _camera_colors(rng: np.random.Generator) -> NDArray[np.float32]:
    """A matt colour `[256, 3]`, 0..255, per region: well spread in brightness, so that neighbours differ."""
    light = rng.permutation((np.arange(256) * 0.618034 + rng.random()) % 1.0)[:, None]
    return (255 * (0.1 + 0.8 * light) * rng.uniform(0.6, 1.0, (256, 3))).astype(np.float32)


def _as_camera(raster: Raster, colors: NDArray[np.float32]) -> Image:
    """The scene as an ordinary camera sees it: matt colours, faint outlines, a little soft."""
    matt = colors[raster.ids] * (1 - 0.3 * raster.lines[..., None]) * (0.75 + 0.25 * raster.depth[..., None])
    return np.clip(cv2.GaussianBlur(matt, (0, 0), 0.7), 0, 255).astype(np.uint8)

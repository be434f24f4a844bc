"""One training clip: a scene in motion, its picture in the asked-for look, and its control pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.pocket.camera import CameraLook, photograph
from engine.pocket.controls import FILLED, ControlMaker
from engine.pocket.painting import paint
from engine.pocket.scenes import random_scene
from engine.pocket.skeleton import Joints
from engine.pocket.styles import Image, Look, Plane, random_look

FRAMES_PER_SECOND = 16

SHARES = {"scribble": 0.19, "edges": 0.07, "depth": 0.13, "gray": 0.14, "pose": 0.16, "inpaint": 0.19,
          "flow": 0.06, "layout": 0.06}  # fmt: skip
"""How often training draws each kind of control."""


@dataclass(frozen=True)
class Clip:
    """Pictures `target`, `control` and `camera` u8 `[F, H, W, 3]`, the control's kind, its mask or None.

    Where a mask u8 `[F, H, W]` is 255 the picture is to be generated; elsewhere the target is the camera's.
    The rest is the truth about the scene, to measure with: `depth` f32 `[F, H, W]` (near = 1), `subject` u8
    (1 = what is in front; what moves where the control is flow, what fills the box of a layout), `joints`
    `[F, 14, 2]` in pixels of the person that pose control shows, or None.
    """

    target: Image
    control: Image
    camera: Image
    kind: str
    mask: Image | None
    prompt: str
    look: Look
    depth: Plane
    subject: Image
    joints: Joints | None


def draw_clip(
    seed: int, frames: int, height: int, width: int, kind: str | None = None, look: Look | None = None
) -> Clip:
    """Draw a clip of a size in pixels; the same arguments give the same clip.

    `kind` is that of its control; None draws one by `SHARES`. `look` None draws one as well. A pose needs a
    person: then the scene is one.
    """
    rng = np.random.default_rng(seed)
    kind = kind or str(rng.choice(list(SHARES), p=list(SHARES.values())))
    scene = random_scene(rng, width / height, person=kind == "pose")
    drawn = random_look(rng, scene.subject)
    look = look or drawn
    camera_look = CameraLook.random(rng, height, width)
    maker = ControlMaker.random(kind, rng, height, width)
    start, pace = rng.uniform(0, 20), rng.uniform(0.15, 1.1)
    rasters = [scene.raster(start + pace * i / FRAMES_PER_SECOND, height, width) for i in range(frames)]
    if kind == "flow":  # what moves in the first picture is seen from one before it
        before = scene.raster(start - pace / FRAMES_PER_SECOND, height, width)
        maker.make(before, photograph(before, camera_look, rng))
    target, controls, cameras, masks, subjects = [], [], [], [], []
    for raster in rasters:
        camera = photograph(raster, camera_look, rng)
        control = maker.make(raster, camera)
        picture = paint(control.guide, look)
        if control.mask is not None:
            picture = np.where(control.mask[..., None] > 127, picture, camera)
            masks.append(control.mask)
        subjects.append(control.guide.body if kind in FILLED else raster.mask)
        target.append(picture)
        controls.append(control.picture)
        cameras.append(camera)
    joints = [raster.joints for raster in rasters if raster.joints is not None]
    return Clip(
        np.stack(target),
        np.stack(controls),
        np.stack(cameras),
        kind,
        np.stack(masks) if masks else None,
        look.prompt,
        look,
        np.stack([raster.depth for raster in rasters]),
        np.stack(subjects),
        np.stack(joints) if joints else None,
    )

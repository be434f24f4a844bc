"""A drawn scene as an ordinary camera sees it: matt coloured bodies in soft light, cloth, noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.pocket.painting import normals
from engine.pocket.scene import Raster
from engine.pocket.styles import Image, Plane
from engine.video.opencv import cv2

FIELDS = 16
"""Regions of the background have a smaller number (`elements.random_region`)."""
CLUTTERED = 0.5
"""How many clips have a room full of things behind the scene, not even colours."""


@dataclass(frozen=True)
class CameraLook:
    """The light and the colours of one clip, drawn at random; the same for all of its pictures.

    `colors` `[256, 3]` 0..255 per region, `light` a unit vector, `ambient` 0..1 the light from everywhere,
    `cloth` `[H, W]` the surfaces' pattern around 1, `outline` how dark outlines are, `noise` of the sensor;
    `room` `[H, W, 3]` 0..255 what is seen behind everything, None where that has even colours.
    """

    colors: NDArray[np.float32]
    light: NDArray[np.float32]
    ambient: float
    cloth: Plane
    outline: float
    noise: float
    room: Plane | None = None

    @staticmethod
    def random(rng: np.random.Generator, height: int, width: int) -> CameraLook:
        """Colours well spread in brightness, so that neighbours differ."""
        level = rng.permutation((np.arange(256) * 0.618034 + rng.random()) % 1.0)[:, None]
        colors = 255 * (0.1 + 0.8 * level) * rng.uniform(0.6, 1.0, (256, 3))
        light = np.array([rng.uniform(-0.8, 0.8), rng.uniform(-0.9, 0.2), rng.uniform(0.5, 1.0)])
        rough = rng.uniform(0, 0.09) if rng.random() < 0.6 else rng.uniform(0.09, 0.3)
        return CameraLook(
            colors.astype(np.float32),
            (light / np.linalg.norm(light)).astype(np.float32),
            float(rng.uniform(0.3, 0.8)),
            np.clip(1 + np.float32(rough) * texture(rng, height, width), 0.2, 1.8),
            float(rng.choice([0.0, 0.15, 0.3])),
            float(rng.uniform(0, 4)),
            clutter(rng, height, width) if rng.random() < CLUTTERED else None,
        )


def texture(rng: np.random.Generator, height: int, width: int) -> Plane:
    """A random pattern `[H, W]` of deviation about 1 with detail of every size, as real surfaces have."""
    pattern = np.zeros((height, width), np.float32)
    for cells in (4, 8, 16, 32, 64):
        coarse = rng.normal(size=(cells, 2 * cells)).astype(np.float32)
        pattern += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return pattern / pattern.std()


def clutter(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Things of every size and colour, one before the other, RGB 0..255 `[H, W, 3]`, in or out of focus.

    Fallen leaves whose sizes follow a power law have the statistics of photographs (Lee, Mumford and Huang
    2001, "Occlusion models for natural images"), which nothing else here has.
    """
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = rng.uniform(20, 200, 3)
    tint = rng.uniform(0.5, 1.0, 3)
    for _ in range(int(rng.integers(20, 160))):
        reach = height * 0.6 / (1 + rng.pareto(1.2) * 2)
        at = (float(rng.uniform(0, width)), float(rng.uniform(0, height)))
        size = (float(2 * reach * rng.uniform(0.3, 1)), float(2 * reach * rng.uniform(0.3, 1)))
        shape, color = (at, size, float(rng.uniform(0, 180))), rng.uniform(10, 245) * tint
        color = np.clip(color * rng.uniform(0.6, 1.2, 3), 0, 255).tolist()
        if rng.random() < 0.5:
            cv2.ellipse(picture, shape, color, -1)
        else:
            cv2.fillPoly(picture, [cv2.boxPoints(shape).astype(np.int32)], color)
    soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 3.0) * height / 128)
    return np.asarray(soft * np.clip(1 + np.float32(0.08) * texture(rng, height, width), 0.5, 1.5)[..., None])


def photograph(raster: Raster, look: CameraLook, rng: np.random.Generator) -> Image:
    """The picture u8 `[H, W, 3]` of one moment."""
    lit = np.clip(normals(0.8 * raster.depth) @ look.light, 0, 1) / max(float(look.light[2]), 0.3)
    shade = look.ambient + (1 - look.ambient) * np.clip(lit, 0, 1.5)
    shade = shade * look.cloth * (0.75 + 0.25 * raster.depth) * (1 - look.outline * raster.lines)
    lights = look.colors[raster.ids] * shade[..., None]
    if look.room is not None:
        lights = np.where((raster.ids < FIELDS)[..., None], look.room, lights)
    seen = cv2.GaussianBlur(lights, (0, 0), 0.7)
    seen = seen + look.noise * rng.normal(size=raster.depth.shape).astype(np.float32)[..., None]
    return np.clip(seen, 0, 255).astype(np.uint8)

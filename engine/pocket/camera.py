"""A drawn scene as an ordinary camera sees it: matt coloured bodies in soft light, cloth, noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.pocket.painting import normals
from engine.pocket.scene import Raster
from engine.pocket.styles import Image, Plane
from engine.video.opencv import cv2


@dataclass(frozen=True)
class CameraLook:
    """The light and the colours of one clip, drawn at random; the same for all of its pictures.

    `colors` `[256, 3]` 0..255 per region, `light` a unit vector, `ambient` 0..1 the light from everywhere,
    `cloth` `[H, W]` a faint pattern around 1, `outline` how dark outlines are, `noise` of the sensor.
    """

    colors: NDArray[np.float32]
    light: NDArray[np.float32]
    ambient: float
    cloth: Plane
    outline: float
    noise: float

    @staticmethod
    def random(rng: np.random.Generator, height: int, width: int) -> CameraLook:
        """Colours well spread in brightness, so that neighbours differ."""
        level = rng.permutation((np.arange(256) * 0.618034 + rng.random()) % 1.0)[:, None]
        colors = 255 * (0.1 + 0.8 * level) * rng.uniform(0.6, 1.0, (256, 3))
        light = np.array([rng.uniform(-0.8, 0.8), rng.uniform(-0.9, 0.2), rng.uniform(0.5, 1.0)])
        coarse = rng.normal(size=(height // int(rng.integers(3, 10)) + 1, width // 4 + 1)).astype(np.float32)
        cloth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        return CameraLook(
            colors.astype(np.float32),
            (light / np.linalg.norm(light)).astype(np.float32),
            float(rng.uniform(0.3, 0.8)),
            np.asarray(1 + rng.uniform(0, 0.09) * cloth, np.float32),
            float(rng.choice([0.0, 0.15, 0.3])),
            float(rng.uniform(0, 4)),
        )


def photograph(raster: Raster, look: CameraLook, rng: np.random.Generator) -> Image:
    """The picture u8 `[H, W, 3]` of one moment."""
    lit = np.clip(normals(0.8 * raster.depth) @ look.light, 0, 1) / max(float(look.light[2]), 0.3)
    shade = look.ambient + (1 - look.ambient) * np.clip(lit, 0, 1.5)
    shade = shade * look.cloth * (0.75 + 0.25 * raster.depth) * (1 - look.outline * raster.lines)
    seen = cv2.GaussianBlur(look.colors[raster.ids] * shade[..., None], (0, 0), 0.7)
    seen = seen + look.noise * rng.normal(size=raster.depth.shape).astype(np.float32)[..., None]
    return np.clip(seen, 0, 255).astype(np.uint8)

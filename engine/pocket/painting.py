"""How a picture is painted from what a control picture tells, in the look that the words ask for.

Light falls from the upper left on a relief. A material answers with its colour ramp, its shine and its lines;
where there is no material the setting is seen. Everything is local: no colour depends on where in the picture
a point lies, because a model that sees crops and knows only relative positions could not paint it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.pocket.styles import MATERIALS, PALETTES, SETTINGS, Image, Look, Material, Plane
from engine.video.opencv import cv2

_LIGHT = np.array((-0.45, -0.55, 0.70), np.float32)
LIGHT = _LIGHT / np.linalg.norm(_LIGHT)
"""Unit vector towards the light: x to the right, y down, z towards the viewer."""

HALFWAY = (LIGHT + np.array((0, 0, 1))) / np.linalg.norm(LIGHT + np.array((0, 0, 1)))
"""Where a surface must look to shine at the viewer (Blinn's halfway vector)."""


@dataclass(frozen=True)
class Guide:
    """What a control picture tells, and so all that a picture may depend on beside the words.

    Planes `[H, W]`: `lines` 0..1 where lines are, `tone` 0..1 how light the material is, `near` 0..1 how much
    material there is rather than setting, `height` of the relief in picture heights.
    """

    lines: Plane
    tone: Plane
    near: Plane
    height: Plane

    @property
    def body(self) -> Image:
        """Where there is material rather than setting: u8 `[H, W]`, 1 there."""
        return (self.near > 0.5).astype(np.uint8)


def paint(guide: Guide, look: Look) -> Image:
    """Paint what a control picture tells in a look, RGB u8 `[H, W, 3]`.

    Nothing else enters: the same control and the same words give the same picture, which is what a small
    model can learn, and what makes it follow.
    """
    material = MATERIALS[look.material or "clay"]
    setting = SETTINGS[look.setting or "day"]
    facing = normals(guide.height)
    light = _light(guide.tone, facing, material)
    color = ramp(material, look.palette)[np.clip(light * 255, 0, 255).astype(np.uint8)]
    shine = np.clip(facing @ HALFWAY, 0, 1) ** material.sharpness * material.shine
    color = color + shine[..., None] * (0.35 + 0.65 * color.max(axis=(0, 1)))
    near = guide.near[..., None] * (1 - setting.haze)
    far = np.array(setting.top, np.float32) * (1 - near) + np.array(setting.bottom, np.float32) * near
    return _ink(color * near + far * (1 - near), guide.lines, material, look.palette)


def normals(height: Plane) -> Plane:
    """Unit normals `[H, W, 3]` of a relief in picture heights, a little smoothed."""
    pixels = len(height)
    smooth = cv2.GaussianBlur(height, (0, 0), 0.4 + 0.006 * pixels) * pixels
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, dx, 1 - dx, ksize=3) / 8 for dx in (1, 0))
    facing = np.stack([-across, -down, np.ones_like(across)], 2)
    return np.asarray(facing / np.linalg.norm(facing, axis=2, keepdims=True), np.float32)


def _light(tone: Plane, facing: Plane, material: Material) -> Plane:
    """Where on its colour ramp a material is, 0..1: lit by the lamp, or mirroring sky and ground."""
    lit = np.clip(facing @ LIGHT, 0, None) / LIGHT[2]
    light = tone * (1 - material.relief + material.relief * lit)
    if material.mirror:
        up = -facing[..., 1] - 0.35 * facing[..., 0]
        sky = 0.45 + 0.55 * np.tanh(2.2 * up) + 0.35 * (tone - 0.5)
        light = light + material.mirror * (sky - light)
    if material.bands:
        light = light + material.veins * np.cos(2 * np.pi * material.bands * (tone + 0.3 * light))
    return np.clip(light, 0, 1)


def ramp(material: Material, palette: str | None) -> Plane:
    """Colour table `[256, 3]` of a material, recoloured where a palette word asks for it."""
    stops = np.array(material.ramp, np.float32)
    if palette is not None:
        light = stops.mean(1, keepdims=True)
        tint = np.array(PALETTES[palette], np.float32)
        tinted = np.clip(1.4 * light * (0.12 + 0.88 * tint), 0, 1)
        white = 0.5 * np.clip(4 * light - 3, 0, 1)  # highlights keep little of the colour
        stops = 0.15 * stops + 0.85 * (tinted + white * (1 - tinted)).astype(np.float32)
    at = np.linspace(0, 1, 256)
    stop_at = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(at, stop_at, stops[:, c]) for c in range(3)], 1).astype(np.float32)


def _ink(color: Plane, lines: Plane, material: Material, palette: str | None) -> Image:
    """Draw the lines over the colours the way the material shows them."""
    ink = np.array(material.line, np.float32)
    if palette is not None and material.glow > 0.3:
        ink = 0.25 * ink + 0.75 * np.array(PALETTES[palette], np.float32)
    sharp = np.clip(lines * 1.1, 0, 1)[..., None]
    color = color * (1 - sharp) + ink * sharp
    if material.glow:
        halo = cv2.GaussianBlur(lines, (0, 0), 0.02 * lines.shape[0])[..., None]
        color = color + ink * halo * material.glow
    return np.clip(color * 255 + 0.5, 0, 255).astype(np.uint8)

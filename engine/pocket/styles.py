"""Looks of the drawn scenes: every word of the prompt vocabulary that changes a picture, and how it paints.

A look turns a `Raster` (which region, how deep, where the lines are) into a picture. Materials give a colour
ramp and the way lines catch light, palette words recolour it, settings paint what is behind. Knows nothing
about motion, networks or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Color = tuple[float, float, float]
Image = NDArray[np.uint8]
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Material:
    """Colour stops from shadow to light (RGB 0..1), a line's colour, its glow, how round the surface is."""

    ramp: tuple[Color, ...]
    line: Color
    glow: float = 0.0
    bevel: float = 0.3


@dataclass(frozen=True)
class Setting:
    """Colours of the far background from top to bottom, and how much depth fades into them (0..1)."""

    top: Color
    bottom: Color
    haze: float = 0.15


MATERIALS: dict[str, Material] = {
    "clay": Material(
        ((0.25, 0.22, 0.20), (0.55, 0.48, 0.43), (0.86, 0.80, 0.74)), (0.10, 0.08, 0.08), bevel=0.25
    ),
    "gold": Material(
        ((0.30, 0.14, 0.02), (0.80, 0.52, 0.10), (1.00, 0.88, 0.45)), (1.00, 0.97, 0.80), 0.2, 0.55
    ),
    "chrome": Material(
        ((0.08, 0.10, 0.14), (0.55, 0.60, 0.66), (0.97, 0.98, 1.00)), (0.02, 0.03, 0.05), 0.0, 0.65
    ),
    "lava": Material(
        ((0.06, 0.02, 0.02), (0.22, 0.05, 0.03), (0.45, 0.10, 0.04)), (1.00, 0.55, 0.08), 0.8, 0.2
    ),
    "ice": Material(
        ((0.18, 0.38, 0.58), (0.52, 0.76, 0.90), (0.90, 0.98, 1.00)), (1.00, 1.00, 1.00), 0.25, 0.35
    ),
    "neon": Material(
        ((0.02, 0.01, 0.06), (0.08, 0.03, 0.16), (0.16, 0.06, 0.28)), (0.20, 1.00, 0.95), 0.9, 0.1
    ),
    "marble": Material(
        ((0.62, 0.60, 0.60), (0.82, 0.80, 0.79), (0.97, 0.96, 0.94)), (0.25, 0.24, 0.28), 0.0, 0.2
    ),
    "smoke": Material(
        ((0.14, 0.15, 0.17), (0.36, 0.37, 0.40), (0.64, 0.65, 0.68)), (0.88, 0.89, 0.92), 0.4, 0.2
    ),
    "moss": Material(
        ((0.07, 0.14, 0.04), (0.22, 0.38, 0.10), (0.50, 0.64, 0.22)), (0.03, 0.07, 0.02), 0.0, 0.3
    ),
    "velvet": Material(
        ((0.20, 0.02, 0.10), (0.46, 0.05, 0.22), (0.72, 0.16, 0.38)), (0.96, 0.52, 0.66), 0.15, 0.4
    ),
    "circuit": Material(
        ((0.01, 0.08, 0.05), (0.03, 0.22, 0.13), (0.10, 0.40, 0.24)), (0.60, 1.00, 0.30), 0.5, 0.1
    ),
    "paper": Material(
        ((0.60, 0.54, 0.44), (0.80, 0.75, 0.64), (0.98, 0.95, 0.87)), (0.20, 0.14, 0.10), 0.0, 0.15
    ),
}

PALETTES: dict[str, Color] = {
    "red": (1.00, 0.16, 0.14), "orange": (1.00, 0.55, 0.10), "yellow": (1.00, 0.92, 0.20),
    "green": (0.20, 0.90, 0.28), "cyan": (0.15, 0.90, 0.95), "blue": (0.16, 0.34, 1.00),
    "purple": (0.62, 0.20, 0.95), "pink": (1.00, 0.42, 0.75), "white": (1.00, 1.00, 1.00),
}  # fmt: skip

SETTINGS: dict[str, Setting] = {
    "night": Setting((0.01, 0.02, 0.08), (0.04, 0.06, 0.16), 0.2),
    "day": Setting((0.45, 0.68, 0.94), (0.80, 0.88, 0.94), 0.1),
    "dawn": Setting((0.34, 0.20, 0.44), (0.98, 0.62, 0.40), 0.2),
    "fog": Setting((0.72, 0.74, 0.76), (0.82, 0.83, 0.84), 0.5),
    "space": Setting((0.00, 0.00, 0.01), (0.05, 0.01, 0.10), 0.05),
    "forest": Setting((0.05, 0.16, 0.08), (0.12, 0.26, 0.08), 0.2),
    "ocean": Setting((0.02, 0.20, 0.36), (0.02, 0.42, 0.52), 0.3),
    "city": Setting((0.14, 0.12, 0.20), (0.42, 0.30, 0.26), 0.15),
}

SUBJECTS = ("figure", "portrait", "shapes", "waves", "tunnel", "lines", "blobs")

VOCABULARY: tuple[str, ...] = (*MATERIALS, *PALETTES, *SETTINGS, *SUBJECTS)


@dataclass(frozen=True)
class Look:
    """What the prompt of a scene asks for; None where its words are silent (clay, by day)."""

    material: str | None = None
    palette: str | None = None
    setting: str | None = None
    subject: str | None = None

    @property
    def prompt(self) -> str:
        """The words of this look, as a performer would type them."""
        subject = " ".join(word for word in (self.palette, self.material, self.subject) if word)
        return ", ".join(part for part in (subject, self.setting) if part)


def random_look(rng: np.random.Generator, subject: str) -> Look:
    """A look for training: every word may be missing, so that each learns to act alone."""
    palette = rng.choice(list(PALETTES)) if rng.random() < 0.45 else None
    return Look(
        material=str(rng.choice(list(MATERIALS))) if rng.random() < 0.85 else None,
        palette=None if palette is None else str(palette),
        setting=str(rng.choice(list(SETTINGS))) if rng.random() < 0.75 else None,
        subject=subject if rng.random() < 0.6 else None,
    )


@dataclass(frozen=True)
class Raster:
    """What a scene is before paint: planes `[H, W]` and the skeleton's picture, RGB `[H, W, 3]`.

    Region ids (0 = far background), depth 0..1 (near = 1), lines 0..1, mask 0/1 (1 = the subject).
    """

    ids: Image
    depth: Plane
    lines: Plane
    mask: Image
    pose: Image


def _ramp(material: Material, palette: str | None) -> Plane:
    """Colour table `[256, 3]` of a material, recoloured where a palette word asks for it."""
    stops = np.array(material.ramp, np.float32)
    if palette is not None:
        light = stops.mean(1, keepdims=True)
        tint = np.array(PALETTES[palette], np.float32)
        tinted = np.where(light < 0.5, light * 1.7 * tint, 1 - (1 - light) * (1.6 - 1.1 * tint))
        stops = 0.15 * stops + 0.85 * np.clip(tinted, 0, 1).astype(np.float32)
    at = np.linspace(0, 1, 256)
    stop_at = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(at, stop_at, stops[:, c]) for c in range(3)], 1).astype(np.float32)


@dataclass(frozen=True)
class Guide:
    """What a control picture tells, and so all that a picture may depend on beside the words.

    Planes `[H, W]`, 0..1: `lines` where lines are, `tone` how light the material is, `near` how much material
    there is rather than setting.
    """

    lines: Plane
    tone: Plane
    near: Plane


def paint(guide: Guide, look: Look) -> Image:
    """Paint what a control picture tells in a look, RGB u8 `[H, W, 3]`.

    Nothing else enters: the same control and the same words give the same picture, which is what a small
    model can learn, and what makes it follow.
    """
    material = MATERIALS[look.material or "clay"]
    setting = SETTINGS[look.setting or "day"]
    height = guide.lines.shape[0]
    away = np.minimum(line_distance(guide.lines), 0.12 * height)
    dome = cv2.GaussianBlur(away, (0, 0), 0.012 * height + 0.3)
    slope = cv2.Sobel(dome, cv2.CV_32F, 1, 0, ksize=3) + cv2.Sobel(dome, cv2.CV_32F, 0, 1, ksize=3)
    light = guide.tone + material.bevel * np.clip(-slope / 10, -0.5, 0.5)
    color = _ramp(material, look.palette)[np.clip(light * 255, 0, 255).astype(np.uint8)]
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    far = np.array(setting.top, np.float32) * (1 - down) + np.array(setting.bottom, np.float32) * down
    near = guide.near[..., None] * (1 - setting.haze)
    return _ink(color * near + far * (1 - near), guide.lines, material, look.palette)


def line_distance(lines: Plane) -> Plane:
    """Pixels from each point to the nearest line; the picture's height where there is none."""
    distance = cv2.distanceTransform((lines < 0.3).astype(np.uint8), cv2.DIST_L2, 3)
    return np.minimum(np.asarray(distance, np.float32), np.float32(len(lines)))


def _ink(color: Plane, lines: Plane, material: Material, palette: str | None) -> Image:
    """Draw the lines of a raster over its colours the way the material shows them."""
    ink = np.array(material.line, np.float32)
    if palette is not None and material.glow > 0.3:
        ink = 0.25 * ink + 0.75 * np.array(PALETTES[palette], np.float32)
    sharp = np.clip(lines * 1.1, 0, 1)[..., None]
    color = color * (1 - sharp) + ink * sharp
    if material.glow:
        halo = cv2.GaussianBlur(lines, (0, 0), 0.02 * lines.shape[0])[..., None]
        color = color + ink * halo * material.glow
    return np.clip(color * 255 + 0.5, 0, 255).astype(np.uint8)

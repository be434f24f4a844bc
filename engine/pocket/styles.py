"""Looks of the drawn scenes: every word of the prompt vocabulary that changes a picture, as numbers.

Materials answer light, palette words recolour them, settings are what is behind; `painting` uses them. Knows
nothing about motion, networks or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Color = tuple[float, float, float]
Image = NDArray[np.uint8]
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Material:
    """How a material answers light; colours are RGB 0..1.

    `ramp`: from shadow to light. `line`, `glow`: the colour of its lines and how far they shine. `relief`:
    how much of its light depends on how a surface lies (0..1). `shine`, `sharpness`: strength and narrowness
    of highlights. `mirror`: how much it shows a sky and a ground instead of the lamp (0..1). `bands`,
    `veins`: number and strength of stripes that follow its tones.
    """

    ramp: tuple[Color, ...]
    line: Color
    glow: float = 0.0
    relief: float = 0.6
    shine: float = 0.0
    sharpness: float = 24.0
    mirror: float = 0.0
    bands: float = 0.0
    veins: float = 0.0


@dataclass(frozen=True)
class Setting:
    """Colours of the far background, away from things and around them, and how much it dims them (0..1)."""

    top: Color
    bottom: Color
    haze: float = 0.15


MATERIALS: dict[str, Material] = {
    "clay": Material(
        ((0.20, 0.12, 0.09), (0.55, 0.36, 0.27), (0.80, 0.60, 0.48), (0.93, 0.80, 0.70)),
        (0.12, 0.07, 0.05), relief=0.6,
    ),
    "gold": Material(
        ((0.12, 0.04, 0.00), (0.46, 0.24, 0.03), (0.86, 0.58, 0.10), (1.00, 0.82, 0.30), (1.00, 0.96, 0.72)),
        (1.00, 0.95, 0.70), 0.15, relief=0.95, shine=0.7, sharpness=18,
    ),
    "chrome": Material(
        ((0.02, 0.03, 0.05), (0.16, 0.18, 0.22), (0.50, 0.55, 0.60), (0.82, 0.88, 0.94), (1.00, 1.00, 1.00)),
        (0.02, 0.03, 0.05), relief=1.0, shine=0.8, sharpness=40, mirror=0.75,
    ),
    "lava": Material(
        ((0.03, 0.01, 0.01), (0.14, 0.02, 0.01), (0.55, 0.07, 0.01), (0.95, 0.30, 0.03), (1.00, 0.78, 0.20)),
        (1.00, 0.55, 0.08), 0.7, relief=0.55,
    ),
    "ice": Material(
        ((0.06, 0.22, 0.42), (0.22, 0.52, 0.76), (0.56, 0.82, 0.94), (0.88, 0.97, 1.00)),
        (1.00, 1.00, 1.00), 0.2, relief=0.7, shine=0.6, sharpness=30,
    ),
    "neon": Material(
        ((0.01, 0.00, 0.04), (0.05, 0.01, 0.14), (0.16, 0.03, 0.34), (0.42, 0.08, 0.62)),
        (0.15, 1.00, 0.95), 0.9, relief=0.5,
    ),
    "marble": Material(
        ((0.40, 0.40, 0.43), (0.72, 0.71, 0.71), (0.90, 0.89, 0.87), (1.00, 0.99, 0.97)),
        (0.34, 0.34, 0.38), relief=0.5, shine=0.15, sharpness=20, bands=3.0, veins=0.10,
    ),
    "smoke": Material(
        ((0.05, 0.05, 0.06), (0.20, 0.21, 0.23), (0.38, 0.39, 0.42), (0.60, 0.61, 0.64)),
        (0.70, 0.71, 0.74), 0.5, relief=0.3,
    ),
    "moss": Material(
        ((0.02, 0.06, 0.01), (0.10, 0.22, 0.04), (0.28, 0.45, 0.10), (0.58, 0.70, 0.24)),
        (0.02, 0.06, 0.01), relief=0.7,
    ),
    "velvet": Material(
        ((0.88, 0.30, 0.52), (0.52, 0.04, 0.24), (0.30, 0.01, 0.14), (0.44, 0.04, 0.22), (0.86, 0.34, 0.54)),
        (0.98, 0.58, 0.72), 0.1, relief=0.9,
    ),
    "circuit": Material(
        ((0.00, 0.05, 0.03), (0.01, 0.14, 0.08), (0.03, 0.34, 0.18), (0.30, 0.85, 0.40)),
        (0.65, 1.00, 0.35), 0.5, relief=0.3, bands=4.0, veins=0.16,
    ),
    "paper": Material(
        ((0.60, 0.52, 0.40), (0.84, 0.77, 0.63), (0.96, 0.91, 0.80), (1.00, 0.98, 0.90)),
        (0.22, 0.15, 0.10), relief=0.35,
    ),
    "fire": Material(
        ((0.45, 0.03, 0.00), (0.85, 0.16, 0.00), (1.00, 0.48, 0.02), (1.00, 0.80, 0.20), (1.00, 0.97, 0.75)),
        (1.00, 0.92, 0.45), 0.9, relief=0.4,
    ),
    "water": Material(
        ((0.00, 0.10, 0.16), (0.00, 0.26, 0.30), (0.02, 0.46, 0.46), (0.28, 0.72, 0.66), (0.85, 1.00, 0.96)),
        (0.75, 1.00, 0.95), 0.1, relief=0.8, shine=0.9, sharpness=50, mirror=0.45, bands=2.0, veins=0.10,
    ),
    "glass": Material(
        ((0.20, 0.04, 0.00), (0.80, 0.05, 0.10), (0.45, 0.02, 0.45), (0.04, 0.12, 0.80), (0.05, 0.62, 0.45),
         (0.98, 0.85, 0.25)),
        (0.01, 0.01, 0.01), relief=0.95, shine=0.4, sharpness=30, bands=1.5, veins=0.16,
    ),
}  # fmt: skip

PALETTES: dict[str, Color] = {
    "red": (1.00, 0.16, 0.14), "orange": (1.00, 0.55, 0.10), "yellow": (1.00, 0.92, 0.20),
    "green": (0.20, 0.90, 0.28), "cyan": (0.15, 0.90, 0.95), "blue": (0.16, 0.34, 1.00),
    "purple": (0.62, 0.20, 0.95), "pink": (1.00, 0.42, 0.75), "white": (1.00, 1.00, 1.00),
}  # fmt: skip

SETTINGS: dict[str, Setting] = {
    "night": Setting((0.01, 0.02, 0.08), (0.04, 0.06, 0.16), 0.2),
    "day": Setting((0.45, 0.68, 0.94), (0.80, 0.88, 0.94), 0.1),
    "dawn": Setting((0.34, 0.20, 0.44), (0.98, 0.62, 0.40), 0.2),
    "fog": Setting((0.72, 0.74, 0.76), (0.82, 0.83, 0.84), 0.3),
    "space": Setting((0.00, 0.00, 0.01), (0.05, 0.01, 0.10), 0.05),
    "forest": Setting((0.05, 0.16, 0.08), (0.12, 0.26, 0.08), 0.2),
    "ocean": Setting((0.02, 0.20, 0.36), (0.02, 0.42, 0.52), 0.2),
    "city": Setting((0.14, 0.12, 0.20), (0.42, 0.30, 0.26), 0.15),
}

SUBJECTS = (
    "figure", "portrait", "shapes", "waves", "tunnel", "lines", "blobs", "hand", "landscape", "particles",
)  # fmt: skip

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


def without_material(prompt: str) -> str:
    """A look's prompt without the words for what things are made of and for their colour.

    What is left, who and where, is what a performer still says when a reference is to tell the rest.
    """
    parts = (
        " ".join(word for word in part.split() if word not in MATERIALS and word not in PALETTES)
        for part in prompt.split(", ")
    )
    return ", ".join(part for part in parts if part)


def random_look(rng: np.random.Generator, subject: str) -> Look:
    """A look for training: every word may be missing, so that each learns to act alone."""
    palette = rng.choice(list(PALETTES)) if rng.random() < 0.45 else None
    return Look(
        material=str(rng.choice(list(MATERIALS))) if rng.random() < 0.85 else None,
        palette=None if palette is None else str(palette),
        setting=str(rng.choice(list(SETTINGS))) if rng.random() < 0.75 else None,
        subject=subject if rng.random() < 0.6 else None,
    )

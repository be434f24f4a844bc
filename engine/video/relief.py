"""A relief of a person: how near each part would be if a body were round, from its outline and its shading.

It is not a measured depth. What is known is where the person is; everything else is a guess that suits
people: a body is round, so its middle is nearer than its rim, and the room behind rises away from the floor.

The height over the outline is that of a membrane which air blows up from below and a spring holds down: the
equation  laplace(u) - u / reach^2 = -1 / reach^2  inside, u = 0 on the rim, whose square root is a half
circle near the rim and level further than `reach` inside. So a head is a ball and a chest does not tower over
it. Where the picture's border cuts the person the body goes on, so the membrane is not held down there.
"""

import math

import numpy as np
import numpy.typing as npt

from engine.core.types import Image
from engine.video.opencv import cv2

Plane = npt.NDArray[np.float32]

PERSON = 0.40  # how near the person's rim is; its middle is nearly 1
_FLOOR = 0.30  # how near the room is at the lower border; at the upper one it is 0
_ROWS = 180  # shape and shading are found on at most so many rows: both are smooth
_GRIDS = (12, 24, 48)  # rows of the grids on which the membrane is solved, coarse to fine
_TURNS = (40, 24, 16)  # turns of relaxation on each
_REACH = 0.22  # of the square root of the person's area
_SHADING = 0.11  # the most that shading adds or takes at detail 1
_FINE, _COARSE = 0.008, 0.07  # blurs between which shading lies, in parts of the picture's height
_LEAST = 0.05  # islands smaller than this part of the largest are no part of a person
_NEIGHBOURS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32)


def relief(image: Image, sure: Plane, detail: float) -> Plane:
    """How near each pixel is, f32 [H, W] from 0 (far) to 1 (near).

    `image` u8 [H, W, 3], `sure` f32 [H, W]: how surely a pixel belongs to the person, 0..1; `detail` 0..1:
    how much the person's shading is read as shape.
    """
    height, width = sure.shape
    room = np.linspace(0, _FLOOR, height, dtype=np.float32)[:, None]
    # Certainty rises over several pixels: read as a slope it would be a soft rim, which depth has not.
    inside = np.clip((sure - np.float32(0.5)) * 4 + np.float32(0.5), 0, 1) * _mainland(sure)
    area = float(inside.mean())
    if area == 0:
        return np.ascontiguousarray(np.broadcast_to(room, (height, width)))
    small = _at_most(inside, _ROWS)
    reach = _REACH * math.sqrt(area * width / height)  # in picture heights
    body = PERSON + np.float32(1 - PERSON - _SHADING / 2) * _raised(small, reach)
    if detail > 0:
        luma = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)
        shade = _shading(_at_most(luma, _ROWS), small)
        body += shade * np.float32(_SHADING * min(detail, 1.0))
    body = np.asarray(cv2.resize(body, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    return np.clip(room + (body - room) * inside, 0, 1).astype(np.float32)


def _mainland(sure: Plane) -> npt.NDArray[np.bool_]:
    """Where `sure` belongs to the largest pieces: specks of a cushion or a curtain are left out."""
    person = (sure >= 0.375).astype(np.uint8)  # as far as the rim reaches
    count, labels, stats, _ = cv2.connectedComponentsWithStats(person, connectivity=8)
    areas = np.asarray(stats)[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    keep = areas >= max(_LEAST * float(areas.max(initial=0)), 1)
    return np.asarray(keep[np.asarray(labels)], np.bool_) if count > 1 else np.zeros(sure.shape, np.bool_)


def _at_most(plane: Plane, rows: int) -> Plane:
    """`plane` (f32 [H, W]) shrunk to at most `rows` rows."""
    height, width = plane.shape
    if height <= rows:
        return plane
    size = (max(1, round(width * rows / height)), rows)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)


def _raised(inside: Plane, reach: float) -> Plane:
    """The membrane's height over `inside` (f32 [H, W], 0..1), from 0 at the rim to nearly 1."""
    height, width = inside.shape
    u: Plane = np.zeros((1, 1), np.float32)
    for rows, turns in zip(_GRIDS, _TURNS, strict=True):
        rows = min(rows, height)
        columns = max(1, round(width * rows / height))
        wall = np.asarray(cv2.resize(inside, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
        u = np.asarray(cv2.resize(u, (columns, rows), interpolation=cv2.INTER_LINEAR), np.float32)
        spring = np.float32(1 / max(reach * rows, 0.5) ** 2)  # grid cells
        for _ in range(turns):
            around = cv2.filter2D(u, cv2.CV_32F, _NEIGHBOURS, borderType=cv2.BORDER_REPLICATE)
            u = np.asarray(wall * (around + spring) / (4 + spring), np.float32)
    smooth = cv2.resize(np.sqrt(np.maximum(u, 0)), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.asarray(smooth, np.float32), 0, 1)


def _shading(luma: Plane, inside: Plane) -> Plane:
    """What of the person's light (f32 [H, W], 0..255) looks like shape, f32 [H, W] in -1..1.

    Bright is near, eyes are hollow. It is taken between two blurs, so that neither noise nor a dark coat
    becomes shape, and within the person only, so that a bright wall behind does not press on the rim.
    """
    height = luma.shape[0]
    wide = max(_COARSE * height, 1.0)
    weight = np.maximum(cv2.GaussianBlur(inside, (0, 0), wide), np.float32(1e-3))
    fine = cv2.GaussianBlur(luma, (0, 0), max(_FINE * height, 0.5))
    change = (fine - cv2.GaussianBlur(luma * inside, (0, 0), wide) / weight) * inside
    return np.asarray(np.tanh(change * np.float32(4 / 255)), np.float32)

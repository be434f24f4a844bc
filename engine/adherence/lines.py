"""Edge F: how well the lines of a picture follow those of its control picture.

Both pictures are reduced to lines one pixel wide. Precision is the part of the generated lines with a control
line at most TOLERANCE pixels away, recall the part of the control lines with a generated line that near; the
score of a frame is their harmonic mean (edge F, 0..1). Exchanging the two pictures gives the same score. A
frame whose control picture has no line says nothing and is left out; a generated frame without any line
scores 0. Dense random lines score well above 0: read the score against the one at context scale 0.

Lines of a generated frame: luma, Gaussian blur of BLUR pixels, Canny with THRESHOLDS (Sobel units, L2 norm).
Lines of the control picture: the thinned strokes of a scribble or of edges; for others Canny as above.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from engine.core.types import Image
from engine.video.opencv import cv2

TOLERANCE = 2  # pixels, Euclidean
BLUR = 1.0  # pixels
THRESHOLDS = (35.0, 85.0)

Lines = npt.NDArray[np.bool_]


def edge_f(generated: Lines, control: Lines, tolerance: float = TOLERANCE) -> float:
    """The score 0..1 of two line pictures [H, W] (True on a line); 1 when both are empty."""
    if not generated.any() or not control.any():
        return float(generated.any() == control.any())
    precision = _part_near(generated, control, tolerance)
    recall = _part_near(control, generated, tolerance)
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def picture_lines(image: Image) -> Lines:
    """The lines [H, W] of a picture u8 [H, W, 3]."""
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    lines = cv2.Canny(cv2.GaussianBlur(luma, (0, 0), BLUR), *THRESHOLDS, L2gradient=True)
    return np.asarray(lines > 0, np.bool_)


def control_lines(control: Image, annotator: str) -> Lines:
    """The lines [H, W] that a control picture u8 [H, W, 3] asks for."""
    reduce = _STROKES.get(annotator)
    if reduce is None:
        return picture_lines(control)
    return np.asarray(cv2.ximgproc.thinning(reduce(control[..., 1])) > 0, np.bool_)


def _part_near(lines: Lines, others: Lines, tolerance: float) -> float:
    """The part of the pixels of `lines` that have a pixel of `others` within `tolerance`."""
    away = cv2.distanceTransform((~others).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float((away[lines] <= tolerance).mean())


def _dark(plane: Image) -> Image:
    return np.where(plane < 128, 255, 0).astype(np.uint8)


def _bright(plane: Image) -> Image:
    return np.where(plane >= 128, 255, 0).astype(np.uint8)


# Annotators whose control picture consists of lines: which of its pixels are line.
_STROKES: Mapping[str, Callable[[Image], Image]] = {"scribble": _dark, "edges": _bright}

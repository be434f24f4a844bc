"""What is measured of single pictures, beside their lines: depth, masks, joints, colours, sharpness.

Plain functions of arrays. Where the depth or the joints of a generated picture come from is the judge's
business (`engine.adherence.judge`).
"""

import numpy as np
import numpy.typing as npt

from engine.core.types import Image
from engine.video.opencv import cv2

Plane = npt.NDArray[np.float32]
Points = npt.NDArray[np.float32]
Shares = npt.NDArray[np.float32]
Inside = npt.NDArray[np.bool_]

REACH = 0.2  # PCK: part of the body's length within which a joint counts as found
NOSE, NECK, RIGHT_HIP, LEFT_HIP = 0, 1, 8, 11  # OpenPose's numbers
SSIM_SIGMA, SSIM_WIDTH = 1.5, 11  # the window of Wang et al. 2004, "Image quality assessment"
SSIM_STEADY = (0.01**2, 0.03**2)
ANOTHER_COLOUR, SPECK = 15.0, 0.02
BEST_PSNR = 100.0
"""What is said of pictures that are the same to the bit, in dB: their error has no logarithm."""


def depth_rmse(read: Plane, true: Plane) -> float:
    """Root of the mean squared error of two relative depths [H, W] in 0..1 (near = 1).

    As is customary for relative depth, the scale and the shift of `read` that fit best are applied first
    (least squares, per picture; MiDaS, Ranftl et al. 2020), then it is held to 0..1. So the error of a
    reading that says nothing is the deviation of the true depth, and no reading is worse.
    """
    x, y = np.asarray(read, np.float64).ravel(), np.asarray(true, np.float64).ravel()
    spread = float(x.var())
    scale = float(((x - x.mean()) * (y - y.mean())).mean()) / spread if spread > 1e-8 else 0.0
    fitted = np.clip(scale * (x - x.mean()) + y.mean(), 0, 1)
    return float(np.sqrt(((fitted - y) ** 2).mean()))


def mask_ssim(read: Plane, asked: Plane) -> float:
    """Structural similarity of two masks [H, W] with values in 0..1: 1 where they are the same.

    The mean over the picture of the index of Wang et al. 2004 (Gaussian window of deviation 1.5, range 1).
    Where both masks are empty it is 1, so that a reading of nothing scores the part that is to be empty: read
    it against the score at context scale 0.
    """
    return float(_ssim(np.asarray(read, np.float32), np.asarray(asked, np.float32)).mean())


def repainted(shown: Image, source: Image) -> Plane:
    """Where a picture u8 [H, W, 3] has other colours than `source`, [H, W]: 1 there, 0 elsewhere.

    Colours are averaged over about a fiftieth of the picture's height and differ by more than a delta E (CIE
    1976) of 15: more than an autoencoder's copy of a picture is off by, and less than a new material changes.
    """
    reach = SPECK * shown.shape[0]
    a, b = (cv2.GaussianBlur(_lab(picture), (0, 0), reach) for picture in (shown, source))
    return (np.linalg.norm(a - b, axis=2) > ANOTHER_COLOUR).astype(np.float32)


def kept_ssim(shown: Image, source: Image, kept: Inside) -> float:
    """Structural similarity of the luma of two pictures u8 [H, W, 3] where `kept` [H, W] is True.

    The mean there of the index of Wang et al. 2004. What lies elsewhere does not count, not even in the
    windows at the border: both pictures are given the source's pixels there.
    """
    a, b = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255 for picture in (shown, source))
    return float(_ssim(np.where(kept, a, b).astype(np.float32), b.astype(np.float32))[kept].mean())


def psnr(shown: Image, source: Image, counted: Inside | None = None) -> float:
    """Peak signal-to-noise ratio in dB of pictures u8 [..., H, W, 3], where `counted` [..., H, W] is True.

    At most 100, which is said of equal pictures.
    """
    away = (shown.astype(np.float64) - source.astype(np.float64)) ** 2
    error = float((away if counted is None else away[counted]).mean())
    return min(BEST_PSNR, 10 * float(np.log10(255**2 / error))) if error else BEST_PSNR


def change(pictures: Image, others: Image) -> float:
    """How far two clips u8 [F, H, W, 3] are apart: the mean over all pixels of delta E (CIE 1976)."""
    apart = [np.linalg.norm(_lab(a) - _lab(b), axis=2).mean() for a, b in zip(pictures, others, strict=True)]
    return float(np.mean(apart))


def overlap(first: Shares, second: Shares) -> float:
    """How alike two readings [M] of shares that add up to 1 are: Bhattacharyya's coefficient, 0..1."""
    return float(np.sqrt(first * second).sum())


def pose_pck(read: Points, asked: Points, height: int, width: int) -> float | None:
    """The part of the joints that lie within 0.2 of a body's length of where they should be (PCK@0.2).

    `read` and `asked` [14, 2] are x, y in pixels, in OpenPose's order; only those of `asked` count that are
    finite and inside the picture. The length is the torso's, neck to the middle of the hips; where the
    picture does not show a hip, the head's, nose to neck. None where the length or every joint is missing.
    """
    inside = np.isfinite(asked) & (asked >= 0) & (asked < np.array([width, height]))
    counted = np.asarray(inside.all(1), np.bool_)
    length = _body_length(asked, counted)
    if length is None:
        return None
    away = np.linalg.norm(read[counted] - asked[counted], axis=1)
    return float((away <= REACH * length).mean())


def _body_length(joints: Points, counted: npt.NDArray[np.bool_]) -> float | None:
    """Pixels from neck to hips, or from nose to neck; None where neither is in the picture."""
    if not counted[NECK]:
        return None
    hips = [joint for joint in (RIGHT_HIP, LEFT_HIP) if counted[joint]]
    if hips:
        return float(np.linalg.norm(joints[hips].mean(0) - joints[NECK]))
    return float(np.linalg.norm(joints[NOSE] - joints[NECK])) if counted[NOSE] else None


def colour_distance(picture: Image, other: Image) -> float:
    """How far the colours of two pictures u8 [H, W, 3] are apart, wherever they are, in CIE Lab units.

    Root of the squared differences of mean and deviation of L, a and b: the 2-Wasserstein distance of normal
    distributions with those, channels apart. Two even pictures are their delta E (CIE 1976) apart.
    """
    a, b = np.stack(cv2.meanStdDev(_lab(picture))), np.stack(cv2.meanStdDev(_lab(other)))
    return float(np.sqrt(((a - b) ** 2).sum()))


def tint_distance(picture: Image, subject: Plane, colour: tuple[float, float, float]) -> float:
    """How far the mean tint of the subject is from a colour (RGB 0..1), in the a-b plane of CIE Lab.

    Lightness is the material's and is left out. `subject` [H, W] is 1 where the subject is; where that is
    nowhere, the whole picture counts.
    """
    inside = subject > 0.5
    seen = _lab(picture)[inside if inside.any() else np.ones_like(inside)].mean(0)
    wanted = cv2.cvtColor(np.array([[colour]], np.float32), cv2.COLOR_RGB2LAB)[0, 0]
    return float(np.linalg.norm(seen[1:] - wanted[1:]))


def sharpness(picture: Image) -> float:
    """Mean size of the Laplacian of the luma of a picture u8 [H, W, 3], in gray levels."""
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return float(np.abs(cv2.Laplacian(luma, cv2.CV_32F)).mean())


def _lab(picture: Image) -> Plane:
    """CIE Lab [H, W, 3]: L 0..100, a and b about -128..127."""
    lab = cv2.cvtColor(picture.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    return np.asarray(lab, np.float32)


def _ssim(a: Plane, b: Plane) -> Plane:
    """The index of Wang et al. 2004 at every point of two planes [H, W] in 0..1."""
    mean_a, mean_b = _window(a), _window(b)
    var_a, var_b = _window(a * a) - mean_a**2, _window(b * b) - mean_b**2
    both = _window(a * b) - mean_a * mean_b
    light, contrast = SSIM_STEADY
    index = ((2 * mean_a * mean_b + light) * (2 * both + contrast)) / (
        (mean_a**2 + mean_b**2 + light) * (var_a + var_b + contrast)
    )
    return np.asarray(index, np.float32)


def _window(plane: Plane) -> Plane:
    blurred = cv2.GaussianBlur(plane, (SSIM_WIDTH, SSIM_WIDTH), SSIM_SIGMA)
    return np.asarray(blurred, np.float32)

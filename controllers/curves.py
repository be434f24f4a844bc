"""From where a hand is to where a value is: curve, range and direction, and all of it backwards.

Pure functions on 0..1. "Position" is the hardware's place, "norm" the parameter's place on its knob
(`Parameter.normalized`). The way back is exact, so that pick-up can compare both in one space.
"""

import math
from typing import Literal, TypeAlias

Curve: TypeAlias = Literal["linear", "exp", "log", "s"]
CURVES: tuple[Curve, ...] = ("linear", "exp", "log", "s")

_BEND = 3.0  # how strongly exp and log lean: half way is 0.18 and 0.79
_TOP = math.expm1(_BEND)


def shape(curve: Curve, x: float) -> float:
    """`x` (0..1) bent by `curve`: exp is fine at the low end, log at the high end, s at both ends."""
    x = min(max(x, 0.0), 1.0)
    if curve == "exp":
        return math.expm1(_BEND * x) / _TOP
    if curve == "log":
        return math.log1p(_TOP * x) / _BEND
    if curve == "s":
        return x * x * (3.0 - 2.0 * x)
    return x


def unshape(curve: Curve, y: float) -> float:
    """The `x` for which `shape(curve, x)` is `y`."""
    y = min(max(y, 0.0), 1.0)
    if curve == "exp":
        return shape("log", y)
    if curve == "log":
        return shape("exp", y)
    if curve == "s":
        return 0.5 - math.sin(math.asin(1.0 - 2.0 * y) / 3.0)
    return y


def place(position: float, curve: Curve, low: float, high: float, invert: bool) -> float:
    """The norm a hardware `position` means. `low` and `high` are norms; low > high reverses."""
    bent = shape(curve, 1.0 - position if invert else position)
    return low + (high - low) * bent


def locate(norm: float, curve: Curve, low: float, high: float, invert: bool) -> float:
    """The hardware position that means `norm`; the nearest end when it is out of reach."""
    if low == high:
        return 0.0
    position = unshape(curve, (norm - low) / (high - low))
    return 1.0 - position if invert else position

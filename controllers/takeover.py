"""Soft takeover: when does a knob that stands elsewhere than the value get hold of it?

Pure functions over a small frozen state, all in hardware positions 0..1. The pick-up rule is the one
DJ software uses, with one change on purpose: a pair of messages that brackets the value also counts
when it is slow (up to 250 ms apart), so that a throttled sender that crosses the value is not ignored.
"""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

Mode: TypeAlias = Literal["pickup", "none", "scaling", "relative"]
MODES: tuple[Mode, ...] = ("pickup", "none", "scaling", "relative")

THRESHOLD = 3 / 128
WINDOW_S = 0.050
BRACKET_S = 0.250

_STEP = 1 / 127
_LARGEST_DELTA = 64 / 127


@dataclass(frozen=True, slots=True)
class Touch:
    """What is remembered of one control on one binding.

    `hardware` is where it stood last (None: never heard) and `hardware_at` when; `accepted_at` when it
    last moved the value (None: never, or the value was changed elsewhere since). `position` is where it
    put the value, unrounded, for as long as nobody else changed it. `held`: did its last message count?
    """

    hardware: float | None = None
    hardware_at: float = 0.0
    accepted_at: float | None = None
    position: float | None = None
    held: bool = False


def move(mode: Mode, touch: Touch, current: float, new: float, now: float) -> tuple[Touch, float | None]:
    """The control moved to `new` at `now` while the value stands at `current` (both 0..1).

    Returns the new state and the position the value takes, or None when the message is ignored.
    """
    target = _target(mode, touch, current, new, now)
    if target is None:
        return replace(touch, hardware=new, hardware_at=now, held=False), None
    return Touch(new, now, accepted_at=now, position=target, held=True), target


def changed_elsewhere(touch: Touch) -> Touch:
    """The state after somebody else changed the value: the control has to pick it up again."""
    return replace(touch, accepted_at=None, position=None, held=False)


def _target(mode: Mode, touch: Touch, current: float, new: float, now: float) -> float | None:
    if mode == "none":
        return new
    if touch.hardware is None:
        return None
    if mode == "scaling":
        return _scaled(touch.hardware, current, new)
    if mode == "relative":
        return _dragged(touch.hardware, current, new)
    return new if _picks_up(touch, touch.hardware, current, new, now) else None


def _picks_up(touch: Touch, previous: float, current: float, new: float, now: float) -> bool:
    if abs(current - new) <= THRESHOLD:
        return True
    recently = touch.accepted_at is not None and now - touch.accepted_at <= WINDOW_S
    same_side = (previous - current) * (new - current) > 0
    if not same_side:
        return recently or now - touch.hardware_at <= BRACKET_S
    return recently and abs(current - previous) <= THRESHOLD


def _scaled(previous: float, current: float, new: float) -> float:
    """Both reach the same end together; where they meet they stay together."""
    if new > previous:
        current += (new - previous) * (1.0 - current) / (1.0 - previous)
    elif new < previous:
        current += (new - previous) * current / previous
    return min(max(current, 0.0), 1.0)


def _dragged(previous: float, current: float, new: float) -> float:
    """The value moves by as much as the control did; the control's ends are the value's ends."""
    if new <= _STEP:
        return 0.0
    if new >= 1.0 - _STEP:
        return 1.0
    delta = min(max(new - previous, -_LARGEST_DELTA), _LARGEST_DELTA)
    return min(max(current + delta, 0.0), 1.0)

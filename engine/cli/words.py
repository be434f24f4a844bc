"""Words of the command line as checked values; each mistake is said with what would be right."""

import argparse
from collections.abc import Collection

from engine.core.errors import CuelightError
from engine.core.parameters import TABLE


def seconds(text: str) -> float:
    """A length of time above 0, at most a day."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 24 * 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def clip_count(text: str) -> int:
    """A number of clips; 0 for none."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of clips")
    return int(text)


def processes(text: str) -> int:
    """A number of processes from 1 to 64."""
    if not (text.isdecimal() and 1 <= int(text) <= 64):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes from 1 to 64")
    return int(text)


def scales(text: str) -> tuple[float, ...]:
    """Context scales with commas between, each as the table allows them."""
    try:
        return tuple(float(TABLE["vace.context_scale"].parse(part)) for part in text.split(","))
    except CuelightError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def controls(text: str) -> tuple[str, ...]:
    """Names of controls that adherence measures, with commas between."""
    from engine.adherence.measure import FOLLOWED

    return _names(text, FOLLOWED)


def modes(text: str) -> tuple[str, ...]:
    """Names of modes that adherence measures, with commas between."""
    from engine.adherence.modes import MODES

    return _names(text, MODES)


def size(text: str) -> tuple[int, int]:
    """`HxW` as (height, width) in pixels; whether a model can make it is the model's to say."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 368x640 (height x width)")
    return int(height), int(width)


def _names(text: str, known: Collection[str]) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
    return names

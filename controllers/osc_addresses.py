"""The OSC addresses and what they accept, derived from the table of parameters. Pure functions.

Every parameter has one fixed address in native units, e.g. /cuelight/vace/context_scale, and the same
with /norm for 0..1. Nothing has to be learned.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.core.commands import COMMANDS, command_address
from engine.core.errors import ParameterError
from engine.core.parameters import TABLE, Parameter, Value

COMMAND_ADDRESSES: Mapping[str, str] = {command_address(name): name for name in COMMANDS}

_TYPES = {"float": "f", "int": "i", "bool": "T, F or i", "choice": "s or i", "text": "s"}


class Target(NamedTuple):
    """What an address sets: a parameter, in native units or as 0..1."""

    parameter: Parameter
    normalized: bool


def targets(table: Mapping[str, Parameter] = TABLE) -> dict[str, Target]:
    """All parameter addresses."""
    found: dict[str, Target] = {}
    for parameter in table.values():
        found[parameter.osc_address] = Target(parameter, False)
        if parameter.kind != "text":
            found[parameter.osc_address + "/norm"] = Target(parameter, True)
    return found


def osc_addresses() -> list[tuple[str, str, str, str]]:
    """All addresses for a person: (address, type tags, range, help)."""
    listed = []
    for address, target in targets().items():
        parameter = target.parameter
        if target.normalized:
            listed.append((address, "f", "0 to 1", f"{parameter.label}, from its low to its high end."))
        else:
            listed.append((address, _TYPES[parameter.kind], parameter.allowed, parameter.help))
    for address, name in COMMAND_ADDRESSES.items():
        listed.append((address, "none, or i", "anything but 0", COMMANDS[name]))
    return listed


def read(target: Target, value: Value) -> Value:
    """What the address answers and feeds back for a native `value`."""
    return target.parameter.normalized(value) if target.normalized else value


def write(target: Target, arguments: Sequence[object]) -> tuple[Value, bool]:
    """The native value the arguments ask for, and whether they were out of range.

    Tolerant: int for float and back, T, F, nil, 0 and 1 for bool, a choice by name or index, numbers
    written as text. Raises ParameterError for what has no nearest value.
    """
    parameter = target.parameter
    if not arguments:
        raise ParameterError(f"{parameter.osc_address} came without a value", f"send {parameter.allowed}")
    argument = arguments[0]
    if argument is None and parameter.kind == "bool":
        argument = False
    if isinstance(argument, str) and parameter.kind != "text" and argument not in parameter.choices:
        argument = _number(parameter, argument)
    if not target.normalized:
        return parameter.clamp(argument)
    if not isinstance(argument, int | float) or argument != argument:
        raise ParameterError(
            f"{parameter.osc_address}/norm cannot be {argument!r}", "send a number from 0 to 1"
        )
    return parameter.native(argument), not 0 <= argument <= 1


def _number(parameter: Parameter, text: str) -> float | Value:
    try:
        return float(text)
    except ValueError:
        return parameter.parse(text)  # on, off, ...; its error names the parameter and what is allowed

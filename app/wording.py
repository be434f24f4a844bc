"""The table's rows and the commands in words: names, values, tooltips, what the latency badges mean."""

from collections.abc import Mapping

from controllers.binding import COMMAND_PREFIX
from engine.core.commands import COMMANDS, TAKES, command_address
from engine.core.parameters import TABLE, Parameter, Value
from engine.core.parameters import row as row_of

# effect: letter, meaning
BADGES: Mapping[str, tuple[str, str]] = {
    "frame": ("N", "now, at the next output frame"),
    "step": ("S", "at the next denoising step"),
    "chunk": ("C", "at the next chunk"),
    "reload": ("R", "after a reload; the picture is held meanwhile"),
}


def value_text(row: Parameter, value: Value) -> str:
    """A value as the performer reads it."""
    if row.kind == "float":
        return f"{float(value):.2f}{' ' + row.unit if row.unit else ''}"
    if row.kind == "int":
        if row.zero and value == 0:
            return row.zero
        return f"{int(value)}{' ' + row.unit if row.unit else ''}"
    if row.kind == "bool":
        return "on" if value else "off"
    return str(value)


def tooltip(row: Parameter) -> str:
    """What a row does, when it is heard, and how it is reached from outside."""
    letter, meaning = BADGES[row.effect]
    return f"{row.help}\n{letter}: heard {meaning}\nOSC {row.osc_address}"


def command_tooltip(name: str, shortcut: str = "") -> str:
    """What a command does, which key of the keyboard asks for it, and how it is reached from outside."""
    key = f"\nKey {shortcut}" if shortcut else ""
    return f"{COMMANDS[name]}{key}\nOSC {command_address(name)}"


def label_of(key: str) -> str:
    """The name of what a binding plays: a parameter, or "command.NAME"; `key` itself where it is unknown."""
    if key in TABLE:
        return TABLE[key].label
    name = key.removeprefix(COMMAND_PREFIX)
    if name in TAKES:
        return f"Output as {row_of(TAKES[name]).label.lower()}"
    return name.capitalize() if name in COMMANDS else key


def address_of(key: str) -> str:
    """The OSC address of what a binding plays. Raises ParameterError for an unknown parameter."""
    if key.startswith(COMMAND_PREFIX):
        return command_address(key.removeprefix(COMMAND_PREFIX))
    return row_of(key).osc_address

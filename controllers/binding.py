"""One binding: which control moves which parameter, and how. Pure data and its checks.

It knows neither files (mapping.py) nor what a control did before (router.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from controllers.curves import Curve
from controllers.signal import ControlSignal, Encoding, SignalKind
from controllers.takeover import Mode
from engine.core.commands import COMMANDS
from engine.core.errors import ControllerError, ParameterError, shown
from engine.core.parameters import TABLE, Parameter, Value, row

ControlType: TypeAlias = Literal["cc", "cc14", "cc_relative", "note", "note_off", "bend", "program"]
ButtonMode: TypeAlias = Literal["toggle", "momentary", "trigger", "cycle"]
End: TypeAlias = float | str | None

TYPES: tuple[ControlType, ...] = ("cc", "cc14", "cc_relative", "note", "note_off", "bend", "program")
BUTTONS: tuple[ButtonMode, ...] = ("toggle", "momentary", "trigger", "cycle")
ENCODINGS: tuple[Encoding, ...] = ("twos", "signed", "signed2", "offset")

COMMAND_PREFIX = "command."

LSB_OFFSET = 32  # CC n carries the coarse 7 bits of a fine fader, CC n + 32 the fine ones
_NO_RELEASE = ("note_off", "program")


@dataclass(frozen=True, kw_only=True)
class Binding:
    """One control of one device on one parameter. A bad field raises ControllerError naming it.

    `key` is a parameter, or "command.reset" and the like. `device` "" is any device, `channel` 0 any
    channel. `type` says how the control speaks:

    | type        | control                                     | `number`    |
    |-------------|---------------------------------------------|-------------|
    | cc          | knob, fader, or button on a CC              | CC 0..127   |
    | cc14        | fine fader: CC n and n + 32 together        | CC 0..31    |
    | cc_relative | endless encoder, `encoding` says which kind | CC 0..127   |
    | note        | pad or key, with its release                | note 0..127 |
    | note_off    | pad that only ever sends note-off           | note 0..127 |
    | bend        | pitch wheel                                 | 0           |
    | program     | program change                              | 0..127      |

    `min` and `max` are the ends in the parameter's own units (None: the row's own ends); min > max
    reverses. Pads, and everything on a bool or text row, are buttons: pressed is `max`, released `min`
    (the name of a choice or a text may stand there), played as `button` says; "cycle" steps through the
    choices of a choice row instead. `threshold` (1..127) is where a CC counts as pressed. `extra` holds
    fields of a newer version, kept for the file.
    """

    key: str
    type: ControlType
    number: int = 0
    channel: int = 0
    device: str = ""
    min: End = None
    max: End = None
    invert: bool = False
    curve: Curve = "linear"
    takeover: Mode = "pickup"
    button: ButtonMode = "toggle"
    threshold: int = 64
    encoding: Encoding = "twos"
    enabled: bool = True
    extra: Mapping[str, object] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        top = {"cc14": 31, "bend": 0}.get(self.type, 127)
        _require(0 <= self.number <= top, "number", self.number, f"0 to {top} for type {self.type}")
        _require(0 <= self.channel <= 16, "channel", self.channel, '"any" or 1 to 16')
        _require(1 <= self.threshold <= 127, "threshold", self.threshold, "1 to 127")
        if self.is_button:
            _require(
                self.type not in ("cc14", "cc_relative"), "type", self.type, f"cc or note for {self.key}"
            )
            _require(
                self.button != "momentary" or self.type not in _NO_RELEASE,
                "button", self.button, f"toggle or trigger, because type {self.type} has no release",
            )  # fmt: skip
        if self.key in TABLE:
            _require(
                self.button != "cycle" or TABLE[self.key].kind == "choice",
                "button", self.button, f"toggle, momentary or trigger, because {self.key} has no choices",
            )  # fmt: skip
            self.ends()

    @property
    def known(self) -> bool:
        """False for a parameter or command this version does not know: kept, but it moves nothing."""
        return self.key in TABLE or self.is_command

    @property
    def is_command(self) -> bool:
        """Whether it fires a command instead of moving a parameter."""
        return self.key.startswith(COMMAND_PREFIX) and self.key.removeprefix(COMMAND_PREFIX) in COMMANDS

    @property
    def is_button(self) -> bool:
        """Whether it is pressed and released, rather than moved."""
        if self.type in ("note", "note_off", "program") or self.is_command:
            return True
        return self.key in TABLE and TABLE[self.key].kind in ("bool", "text")

    @property
    def control(self) -> str:
        """The control as a person reads it, e.g. "ch 1 CC 21"."""
        channel = f"ch {self.channel}" if self.channel else "any ch"
        if self.type == "bend":
            return f"{channel} pitch bend"
        names = {"note": "note", "note_off": "note", "program": "program"}
        return f"{channel} {names.get(self.type, 'CC')} {self.number}"

    @property
    def wires(self) -> tuple[tuple[SignalKind, int], ...]:
        """The kinds and numbers of signal it listens to."""
        if self.type == "cc14":
            return (("cc", self.number), ("cc", self.number + LSB_OFFSET))
        if self.type == "note":
            return (("note", self.number), ("note_off", self.number))
        if self.type in ("note_off", "bend", "program"):
            return ((self.type, self.number),)
        return (("cc", self.number),)

    def hears(self, signal: ControlSignal) -> bool:
        """Whether a signal of one of its `wires` comes from its channel and device."""
        return self.channel in (0, signal.channel) and self.device in ("", signal.device)

    def ends(self) -> tuple[Value, Value]:
        """What its low and high ends (released, pressed) mean for its parameter, in native values."""
        parameter = row(self.key)
        return _end(parameter, "min", self.min), _end(parameter, "max", self.max)

    def same_control(self, other: "Binding") -> bool:
        """Whether one movement reaches both: the question of a learn conflict."""
        return (
            (not self.channel or not other.channel or self.channel == other.channel)
            and (not self.device or not other.device or self.device == other.device)
            and not set(self.wires).isdisjoint(other.wires)
        )


def command_key(name: str) -> str:
    """The `key` of a binding that asks for the command `name`."""
    return COMMAND_PREFIX + name


def _end(parameter: Parameter, name: str, value: End) -> Value:
    """The native value of a `min` or `max`; ControllerError when the row does not allow it."""
    if value is None:
        return _own_end(parameter, name)
    try:
        if isinstance(value, str) or parameter.kind in ("float", "int", "text"):
            return parameter.check(value)
        native, changed = parameter.clamp(value)
    except ParameterError as error:
        raise ControllerError(f"{name}: {error.what}", error.fix) from error
    _require(not changed, name, value, parameter.allowed)
    return native


def _own_end(parameter: Parameter, name: str) -> Value:
    if parameter.kind == "text":
        _require(name == "min", name, None, f"the text to send to {parameter.key}")
        return parameter.default
    return parameter.native(0.0 if name == "min" else 1.0)


def _require(true: bool, name: str, value: object, allowed: str) -> None:
    if not true:
        raise refused(name, value, allowed)


def refused(name: str, value: object, allowed: str) -> ControllerError:
    """The error for a field `name` that cannot be `value`."""
    return ControllerError(f"{name} cannot be {shown(value)}", f"give it {allowed}")

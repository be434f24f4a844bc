"""Learn: which control does the performer mean, and how does it speak?

One `Learner` listens for one parameter for ten seconds. It never decides a CC on one message: three
messages, or 300 ms of silence after the first, tell a knob from an endless encoder and from one half
of a fine fader. It knows neither bindings nor the store; the router asks it and makes the binding.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, TypeAlias

from controllers.binding import COMMAND_PREFIX, LSB_OFFSET, Binding, ButtonMode, ControlType
from controllers.signal import ControlSignal, Encoding
from controllers.takeover import Mode
from engine.core.parameters import TABLE

LISTEN_S = 10.0
ANSWER_S = 20.0  # a question that nobody answers must not stand before what goes wrong
SETTLE_S = 0.300
ENOUGH = 3

Note: TypeAlias = tuple[str, int, int]
"""A pad: device, channel 1..16 and note 0..127."""
Phase: TypeAlias = Literal["idle", "listening", "conflict", "learned", "expired", "cancelled"]

_NEAR_TWOS = frozenset((1, 2, 3, 4, 123, 124, 125, 126, 127))
_NEAR_SIGNED = frozenset((1, 2, 3, 4, 65, 66, 67, 68))
_NEAR_OFFSET = frozenset((60, 61, 62, 63, 65, 66, 67, 68))


@dataclass(frozen=True)
class Learned:
    """The control that was found."""

    device: str
    channel: int
    type: ControlType
    number: int
    encoding: Encoding = "twos"


@dataclass(frozen=True)
class LearnState:
    """Learning as the window shows it.

    `text` is the last raw message with what it looks like; `remaining_s` runs down while listening.
    In phase "conflict" `binding` waits for an answer and `conflicts` use the same control already; in
    phase "learned" `binding` is in place; "expired" with a `binding` means that nobody answered.
    """

    phase: Phase = "idle"
    key: str = ""
    text: str = ""
    remaining_s: float = 0.0
    binding: Binding | None = None
    conflicts: tuple[Binding, ...] = ()


@dataclass
class _Heard:
    """The messages of one CC so far."""

    newest: ControlSignal
    first_at: float
    values: list[int] = field(default_factory=list)


class Learner:
    """Listens for the control meant for `key`. Times are `time.monotonic()` seconds. Not thread-safe."""

    def __init__(self, key: str, now: float, held: frozenset[Note] = frozenset()) -> None:
        """`held`: the pads that are down already, whose release is no pad's that sends nothing else."""
        self.key = key
        self._held = held
        self.text = ""
        self._until = now + LISTEN_S
        self._button_wanted = key.startswith(COMMAND_PREFIX) or TABLE[key].kind in ("bool", "text")
        self._ccs: dict[tuple[str, int, int], _Heard] = {}
        self._found: Learned | None = None

    def remaining(self, now: float) -> float:
        """Seconds left to listen, never negative."""
        return max(0.0, self._until - now)

    def offer(self, signal: ControlSignal) -> None:
        """Take in one message; `decide` tells whether it was enough."""
        self.text = signal.text
        if self._found is not None:
            return
        if signal.kind == "cc":
            heard = self._ccs.setdefault(
                (signal.device, signal.channel, signal.number), _Heard(signal, signal.at)
            )
            heard.newest = signal
            heard.values.append(signal.raw)
            del heard.values[:-64]
            return
        if signal.kind == "note_off" and (signal.device, signal.channel, signal.number) in self._held:
            return
        # One message of any other kind says all; a note-off first means a pad that sends nothing else.
        self._found = Learned(signal.device, signal.channel, signal.kind, signal.number)

    def newest(self, learned: Learned) -> ControlSignal | None:
        """The last message of the CC that was found; None for a control that is none."""
        heard = self._ccs.get((learned.device, learned.channel, learned.number))
        return heard.newest if heard is not None and learned.type == "cc" else None

    def decide(self, now: float) -> Learned | None:
        """The control, once enough was heard."""
        if self._found is None:
            for control in self._ccs:
                self._found = self._decide_cc(control, now)
                if self._found is not None:
                    break
        return self._found

    def _decide_cc(self, control: tuple[str, int, int], now: float) -> Learned | None:
        device, channel, number = control
        heard = self._ccs[control]
        settled = now - heard.first_at >= SETTLE_S
        if len(heard.values) < ENOUGH and not settled:
            return None
        self.text = f"ch {channel} CC {number} = {heard.values[-1]}"
        if self._button_wanted:
            return Learned(device, channel, "cc", number)
        coarse = number % LSB_OFFSET
        if number < 2 * LSB_OFFSET and self._is_pair(device, channel, coarse):
            self.text += ", looks 14-bit"
            return Learned(device, channel, "cc14", coarse)
        if not settled and _ambiguous(heard.values):
            return None
        encoding = encoding_of(heard.values)
        self.text += ", looks absolute" if encoding is None else ", looks relative"
        if encoding is None:
            return Learned(device, channel, "cc", number)
        return Learned(device, channel, "cc_relative", number, encoding)

    def _is_pair(self, device: str, channel: int, coarse: int) -> bool:
        """Whether CC n and n + 32 come together: fine halves follow at least every second coarse one."""
        msb, lsb = (self._ccs.get((device, channel, coarse + offset)) for offset in (0, LSB_OFFSET))
        return msb is not None and lsb is not None and 2 * len(lsb.values) >= len(msb.values)


def encoding_of(values: list[int]) -> Encoding | None:
    """How an endless encoder that sent `values` speaks; None when they look absolute.

    Relative needs at least three messages, all of them small steps. 0 is never a step, so that a button
    on a CC (127, 0, 127) stays absolute; and a knob turned slowly near its end never sends a value twice
    nor leaps, which an encoder does.
    """
    if len(values) < ENOUGH or _glides(values):
        return None
    seen = set(values)
    if seen <= _NEAR_TWOS:
        return "twos"
    if seen <= _NEAR_OFFSET:
        return "offset"
    if seen <= _NEAR_SIGNED:
        return "signed"
    return None


def _ambiguous(values: list[int]) -> bool:
    """Whether `values` could still turn out to be an encoder's: small steps, but gliding like a knob."""
    seen = set(values)
    return _glides(values) and any(seen <= near for near in (_NEAR_TWOS, _NEAR_OFFSET, _NEAR_SIGNED))


def _glides(values: list[int]) -> bool:
    """Whether each value is new and close to the one before."""
    close = all(abs(after - before) <= 3 for before, after in pairwise(values))
    return close and len(set(values)) == len(values)


def binding_for(key: str, learned: Learned) -> Binding:
    """The binding a learned control gets: defaults that suit the parameter and the control."""
    takeover: Mode = "none" if learned.type == "bend" else "pickup"
    return Binding(
        key=key,
        type=learned.type,
        number=learned.number,
        channel=learned.channel,
        device=learned.device,
        takeover=takeover,
        button=_button_mode(key, learned.type),
        encoding=learned.encoding,
        max=_pressed_text(key),
    )


def _button_mode(key: str, type_: ControlType) -> ButtonMode:
    if key.startswith(COMMAND_PREFIX) or TABLE[key].kind == "text" or type_ == "program":
        return "trigger"
    if TABLE[key].kind == "choice":
        return "cycle"
    if TABLE[key].kind in ("float", "int") and type_ == "note":
        return "momentary"
    return "toggle"


def _pressed_text(key: str) -> str | None:
    """A pad on a text row needs a text to send: its default, until the performer writes another."""
    return str(TABLE[key].default) if key in TABLE and TABLE[key].kind == "text" else None

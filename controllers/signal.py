"""One movement of one hardware control, whatever wire it came over.

Pure data: no port, no binding, no thread. The wires (midi.py) make signals, the router plays them.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

SignalKind: TypeAlias = Literal["cc", "note", "note_off", "bend", "program"]
Encoding: TypeAlias = Literal["twos", "signed", "signed2", "offset"]

_NAMES: dict[SignalKind, str] = {
    "cc": "CC {number} = {raw}",
    "note": "note {number} on, velocity {raw}",
    "note_off": "note {number} off",
    "bend": "pitch bend {raw}",
    "program": "program {number}",
}


@dataclass(frozen=True, slots=True)
class ControlSignal:
    """A control of `device` moved.

    `number` is the CC, note or program number (0 for pitch bend), `channel` 1..16, `raw` the value on
    the wire, 0..`top`. `at` is when it moved, `time.monotonic()` seconds.
    """

    device: str
    kind: SignalKind
    number: int
    channel: int
    raw: int
    top: int
    at: float

    @property
    def source(self) -> str:
        """Who speaks, for the store: the wire and the device, e.g. "midi:nanoKONTROL2"."""
        return f"midi:{self.device}"

    @property
    def value(self) -> float:
        """Where the control stands, 0..1. The rest position of a pitch wheel is exactly 0.5."""
        if self.top <= 0:
            return 0.0
        raw = min(max(self.raw, 0), self.top)
        if self.kind == "bend":
            # An even number of steps has two middles (8191 and 8192): both are rest.
            half = self.top // 2
            return raw / half / 2 if raw <= half else 0.5 + (raw - half - 1) / half / 2
        return raw / self.top

    @property
    def text(self) -> str:
        """The message as a person reads it, e.g. "ch 1 CC 21 = 64"."""
        return f"ch {self.channel} " + _NAMES[self.kind].format(number=self.number, raw=self.raw)


def ticks(raw: int, encoding: Encoding) -> int:
    """Steps turned by an endless encoder that sent the 7-bit value `raw`; up is positive.

    | encoding | up      | down    |
    |----------|---------|---------|
    | twos     | 1..64   | 127..65 |
    | signed   | 1..64   | 65..127 |
    | signed2  | 65..127 | 1..64   |
    | offset   | 65..127 | 63..1   |
    """
    if raw <= 0 or raw > 127:
        return 0
    if encoding == "offset":
        return raw - 64
    if encoding == "twos":
        return raw if raw <= 64 else raw - 128
    up = raw if raw <= 64 else 64 - raw
    return up if encoding == "signed" else -up

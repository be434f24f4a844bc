"""A binding at work: what its controls did last, and what their next signal makes of the value.

One Slot per binding in use; the router owns it and its lock guards it. Each device and channel has a
history of its own, because two controllers with the same CC stand in two places.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from controllers.binding import LSB_OFFSET, Binding
from controllers.curves import locate, place
from controllers.signal import ControlSignal, ticks
from controllers.takeover import Touch, changed_elsewhere, move
from engine.core.parameters import TABLE, Value

_COARSE_TICKS = 4  # of an encoder per value, for rows of few values
_FEW_VALUES = 32
_SLOW_TICKS_S, _FAST_TICKS_S, _FASTEST = 5.0, 45.0, 4.0


class Standing(NamedTuple):
    """Where a control stands: as a norm of the parameter, since when, and whether it has hold."""

    norm: float
    at: float
    held: bool
    source: str


@dataclass
class _History:
    touch: Touch = field(default_factory=Touch)
    setter: str = ""
    pressed: bool = False
    msb: int | None = None  # of 14 bits, unknown until it was heard
    lsb: int = 0
    turned_at: float | None = None


class Slot:
    """Turns the signals of one binding into native values. Not thread-safe; the router locks."""

    def __init__(self, binding: Binding) -> None:
        self.binding = binding
        self.held_back = False  # did takeover ignore the last signal?
        self._histories: dict[tuple[str, int], _History] = {}
        self._row = TABLE.get(binding.key)
        self._low = self._high = 0.0
        self._released: Value = False
        self._pressed: Value = True
        if self._row is not None:
            self._released, self._pressed = binding.ends()
            if self._row.kind != "text":
                self._low, self._high = (
                    self._row.normalized(self._released),
                    self._row.normalized(self._pressed),
                )
        if binding.is_button and binding.invert:
            self._released, self._pressed = self._pressed, self._released

    def turn(self, signal: ControlSignal, current: Value | None) -> Value | None:
        """The value `signal` asks for while the parameter has the value `current`.

        None: nothing changes. For a command (`current` None) True is a press.
        """
        history = self._history(signal)
        self.held_back = False
        if self.binding.is_button:
            return self._press(history, signal, current)
        if current is None:
            return None
        if self.binding.type == "cc_relative":
            return self._wind(history, signal, current)
        return self._slide(history, signal, current)

    def setter(self, signal: ControlSignal) -> str:
        """Who set the value, for the store: the device and the control."""
        return f"{signal.source} ch {signal.channel} {self.binding.type} {self.binding.number}"

    def changed_by(self, source: str) -> None:
        """The value was set by `source`: every other control of this binding lost hold of it."""
        for history in self._histories.values():
            if history.setter != source:
                history.touch = changed_elsewhere(history.touch)

    def take_note(self, signal: ControlSignal) -> None:
        """Know whether the button is down without playing that: a press that was for learning goes on."""
        self._history(signal).pressed = self._is_down(signal)

    def forget(self, device: str) -> None:
        """Drop the histories of an unplugged device."""
        for control in [control for control in self._histories if control[0] == device]:
            del self._histories[control]

    def standing(self) -> Standing | None:
        """Where the control that moved last stands; None for buttons, encoders and the untouched."""
        histories = [history for history in self._histories.values() if history.touch.hardware is not None]
        if not histories:
            return None
        newest = max(histories, key=lambda history: history.touch.hardware_at)
        touch = newest.touch
        norm = self._place(touch.hardware or 0.0)
        return Standing(norm, touch.hardware_at, touch.held, newest.setter)

    def _history(self, signal: ControlSignal) -> _History:
        history = self._histories.get((signal.device, signal.channel))
        if history is None:
            history = _History(setter=self.setter(signal))
            self._histories[(signal.device, signal.channel)] = history
        return history

    # Knobs and faders

    def _slide(self, history: _History, signal: ControlSignal, current: Value) -> Value | None:
        position = self._position(history, signal)
        if position is None:
            return None
        stands_at = history.touch.position
        if stands_at is None:
            # A row of few values is picked up anywhere within the stretch that means its value.
            already = self.binding.takeover == "pickup" and self._native(position) == current
            stands_at = position if already else self._locate(current)
        history.touch, target = move(self.binding.takeover, history.touch, stands_at, position, signal.at)
        self.held_back = target is None
        return None if target is None else self._native(target)

    def _position(self, history: _History, signal: ControlSignal) -> float | None:
        """Where the control stands, 0..1; None while only the fine half of 14 bits was heard."""
        if self.binding.type != "cc14":
            return signal.value
        # Keeping the other half is right for both orders in which devices send them.
        if signal.number == self.binding.number:
            history.msb = signal.raw
        elif signal.number == self.binding.number + LSB_OFFSET:
            history.lsb = signal.raw
        if history.msb is None:
            return None
        return min(max((history.msb << 7 | history.lsb) / 16383, 0.0), 1.0)

    # Endless encoders

    def _wind(self, history: _History, signal: ControlSignal, current: Value) -> Value | None:
        turned = ticks(signal.raw, self.binding.encoding)
        since = None if history.turned_at is None else signal.at - history.turned_at
        history.turned_at = signal.at
        position = history.touch.position
        if position is None:
            position = self._locate(current)
        position = min(max(position + turned * self._step(turned, since), 0.0), 1.0)
        # Kept unrounded, so that slow turns add up on whole numbers too.
        history.touch = replace(history.touch, position=position)
        return self._native(position)

    def _step(self, turned: int, since: float | None) -> float:
        """The way of one tick: a 128th of the range, up to four times as much when turned fast."""
        values = self._count()
        if values <= _FEW_VALUES:
            return 1.0 / (_COARSE_TICKS * max(1, values - 1))
        return acceleration(turned, since) / 128.0

    def _count(self) -> float:
        row = self._row
        if row is None or row.kind == "float" or row.low is None or row.high is None:
            return len(row.choices) if row is not None and row.choices else float("inf")
        return row.high - row.low + 1

    # Buttons

    def _press(self, history: _History, signal: ControlSignal, current: Value | None) -> Value | None:
        was, history.pressed = history.pressed, self._is_down(signal)
        has_release = self.binding.type not in ("note_off", "program")
        # A note-on is always a press: some pads never send the note-off in between.
        rising = history.pressed and (not was or not has_release or signal.kind == "note")
        falling = was and not history.pressed
        mode = self.binding.button
        if self._row is None:
            return True if rising else None
        if mode == "momentary":
            return self._pressed if rising else self._released if falling else None
        if not rising:
            return None
        if mode == "cycle":
            step = -1 if self.binding.invert else 1
            return self._row.choices[(self._row.choices.index(str(current)) + step) % len(self._row.choices)]
        return self._released if mode == "toggle" and current == self._pressed else self._pressed

    def _is_down(self, signal: ControlSignal) -> bool:
        if signal.kind == "cc":
            return signal.raw >= self.binding.threshold
        if signal.kind == "bend":
            return signal.value >= self.binding.threshold / 127
        return signal.kind != "note_off" or self.binding.type == "note_off"

    # Positions

    def _place(self, position: float) -> float:
        return place(position, self.binding.curve, self._low, self._high, self.binding.invert)

    def _native(self, position: float) -> Value:
        assert self._row is not None  # continuous bindings have a row: Slot is made for known keys only
        return self._row.native(self._place(position))

    def _locate(self, current: Value) -> float:
        assert self._row is not None
        norm = self._row.normalized(current)
        return locate(norm, self.binding.curve, self._low, self._high, self.binding.invert)


def acceleration(turned: int, since: float | None) -> float:
    """How much more a tick counts: 1 below 5 ticks a second, rising to 4 at 45. `since` in seconds."""
    if since is None:
        return 1.0
    rate = abs(turned) / max(since, 1e-3)
    share = (rate - _SLOW_TICKS_S) / (_FAST_TICKS_S - _SLOW_TICKS_S)
    return 1.0 + (_FASTEST - 1.0) * min(max(share, 0.0), 1.0)

"""What the window shows and asks of MIDI and OSC: lamps on widgets, learning, and two status lines.

Owns the router, the MIDI inputs and the OSC server for the window's lifetime. Read once per tick on the
GUI thread; nothing in here waits.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from app.errands import Errands
from app.notices import Notices
from app.wording import label_of
from controllers.learn import LearnState
from controllers.midi import MidiInputs
from controllers.osc import OscLine, OscServer
from controllers.router import Answer, Router

_MOVING_S = 0.25  # a map dot stays ringed this long after its control moved

Lamps: TypeAlias = dict[str, "Lamp"]


@dataclass(frozen=True)
class Lamp:
    """What the hands do with one parameter or command, as drawn on its widget.

    `mapped` names the control that plays it ("" for none); `ghost` is where that control stands (0..1)
    while it has not yet reached the value; `moving` is true just after it moved.
    """

    listening: bool = False
    mapped: str = ""
    ghost: float | None = None
    moving: bool = False


@dataclass(frozen=True)
class Line:
    """One status: `ok` (True), wrong (False) or not in use (None), in a few words and in full."""

    text: str
    ok: bool | None
    detail: str


_DARK = Lamp()
_OFF = Line("off", None, "switched off when the program was started")
_LISTENING = "OSC: listening on "


class Hands:
    """MIDI and OSC as the window sees them. `midi` and `osc` are None where switched off."""

    def __init__(
        self,
        router: Router,
        midi: MidiInputs | None,
        osc: OscServer | None,
        notices: Notices,
        errands: Errands,
        mapping_file: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._router = router
        self._midi = midi
        self._osc = osc
        self._notices = notices
        self._errands = errands
        self._mapping_file = mapping_file
        self._clock = clock
        self._lamps: Lamps = {}
        self._learn = LearnState()

    def start(self) -> None:
        """Open ports and sockets; what is missing is told by `midi` and `osc`."""
        if self._midi is not None:
            self._midi.start()
        if self._osc is not None:
            self._osc.start()

    def stop(self) -> None:
        """Close ports and sockets, and forget the store."""
        if self._osc is not None:
            self._osc.stop()
        if self._midi is not None:
            self._midi.stop()
        self._router.close()

    def poll(self) -> bool:
        """Look at the router once; True when learning or a mapping changed."""
        before = self._learn
        self._learn = self._router.learn_state()
        self._lamps = self._light()
        if self._learn.phase == before.phase and self._learn.key == before.key:
            return False
        if self._learn.phase == "learned" and self._learn.binding is not None:
            label = label_of(self._learn.key)
            self._notices.post(f"{label} is played by {self._learn.binding.control}", level="info")
            self._save()
        elif self._learn.phase == "expired":
            what = "Nothing moved, learning ended"
            if self._learn.binding is not None:
                what = f"Nobody answered: {self._learn.binding.control} plays what it played before"
            self._notices.post(what, "try again, and move the control", "warning")
        return True

    # --- learning ---------------------------------------------------------------------------------------

    @property
    def learning(self) -> LearnState:
        """How learning stood at the last poll."""
        return self._learn

    def learn(self, key: str) -> None:
        """Listen for the control that shall play `key`."""
        self._router.start_learn(key)

    def cancel(self) -> None:
        """Stop listening."""
        self._router.cancel_learn()

    def answer(self, answer: Answer) -> None:
        """Say what to do with a control that already plays something else."""
        self._router.resolve_learn(answer)

    def forget(self, key: str) -> None:
        """Take every control off `key`."""
        for binding in self._router.bindings_of(key):
            self._router.remove(binding)
        self._save()

    def lamp(self, key: str) -> Lamp:
        """What the hands do with `key`."""
        return self._lamps.get(key, _DARK)

    # --- status -----------------------------------------------------------------------------------------

    def midi(self) -> Line:
        """How MIDI is."""
        if self._midi is None:
            return _OFF
        status, devices = self._midi.status, self._midi.devices
        detail = f"{status}\n{self._router.status}"
        if devices:
            return Line(devices[0] if len(devices) == 1 else f"{len(devices)} inputs", True, detail)
        return Line("no inputs" if "no inputs" in status else "not available", None, detail)

    def osc(self) -> Line:
        """How OSC is."""
        if self._osc is None:
            return _OFF
        status = self._osc.status
        last = "".join(f"\n{line.text}" for line in self._osc.messages[-5:])
        if status.startswith(_LISTENING):
            return Line(status.removeprefix(_LISTENING), True, status + last)
        return Line(status.removeprefix("OSC: "), False, status)

    def heard(self) -> tuple[str, ...]:
        """The last OSC messages with what became of them, oldest first, then the last MIDI message."""
        lines = [_osc_text(line) for line in self._osc.messages] if self._osc is not None else []
        last = self._router.last_signal
        if last is not None:
            lines.append(f"MIDI  {last.device}  {last.text}")
        return tuple(lines)

    # --- inside -----------------------------------------------------------------------------------------

    def _light(self) -> Lamps:
        lamps: Lamps = {}
        for binding in self._router.bindings:
            known = lamps.get(binding.key, _DARK).mapped
            lamps[binding.key] = Lamp(mapped=f"{known}, {binding.control}" if known else binding.control)
        now = self._clock()
        for key, at in self._router.moved_at().items():
            if key in lamps and now - at < _MOVING_S:
                lamps[key] = replace(lamps[key], moving=True)
        for key, ghost in self._router.ghosts().items():
            if key in lamps and not ghost.held:
                lamps[key] = replace(lamps[key], ghost=ghost.norm)
        if self._learn.phase == "listening":
            lamps[self._learn.key] = replace(lamps.get(self._learn.key, _DARK), listening=True)
        return lamps

    def _save(self) -> None:
        self._errands.run(lambda: self._router.save(self._mapping_file))


def _osc_text(line: OscLine) -> str:
    """One OSC message short enough for a narrow panel."""
    arguments = " ".join(
        f"{value:.4g}" if isinstance(value, float) else str(value) for value in line.arguments[:4]
    )
    return f"OSC  {line.address.removeprefix('/cuelight')}  {arguments}  {line.verdict}"

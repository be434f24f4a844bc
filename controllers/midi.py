"""MIDI in: bytes become signals, and all inputs are open all the time.

`decode` is pure. `MidiInputs` runs one thread, "midi", which empties the driver's queues and looks for
devices that came or went. It does not let the driver call into Python: measured over JACK with a busy
interpreter, callbacks lost 74 % of a 1 kHz storm, its last value too, because the driver's thread waited
for the interpreter lock; the driver's own queue lost nothing.
"""

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Sequence

from mido.messages import Message

from controllers.midi_system import MidiPort, MidiSystem, open_midi_system
from controllers.router import Router
from controllers.signal import ControlSignal
from engine.core.errors import ControllerError
from engine.core.worker import Worker

SCAN_S = 0.5
BUSY_POLL_S, IDLE_POLL_S, BUSY_FOR_S = 0.002, 0.008, 1.0
FIRST_RETRY_S, LAST_RETRY_S = 2.0, 10.0
RENEW_S = 5.0

# ALSA appends its client and port, Windows a running number; both change when something is replugged.
_NUMBERS = {"ALSA": re.compile(r"\s+\d+:\d+$"), "Windows": re.compile(r"\s+\d+$")}
_log = logging.getLogger(__name__)


def decode(data: Sequence[int], device: str, at: float) -> ControlSignal | None:
    """The signal in one MIDI message; None for messages that are no control (clock, sysex, pressure).

    A note-on of velocity 0 is a note-off. Raises ValueError for bytes that are no MIDI message.
    """
    message = Message.from_bytes(data)
    if message.type == "control_change":
        return ControlSignal(device, "cc", message.control, message.channel + 1, message.value, 127, at)
    if message.type == "note_on" and message.velocity > 0:
        return ControlSignal(device, "note", message.note, message.channel + 1, message.velocity, 127, at)
    if message.type in ("note_on", "note_off"):
        return ControlSignal(device, "note_off", message.note, message.channel + 1, 0, 127, at)
    if message.type == "pitchwheel":
        return ControlSignal(device, "bend", 0, message.channel + 1, message.pitch + 8192, 16383, at)
    if message.type == "program_change":
        return ControlSignal(device, "program", message.program, message.channel + 1, 127, 127, at)
    return None


def device_names(ports: Sequence[str], system: str) -> list[str]:
    """A name for each port that stays the same after replugging; twins are counted in port order."""
    numbers = _NUMBERS.get(system)
    names: list[str] = []
    seen: dict[str, int] = {}
    for port in ports:
        name = (numbers.sub("", port) if numbers is not None else port) or "input"
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return names


class MidiInputs:
    """Opens all MIDI inputs, again whenever one is replugged, and feeds `router`.

    `system` is "auto", "alsa", "jack", "coremidi", "winmm" or "off"; by default the environment's
    CUELIGHT_MIDI, else "auto". Nothing that MIDI does or lacks ever raises: read `status`.
    """

    def __init__(
        self,
        router: Router,
        system: str | None = None,
        open_system: Callable[[str], MidiSystem] = open_midi_system,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._router = router
        self._wanted = system or os.environ.get("CUELIGHT_MIDI", "") or "auto"
        self._open_system = open_system
        self._clock = clock
        self._system: MidiSystem | None = None
        self._open: dict[str, tuple[str, MidiPort]] = {}  # by device: the port's own name, the port
        self._lock = threading.Lock()  # around what other threads read
        self._devices: tuple[str, ...] = ()
        self._status = "MIDI: not started"
        self._unknown = self._unused = 0
        self._scan_at = 0.0
        self._renew_at = 0.0
        self._retry_s = FIRST_RETRY_S
        self._heard_at = float("-inf")
        self._worker: Worker | None = None

    @property
    def status(self) -> str:
        """One line for the operator: the system and its inputs, or what is missing and how to get it."""
        with self._lock:
            return self._status

    @property
    def devices(self) -> tuple[str, ...]:
        """The inputs that are open, by the names bindings use."""
        with self._lock:
            return self._devices

    @property
    def unknown(self) -> int:
        """How many messages were not MIDI."""
        return self._unknown

    @property
    def unused(self) -> int:
        """How many messages were MIDI but no control (clock, sysex, pressure)."""
        return self._unused

    def start(self) -> None:
        """Start the thread; it opens the inputs. Once started it does nothing more until `stop`."""
        if self._worker is not None:
            return
        if self._wanted == "off":
            self._tell("MIDI is switched off", ())
            return
        self._scan_at = 0.0
        self._worker = Worker("midi", self._tick, self._failed, finish=self._close_all)
        self._worker.start()

    def stop(self) -> None:
        """Close all inputs and end the thread."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()

    # On the thread

    def _tick(self) -> None:
        now = self._clock()
        if now >= self._scan_at:
            self._scan_at = now + SCAN_S
            self._scan(now)
        for device, (_, port) in self._open.items():
            self._drain(device, port)
        busy = self._clock() - self._heard_at < BUSY_FOR_S
        pause = (BUSY_POLL_S if busy else IDLE_POLL_S) if self._open else SCAN_S
        if self._worker is not None:
            self._worker.pause(pause)

    def _drain(self, device: str, port: MidiPort) -> None:
        """Play all that waits at `port`, each message at the time it came."""
        waiting = port.take()
        if not waiting:
            return
        now = self._heard_at = self._clock()
        # The driver counts seconds since the message before; the newest came just now. Takeover's
        # windows would be wrong after a stall if all of them seemed to come at once.
        ahead = sum(since for _, since in waiting[1:])
        for index, (data, since) in enumerate(waiting):
            ahead -= since if index else 0.0
            self._play(data, device, now - max(0.0, ahead))

    def _play(self, data: Sequence[int], device: str, at: float) -> None:
        try:
            signal = decode(data, device, at)
        except (ValueError, IndexError, TypeError):  # what the parser raises for bytes that are not MIDI
            self._unknown += 1
            return
        if signal is None:
            self._unused += 1
        else:
            self._router.handle(signal)

    def _scan(self, now: float) -> None:
        """Find the inputs that came and went; find the MIDI system first."""
        if self._system is None and not self._find_system(now):
            return
        assert self._system is not None
        try:
            ports = self._system.ports()
        except ControllerError as error:
            self._close_all()
            self._tell(str(error), ())
            return
        present = dict(zip(device_names(ports, self._system.name), ports, strict=True))
        for device in [name for name, (port, _) in self._open.items() if present.get(name) != port]:
            self._close(device)
        for device, port in present.items():
            if device not in self._open:
                self._open_device(device, port)
        self._describe(present)
        if ports:
            self._renew_at = now + RENEW_S
        elif self._system.may_be_gone and now >= self._renew_at:
            # A sound server that ended looks like one without ports: only a new client can tell.
            self._renew_at = now + RENEW_S
            self._system.close()
            self._system = None
            self._find_system(now)

    def _find_system(self, now: float) -> bool:
        try:
            self._system = self._open_system(self._wanted)
        except ControllerError as error:
            self._tell(str(error), ())
            self._scan_at = now + self._retry_s
            self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)
            return False
        self._retry_s = FIRST_RETRY_S
        self._renew_at = now + RENEW_S
        return True

    def _open_device(self, device: str, port: str) -> None:
        assert self._system is not None
        try:
            self._open[device] = (port, self._system.open(port))
        except ControllerError as error:  # taken by another program, or gone again: the next scan tries
            _log.debug("%s: %s", device, error)
            return
        self._router.reset_history(device)
        _log.info("MIDI input opened: %s", device)

    def _close(self, device: str) -> None:
        _, port = self._open.pop(device)
        port.close()
        self._router.reset_history(device)
        _log.info("MIDI input gone: %s", device)

    def _close_all(self) -> None:
        for device in list(self._open):
            self._close(device)
        if self._system is not None:
            self._system.close()
            self._system = None
        self._tell("MIDI: stopped", ())

    def _describe(self, present: dict[str, str]) -> None:
        assert self._system is not None
        name = self._system.name
        busy = [device for device in present if device not in self._open]
        inputs = "1 input" if len(self._open) == 1 else f"{len(self._open)} inputs"
        text = (
            f"MIDI ({name}): {inputs}: {', '.join(self._open)}" if self._open else f"MIDI ({name}): no inputs"
        )
        if busy:
            text += f"; cannot open {', '.join(busy)}: another program may hold it"
        self._tell(text, tuple(self._open))

    def _tell(self, status: str, devices: tuple[str, ...]) -> None:
        with self._lock:
            self._status, self._devices = status, devices

    def _failed(self, name: str, error: BaseException) -> None:
        self._tell(f"MIDI: {error}; trying again", self.devices)

"""Signals for tests, and a MIDI system whose devices a test plugs in and out."""

import time
from collections.abc import Callable, Sequence

from controllers.signal import ControlSignal
from engine.core.errors import ControllerError


def cc(
    raw: int, number: int = 21, *, at: float = 0.0, device: str = "pad", channel: int = 1
) -> ControlSignal:
    return ControlSignal(device, "cc", number, channel, raw, 127, at)


def note(number: int = 36, *, on: bool = True, at: float = 0.0, device: str = "pad") -> ControlSignal:
    return ControlSignal(device, "note" if on else "note_off", number, 1, 100 if on else 0, 127, at)


def bend(raw: int, *, at: float = 0.0, device: str = "pad") -> ControlSignal:
    return ControlSignal(device, "bend", 0, 1, raw, 16383, at)


def program(number: int, *, at: float = 0.0, device: str = "pad") -> ControlSignal:
    return ControlSignal(device, "program", number, 1, 127, 127, at)


class HandClock:
    """A clock that moves only when told."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakePort:
    """An open input with a queue, as a driver has."""

    def __init__(self) -> None:
        self.queue: list[tuple[Sequence[int], float]] = []
        self.closed = False

    def take(self) -> list[tuple[Sequence[int], float]]:
        taken, self.queue = self.queue, []
        return taken

    def close(self) -> None:
        self.closed = True


class FakeMidiSystem:
    """Devices by port name. `refuse` names ports another program holds; `gone` ends the system."""

    name = "ALSA"
    may_be_gone = False

    def __init__(self, *ports: str) -> None:
        self.names = list(ports)
        self.opened: dict[str, FakePort] = {}
        self.refuse: set[str] = set()
        self.gone = False
        self.closed = False

    def ports(self) -> list[str]:
        if self.gone:
            raise ControllerError("MIDI (ALSA) is gone")
        return list(self.names)

    def open(self, port: str) -> FakePort:
        if port in self.refuse:
            raise ControllerError(f"cannot open MIDI input {port}")
        self.opened[port] = FakePort()
        return self.opened[port]

    def close(self) -> None:
        self.closed = True


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Wait for another thread or program to get there; True as soon as it did."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True

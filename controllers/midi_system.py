"""The computer's MIDI system: ALSA, JACK, CoreMIDI or WinMM, by way of python-rtmidi.

The only file that imports rtmidi, and only when a system is opened.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from engine.core.errors import ControllerError

QUEUE = 16384  # messages the driver keeps while Python is busy: 16 s of a 1 kHz storm

_CLIENT = "Cuelight"
_ALSA_DEVICE = Path("/dev/snd/seq")
_JACK_FOLDERS = (Path("/dev/shm"), Path("/tmp"))  # where a JACK server leaves its socket
_APIS = {
    "alsa": ("API_LINUX_ALSA", "ALSA"),
    "jack": ("API_UNIX_JACK", "JACK"),
    "coremidi": ("API_MACOSX_CORE", "CoreMIDI"),
    "winmm": ("API_WINDOWS_MM", "Windows"),
}
_ORDER = {"darwin": ("coremidi", "jack"), "win32": ("winmm",)}  # what "auto" tries
_ELSEWHERE = ("alsa", "jack")


class MidiPort(Protocol):
    """One open input."""

    def take(self) -> list[tuple[Sequence[int], float]]:
        """All waiting messages, oldest first: bytes, and seconds since the message before."""
        ...

    def close(self) -> None:
        """Let go of the input."""
        ...


class MidiSystem(Protocol):
    """A MIDI system whose inputs can be listed and opened."""

    name: str
    may_be_gone: bool  # can it end while the program runs, without an error?

    def ports(self) -> list[str]:
        """The names of all inputs, in the system's order. Raises ControllerError when it is gone."""
        ...

    def open(self, port: str) -> MidiPort:
        """Open one input by its name. Raises ControllerError when it is gone or taken."""
        ...

    def close(self) -> None:
        """Let go of the system."""
        ...


def open_midi_system(wanted: str) -> MidiSystem:
    """Open the MIDI system `wanted`, or the first that works for "auto".

    Raises ControllerError saying what is missing and how to get it.
    """
    if wanted != "auto" and wanted not in _APIS:
        raise ControllerError(
            f"MIDI: there is no system {wanted!r}", "choose auto, off, " + ", ".join(sorted(_APIS))
        )
    try:
        import rtmidi
    except ImportError as error:
        raise ControllerError("MIDI: python-rtmidi is missing", "pip install python-rtmidi") from error
    compiled = rtmidi.get_compiled_api()
    for name in _order() if wanted == "auto" else (wanted,):
        constant, label = _APIS[name]
        api = vars(rtmidi)[constant]
        if api not in compiled or not _may_work(name, asked_for=wanted != "auto"):
            continue
        try:
            return _RtMidi(rtmidi, api, label, may_be_gone=name == "jack")
        except rtmidi.SystemError:  # the system is not there; not Python's own SystemError
            continue
    raise ControllerError("MIDI: no system found", _how_to_get(wanted))


def _may_work(name: str, asked_for: bool) -> bool:
    """False when opening it would only make the system's library write errors to the terminal."""
    if name == "alsa":
        return _ALSA_DEVICE.exists()
    if name == "jack" and not asked_for:
        return any(path.is_socket() for folder in _JACK_FOLDERS for path in folder.glob("jack*"))
    return True


def _how_to_get(wanted: str) -> str:
    if wanted == "jack":
        return "start a JACK server, it is found by itself"
    if wanted == "alsa" or _order() == _ELSEWHERE:
        return "load ALSA's sequencer (sudo modprobe snd-seq) or start JACK, it is found by itself"
    return "check the MIDI settings of the computer"


def _order() -> tuple[str, ...]:
    return _ORDER.get(sys.platform, _ELSEWHERE)


class _RtMidi:
    """A MidiSystem over one rtmidi API. Its own client only lists; each open input is one more client."""

    def __init__(self, rtmidi: Any, api: int, name: str, may_be_gone: bool) -> None:
        self.name = name
        self.may_be_gone = may_be_gone
        self._rtmidi = rtmidi
        self._api = api
        self._client = rtmidi.MidiIn(api, name=_CLIENT)

    def ports(self) -> list[str]:
        try:
            return [str(name) for name in self._client.get_ports()]
        except self._rtmidi.RtMidiError as error:
            raise ControllerError(f"MIDI ({self.name}) is gone: {error}", "it is looked for again") from error

    def open(self, port: str) -> MidiPort:
        try:
            client = self._rtmidi.MidiIn(self._api, name=_CLIENT, queue_size_limit=QUEUE)
        except self._rtmidi.RtMidiError as error:
            raise ControllerError(f"MIDI ({self.name}) is gone: {error}") from error
        try:
            names = client.get_ports()
            if port not in names:
                raise ControllerError(f"MIDI input {port} is gone")
            client.open_port(names.index(port))
        except self._rtmidi.RtMidiError as error:
            client.delete()
            raise ControllerError(f"cannot open MIDI input {port}: {error}") from error
        except ControllerError:
            client.delete()
            raise
        return _RtMidiPort(client)

    def close(self) -> None:
        self._client.delete()


class _RtMidiPort:
    """One open input. Sysex, clock and active sensing are left to the driver to drop."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def take(self) -> list[tuple[Sequence[int], float]]:
        waiting: list[tuple[Sequence[int], float]] = []
        while len(waiting) < QUEUE and (found := self._client.get_message()) is not None:
            waiting.append(found)
        return waiting

    def close(self) -> None:
        self._client.close_port()
        self._client.delete()

"""MIDI in: the codec with bytes, and inputs that come, go and come back."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from controllers import midi, midi_system
from controllers.binding import Binding
from controllers.mapping import ControlMapping
from controllers.midi import MidiInputs, decode, device_names
from controllers.midi_system import MidiSystem, open_midi_system
from controllers.router import Router
from controllers.signal import ControlSignal
from engine.core.errors import ControllerError
from engine.core.store import Store
from tests.controllers.hands import FakeMidiSystem, HandClock, eventually

SCALE = "vace.context_scale"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([0xB0, 21, 64], ControlSignal("d", "cc", 21, 1, 64, 127, 5.0)),
        ([0xBF, 0, 127], ControlSignal("d", "cc", 0, 16, 127, 127, 5.0)),
        ([0x90, 36, 100], ControlSignal("d", "note", 36, 1, 100, 127, 5.0)),
        ([0x90, 36, 0], ControlSignal("d", "note_off", 36, 1, 0, 127, 5.0)),
        ([0x83, 36, 64], ControlSignal("d", "note_off", 36, 4, 0, 127, 5.0)),
        ([0xE0, 0, 0], ControlSignal("d", "bend", 0, 1, 0, 16383, 5.0)),
        ([0xE0, 0, 0x40], ControlSignal("d", "bend", 0, 1, 8192, 16383, 5.0)),
        ([0xE2, 0x7F, 0x7F], ControlSignal("d", "bend", 0, 3, 16383, 16383, 5.0)),
        ([0xC0, 5], ControlSignal("d", "program", 5, 1, 127, 127, 5.0)),
        ([0xD0, 5], None),  # channel pressure
        ([0xA0, 36, 5], None),  # key pressure
        ([0xF8], None),  # clock
        ([0xFE], None),  # active sensing
        ([0xF0, 1, 2, 3, 0xF7], None),  # sysex
        ([0xF2, 1, 2], None),  # song position
    ],
)
def test_bytes_to_signals(data: list[int], expected: ControlSignal | None) -> None:
    assert decode(data, "d", 5.0) == expected
    assert decode(bytes(data), "d", 5.0) == expected


@pytest.mark.parametrize(
    "data",
    [[], [0xB0], [0xB0, 21], [0xB0, 21, 200], [0xB0, 1, 2, 3], [21, 64], [0xF0, 1], [0xF4], [0x90, -1, 5]],
)
def test_bytes_that_are_no_message(data: list[int]) -> None:
    with pytest.raises(ValueError):
        decode(data, "d", 5.0)


def test_names_survive_replugging() -> None:
    assert device_names(["nano:nano MIDI 1 20:0", "Midi Through:Port-0 14:0"], "ALSA") == [
        "nano:nano MIDI 1",
        "Midi Through:Port-0",
    ]
    twins = ["pad:pad MIDI 1 20:0", "pad:pad MIDI 1 24:0", "pad:pad MIDI 1 28:0"]
    assert device_names(twins, "ALSA") == ["pad:pad MIDI 1", "pad:pad MIDI 1 #2", "pad:pad MIDI 1 #3"]
    assert device_names(["Launchpad 0", "Launchpad 1"], "Windows") == ["Launchpad", "Launchpad #2"]
    assert device_names(["Deck 2"], "CoreMIDI") == ["Deck 2"]
    assert device_names([""], "JACK") == ["input"]


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(midi, "SCAN_S", 0.01)
    monkeypatch.setattr(midi, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(midi, "RENEW_S", 0.01)


class Rig:
    """Inputs over a fake system, with CC 21 on the control strength."""

    def __init__(self, system: MidiSystem, takeover: str = "none") -> None:
        self.store = Store()
        self.router = Router(self.store)
        binding = Binding(key=SCALE, type="cc", number=21, takeover=takeover)  # type: ignore[arg-type]
        self.router.set_mapping(ControlMapping("", (binding,)))
        self.inputs = MidiInputs(self.router, "auto", open_system=lambda wanted: system)


@pytest.fixture
def system() -> FakeMidiSystem:
    return FakeMidiSystem("left:left MIDI 1 20:0", "right:right MIDI 1 24:0")


@pytest.fixture
def rig(system: FakeMidiSystem, fast: None) -> Iterator[Rig]:
    made = Rig(system)
    made.inputs.start()
    assert eventually(lambda: len(made.inputs.devices) == 2)
    yield made
    made.inputs.stop()
    assert "midi" not in {thread.name for thread in threading.enumerate()}


def test_all_inputs_are_open_at_once(rig: Rig, system: FakeMidiSystem) -> None:
    assert rig.inputs.status == "MIDI (ALSA): 2 inputs: left:left MIDI 1, right:right MIDI 1"
    system.opened["left:left MIDI 1 20:0"].queue.append(([0xB0, 21, 0], 0.0))
    assert eventually(lambda: rig.store.get(SCALE) == 0.0)
    system.opened["right:right MIDI 1 24:0"].queue.append(([0xB0, 21, 127], 0.0))
    assert eventually(lambda: rig.store.get(SCALE) == 2.0)
    assert rig.store.snapshot().source_of(SCALE) == "midi:right:right MIDI 1 ch 1 cc 21"


def test_odd_messages_are_counted_and_the_next_one_plays(rig: Rig, system: FakeMidiSystem) -> None:
    system.opened["left:left MIDI 1 20:0"].queue.extend(
        [([], 0.0), ([0xB0, 300, 1], 0.0), ([0xF4], 0.0), ([0xF8], 0.0), ([0xB0, 21, 127], 0.0)]
    )
    assert eventually(lambda: rig.store.get(SCALE) == 2.0)
    assert (rig.inputs.unknown, rig.inputs.unused) == (3, 1)


def test_replugged_under_another_number_it_is_the_same_device(rig: Rig, system: FakeMidiSystem) -> None:
    old = system.opened["left:left MIDI 1 20:0"]
    system.names = ["right:right MIDI 1 24:0"]
    assert eventually(lambda: rig.inputs.devices == ("right:right MIDI 1",))
    assert old.closed
    system.names = ["right:right MIDI 1 24:0", "left:left MIDI 1 28:0"]
    assert eventually(lambda: set(rig.inputs.devices) == {"left:left MIDI 1", "right:right MIDI 1"})
    system.opened["left:left MIDI 1 28:0"].queue.append(([0xB0, 21, 0], 0.0))
    assert eventually(lambda: rig.store.get(SCALE) == 0.0)


def test_replugging_resets_the_history(system: FakeMidiSystem, fast: None) -> None:
    made = Rig(system, takeover="pickup")
    made.inputs.start()
    try:
        assert eventually(lambda: len(made.inputs.devices) == 2)
        system.opened["left:left MIDI 1 20:0"].queue += [([0xB0, 21, raw], 0.01) for raw in (62, 64)]
        assert eventually(lambda: made.store.get(SCALE) == pytest.approx(2 * 64 / 127))
        assert made.router.ghosts()[SCALE].held
        system.names.remove("left:left MIDI 1 20:0")
        assert eventually(lambda: SCALE not in made.router.ghosts())
    finally:
        made.inputs.stop()


def test_a_taken_input_is_named_and_tried_again(system: FakeMidiSystem, fast: None) -> None:
    system.refuse.add("left:left MIDI 1 20:0")
    made = Rig(system)
    made.inputs.start()
    try:
        assert eventually(lambda: "cannot open left:left MIDI 1" in made.inputs.status)
        system.refuse.clear()
        assert eventually(lambda: len(made.inputs.devices) == 2)
    finally:
        made.inputs.stop()
    assert all(port.closed for port in system.opened.values()) and system.closed
    assert made.inputs.status == "MIDI: stopped" and made.inputs.devices == ()


def test_a_system_that_ends_is_looked_for_again(rig: Rig, system: FakeMidiSystem) -> None:
    system.gone = True
    assert eventually(lambda: rig.inputs.devices == () and "gone" in rig.inputs.status)
    system.gone = False
    assert eventually(lambda: len(rig.inputs.devices) == 2)


def test_a_sound_server_that_ended_silently_is_replaced(fast: None) -> None:
    """A JACK client whose server is gone lists nothing for ever; a new client finds the new server."""
    first, second = FakeMidiSystem("wires:knobs"), FakeMidiSystem("wires:knobs")
    first.may_be_gone = second.may_be_gone = True
    systems = [first, second]
    inputs = MidiInputs(Router(Store()), open_system=lambda wanted: systems[0])
    inputs.start()
    try:
        assert eventually(lambda: inputs.devices == ("wires:knobs",))
        first.names = []
        assert eventually(lambda: inputs.devices == () and first.closed)
        systems.pop(0)
        assert eventually(lambda: inputs.devices == ("wires:knobs",))
        assert list(second.opened) == ["wires:knobs"] and not second.closed
    finally:
        inputs.stop()


def test_without_a_midi_system_the_app_lives_and_finds_it_later(system: FakeMidiSystem, fast: None) -> None:
    missing = [True]

    def find(wanted: str) -> MidiSystem:
        if missing:
            raise ControllerError("MIDI: no system found", "plug one in")
        return system

    inputs = MidiInputs(Router(Store()), open_system=find)
    inputs.start()
    try:
        assert eventually(lambda: inputs.status == "MIDI: no system found  Fix: plug one in")
        missing.clear()
        assert eventually(lambda: len(inputs.devices) == 2)
    finally:
        inputs.stop()


def test_a_fault_on_the_thread_is_told_and_survived(
    rig: Rig, system: FakeMidiSystem, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    faults = [RuntimeError("cable on fire")]

    def ports() -> list[str]:
        if faults:
            raise faults.pop()
        return ["left:left MIDI 1 20:0"]

    monkeypatch.setattr(system, "ports", ports)
    assert eventually(lambda: "cable on fire" in caplog.text)
    assert eventually(lambda: rig.inputs.devices == ("left:left MIDI 1",))


def test_off_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUELIGHT_MIDI", "off")
    inputs = MidiInputs(Router(Store()))
    inputs.start()
    assert inputs.status == "MIDI is switched off"
    inputs.stop()
    asked: list[str] = []

    def find(wanted: str) -> MidiSystem:
        asked.append(wanted)
        raise ControllerError("none")

    monkeypatch.setenv("CUELIGHT_MIDI", "jack")
    inputs = MidiInputs(Router(Store()), open_system=find)
    inputs.start()
    assert eventually(lambda: asked == ["jack"])
    inputs.stop()


def test_a_stall_does_not_squeeze_messages_together(system: FakeMidiSystem) -> None:
    """Messages that waited keep their distances, so that takeover's windows mean what they say."""
    heard: list[ControlSignal] = []

    class Listener(Router):
        def handle(self, signal: ControlSignal) -> None:
            heard.append(signal)

    inputs = MidiInputs(Listener(Store()), open_system=lambda wanted: system, clock=HandClock(100.0))
    inputs.start()
    try:
        assert eventually(lambda: "left:left MIDI 1 20:0" in system.opened)
        port = system.opened["left:left MIDI 1 20:0"]
        port.queue = [([0xB0, 21, raw], since) for raw, since in ((1, 7.0), (2, 0.2), (3, 0.1))]
        assert eventually(lambda: len(heard) == 3)
    finally:
        inputs.stop()
    assert [signal.at for signal in heard] == pytest.approx([99.7, 99.9, 100.0])


def test_an_unknown_system_is_named() -> None:
    with pytest.raises(ControllerError, match="no system 'bluetooth'"):
        open_midi_system("bluetooth")


def test_a_computer_without_alsa_and_jack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(midi_system, "_ALSA_DEVICE", tmp_path / "none")
    monkeypatch.setattr(midi_system, "_JACK_FOLDERS", (tmp_path,))
    monkeypatch.setattr(sys, "platform", "linux")
    for wanted in ("alsa", "auto"):
        with pytest.raises(ControllerError) as missing:
            open_midi_system(wanted)
        assert "no system" in missing.value.what and "snd-seq" in missing.value.fix
    assert capfd.readouterr() == ("", "")  # the libraries behind it were not even asked

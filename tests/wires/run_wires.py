"""Real wires: other programs send MIDI over JACK and OSC over UDP, and the store moves.

    python -m tests.wires.run_wires [--seconds 5]        (in the checkout)

Starts a JACK server without sound hardware, a MIDI sender in a process of its own (mido over JACK),
liblo's oscsend and oscdump, and a UDP sender in a process of its own. Prints a line per step; exits 1
when one fails. Needs jackd, oscsend, oscdump and a python-rtmidi with JACK.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from controllers.mapping import generic_path
from controllers.midi import MidiInputs
from controllers.osc import OscServer
from controllers.router import Router
from engine.core.store import Store

SCALE = "vace.context_scale"

# The senders know nothing of Cuelight: they are other programs.
MIDI_SENDER = """
import json, sys, time
import mido
backend = mido.Backend("mido.backends.rtmidi/UNIX_JACK")
for attempt in range(100):  # the server may still be starting
    try:
        port = backend.open_output("knobs", client_name="wires", virtual=True)
        break
    except OSError:
        time.sleep(0.2)
print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    start = time.monotonic()
    for index in range(order.get("count", 0)):
        port.send(mido.Message("control_change", control=1, value=index * 37 % 128))
        time.sleep(max(0.0, start + (index + 1) / 1000 - time.monotonic()))
    port.send(mido.Message("control_change", control=1, value=order["value"]))
    print("sent", flush=True)
"""
OSC_SENDER = """
import json, sys, time
from pythonosc.udp_client import SimpleUDPClient
client = SimpleUDPClient("127.0.0.1", int(sys.argv[1]))
print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    start = time.monotonic()
    for index in range(order.get("count", 0)):
        client.send_message(order["address"], index * 37 % 100 / 100)
        time.sleep(max(0.0, start + (index + 1) / 1000 - time.monotonic()))
    client.send_message(order["address"], order["value"])
    print("sent", flush=True)
"""


class Failed(Exception):
    """A step that did not come out as it should."""


def missing() -> str:
    """What this needs and the machine lacks; "" when all is there."""
    lacking = [name for name in ("jackd", "oscsend", "oscdump") if shutil.which(name) is None]
    import rtmidi

    if rtmidi.API_UNIX_JACK not in rtmidi.get_compiled_api():
        lacking.append("python-rtmidi with JACK")
    return ", ".join(lacking)


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 20.0) -> None:
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            raise Failed(f"{what}: not within {seconds:g} s")
        time.sleep(0.01)
    print(f"ok   {what}  ({time.monotonic() - start:.2f} s)", flush=True)


@contextmanager
def program(*command: str, **options: object) -> Iterator[subprocess.Popen[str]]:
    """A program that runs for as long as the block."""
    process = subprocess.Popen(command, text=True, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def jack_server(log: Path) -> "contextmanager[subprocess.Popen[str]]":
    command = ("jackd", "-r", "-d", "dummy", "-r", "48000", "-p", "1024")
    return program(*command, stdout=log.open("a"), stderr=subprocess.STDOUT)


class Sender:
    """One of the senders above, in its own process, taking orders on its standard input."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._said("ready")

    def begin(self, **order: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def send(self, **order: object) -> None:
        self.begin(**order)
        self.done()

    def done(self) -> None:
        self._said("sent")

    def _said(self, word: str) -> None:
        assert self.process.stdout is not None
        if self.process.stdout.readline().strip() != word:
            raise Failed(f"a sender did not say {word!r}: {self.process.poll()}")


@contextmanager
def sender(code: str, *arguments: str) -> Iterator[Sender]:
    with program(
        sys.executable, "-c", code, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield Sender(process)


def free_port() -> int:
    """A UDP port nobody uses now: two runs at once must not share one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Desk:
    """This program's end of the wires."""

    def __init__(self) -> None:
        self.store = Store()
        self.router = Router(self.store)
        self.router.load(generic_path())
        self.midi = MidiInputs(self.router, "jack")
        self.dump_port = free_port()
        self.osc = OscServer(self.store, port=0, destinations=[("127.0.0.1", self.dump_port)])
        self.midi.start()
        self.osc.start()
        print(f"     {self.osc.status}", flush=True)

    def is_at(self, key: str, value: float) -> Callable[[], bool]:
        return lambda: abs(self.store.snapshot().number(key) - value) < 1e-6

    def taken(self) -> int:
        """OSC messages that arrived."""
        counts = self.osc.counts
        return counts.applied + counts.superseded

    def close(self) -> None:
        self.midi.stop()
        self.osc.stop()
        self.router.close()


def oscsend(port: int, address: str, *arguments: str) -> None:
    subprocess.run(["oscsend", "127.0.0.1", str(port), f"/cuelight/{address}", *arguments], check=True)


def single_messages(desk: Desk, midi: Sender) -> None:
    midi.send(value=99)
    wait_for(f"MIDI CC 1 = 99 from another process: {SCALE} = 2*99/127", desk.is_at(SCALE, 2 * 99 / 127))
    print(f"     set by {desk.store.snapshot().source_of(SCALE)}", flush=True)
    oscsend(desk.osc.port, "vace/context_scale", "f", "0.25")
    wait_for(f"oscsend f 0.25: {SCALE} = 0.25", desk.is_at(SCALE, 0.25))
    print(f"     set by {desk.store.snapshot().source_of(SCALE)}", flush=True)
    oscsend(desk.osc.port, "vace/context_scale/norm", "f", "0.75")
    wait_for(f"oscsend norm f 0.75: {SCALE} = 1.5", desk.is_at(SCALE, 1.5))
    oscsend(desk.osc.port, "vace/context_scale", "i", "1")
    wait_for(f"oscsend i 1: {SCALE} = 1", desk.is_at(SCALE, 1.0))
    oscsend(desk.osc.port, "vace/context_scale", "f", "77")
    wait_for(f"oscsend f 77, clamped: {SCALE} = 2", desk.is_at(SCALE, 2.0))
    oscsend(desk.osc.port, "output/blackout", "T")
    wait_for("oscsend T: output.blackout", lambda: desk.store.get("output.blackout") is True)
    oscsend(desk.osc.port, "annotator/name", "s", "pose")
    wait_for("oscsend s pose: annotator.name", lambda: desk.store.get("annotator.name") == "pose")
    oscsend(desk.osc.port, "no/such", "f", "1")
    wait_for("oscsend to an unknown address is counted", lambda: desk.osc.counts.unknown == 1)


def feedback(desk: Desk, midi: Sender, heard: Path) -> None:
    midi.send(value=32)
    wait_for(f"MIDI CC 1 = 32: {SCALE} = 2*32/127", desk.is_at(SCALE, 2 * 32 / 127))
    expected = f"/cuelight/vace/context_scale f {2 * 32 / 127:.6f}"
    wait_for(f"oscdump hears what MIDI set: {expected}", lambda: expected in heard.read_text())


def both_are_there(desk: Desk) -> bool:
    return desk.is_at(SCALE, 2 * 101 / 127)() and desk.is_at("output.mix", 0.625)()


def storm(desk: Desk, midi: Sender, osc: Sender, seconds: float, busy: bool) -> None:
    """Both wires at 1 kHz at once, first on two values, then on one; `busy` keeps the interpreter busy."""
    count = int(seconds * 1000)
    name = f"{seconds:g} s of 1 kHz MIDI and 1 kHz OSC{', interpreter busy' if busy else ''}"
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            sum(range(50_000))

    worker = threading.Thread(target=work)
    if busy:
        worker.start()
    heard, taken = desk.router.counts.heard, desk.taken()
    try:
        midi.begin(count=count, value=101)
        osc.send(count=count, value=0.625, address="/cuelight/output/mix")
        midi.done()
        wait_for(f"{name}: MIDI ends on its last value", desk.is_at(SCALE, 2 * 101 / 127), 2.0)
        wait_for(f"{name}: OSC ends on its last value", desk.is_at("output.mix", 0.625), 2.0)
        time.sleep(0.3)
        wait_for("and both stay there", lambda: both_are_there(desk), 0.0)
        midi.begin(count=count, value=5)
        osc.send(count=count, value=0.5, address="/cuelight/vace/context_scale")
        midi.done()
        time.sleep(0.3)  # JACK delivers in periods of 21 ms: let its last one through
        osc.send(value=0.875, address="/cuelight/vace/context_scale")
        wait_for(f"{name} on one value: the last hand wins", desk.is_at(SCALE, 0.875), 2.0)
        time.sleep(0.3)
        wait_for("and nothing comes after it", desk.is_at(SCALE, 0.875), 0.0)
    finally:
        stop.set()
        if busy:
            worker.join()
    midi_lost = 2 * (count + 1) - (desk.router.counts.heard - heard)
    osc_lost = 2 * (count + 1) + 1 - (desk.taken() - taken)
    print(f"     messages lost on the way: MIDI {midi_lost}, OSC {osc_lost}", flush=True)


def run(seconds: float, folder: Path) -> None:
    """All steps. Raises Failed."""
    log, heard = folder / "jackd.log", folder / "oscdump.txt"
    desk = Desk()
    try:
        steps(desk, seconds, log, heard)
    except Failed:
        for line in (desk.midi.status, desk.osc.status, desk.osc.counts, desk.router.counts):
            print(f"     {line}")
        print(f"     {SCALE} = {desk.store.get(SCALE)} by {desk.store.snapshot().source_of(SCALE)}")
        raise
    finally:
        desk.close()
    wait_for("no thread is left", lambda: {"midi", "osc"}.isdisjoint(t.name for t in threading.enumerate()))
    print(f"     {desk.osc.counts}\n     {desk.router.counts}", flush=True)


def steps(desk: Desk, seconds: float, log: Path, heard: Path) -> None:
    """What is sent, in order. Raises Failed at the first thing that does not happen."""
    wait_for("without JACK the inputs say so", lambda: "no system found" in desk.midi.status)
    print(f"     {desk.midi.status}", flush=True)
    with (
        program("oscdump", "-L", str(desk.dump_port), stdout=heard.open("w")),
        sender(OSC_SENDER, str(desk.osc.port)) as osc,
    ):
        with jack_server(log):
            with sender(MIDI_SENDER) as midi:
                wait_for("JACK and the sender are found", lambda: bool(desk.midi.devices), 60.0)
                print(f"     {desk.midi.status}", flush=True)
                single_messages(desk, midi)
                feedback(desk, midi, heard)
                storm(desk, midi, osc, seconds, busy=False)
                storm(desk, midi, osc, seconds, busy=True)
            wait_for("unplugged: the input is gone", lambda: not desk.midi.devices)
            with sender(MIDI_SENDER) as midi:
                wait_for("replugged: the input is open again", lambda: bool(desk.midi.devices), 60.0)
                midi.send(value=64)
                wait_for("and moves the value", desk.is_at(SCALE, 2 * 64 / 127))
                midi.process.kill()
        wait_for("the JACK server is gone: no inputs", lambda: not desk.midi.devices)
        oscsend(desk.osc.port, "vace/context_scale", "f", "0.5")
        wait_for("OSC goes on", desk.is_at(SCALE, 0.5))
        with jack_server(log), sender(MIDI_SENDER) as midi:
            wait_for("a new JACK server is found", lambda: bool(desk.midi.devices), 90.0)
            midi.send(value=10)
            wait_for("and moves the value", desk.is_at(SCALE, 2 * 10 / 127))
            desk.midi.stop()  # a server that ends with clients leaves 100 MB of shared memory behind


def main() -> int:
    """The script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each storm")
    arguments = parser.parse_args()
    lacking = missing()
    if lacking:
        print(f"missing: {lacking}  Fix: apt-get install jackd2 liblo-tools")
        return 2
    # A server of its own: one that somebody works with is left alone.
    os.environ["JACK_DEFAULT_SERVER"] = f"wires{os.getpid()}"
    os.environ["JACK_NO_START_SERVER"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(arguments.seconds, Path(folder))
        except Failed as error:
            print(f"FAIL {error}")
            return 1
        finally:
            for left in Path("/dev/shm").glob(f"jack_sem.*_{os.environ['JACK_DEFAULT_SERVER']}_*"):
                left.unlink(missing_ok=True)  # what clients of a killed server leave behind
    print("all wires work")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The OSC server over real UDP sockets: values, queries, feedback, bundles, faults."""

import select
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from controllers import osc, osc_feedback
from controllers.osc import OscServer
from controllers.osc_wire import OscCall, encode, parse
from engine.core.errors import ControllerError
from engine.core.store import Store
from tests.controllers.hands import eventually

SCALE = "/cuelight/vace/context_scale"
KEY = "vace.context_scale"


class Client:
    """Another program with a socket of its own."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = port
        self.name = f"osc:127.0.0.1:{self.socket.getsockname()[1]}"

    def send(self, data: bytes) -> None:
        self.socket.sendto(data, ("127.0.0.1", self.port))

    def set(self, address: str, value: float | str) -> None:
        self.send(encode(address, value))

    def receive(self, seconds: float = 20.0) -> OscCall | None:
        """The next message, or None when none comes."""
        ready, _, _ = select.select([self.socket], [], [], seconds)
        if not ready:
            return None
        (call,) = parse(self.socket.recv(65536))
        return call


class Rig:
    def __init__(self, **options: object) -> None:
        self.store = Store()
        self.commands: list[str] = []
        self.server = OscServer(self.store, port=0, on_command=self.commands.append, **options)  # type: ignore[arg-type]
        self.clients: list[Client] = []

    def client(self) -> Client:
        self.clients.append(Client(self.server.port))
        return self.clients[-1]

    def close(self) -> None:
        self.server.stop()
        for client in self.clients:
            client.socket.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    made.server.start()
    yield made
    made.close()
    assert "osc" not in {thread.name for thread in threading.enumerate()}


def bundle(ahead: float | None, *elements: bytes) -> bytes:
    tag = b"\0\0\0\0\0\0\0\1"
    if ahead is not None:
        unix = time.time() + ahead
        tag = struct.pack(">II", int(unix) + 2_208_988_800, int((unix % 1) * 2**32))
    return b"#bundle\0" + tag + b"".join(struct.pack(">i", len(e)) + e for e in elements)


def test_values_arrive_with_their_sender(rig: Rig) -> None:
    client = rig.client()
    client.set(SCALE, 0.25)
    assert eventually(lambda: rig.store.get(KEY) == 0.25)
    assert rig.store.snapshot().source_of(KEY) == client.name
    client.set(SCALE + "/norm", 1)
    assert eventually(lambda: rig.store.get(KEY) == 2.0)
    client.set("/cuelight/prompt/text", "röd figur, natt")
    assert eventually(lambda: rig.store.get("prompt.text") == "röd figur, natt")
    assert rig.server.status == f"OSC: listening on 127.0.0.1:{rig.server.port}"
    assert rig.server.counts.applied == 3


def test_everything_odd_is_counted_shown_and_survived(rig: Rig) -> None:
    client = rig.client()
    client.send(b"garbage")
    client.send(b"#bundle\0" + b"\0" * 8 + struct.pack(">i", -4))
    client.set("/cuelight/vace/context_scal", 1.0)
    client.set("/*", 1.0)
    client.set(SCALE, float("nan"))
    client.set(SCALE, 99.0)
    assert eventually(lambda: rig.store.get(KEY) == 2.0)
    counts = rig.server.counts
    assert (counts.applied, counts.clamped, counts.refused, counts.unknown) == (1, 1, 1, 2)
    assert counts.malformed == {
        "neither a message nor a bundle": 1,
        "bundle element of an impossible size": 1,
    }
    verdicts = [line.text for line in rig.server.messages]
    assert len(verdicts) == 6
    assert verdicts[2].endswith("/cuelight/vace/context_scal 1.0  unknown address")
    assert "vace.context_scale cannot be nan" in verdicts[4]
    assert verdicts[5].endswith("out of range, 2.0 used")


def test_the_view_keeps_twenty(rig: Rig) -> None:
    client = rig.client()
    for index in range(50):
        client.set("/cuelight/output/freeze", bool(index % 2))
    client.set("/" + "x" * 1000, "y" * 1000)
    assert eventually(lambda: rig.server.counts.unknown == 1)
    assert len(rig.server.messages) == 20
    assert all(len(line.text) < 300 for line in rig.server.messages)


def test_a_query_is_answered_to_who_asked(rig: Rig) -> None:
    asker, other = rig.client(), rig.client()
    for address, expected in (
        (SCALE, 1.0), (SCALE + "/norm", 0.5), ("/cuelight/engine/steps", 0),
        ("/cuelight/output/blackout", False), ("/cuelight/annotator/name", "scribble"),
        ("/cuelight/prompt/text", "gold figure, night"),
    ):  # fmt: skip
        asker.set(address, "?")
        assert asker.receive() == OscCall(address, (expected,), None)
    assert rig.store.snapshot().version == 0
    assert other.receive(0.0) is None
    assert rig.server.counts.queries == 6


def test_commands_fire_on_the_press(rig: Rig) -> None:
    client = rig.client()
    client.send(b"/cuelight/command/reset\0,\0\0\0")
    client.set("/cuelight/command/snapshot", 1)
    client.set("/cuelight/command/snapshot", 0)  # the button's release
    client.set("/cuelight/command/explode", 1)
    client.set("/cuelight/command/reset", True)
    assert eventually(lambda: rig.server.counts.unknown == 1 and len(rig.commands) == 3)
    assert rig.commands == ["reset", "snapshot", "reset"]


def test_a_command_that_fails_is_shown() -> None:
    def command(name: str) -> None:
        raise ControllerError("the disk is full", "free some space")

    server = OscServer(Store(), port=0, on_command=command)
    server.start()
    client = Client(server.port)
    try:
        client.set("/cuelight/command/snapshot", 1)
        assert eventually(lambda: len(server.messages) == 1)
        assert server.messages[0].verdict == "the disk is full  Fix: free some space"
    finally:
        server.stop()
        client.socket.close()


def test_a_fault_on_the_thread_is_told_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    def command(name: str) -> None:
        raise RuntimeError("a bug")

    store = Store()
    server = OscServer(store, port=0, on_command=command)
    server.start()
    client = Client(server.port)
    try:
        client.set("/cuelight/command/snapshot", 1)
        assert eventually(lambda: server.status.endswith("; last fault: a bug"))
        client.set(SCALE, 0.5)
        assert eventually(lambda: store.get(KEY) == 0.5)
    finally:
        server.stop()
        client.socket.close()
    assert "a bug" in caplog.text


def test_feedback_goes_to_everybody_but_the_setter(rig: Rig) -> None:
    setter, other = rig.client(), rig.client()
    for client in (setter, other):
        client.set(SCALE, "?")
        assert client.receive() is not None
    setter.set(SCALE, 0.5)
    assert other.receive() == OscCall(SCALE, (0.5,), None)
    rig.store.set("engine.steps", 2, "gui")
    for client in (setter, other):
        assert client.receive() == OscCall("/cuelight/engine/steps", (2,), None)
    # Each got exactly what was meant for it: the setter nothing of its own.
    assert setter.receive(0.1) is None and other.receive(0.1) is None


def test_feedback_is_coalesced_and_ends_on_the_last_value(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(osc_feedback, "FEEDBACK_S", 0.2)
    client = rig.client()
    client.set(SCALE, "?")
    assert client.receive() is not None
    sent_before = rig.server.counts.sent
    started = time.monotonic()
    for index in range(1000):
        rig.store.set(KEY, index / 1000, "gui")
    seen = []
    while not seen or seen[-1] != pytest.approx(0.999):
        call = client.receive()
        assert call is not None
        seen.append(call.arguments[0])
    took = time.monotonic() - started
    assert rig.server.counts.sent - sent_before <= took / 0.2 + 2


def test_configured_destinations_hear_without_ever_speaking() -> None:
    listener = Client(0)
    rig = Rig(destinations=[("127.0.0.1", listener.socket.getsockname()[1])])
    rig.server.start()
    try:
        rig.client().set(SCALE, 0.25)
        assert listener.receive() == OscCall(SCALE, (0.25,), None)
        rig.store.set("output.blackout", True, "midi:pad ch 1 note 36")
        assert listener.receive() == OscCall("/cuelight/output/blackout", (True,), None)
    finally:
        rig.close()
        listener.socket.close()


@pytest.mark.parametrize(
    ("peer", "setter", "echo"),
    [
        (("127.0.0.1", 5000), "osc:127.0.0.1:5000", True),
        (("127.0.0.1", 5001), "osc:127.0.0.1:5000", False),
        (("192.168.0.7", 9001), "osc:192.168.0.7:50000", True),  # a tablet listens on another port
        (("192.168.0.7", 9001), "osc:192.168.0.70:50000", False),
        (("192.168.0.7", 9001), "gui", False),
    ],
)
def test_who_counts_as_the_setter(peer: tuple[str, int], setter: str, echo: bool) -> None:
    assert osc_feedback.is_setter(peer, setter) is echo


def test_peers_are_few_and_the_oldest_goes(rig: Rig) -> None:
    clients = [rig.client() for _ in range(osc_feedback.MAX_PEERS + 1)]
    for index, client in enumerate(clients):
        client.set(SCALE, "?")
        assert eventually(lambda index=index: rig.server.counts.queries == index + 1)
        assert client.receive() is not None
    rig.store.set(KEY, 0.5, "gui")
    assert all(client.receive() == OscCall(SCALE, (0.5,), None) for client in clients[1:])
    assert clients[0].receive(0.05) is None


def test_bundles_wait_for_their_time_and_block_nobody(rig: Rig) -> None:
    client = rig.client()
    client.send(bundle(0.4, encode(SCALE, 0.75), encode("/cuelight/engine/steps", 2)))
    client.send(bundle(None, encode("/cuelight/output/dim", 0.5)))
    assert eventually(lambda: rig.store.get("output.dim") == 0.5)
    assert rig.store.get(KEY) == 1.0  # still waiting
    assert eventually(lambda: (rig.store.get(KEY), rig.store.get("engine.steps")) == (0.75, 2))
    assert rig.server.counts.far_ahead == 0


@pytest.mark.parametrize("ahead", [-5.0, 3600.0, 1e8])
def test_late_bundles_and_wrong_clocks_play_at_once(rig: Rig, ahead: float) -> None:
    rig.client().send(bundle(ahead, encode(SCALE, 0.75)))
    assert eventually(lambda: rig.store.get(KEY) == 0.75)
    assert rig.server.counts.far_ahead == (1 if ahead > 0 else 0)


def test_a_taken_port_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(osc, "RETRY_S", 0.02)
    first = OscServer(Store(), port=0)
    first.start()
    store = Store()
    second = OscServer(store, port=first.port)
    second.start()
    try:
        assert f"cannot listen on 127.0.0.1:{first.port}" in second.status
        first.stop()
        assert first.status == "OSC: stopped"
        assert eventually(lambda: "listening" in second.status)
        client = Client(second.port)
        client.set(SCALE, 0.5)
        assert eventually(lambda: store.get(KEY) == 0.5)
        client.socket.close()
    finally:
        first.stop()
        second.stop()


@pytest.mark.parametrize(
    ("host", "port"), [("no such host", 9000), ("127.0.0.1", 99999), ("203.0.113.1", 9000)]
)
def test_impossible_addresses_are_told(host: str, port: int) -> None:
    server = OscServer(Store(), host, port)
    server.start()
    assert server.status.startswith(f"OSC: cannot listen on {host}:{port}")
    server.stop()
    server.stop()


def test_it_can_be_started_again(rig: Rig) -> None:
    rig.server.stop()
    rig.store.set(KEY, 0.1, "gui")  # nobody listens any more
    rig.server.start()
    rig.client().set(SCALE, 0.5)
    assert eventually(lambda: rig.store.get(KEY) == 0.5)


def test_a_storm_ends_on_its_last_value(rig: Rig) -> None:
    client = rig.client()
    for index in range(1000):
        client.set(SCALE, (index * 37 % 100) / 50)
        if index % 10 == 9:
            time.sleep(0.005)
    client.set(SCALE, 0.625)
    assert eventually(lambda: rig.store.get(KEY) == 0.625)
    # Nothing is queued behind it: the next message is heard next.
    client.set(SCALE, "?")
    assert client.receive() == OscCall(SCALE, (0.625,), None)
    counts = rig.server.counts
    assert counts.applied + counts.superseded == 1001


def test_of_a_pile_only_the_newest_numbers_play(rig: Rig) -> None:
    other, command = "/cuelight/output/dim", "/cuelight/command/reset"
    pile = [
        encode(SCALE, 0.1),
        encode(other, 0.2),
        encode(SCALE, 0.3),
        encode(SCALE, "?"),  # asks for what came before it
        encode(SCALE, 0.4),
        encode(command, 1),
        encode(command, 0),
        encode(SCALE, 0.5),
        encode(SCALE, 1),
        encode(other, 0.6),
        b"garbage",
    ]
    keep = rig.server._newest(pile)
    assert [index for index, kept in enumerate(keep) if not kept] == [0, 7]
    rig.server.stop()
    store = Store()
    server = OscServer(store, port=0)
    server.start()
    client = Client(server.port)
    try:
        for data in pile:
            client.send(data)
        assert eventually(lambda: len(server.counts.malformed) == 1)
        assert (store.get(KEY), store.get("output.dim")) == (1.0, pytest.approx(0.6))
        answer = client.receive()
        assert answer is not None and answer.arguments == (pytest.approx(0.3),)
    finally:
        server.stop()
        client.socket.close()

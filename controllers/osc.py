"""OSC in and back: UDP messages become values in the store, changes go back to who listens.

One thread, "osc", waits on the socket; each message is one dictionary look-up, never a search, and a
bundle for later waits in a list, never in the receiving loop. When messages piled up while Python was
busy, numbers that a later message of the pile replaces are skipped. Nothing over the wire ever raises.
"""

import contextlib
import heapq
import itertools
import logging
import select
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from controllers.osc_addresses import COMMAND_ADDRESSES, read, targets, write
from controllers.osc_feedback import Feedback, Peer, identity
from controllers.osc_wire import MalformedPacket, OscCall, encode, parse, seconds_ahead, single_number
from engine.core.errors import CuelightError, ParameterError
from engine.core.store import Change, Store
from engine.core.worker import Worker

LONGEST_AHEAD_S = 2.0
VIEW = 20
RETRY_S = 2.0

_BATCH = 1024  # datagrams between two looks at the clock
_MAX_LATER = 1000
_RECEIVE_BUFFER = 4 * 1024 * 1024  # what the kernel keeps while Python is busy

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OscLine:
    """One received message for the operator's view. `at` is `time.monotonic()` seconds."""

    at: float
    sender: str
    address: str
    arguments: tuple[object, ...]
    verdict: str

    @property
    def text(self) -> str:
        """One line, however long the message was."""
        shown = " ".join([self.address, *(repr(argument) for argument in self.arguments[:8])])
        shown = shown if len(shown) <= 120 else shown[:117] + "..."
        return f"{self.sender}  {shown}  {self.verdict}"


@dataclass(frozen=True)
class OscCounts:
    """Messages so far.

    `superseded` were replaced by a later one of the same pile, `far_ahead` had a time tag too far ahead
    and were played at once; `malformed` counts packets by reason.
    """

    applied: int
    superseded: int
    clamped: int
    refused: int
    unknown: int
    queries: int
    commands: int
    far_ahead: int
    sent: int
    malformed: Mapping[str, int]


class _Later(NamedTuple):
    due: float
    order: int
    call: OscCall
    sender: Peer


class OscServer:
    """Listens on `host`:`port` (0: any free port) and plays the `store`.

    `on_command(name)` is called on the "osc" thread for /cuelight/command/NAME and must be quick.
    `destinations` (at most 8) get every change, as do senders for a minute after their last message;
    nobody gets back what he set himself. Nothing raises: read `status`.
    """

    def __init__(
        self,
        store: Store,
        host: str = "127.0.0.1",
        port: int = 9000,
        on_command: Callable[[str], None] | None = None,
        destinations: Sequence[Peer] = (),
    ) -> None:
        self._store = store
        self._host, self._port, self._bound = host, port, port
        self._on_command = on_command
        self._feedback = Feedback(destinations)
        self._targets = targets()
        self._registers = {address.encode() for address in self._targets}
        self._by_key = {target.parameter.key: address for address, target in reversed(self._targets.items())}
        self._counter: Counter[str] = Counter()
        self._malformed: Counter[str] = Counter()
        self._view: deque[OscLine] = deque(maxlen=VIEW)
        self._later: list[_Later] = []
        self._order = itertools.count()
        self._wake_lock = threading.Lock()
        self._status = "OSC: not started"
        self._socket: socket.socket | None = None
        self._wake: tuple[socket.socket, socket.socket] | None = None
        self._worker: Worker | None = None
        self._unsubscribe: Callable[[], None] | None = None

    @property
    def status(self) -> str:
        """One line for the operator: where it listens, or why it does not."""
        return self._status

    @property
    def port(self) -> int:
        """The port in use (the one asked for until it is open)."""
        return self._bound

    @property
    def messages(self) -> tuple[OscLine, ...]:
        """The last 20 messages, newest last, with what became of them."""
        return tuple(self._view.copy())

    @property
    def counts(self) -> OscCounts:
        """The counters."""
        count = self._counter
        return OscCounts(
            applied=count["applied"],
            superseded=count["superseded"],
            clamped=count["clamped"],
            refused=count["refused"],
            unknown=count["unknown"],
            queries=count["queries"],
            commands=count["commands"],
            far_ahead=count["far_ahead"],
            sent=count["sent"],
            malformed=dict(self._malformed),
        )

    def start(self) -> None:
        """Open the socket and start the thread; when the port is taken, it is tried again."""
        if self._worker is not None:
            return
        wake = socket.socketpair()
        for end in wake:
            end.setblocking(False)
        self._wake = wake
        self._open()
        self._unsubscribe = self._store.subscribe(self._note_change)
        self._worker = Worker("osc", self._tick, self._failed, finish=self._close)
        self._worker.start()

    def stop(self) -> None:
        """Close the socket and end the thread."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        if self._unsubscribe is not None:
            self._unsubscribe()
        worker.signal_stop()
        self._wake_up()
        worker.stop()

    # The thread

    def _open(self) -> None:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            with contextlib.suppress(OSError):  # some systems refuse more than their limit
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            opened.setblocking(False)
            opened.bind((self._host, self._port))
            self._bound = int(opened.getsockname()[1])
        except (OSError, OverflowError) as error:
            opened.close()
            reason = str(error) if isinstance(error, OverflowError) else error.strerror
            self._status = f"OSC: cannot listen on {self._host}:{self._port}: {reason}; choose another port"
            return
        self._socket = opened
        self._status = f"OSC: listening on {self._host}:{self._bound}"

    def _close(self) -> None:
        with self._wake_lock:
            ends, self._wake = self._wake, None
        for end in ends or ():
            end.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._status = "OSC: stopped"

    def _tick(self) -> None:
        if self._wake is None:
            return
        woken = self._wake[1]
        waiting = [woken] if self._socket is None else [woken, self._socket]
        ready, _, _ = select.select(waiting, (), (), self._patience())
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                woken.recv(4096)
        if self._socket is None:
            self._open()
            return
        if self._socket in ready:
            self._receive(self._socket)
        self._play_due()
        for key, peer in self._feedback.flush(self._store, time.monotonic()):
            self._send(self._by_key[key], peer)

    def _patience(self) -> float | None:
        """Seconds until something is due; None: until a message comes."""
        if self._socket is None:
            return RETRY_S
        due = [self._later[0].due] if self._later else []
        flush_at = self._feedback.due_at()
        if flush_at is not None:
            due.append(flush_at)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _receive(self, opened: socket.socket) -> None:
        pile: list[tuple[bytes, Peer]] = []
        # An error: nothing is left; or, on Windows, a peer went away.
        with contextlib.suppress(OSError):
            while len(pile) < _BATCH:
                pile.append(opened.recvfrom(65536))
        keep = self._newest([datagram for datagram, _ in pile])
        for (datagram, sender), kept in zip(pile, keep, strict=True):
            if kept:
                self._take(datagram, (str(sender[0]), int(sender[1])))
            else:
                self._counter["superseded"] += 1

    def _newest(self, datagrams: Sequence[bytes]) -> list[bool]:
        """Which datagrams to play: of plain numbers for one address only the last before anything else."""
        keep = [True] * len(datagrams)
        replaced: set[bytes] = set()
        for index in range(len(datagrams) - 1, -1, -1):
            address = single_number(datagrams[index])
            if address not in self._registers:
                replaced.clear()  # a command, a query or a bundle may depend on what came before it
            elif address in replaced:
                keep[index] = False
            else:
                replaced.add(address)
        return keep

    def _take(self, datagram: bytes, sender: Peer) -> None:
        try:
            calls = parse(datagram)
        except MalformedPacket as error:
            self._malformed[str(error)] += 1
            self._show(OscCall("(malformed)", (datagram[:16],), None), sender, str(error))
            return
        self._feedback.remember(sender, time.monotonic())
        for call in calls:
            ahead = seconds_ahead(call.due, time.time())
            if ahead <= 0.0:
                self._play(call, sender)
            elif ahead > LONGEST_AHEAD_S or len(self._later) >= _MAX_LATER:
                self._counter["far_ahead"] += 1
                self._play(call, sender)
            else:
                due = time.monotonic() + ahead
                heapq.heappush(self._later, _Later(due, next(self._order), call, sender))

    def _play_due(self) -> None:
        while self._later and self._later[0].due <= time.monotonic():
            later = heapq.heappop(self._later)
            self._play(later.call, later.sender)

    def _play(self, call: OscCall, sender: Peer) -> None:
        target = self._targets.get(call.address)
        if call.address in COMMAND_ADDRESSES:
            self._command(call, sender)
        elif target is None:
            self._counter["unknown"] += 1
            self._show(call, sender, "unknown address")
        elif call.arguments == ("?",):
            self._counter["queries"] += 1
            self._send(call.address, sender)
            self._show(call, sender, "answered")
        else:
            self._assign(call, sender)

    def _assign(self, call: OscCall, sender: Peer) -> None:
        target = self._targets[call.address]
        try:
            value, clamped = write(target, call.arguments)
            self._store.set(target.parameter.key, value, identity(sender))
        except ParameterError as error:
            self._counter["refused"] += 1
            self._show(call, sender, str(error))
            return
        self._counter["applied"] += 1
        self._counter["clamped"] += clamped
        self._show(call, sender, f"out of range, {value!r:.60} used" if clamped else "ok")

    def _command(self, call: OscCall, sender: Peer) -> None:
        if call.arguments and not call.arguments[0]:
            self._show(call, sender, "released")  # a button sends 1 when pressed and 0 when released
            return
        self._counter["commands"] += 1
        verdict = "ok"
        if self._on_command is not None:
            try:
                self._on_command(COMMAND_ADDRESSES[call.address])
            except CuelightError as error:
                verdict = str(error)
        self._show(call, sender, verdict)

    def _show(self, call: OscCall, sender: Peer, verdict: str) -> None:
        self._view.append(
            OscLine(time.monotonic(), f"{sender[0]}:{sender[1]}", call.address, call.arguments, verdict)
        )

    # Back to the hands

    def _note_change(self, change: Change) -> None:
        """On the setter's thread: only that something changed; the value is read when it is sent."""
        if self._feedback.note(change.key):
            self._wake_up()

    def _wake_up(self) -> None:
        with self._wake_lock:
            if self._wake is not None:
                with contextlib.suppress(BlockingIOError):
                    self._wake[0].send(b"\0")

    def _send(self, address: str, peer: Peer) -> None:
        if self._socket is None:
            return
        target = self._targets[address]
        value = read(target, self._store.get(target.parameter.key))
        try:
            self._socket.sendto(encode(address, value), peer)
        except (OSError, OverflowError) as error:
            _log.debug("OSC to %s:%s: %s", *peer, error)
            return
        self._counter["sent"] += 1

    def _failed(self, name: str, error: BaseException) -> None:
        listening = self._status.partition(";")[0]
        self._status = f"{listening}; last fault: {error}"

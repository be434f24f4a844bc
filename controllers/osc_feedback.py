"""Who hears what changed: OSC peers and the changes not yet told, at most 30 times a second.

Knows no socket: the server asks what is due and sends it. A value that changed often in between is told
once, with its newest value, and never to the hand that set it.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from engine.core.store import Store

Peer: TypeAlias = tuple[str, int]

FEEDBACK_S = 1 / 30
MAX_PEERS = 8
PEER_S = 60.0


class Feedback:
    """Changes waiting for `destinations` (at most 8) and for who spoke during the last minute.

    `note` may be called from any thread, the rest from one.
    """

    def __init__(self, destinations: Sequence[Peer] = ()) -> None:
        self._destinations = tuple(destinations)[:MAX_PEERS]
        self._peers: OrderedDict[Peer, float] = OrderedDict()
        self._lock = threading.Lock()
        self._changed: dict[str, None] = {}
        self._flush_at = 0.0

    def remember(self, peer: Peer, now: float) -> None:
        """`peer` spoke; of more than eight the one silent for longest is forgotten."""
        self._peers[peer] = now
        self._peers.move_to_end(peer)
        if len(self._peers) > MAX_PEERS:
            self._peers.popitem(last=False)

    def note(self, key: str) -> bool:
        """`key` changed; True when the server has to be told that something waits."""
        if not self._peers and not self._destinations:
            return False
        with self._lock:
            first = not self._changed
            self._changed[key] = None
        return first

    def due_at(self) -> float | None:
        """When the next flush is due (`time.monotonic()` s); None when nothing waits."""
        return self._flush_at if self._changed else None

    def flush(self, store: Store, now: float) -> Iterator[tuple[str, Peer]]:
        """The keys to send and to whom, when it is time; they count as told."""
        if not self._changed or now < self._flush_at:
            return
        self._flush_at = now + FEEDBACK_S
        with self._lock:
            keys, self._changed = list(self._changed), {}
        for peer in [peer for peer, heard_at in self._peers.items() if now - heard_at > PEER_S]:
            del self._peers[peer]
        listeners = {*self._destinations, *self._peers}
        # Looked at after the keys were taken: an older setter would keep its peer from the newest value.
        snapshot = store.snapshot()
        for key in keys:
            setter = snapshot.source_of(key)
            yield from ((key, peer) for peer in listeners if not is_setter(peer, setter))


def identity(peer: Peer) -> str:
    """The name of `peer` as a setter in the store."""
    return f"osc:{peer[0]}:{peer[1]}"


def is_setter(peer: Peer, setter: str) -> bool:
    """Whether `setter` (of the store) is the program at `peer`.

    A tablet sends from another port than it listens on, so elsewhere the host decides; on this machine
    several programs share one host, and the port does.
    """
    if setter == identity(peer):
        return True
    return not peer[0].startswith("127.") and setter.startswith(f"osc:{peer[0]}:")

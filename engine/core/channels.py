"""The three ways a frame travels between two threads. Each counts what it drops.

Latest holds one item and overwrites it; Ring keeps a bounded history that is resampled when read;
Fifo is bounded and blocks. `close()` wakes every waiter, which then raises Closed. A waiter sleeps
on a condition: nobody polls.
"""

import bisect
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """The channel was closed: the thread that sees this has nothing left to do."""


class Latest(Generic[T]):
    """One slot: a new item replaces the old one. For one reader that waits, and any that peek."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: T | None = None
        self._unseen = False
        self._closed = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Items replaced before `get` took them (peeking does not count as taking)."""
        return self._dropped

    def put(self, item: T) -> None:
        """Replace the item; never waits. Raises Closed."""
        with self._condition:
            if self._closed:
                raise Closed
            self._dropped += self._unseen
            self._item = item
            self._unseen = True
            self._condition.notify_all()

    def get(self, timeout: float | None = None) -> T | None:
        """The newest item not yet taken; waits for one, at most `timeout` seconds (then None)."""
        with self._condition:
            self._condition.wait_for(lambda: self._unseen or self._closed, timeout)
            if self._closed:
                raise Closed
            if not self._unseen:
                return None
            self._unseen = False
            return self._item

    def peek(self) -> T | None:
        """The newest item, taken or not; None before the first. Never waits, works after close."""
        return self._item

    def close(self) -> None:
        """Wake every waiter; it raises Closed."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()


class Ring(Generic[T]):
    """The last `capacity` items, read by one reader as an even sample over time."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a ring holds at least 1 item, not {capacity}")
        self._condition = threading.Condition()
        self._items: deque[T] = deque(maxlen=capacity)
        self._put_count = 0
        self._read_count = 0  # items put before the last take
        self._closed = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Items that were overwritten or passed over without ever being taken."""
        return self._dropped

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Append, forgetting the oldest item when full; never waits. Raises Closed."""
        with self._condition:
            if self._closed:
                raise Closed
            fresh = self._put_count - self._read_count
            self._dropped += len(self._items) == self._items.maxlen and fresh >= len(self._items)
            self._items.append(item)
            self._put_count += 1
            self._condition.notify_all()

    def take(
        self,
        n: int,
        since: float | None,
        time_of: Callable[[T], float],
        timeout: float | None = None,
    ) -> list[T]:
        """`n` items spread evenly in time over those newer than `since` (None: over all kept).

        Waits until at least one item newer than `since` has arrived after the last take; after
        `timeout` seconds it returns []. Fewer than `n` items are repeated, more are thinned.
        `time_of` gives an item's time in seconds; times must not decrease. Raises Closed.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._has_new(since, time_of), timeout)
            if self._closed:
                raise Closed
            if not self._has_new(since, time_of):
                return []
            kept = [item for item in self._items if since is None or time_of(item) > since]
            chosen = _evenly([time_of(item) for item in kept], n, since)
            fresh = min(self._put_count - self._read_count, len(self._items))
            used = {index for index in chosen if index >= len(kept) - fresh}
            self._dropped += fresh - len(used)
            self._read_count = self._put_count
            return [kept[index] for index in chosen]

    def close(self) -> None:
        """Wake every waiter; it raises Closed."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _has_new(self, since: float | None, time_of: Callable[[T], float]) -> bool:
        if self._put_count == self._read_count:
            return False
        return since is None or time_of(self._items[-1]) > since


class Fifo(Generic[T]):
    """A bounded queue: a full one makes the writer wait. What was put before close can still be read."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a fifo holds at least 1 item, not {capacity}")
        self._condition = threading.Condition()
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._closed = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Items refused because the queue stayed full, and items cleared."""
        return self._dropped

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T, timeout: float | None = None) -> bool:
        """Append; waits for room, at most `timeout` seconds (then False and a drop). Raises Closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or len(self._items) < self._capacity, timeout)
            if self._closed:
                raise Closed
            if len(self._items) >= self._capacity:
                self._dropped += 1
                return False
            self._items.append(item)
            self._condition.notify_all()
            return True

    def get(self, timeout: float | None = None) -> T | None:
        """The oldest item; waits for one, at most `timeout` seconds (then None).

        Raises Closed when the queue is closed and empty.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._closed or bool(self._items), timeout)
            if self._items:
                item = self._items.popleft()
                self._condition.notify_all()
                return item
            if self._closed:
                raise Closed
            return None

    def clear(self) -> int:
        """Throw away what is queued; returns how many items, which count as dropped."""
        with self._condition:
            count = len(self._items)
            self._items.clear()
            self._dropped += count
            self._condition.notify_all()
            return count

    def close(self) -> None:
        """Wake every waiter; writers raise Closed at once, readers when the queue is empty."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()


def _evenly(times: Sequence[float], n: int, since: float | None) -> list[int]:
    """Indices of the items nearest to `n` evenly spaced instants that end at the newest item.

    With `since` the instants divide (since, newest]; without, they run from the first item to the
    last. So a chunk's frames keep the speed of what was filmed, however irregularly it arrived.
    """
    newest = times[-1]
    if since is None:
        first, pitch = times[0], (newest - times[0]) / max(1, n - 1)
    else:
        pitch = (newest - since) / n
        first = since + pitch
    return [_nearest(times, first + index * pitch) for index in range(n)]


def _nearest(times: Sequence[float], instant: float) -> int:
    right = bisect.bisect_left(times, instant)
    if right == 0:
        return 0
    if right == len(times):
        return right - 1
    return right if times[right] - instant < instant - times[right - 1] else right - 1

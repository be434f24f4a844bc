"""The three channels: what arrives, what is dropped and counted, who wakes up."""

import threading
from collections.abc import Callable

import pytest

from engine.core.channels import Closed, Fifo, Latest, Ring


def seconds(item: float) -> float:
    return item


def test_latest_keeps_the_newest_and_counts() -> None:
    slot: Latest[int] = Latest()
    assert slot.peek() is None
    assert slot.get(timeout=0) is None
    for item in range(5):
        slot.put(item)
    assert (slot.get(), slot.dropped) == (4, 4)
    assert slot.get(timeout=0) is None, "an item is taken once"
    assert slot.peek() == 4
    slot.put(5)
    assert (slot.get(), slot.dropped) == (5, 4)


def test_ring_counts_what_is_overwritten() -> None:
    ring: Ring[float] = Ring(3)
    for item in range(10):
        ring.put(float(item))
    assert (len(ring), ring.dropped) == (3, 7)
    assert ring.take(3, None, seconds) == [7.0, 8.0, 9.0]
    assert ring.dropped == 7


def test_ring_thins_evenly_and_counts_the_rest() -> None:
    ring: Ring[float] = Ring(100)
    for item in range(1, 25):
        ring.put(float(item))
    taken = ring.take(12, 0.0, seconds)
    assert taken == [float(item) for item in range(2, 25, 2)]
    assert ring.dropped == 12


def test_ring_repeats_when_there_are_too_few() -> None:
    ring: Ring[float] = Ring(100)
    for item in (1.0, 2.0, 3.0):
        ring.put(item)
    assert ring.take(6, 0.0, seconds) == [1.0, 1.0, 1.0, 2.0, 2.0, 3.0]
    assert ring.dropped == 0
    ring.put(4.0)
    assert ring.take(4, 3.0, seconds) == [4.0] * 4


def test_ring_follows_time_not_count() -> None:
    """After a gap in the arrivals, motion keeps its speed: half the time is half the frames."""
    ring: Ring[float] = Ring(100)
    for item in (0.1, 0.2, 0.3, 0.4, 0.5, 1.0):
        ring.put(item)
    assert ring.take(10, 0.0, seconds) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0]
    assert Ring[float](3).dropped == 0


def test_ring_waits_for_something_new() -> None:
    ring: Ring[float] = Ring(10)
    ring.put(1.0)
    assert ring.take(2, None, seconds) == [1.0, 1.0]
    assert ring.take(2, None, seconds, timeout=0) == [], "nothing arrived after the last take"
    ring.put(2.0)
    assert ring.take(2, 2.0, seconds, timeout=0) == [], "nothing newer than asked"
    ring.put(3.0)
    assert ring.take(2, 2.0, seconds, timeout=0) == [3.0, 3.0]
    assert ring.dropped == 1


def test_fifo_keeps_order_and_refuses_when_full() -> None:
    queue: Fifo[int] = Fifo(2)
    assert queue.put(1) and queue.put(2)
    assert not queue.put(3, timeout=0)
    assert (len(queue), queue.dropped) == (2, 1)
    assert (queue.get(), queue.get(), queue.get(timeout=0)) == (1, 2, None)
    queue.put(4)
    assert queue.clear() == 1
    assert (len(queue), queue.dropped) == (0, 2)


def test_fifo_writer_waits_for_the_reader() -> None:
    queue: Fifo[int] = Fifo(2)
    writer = threading.Thread(target=lambda: [queue.put(item) for item in range(200)])
    writer.start()
    assert [queue.get() for _ in range(200)] == list(range(200))
    writer.join()
    assert queue.dropped == 0


def test_fifo_can_be_drained_after_close() -> None:
    queue: Fifo[int] = Fifo(2)
    queue.put(1)
    queue.close()
    with pytest.raises(Closed):
        queue.put(2)
    assert queue.get() == 1
    with pytest.raises(Closed):
        queue.get()


def full_fifo() -> Fifo[float]:
    queue: Fifo[float] = Fifo(1)
    queue.put(0.0)
    return queue


def wait_on(channel: Latest[float] | Ring[float] | Fifo[float]) -> Callable[[], object]:
    if isinstance(channel, Latest):
        return channel.get
    if isinstance(channel, Ring):
        return lambda: channel.take(3, None, seconds)
    return channel.get if not len(channel) else lambda: channel.put(1.0)


@pytest.mark.parametrize("make", [Latest[float], lambda: Ring[float](3), lambda: Fifo[float](3), full_fifo])
def test_close_wakes_every_waiter(make: Callable[[], Latest[float] | Ring[float] | Fifo[float]]) -> None:
    channel = make()
    wait = wait_on(channel)
    woken: list[str] = []

    def waiter() -> None:
        try:
            wait()
        except Closed:
            woken.append("closed")

    threads = [threading.Thread(target=waiter) for _ in range(3)]
    for thread in threads:
        thread.start()
    channel.close()
    for thread in threads:
        thread.join(timeout=10)
    assert woken == ["closed"] * 3


def test_a_closed_channel_takes_nothing() -> None:
    slot: Latest[int] = Latest()
    ring: Ring[int] = Ring(2)
    slot.put(1)
    slot.close()
    ring.close()
    for use in (lambda: slot.put(2), slot.get, lambda: ring.put(2), lambda: ring.take(1, None, float)):
        with pytest.raises(Closed):
            use()
    assert slot.peek() == 1


@pytest.mark.parametrize("make", [Ring, Fifo])
def test_no_capacity_is_refused(make: Callable[[int], object]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        make(0)


def test_overload_accounts_for_every_item() -> None:
    """A fast writer and a slow reader: taken once + dropped = put, in both dropping channels."""
    slot: Latest[int] = Latest()
    ring: Ring[float] = Ring(7)
    total = 2000
    got: list[int] = []
    sampled: set[float] = set()

    def read_slot() -> None:
        while (item := slot.get()) != total - 1:
            assert item is not None
            got.append(item)
        got.append(total - 1)

    def read_ring() -> None:
        since = -1.0
        while since < total - 1:
            taken = ring.take(3, since, seconds)
            sampled.update(taken)
            since = taken[-1]

    readers = [threading.Thread(target=read_slot), threading.Thread(target=read_ring)]
    for reader in readers:
        reader.start()
    for item in range(total):
        slot.put(item)
        ring.put(float(item))
    for reader in readers:
        reader.join(timeout=30)
    assert got == sorted(set(got)) and got[-1] == total - 1
    assert len(got) + slot.dropped == total
    assert len(sampled) + ring.dropped == total

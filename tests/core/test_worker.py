"""A worker goes on after errors, ends quietly, and stops when told."""

import logging
import threading

import pytest

from engine.core.channels import Closed, Latest
from engine.core.worker import Worker


def ignore(name: str, error: BaseException) -> None:
    raise AssertionError(f"{name} was not to fail: {error}")


def test_ticks_until_stopped_under_its_name() -> None:
    slot: Latest[int] = Latest()
    seen: list[tuple[str, int | None]] = []
    enough = threading.Event()

    def tick() -> None:
        seen.append((threading.current_thread().name, slot.get()))
        enough.set()

    finished: list[str] = []
    worker = Worker("tester", tick, ignore, finish=lambda: finished.append(threading.current_thread().name))
    worker.start()
    slot.put(1)
    assert enough.wait(10)
    slot.close()
    assert worker.stop()
    assert not worker.alive
    assert seen == [("tester", 1)]
    assert finished == ["tester"]


def test_error_is_reported_and_work_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[str] = []
    calls: list[int] = []

    def tick() -> None:
        calls.append(1)
        if len(calls) <= 2:
            raise RuntimeError(f"broken {len(calls)}")
        raise Closed

    def on_error(name: str, error: BaseException) -> None:
        errors.append(f"{name}: {error}")
        raise ValueError("the report fails too")

    worker = Worker("fragile", tick, on_error, retry_s=0.0)
    with caplog.at_level(logging.CRITICAL, logger="engine.core.worker"):
        worker.start()
        worker._thread.join(10)
    assert not worker.alive, "Closed ends it"
    assert errors == ["fragile: broken 1", "fragile: broken 2"]
    assert len(calls) == 3


def test_stop_does_not_wait_for_the_retry(caplog: pytest.LogCaptureFixture) -> None:
    failed = threading.Event()

    def tick() -> None:
        raise RuntimeError("always")

    worker = Worker("failing", tick, lambda name, error: failed.set(), retry_s=3600.0)
    with caplog.at_level(logging.CRITICAL, logger="engine.core.worker"):
        worker.start()
        assert failed.wait(10)
        assert worker.stop(timeout=30)


def test_pause_ends_when_stopping() -> None:
    entered = threading.Event()
    pauses: list[bool] = []

    def tick() -> None:
        entered.set()
        pauses.append(worker.pause(3600.0))

    worker = Worker("pausing", tick, ignore)
    worker.start()
    assert entered.wait(10)
    assert not worker.stopping
    assert worker.stop(timeout=30)
    assert pauses == [True]
    assert worker.stopping


def test_a_hung_tick_is_told() -> None:
    release = threading.Event()

    def tick() -> None:
        release.wait(30)

    worker = Worker("hung", tick, ignore)
    worker.start()
    assert not worker.stop(timeout=0.05)
    release.set()
    assert worker.stop(timeout=30)


def test_stop_before_start_is_fine() -> None:
    worker = Worker("idle", lambda: None, ignore)
    assert not worker.alive
    assert worker.stop()

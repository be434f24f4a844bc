"""Pulling: a storm costs one repaint and ends on the last value; results and notices reach the window."""

import threading

from app.bridge import TICK_MS, Bridge
from engine.core.parameters import TABLE


def test_a_storm_from_two_threads_ends_on_the_last_value_and_is_coalesced(bridge, store, qtbot) -> None:
    shown: list[float] = []
    bridge.watch("vace.context_scale", lambda value: shown.append(float(value)))
    bridge.start()
    count = 2500
    start = threading.Barrier(3)

    def storm(source: str) -> None:
        start.wait()
        for step in range(count):
            store.set("vace.context_scale", (step * 7 % 2000) / 1000, source)
            if step % 20 == 0:
                pause.wait(0.02)  # about 1 kHz each

    pause = threading.Event()
    threads = [threading.Thread(target=storm, args=(name,)) for name in ("midi", "osc")]
    for thread in threads:
        thread.start()
    start.wait()
    qtbot.waitUntil(lambda: not any(thread.is_alive() for thread in threads), timeout=60_000)
    for thread in threads:
        thread.join()
    store.set("vace.context_scale", 1.234, "midi")
    qtbot.waitUntil(lambda: shown[-1] == 1.234)
    bridge.stop()
    assert store.get("vace.context_scale") == 1.234
    assert len(shown) < 2 * count / 4  # far fewer repaints than changes


def test_one_tick_shows_only_the_newest_of_many_changes(bridge, store) -> None:
    shown: list[object] = []
    bridge.watch("output.dim", shown.append)
    for step in range(1000):
        store.set("output.dim", step / 1000, "osc")
    bridge.pull()
    assert shown == [TABLE["output.dim"].default, 0.999]


def test_what_did_not_change_is_not_shown_again(bridge, store) -> None:
    shown: list[object] = []
    bridge.watch("output.dim", shown.append)
    store.set("output.mix", 0.5, "osc")
    bridge.pull()
    bridge.pull()
    assert len(shown) == 1


def test_thirty_ticks_a_second() -> None:
    assert 1000 / TICK_MS == 1000 / 33


def test_the_status_comes_every_third_tick(bridge: Bridge, runtime) -> None:
    seen: list[object] = []
    bridge.status.connect(seen.append)
    for _ in range(9):
        bridge.pull()
    assert seen == [runtime.now] * 3


def test_an_errand_delivers_on_the_tick_and_its_failure_is_told(bridge, errands, notices, qtbot) -> None:
    got: list[tuple[int, str]] = []
    errands.run(lambda: 6 * 7, lambda result: got.append((result, threading.current_thread().name)))
    errands.run(lambda: 1 // 0)
    qtbot.waitUntil(lambda: (bridge.pull(), bool(got))[1])
    assert got == [(42, threading.current_thread().name)]
    told: list[str] = []
    qtbot.waitUntil(lambda: (told.extend(notice.what for notice in notices.take()), bool(told))[1])
    assert told == ["ZeroDivisionError: integer division or modulo by zero"]


def test_stopped_errands_refuse_and_say_so(errands) -> None:
    done: list[int] = []
    for step in range(20):
        assert errands.run(lambda step=step: done.append(step))
    assert errands.stop()
    assert done == list(range(20))  # what was queued is finished
    assert errands.run(lambda: None) is False

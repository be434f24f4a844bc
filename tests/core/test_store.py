"""The store under four writers, its versions and setters, and its listeners."""

import logging
import threading

import pytest

from engine.core.errors import ParameterError
from engine.core.store import Change, Store


def test_defaults_then_versions_and_setters() -> None:
    store = Store()
    start = store.snapshot()
    assert start.version == 0
    assert start["vace.context_scale"] == 1.0
    assert start.source_of("vace.context_scale") == "default"
    assert store.set("vace.context_scale", 0.5, "midi:knob") == 1
    assert store.set("engine.steps", 2.0, "osc") == 2
    now = store.snapshot()
    assert (now["vace.context_scale"], now["engine.steps"]) == (0.5, 2)
    assert (now.version_of("vace.context_scale"), now.version_of("engine.steps")) == (1, 2)
    assert (now.source_of("vace.context_scale"), now.source_of("prompt.text")) == ("midi:knob", "default")
    assert start["vace.context_scale"] == 1.0, "an old snapshot never changes"
    assert (now.number("vace.context_scale"), now.whole("engine.steps")) == (0.5, 2)
    assert (now.flag("output.freeze"), now.text("annotator.name")) == (False, "scribble")


def test_same_value_records_nothing() -> None:
    store = Store()
    seen: list[Change] = []
    store.subscribe(seen.append)
    assert store.set("output.dim", 1.0, "gui") == 0
    assert store.set("output.dim", 0.25, "gui") == 1
    assert store.set("output.dim", 0.25, "osc") == 1
    assert [(change.value, change.source) for change in seen] == [(0.25, "gui")]


def test_bad_value_changes_nothing_at_all() -> None:
    store = Store()
    with pytest.raises(ParameterError, match=r"engine\.steps"):
        store.set_many({"output.dim": 0.5, "engine.steps": 99}, "preset")
    with pytest.raises(ParameterError, match="nope"):
        store.set_many({"output.dim": 0.5, "nope": 1}, "preset")
    assert store.snapshot().version == 0
    assert store.get("output.dim") == 1.0


def test_many_values_appear_together() -> None:
    store = Store()
    seen: list[Change] = []
    store.subscribe(seen.append)
    version = store.set_many({"output.dim": 0.5, "output.mix": 0.5, "output.fps": 30}, "preset")
    assert version == 1
    assert {(change.key, change.version) for change in seen} == {("output.dim", 1), ("output.mix", 1)}


def test_unknown_key_is_named() -> None:
    store = Store()
    for read in (store.get, store.snapshot().version_of, store.snapshot().source_of):
        with pytest.raises(ParameterError, match=r"vace\.context_scale"):
            read("vace.context_scle")
    with pytest.raises(ParameterError, match="not a number"):
        store.snapshot().number("prompt.text")


def test_listener_sees_the_stored_value_and_can_end() -> None:
    store = Store()
    seen: list[object] = []
    end = store.subscribe(lambda change: seen.append((change.value, store.get(change.key))))
    store.set("output.mix", 0.5, "gui")
    end()
    end()
    store.set("output.mix", 0.75, "gui")
    assert seen == [(0.5, 0.5)]


def test_listener_may_set_from_its_callback() -> None:
    store = Store()

    def follow(change: Change) -> None:
        if change.key == "output.freeze":
            store.set("output.dim", 0.0, "rule")

    store.subscribe(follow)
    store.set("output.freeze", True, "gui")
    assert store.get("output.dim") == 0.0


def test_failing_listener_reaches_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    seen: list[Change] = []

    def fail(change: Change) -> None:
        raise RuntimeError("listener broke")

    store.subscribe(fail)
    store.subscribe(seen.append)
    with caplog.at_level(logging.CRITICAL, logger="engine.core.store"):
        assert store.set("output.mix", 0.5, "gui") == 1
    assert len(seen) == 1


def test_four_writers_lose_nothing() -> None:
    """Each writer owns one key and shares one; every snapshot is whole and versions only grow."""
    store = Store()
    count = 500
    keys = ("vace.context_scale", "annotator.gain", "annotator.detail", "output.mix")
    changes: list[Change] = []
    store.subscribe(changes.append)
    torn: list[str] = []
    done = threading.Event()

    def write(key: str) -> None:
        for step in range(1, count + 1):
            store.set(key, step / (count + 1), key)
            # Both sides of a pair are always set together, so no snapshot may hold two different ones.
            store.set_many({"output.fps": 10 + step % 50, "engine.seed": 10 + step % 50}, key)

    def read() -> None:
        version = 0
        while not done.is_set():
            snapshot = store.snapshot()
            if snapshot.version < version:
                torn.append("version went back")
            version = snapshot.version
            if snapshot["output.fps"] != snapshot["engine.seed"]:
                torn.append(f"pair torn at {version}")

    store.set_many({"output.fps": 10, "engine.seed": 10}, "start")
    writers = [threading.Thread(target=write, args=(key,)) for key in keys]
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert torn == []
    final = store.snapshot()
    for key in keys:
        assert final[key] == count / (count + 1)
        assert final.source_of(key) == key
    assert final["output.fps"] == final["engine.seed"] == 10 + count % 50
    versions = {change.version for change in changes}
    assert versions == set(range(1, final.version + 1)), "every version was told exactly to the listeners"
    assert sum(change.key in keys for change in changes) == len(keys) * count

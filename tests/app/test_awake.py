"""The computer stays awake while an audience looks, and the performer is told where it cannot."""

from app.awake import Awake, system_lock
from app.notices import Notices
from tests.app.fakes import FakeLock


def test_it_is_held_while_it_is_wanted_and_asked_for_once(errands, notices, qtbot) -> None:
    lock = FakeLock()
    awake = Awake(errands, notices, lock)
    for wanted in (False, True, True, True, False, False, True):
        awake.want(wanted)
    qtbot.waitUntil(lambda: lock.asked == ["take", "free", "take"])
    assert notices.take() == []


def test_where_it_cannot_be_held_the_performer_is_told_once(errands, notices: Notices, qtbot) -> None:
    lock = FakeLock(works=False)
    awake = Awake(errands, notices, lock)
    for wanted in (True, False, True):
        awake.want(wanted)
    qtbot.waitUntil(lambda: lock.asked == ["take", "free", "take"])
    (told,) = notices.take()
    assert "fall asleep" in told.what and told.fix and told.level == "warning"


def test_the_window_says_when_it_is_on_air(window, store, bridge) -> None:
    said: list[bool] = []
    window.on_air.connect(said.append)

    def now() -> bool:
        for _ in range(3):
            bridge.pull()
        return said[-1]

    assert now() is False
    store.set("output.virtual_camera", True, "gui")
    assert now() is True
    store.set("output.virtual_camera", False, "gui")
    assert now() is False
    window.output_window.open()
    assert now() is True


def test_without_a_desktop_nothing_is_promised(monkeypatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere/at/all")
    lock = system_lock()
    assert lock.take() is False
    lock.free()
    lock.free()

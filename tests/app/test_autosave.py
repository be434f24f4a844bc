"""Settings are written during the show, when something is new, and not on the window's thread."""

from app.autosave import EVERY_S, Autosave
from app.notices import Notices
from app.settings import WindowMemory, restore
from engine.core.store import Store
from tests.fakes import FakeClock


def test_a_crash_costs_half_a_minute(tmp_path, store, notices, errands, qtbot) -> None:
    path, clock = tmp_path / "settings.toml", FakeClock()
    now = WindowMemory(page="LoRA")
    autosave = Autosave(restore(path, store, notices), store, lambda: now, errands, clock)
    store.set("prompt.text", "ice palace", "gui")
    autosave.look()
    clock.advance(EVERY_S - 0.1)
    autosave.look()
    clock.advance(0.2)
    autosave.look()
    qtbot.waitUntil(path.is_file)
    qtbot.waitUntil(lambda: "ice palace" in path.read_text())
    again = Store()
    assert restore(path, again, Notices()).window == now
    assert again.get("prompt.text") == "ice palace"


def test_nothing_new_is_not_written_again(tmp_path, store, notices, errands, qtbot) -> None:
    path, clock = tmp_path / "settings.toml", FakeClock()
    autosave = Autosave(restore(path, store, notices), store, WindowMemory, errands, clock)

    def later() -> None:
        clock.advance(EVERY_S + 1)
        autosave.look()
        done: list[bool] = []
        errands.run(lambda: done.append(True))  # what was queued before it is done with it
        qtbot.waitUntil(lambda: done == [True])

    later()
    assert not path.exists()
    store.set("output.mix", 0.5, "gui")
    later()
    path.unlink()
    later()
    assert not path.exists()

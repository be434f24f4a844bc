"""The window over a fake runtime. Nothing ticks by itself: a test says `bridge.pull()` when it is time."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["QT_QPA_PLATFORM"] = "offscreen"  # before Qt is loaded, whatever the machine offers

from app.bridge import Bridge
from app.errands import Errands
from app.hands import Hands
from app.notices import Notices
from app.settings import WindowMemory
from app.window import Window
from controllers.router import Router
from engine.core.store import Store
from tests.app.fakes import FakeRuntime
from tests.fakes import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def notices() -> Notices:
    return Notices()


@pytest.fixture
def errands(notices: Notices) -> Iterator[Errands]:
    made = Errands(lambda _name, error: notices.report(error))
    made.start()
    yield made
    assert made.stop()


@pytest.fixture
def router(store: Store, clock: FakeClock, runtime: FakeRuntime) -> Iterator[Router]:
    made = Router(store, runtime.command, clock)
    yield made
    made.close()


@pytest.fixture
def mapping_file(tmp_path: Path) -> Path:
    return tmp_path / "mapping.toml"


@pytest.fixture
def hands(router: Router, notices: Notices, errands: Errands, mapping_file: Path, clock: FakeClock) -> Hands:
    return Hands(router, None, None, notices, errands, mapping_file, clock)


@pytest.fixture
def bridge(
    qapp: object, store: Store, runtime: FakeRuntime, hands: Hands, notices: Notices, errands: Errands
) -> Bridge:
    return Bridge(store, runtime, hands, notices, errands)


@pytest.fixture
def window(qtbot, bridge: Bridge) -> Iterator[Window]:
    made = Window(bridge, WindowMemory())
    qtbot.addWidget(made)
    qtbot.addWidget(made.output_window)
    made.show()
    made.activateWindow()
    qtbot.waitUntil(made.isActiveWindow)
    yield made
    made.close()

"""The second window: full screen and back, the cursor, the display it remembers."""

import json
import os
import subprocess
import sys

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication

from app.output_window import OutputWindow, identity
from tests.app.fakes import RUNNING, flat
from tests.app.test_preview import colours


@pytest.fixture
def output(window) -> OutputWindow:
    return window.output_window


def test_the_switch_opens_and_closes_it(window, output, qtbot) -> None:
    qtbot.mouseClick(window.outputs.window_switch, Qt.MouseButton.LeftButton)
    assert output.isVisible()
    assert window.outputs.window_switch.shown() is True
    qtbot.mouseClick(window.outputs.window_switch, Qt.MouseButton.LeftButton)
    assert not output.isVisible()
    assert window.outputs.window_switch.shown() is False


def test_closed_by_the_window_manager_the_switch_knows(window, output) -> None:
    output.open()
    output.close()
    assert window.outputs.window_switch.shown() is False
    assert window.isVisible()


def test_f11_and_double_click_go_full_screen_and_back(window, output, qtbot) -> None:
    qtbot.keyClick(window, Qt.Key.Key_F11)
    assert output.isVisible()
    full = output.isFullScreen()
    qtbot.keyClick(window, Qt.Key.Key_F11)
    assert output.isFullScreen() is not full
    qtbot.mouseDClick(output, Qt.MouseButton.LeftButton)
    assert output.isFullScreen() is full


def test_with_one_display_it_opens_small_and_leaves_the_controls_free(window, output) -> None:
    output.open()
    assert not output.isFullScreen()
    for panel in (window.safety, window.macros, window.outputs):
        corner = panel.mapToGlobal(QPoint(0, 0))
        assert not output.geometry().intersects(panel.rect().translated(corner))


def test_escape_leaves_full_screen_only_with_the_focus(window, output, qtbot) -> None:
    output.toggle_full()
    if not output.isFullScreen():
        output.toggle_full()
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    assert output.isFullScreen()
    qtbot.keyClick(output, Qt.Key.Key_Escape)
    assert not output.isFullScreen()
    assert output.isVisible()


def test_the_cursor_hides_after_a_moment_and_comes_back(output, qtbot) -> None:
    output.open()
    qtbot.waitUntil(lambda: output.cursor().shape() == Qt.CursorShape.BlankCursor, timeout=10_000)
    qtbot.mouseMove(output, QPoint(50, 50))
    qtbot.mouseMove(output, QPoint(60, 60))
    qtbot.waitUntil(lambda: output.cursor().shape() == Qt.CursorShape.ArrowCursor)


def test_the_display_is_remembered_by_what_it_is(window, output) -> None:
    screen = QGuiApplication.primaryScreen()
    output.open()
    output.toggle_full()
    assert output.display == identity(screen)
    assert identity(screen).count("|") == 2
    window.close()
    assert window.memory.display == identity(screen)
    assert window.memory.output_open is True


def test_it_opens_full_on_the_remembered_display(qtbot, bridge, window) -> None:
    again = OutputWindow(lambda: None, window, identity(QGuiApplication.primaryScreen()))
    qtbot.addWidget(again)
    again.open()
    assert again.isFullScreen()
    again.close()


def test_a_display_that_leaves_and_returns_takes_the_picture_back(window, output) -> None:
    screen = QGuiApplication.primaryScreen()
    output.toggle_full()
    if not output.isFullScreen():
        output.toggle_full()
    QGuiApplication.instance().screenRemoved.emit(screen)
    assert output.isVisible()
    assert not output.isFullScreen()
    QGuiApplication.instance().screenAdded.emit(screen)
    assert output.isFullScreen()


def test_it_shows_the_program_and_on_air_is_told(window, output, bridge, runtime, qtbot) -> None:
    output.open()
    runtime.show(flat(9, 9, 9), None, flat(20, 160, 90, 90, 160))
    runtime.now = RUNNING
    for _ in range(3):
        bridge.pull()
    qtbot.waitUntil(lambda: colours(output, (0.5, 0.5)) == [(20, 160, 90)])
    assert colours(window.program, (0.5, 0.5)) == [(20, 160, 90)]
    assert window.program.on_air


def test_a_show_of_60_pictures_a_second_is_looked_at_often_enough(window, output, bridge, store) -> None:
    for fps, ms in ((60.0, 8), (30.0, 16), (24.0, 20)):
        store.set("output.fps", fps, "gui")
        bridge.pull()
        assert output._pulling.interval() == ms


def test_a_careless_double_click_on_the_program_does_not_take_it_from_the_audience(
    window, output, qtbot
) -> None:
    qtbot.mouseDClick(window.program, Qt.MouseButton.LeftButton)
    assert output.isVisible()
    output.toggle_full()
    full = output.isFullScreen()
    qtbot.mouseDClick(window.program, Qt.MouseButton.LeftButton)
    assert output.isVisible() and output.isFullScreen() is full


def test_a_show_on_air_ends_at_the_second_close_only(window, output, bridge, notices) -> None:
    output.open()
    for _ in range(3):
        bridge.pull()
    window.close()
    assert window.isVisible() and output.isVisible()
    (told,) = notices.take()
    assert "still sees" in told.what and "close again" in told.fix
    window.close()
    assert not window.isVisible() and not output.isVisible()


def test_whoever_ends_the_program_from_outside_is_not_asked(window, output, bridge) -> None:
    output.open()
    for _ in range(3):
        bridge.pull()
    window.end()
    assert not window.isVisible()


TWO_DISPLAYS = """
import sys
from PySide6.QtWidgets import QApplication, QLineEdit, QWidget
app = QApplication([])
from app.output_window import OutputWindow, identity
laptop, projector = QApplication.screens()
operator = QWidget()
field = QLineEdit(operator)
operator.resize(800, 600)
operator.show()
operator.activateWindow()
field.setFocus()
app.processEvents()
assert operator.screen() is laptop and QApplication.focusWidget() is field
for display in ("", identity(laptop), identity(projector), "gone|x|1"):
    output = OutputWindow(lambda: None, operator, display)
    output.open()
    app.processEvents()
    assert output.isFullScreen() and output.screen() is projector, display
    assert output.display == identity(projector)
    assert QApplication.focusWidget() is field, "the keyboard stays where one types"
    output.toggle_full()
    app.processEvents()
    assert not output.isFullScreen() and output.screen() is laptop
    output.toggle_full()
    app.processEvents()
    assert output.isFullScreen() and output.screen() is projector, "not over the controls"
    assert QApplication.focusWidget() is field
    output.close()
print("fine")
"""


def test_with_two_displays_the_audience_has_the_other_one(tmp_path) -> None:
    screen = {"y": 0, "width": 1280, "height": 720, "logicalDpi": 96, "logicalBaseDpi": 96, "dpr": 1}
    displays = tmp_path / "displays.json"
    names = ("LAPTOP", "PROJECTOR")
    displays.write_text(
        json.dumps({"screens": [screen | {"name": name, "x": 1280 * i} for i, name in enumerate(names)]})
    )
    done = subprocess.run(
        [sys.executable, "-c", TWO_DISPLAYS],
        env=os.environ | {"QT_QPA_PLATFORM": f"offscreen:configfile={displays}"},
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout == "fine\n", done.stderr


def test_a_remembered_display_that_comes_late_gets_the_picture(qtbot, bridge, window) -> None:
    screen = QGuiApplication.primaryScreen()
    late = OutputWindow(lambda: None, window, "HDMI-9|EPSON|1")
    qtbot.addWidget(late)
    late.open()
    assert not late.isFullScreen() and late.display == "HDMI-9|EPSON|1"
    late.display = identity(screen)
    QGuiApplication.instance().screenAdded.emit(screen)
    assert late.isFullScreen()
    late.close()

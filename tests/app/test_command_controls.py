"""Every command has a control in the window, and a pad learns it there as it learns a parameter."""

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QMenu, QWidget

from app.learnable import Learnable
from app.wording import label_of
from controllers.binding import command_key
from controllers.mapping import load_mapping
from controllers.router import Router
from controllers.signal import ControlSignal
from engine.core.commands import COMMANDS, TAKES, command_address
from engine.core.paths import recordings_dir
from engine.core.store import Store
from tests.app.fakes import flat

BUTTONS = ("reset", "replay", "snapshot")


def learnable(window, name: str) -> Learnable:
    """What stands for a command in the window."""
    if name in BUTTONS:
        return window.macros.commands[name].learnable
    return slot(window, name).take


def slot(window, name: str):
    slots = {**window.pictures.slots.by_key, **window.masks.slots.by_key}
    return slots[TAKES[name]]


def choose(menu: QMenu, starts: str) -> None:
    next(action for action in menu.actions() if action.text().startswith(starts)).trigger()


def texts(menu: QMenu) -> list[str]:
    return [action.text() for action in menu.actions() if action.text()]


def pad(router, clock, *, on: bool = True) -> None:
    clock.advance(0.1)
    router.handle(ControlSignal("pads", "note" if on else "note_off", 36, 10, 100 * on, 127, clock()))


def learn_pad(window, bridge, router, clock, name: str) -> None:
    choose(learnable(window, name).menu(window), "Learn MIDI")
    bridge.pull()
    pad(router, clock)
    pad(router, clock, on=False)
    bridge.pull()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_pad_learns_every_command_and_plays_it_once_per_press(
    name, window, bridge, router, clock, runtime, hands
) -> None:
    learn_pad(window, bridge, router, clock, name)
    assert window.messages.text.text() == f"{label_of(command_key(name))} is played by ch 10 note 36"
    assert hands.lamp(command_key(name)).mapped == "ch 10 note 36"
    assert runtime.commands == [], "the press that was learned plays nothing"
    pad(router, clock)
    pad(router, clock, on=False)
    assert runtime.commands == [name]
    pad(router, clock)
    pad(router, clock, on=False)
    assert runtime.commands == [name, name]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_menu_and_its_address(name, window, notices) -> None:
    menu = learnable(window, name).menu(window)
    assert texts(menu) == [label_of(command_key(name)), "Learn MIDI", "Forget MIDI", "Copy OSC address"]
    choose(menu, "Copy OSC address")
    assert QGuiApplication.clipboard().text() == command_address(name)
    assert command_address(name) in notices.take()[0].what


def test_a_learned_pad_survives_a_restart(
    window, bridge, router, clock, mapping_file, runtime, qtbot
) -> None:
    learn_pad(window, bridge, router, clock, "take_mask")
    qtbot.waitUntil(mapping_file.exists)
    assert [binding.key for binding in load_mapping(mapping_file).bindings] == ["command.take_mask"]
    later = Router(Store(), runtime.command, clock)
    later.load(mapping_file)
    pad(later, clock)
    pad(later, clock, on=False)
    later.close()
    assert runtime.commands == ["take_mask"]


def test_a_forgotten_pad_plays_nothing(window, bridge, router, clock, runtime) -> None:
    learn_pad(window, bridge, router, clock, "snapshot")
    choose(learnable(window, "snapshot").menu(window), "Forget MIDI  (ch 10 note 36)")
    pad(router, clock)
    bridge.pull()
    assert runtime.commands == []
    assert "played by" not in window.macros.commands["snapshot"].toolTip().lower()


def test_the_tooltip_names_the_control_that_plays_it(window, bridge, router, clock) -> None:
    button = window.macros.commands["snapshot"]
    assert COMMANDS["snapshot"] in button.toolTip() and "Key S" in button.toolTip()
    assert button.toolTip().endswith("Right-click to map it")
    learn_pad(window, bridge, router, clock, "snapshot")
    bridge.pull()
    assert "Played by ch 10 note 36" in button.toolTip()


def test_a_parameter_tells_it_in_its_tooltip_too(window, bridge, router, clock) -> None:
    row = window.macros.knobs["output.mix"]
    choose(row.bound.menu(row), "Learn MIDI")
    pad(router, clock)
    bridge.pull()
    assert "Played by ch 10 note 36" in row.bound.control.toolTip()


def test_a_picture_tells_of_its_row_and_of_its_command(window, bridge, router, clock, store) -> None:
    learn_pad(window, bridge, router, clock, "take_first")
    bridge.pull()
    store.set("extension.first", "/pictures/a.png", "osc")
    bridge.pull()
    shown = slot(window, "take_first")
    entry = shown.picker.output.toolTip()
    assert COMMANDS["take_first"] in entry and "Played by ch 10 note 36" in entry
    tip = shown.picker.toolTip()
    assert tip.startswith("/pictures/a.png\n")
    assert "Output as first frame: played by ch 10 note 36" in tip
    assert texts(shown.row.bound.menu(window)).count("Learn MIDI") == 2


def test_a_right_click_on_the_entry_opens_the_menu_and_takes_nothing(
    window, bridge, hands, runtime, qtbot
) -> None:
    window.deck.open("Image")
    picker = slot(window, "take_reference_1").picker
    picker.open_menu()
    at = picker.menu.actionGeometry(picker.output).center()
    qtbot.mouseClick(picker.menu, Qt.MouseButton.RightButton, pos=at)
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu) and menu is not picker.menu
    assert not picker.menu.isVisible()
    assert texts(menu)[:2] == ["Output as reference 1", "Learn MIDI"]
    choose(menu, "Learn MIDI")
    menu.close()
    bridge.pull()
    assert hands.lamp("command.take_reference_1").listening
    assert runtime.commands == []


def test_a_right_click_on_a_button_opens_the_menu_and_sends_nothing(window, runtime, qtbot) -> None:
    button: QWidget = window.macros.commands["reset"]
    qtbot.mouseClick(button, Qt.MouseButton.RightButton)
    button.customContextMenuRequested.emit(QPoint(5, 5))
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu) and texts(menu)[:2] == ["Reset", "Learn MIDI"]
    menu.close()
    assert runtime.commands == []


@pytest.mark.parametrize("name", BUTTONS)
def test_a_button_asks_when_pressed_and_not_again_when_released(name, window, runtime, qtbot) -> None:
    button = window.macros.commands[name]
    qtbot.mousePress(button, Qt.MouseButton.LeftButton)
    assert runtime.commands == [name]
    qtbot.mouseRelease(button, Qt.MouseButton.LeftButton)
    assert runtime.commands == [name]


def test_the_key_takes_a_snapshot_but_never_while_typing(window, runtime, qtbot) -> None:
    qtbot.keyClick(window, Qt.Key.Key_S)
    assert runtime.commands == ["snapshot"]
    window.prompts.field.setFocus()
    qtbot.keyClicks(window.prompts.field, "s")
    assert runtime.commands == ["snapshot"]


def test_where_a_snapshot_goes_is_said_once_there_is_one(window, bridge, runtime, qtbot) -> None:
    qtbot.keyClick(window, Qt.Key.Key_S)
    bridge.pull()
    assert "goes to" not in window.messages.text.text()
    runtime.show(flat(1, 2, 3), None, flat(4, 5, 6))
    qtbot.keyClick(window, Qt.Key.Key_S)
    bridge.pull()
    assert window.messages.text.text() == f"The picture goes to {recordings_dir()}"


def test_a_pad_in_use_asks_by_the_commands_name(window, bridge, router, clock, runtime, qtbot) -> None:
    learn_pad(window, bridge, router, clock, "reset")
    learn_pad(window, bridge, router, clock, "take_last")
    asked = "plays Reset already. What shall it do for Output as last frame?"
    assert asked in window.messages.text.text()
    runtime.commands.clear()  # while it is asked, the pad does what it did
    both = next(button for button in window.messages.buttons if button.text() == "Play both")
    qtbot.mouseClick(both, Qt.MouseButton.LeftButton)
    pad(router, clock)
    assert runtime.commands == ["reset", "take_last"]

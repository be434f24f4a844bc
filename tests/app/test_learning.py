"""Right-click, Learn MIDI, move a knob: from the menu to the lamp, the file and the message strip."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor

from app import theme
from app.parameter_widgets import ParameterRow
from controllers.mapping import load_mapping
from controllers.signal import ControlSignal

KEY = "vace.context_scale"


def trigger(row: ParameterRow, starts: str) -> None:
    next(action for action in row.bound.menu(row).actions() if action.text().startswith(starts)).trigger()


def turn(router, clock, number: int, *values: int) -> None:
    for value in values:
        clock.advance(0.05)
        router.handle(ControlSignal("nano", "cc", number, 1, value, 127, clock()))


@pytest.fixture
def row(window) -> ParameterRow:
    return window.macros.knobs[KEY]


def learn(row, bridge, router, clock, number: int = 21) -> None:
    trigger(row, "Learn MIDI")
    bridge.pull()
    turn(router, clock, number, 10, 60, 110)
    clock.advance(0.5)
    bridge.pull()


def test_learning_lights_the_lamp_maps_the_knob_and_writes_the_file(
    row, window, bridge, router, clock, hands, errands, mapping_file, store, qtbot
) -> None:
    trigger(row, "Learn MIDI")
    bridge.pull()
    assert hands.lamp(KEY).listening
    assert window.messages.text.text().startswith("Control: move a knob")
    assert "Stop learning" in [action.text() for action in row.bound.menu(row).actions()]

    turn(router, clock, 21, 10, 60, 110)
    clock.advance(0.5)
    bridge.pull()
    assert not hands.lamp(KEY).listening
    assert hands.lamp(KEY).mapped == "ch 1 CC 21"
    assert window.messages.text.text().startswith("Control is played by ch 1 CC 21")
    qtbot.waitUntil(mapping_file.exists)
    assert [binding.key for binding in load_mapping(mapping_file).bindings] == [KEY]

    turn(router, clock, 21, 62, 64, 66, 127)
    bridge.pull()
    assert store.get(KEY) == 2.0
    assert row.bound.control.shown() == 2.0


def test_forgetting_takes_every_control_off(
    row, bridge, router, clock, hands, errands, mapping_file, qtbot
) -> None:
    learn(row, bridge, router, clock)
    trigger(row, "Forget MIDI  (ch 1 CC 21)")
    bridge.pull()
    assert hands.lamp(KEY).mapped == ""
    assert router.bindings == ()
    qtbot.waitUntil(lambda: mapping_file.exists() and load_mapping(mapping_file).bindings == ())


def test_the_ghost_stands_where_the_hardware_is_until_it_reaches_the_value(
    row, bridge, router, clock, hands, store
) -> None:
    learn(row, bridge, router, clock)
    store.set(KEY, 0.2, "preset")
    turn(router, clock, 21, 127)
    bridge.pull()
    assert store.get(KEY) == 0.2
    assert hands.lamp(KEY).ghost == pytest.approx(1.0)
    assert not hands.lamp(KEY).moving, "nothing of the value moves"
    turn(router, clock, 21, *range(120, 8, -4))
    bridge.pull()
    assert hands.lamp(KEY).ghost is None
    assert store.get(KEY) < 0.2


def test_a_sliders_mark_and_dot_say_that_the_control_has_to_pick_it_up(
    window, qtbot, bridge, router, clock, store
) -> None:
    """Who turns a knob and sees nothing move must see why."""

    def amber(widget) -> int:
        image = widget.grab().toImage()
        points = [(x, y) for x in range(image.width()) for y in range(image.height())]
        return sum(image.pixelColor(*point) == QColor(theme.AMBER) for point in points)

    window.deck.open("Canvas")
    slider = window.canvas.zoom
    zoom = slider.parentWidget()
    learn(zoom, bridge, router, clock)
    store.set("canvas.zoom", 1.4, "preset")
    bridge.pull()
    assert amber(zoom) == 0
    turn(router, clock, 21, 127)
    bridge.pull()
    assert amber(slider) > 0 and amber(zoom) > amber(slider), "on the track, and in the dot"
    turn(router, clock, 21, *range(124, 0, -3))
    bridge.pull()
    assert amber(zoom) == 0


def test_escape_ends_learning(window, row, bridge, router, hands, qtbot) -> None:
    trigger(row, "Learn MIDI")
    bridge.pull()
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    bridge.pull()
    assert not hands.lamp(KEY).listening
    assert router.learn_state().phase == "cancelled"


def test_nothing_moved_is_said(window, row, bridge, clock) -> None:
    trigger(row, "Learn MIDI")
    bridge.pull()
    clock.advance(11.0)
    bridge.pull()
    assert window.messages.text.text().startswith("Nothing moved")


def test_a_control_in_use_asks_and_moves(window, row, bridge, router, clock, hands, qtbot) -> None:
    learn(row, bridge, router, clock)
    learn(window.macros.knobs["output.mix"], bridge, router, clock)
    assert "plays Control already" in window.messages.text.text()
    button = next(button for button in window.messages.buttons if button.text() == "Move it here")
    assert button.isVisible()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    bridge.pull()
    assert hands.lamp(KEY).mapped == ""
    assert hands.lamp("output.mix").mapped == "ch 1 CC 21"


def test_a_control_in_use_may_play_both(window, row, bridge, router, clock, hands, qtbot) -> None:
    learn(row, bridge, router, clock)
    learn(window.macros.knobs["output.mix"], bridge, router, clock)
    qtbot.mouseClick(
        next(b for b in window.messages.buttons if b.text() == "Play both"), Qt.MouseButton.LeftButton
    )
    bridge.pull()
    assert hands.lamp(KEY).mapped == hands.lamp("output.mix").mapped == "ch 1 CC 21"


def test_a_pad_learns_a_safety_button(window, bridge, router, clock, store) -> None:
    button = window.safety.buttons["output.blackout"]
    bound = next(bound for bound in window.safety.bound if bound.control is button)
    next(action for action in bound.menu(window).actions() if action.text() == "Learn MIDI").trigger()
    bridge.pull()
    router.handle(ControlSignal("pads", "note", 36, 10, 100, 127, clock()))
    bridge.pull()
    router.handle(ControlSignal("pads", "note_off", 36, 10, 0, 127, clock()))
    router.handle(ControlSignal("pads", "note", 36, 10, 100, 127, clock()))
    bridge.pull()
    assert store.get("output.blackout") is True
    assert button.shown() is True

"""Every row of the table: widget to store and back; the gestures; the menu that all share."""

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QGuiApplication, QWheelEvent
from PySide6.QtWidgets import QApplication, QWidget

from app.controls.choices import Picker, TextField
from app.controls.numbers import NumberField, Segments, Slider
from app.controls.switches import Chip, Switch
from app.knob import FULL_TURN_PX, Knob
from app.parameter_widgets import ParameterRow, control_for
from app.wording import value_text
from engine.core.parameters import TABLE, Parameter, Value
from engine.core.parameters import row as row_of

KIND_OF_CONTROL = {
    "vace.context_scale": Knob, "output.mix": Knob, "prompt.text": TextField, "engine.steps": Segments,
    "engine.seed": NumberField, "engine.resolution": Picker, "output.fps": Slider, "output.blackout": Switch,
}  # fmt: skip


def other_values(row: Parameter) -> tuple[Value, Value]:
    """Two values that differ from the default, where the row has that many."""
    if row.kind == "bool":
        return not row.default, row.default
    if row.kind == "choice":
        return row.choices[-1], row.choices[0]
    if row.kind == "text":
        return "blue glass", "demo"
    return (
        (row.native(0.25), row.native(0.8))
        if row.default != row.native(0.25)
        else (row.native(0.8), row.native(0.1))
    )


def drag(
    control: QWidget, pixels: int, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier
) -> None:
    """Press in the middle, move up by `pixels`, let go."""
    from PySide6.QtTest import QTest

    middle = control.rect().center()
    QTest.mousePress(control, Qt.MouseButton.LeftButton, modifier, middle)
    for y in (pixels // 2, pixels):
        send_move(control, middle - QPoint(0, y), modifier)
    QTest.mouseRelease(control, Qt.MouseButton.LeftButton, modifier, middle - QPoint(0, pixels))


def send_move(control: QWidget, at: QPoint, modifier: Qt.KeyboardModifier) -> None:
    from PySide6.QtCore import QEvent
    from PySide6.QtGui import QMouseEvent

    event = QMouseEvent(
        QEvent.Type.MouseMove, QPointF(at), QPointF(control.mapToGlobal(at)), Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton, modifier,
    )  # fmt: skip
    QApplication.sendEvent(control, event)


def turn_wheel(control: QWidget, notches: int, modifier=Qt.KeyboardModifier.NoModifier) -> None:
    at = QPointF(control.rect().center())
    event = QWheelEvent(
        at, QPointF(control.mapToGlobal(at.toPoint())), QPoint(), QPoint(0, 120 * notches),
        Qt.MouseButton.NoButton, modifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(control, event)


@pytest.mark.parametrize("key", list(TABLE))
def test_store_moves_the_widget_and_the_widget_moves_the_store(key, qtbot, bridge, store) -> None:
    widget = ParameterRow(key, bridge)
    qtbot.addWidget(widget)
    control = widget.bound.control
    assert control.shown() == TABLE[key].default
    first, second = other_values(TABLE[key])

    store.set(key, first, "osc")
    bridge.pull()
    assert control.shown() == first

    control.edited.emit(second)
    assert store.get(key) == second
    if second != first:
        assert store.snapshot().source_of(key) == "gui"
    bridge.pull()
    assert control.shown() == second


@pytest.mark.parametrize(("key", "kind"), KIND_OF_CONTROL.items())
def test_the_row_chooses_the_control(key, kind, qapp) -> None:
    assert type(control_for(TABLE[key])) is kind


@pytest.mark.parametrize("key", list(TABLE))
def test_the_tooltip_tells_help_effect_and_address(key, qtbot, bridge) -> None:
    widget = ParameterRow(key, bridge)
    qtbot.addWidget(widget)
    tip = widget.bound.control.toolTip()
    assert TABLE[key].help in tip
    assert TABLE[key].osc_address in tip
    assert {"frame": "N:", "step": "S:", "chunk": "C:", "reload": "R:"}[TABLE[key].effect] in tip


# --- gestures ---------------------------------------------------------------------------------------------


@pytest.fixture
def knob(qtbot, bridge) -> Knob:
    widget = ParameterRow("vace.context_scale", bridge)
    qtbot.addWidget(widget)
    widget.resize(112, 148)
    widget.show()
    assert isinstance(widget.bound.control, Knob)
    widget.bound.control.row_widget = widget  # keeps it alive
    return widget.bound.control


def test_dragging_up_turns_up_and_shift_is_fine(knob, store) -> None:
    drag(knob, 44)
    assert store.get("vace.context_scale") == pytest.approx(1.0 + 2.0 * 44 / FULL_TURN_PX, abs=1e-3)
    before = store.get("vace.context_scale")
    drag(knob, -44, Qt.KeyboardModifier.ShiftModifier)
    assert store.get("vace.context_scale") == pytest.approx(before - 0.2 * 44 / FULL_TURN_PX, abs=1e-3)


def test_a_knob_stops_at_its_ends(knob, store) -> None:
    drag(knob, 2000)
    assert store.get("vace.context_scale") == 2.0
    drag(knob, -2000)
    assert store.get("vace.context_scale") == 0.0


def test_wheel_arrows_and_double_click(knob, store, qtbot) -> None:
    turn_wheel(knob, 1)
    assert store.get("vace.context_scale") == pytest.approx(1.04)
    turn_wheel(knob, -1, Qt.KeyboardModifier.ShiftModifier)
    assert store.get("vace.context_scale") == pytest.approx(1.036)
    qtbot.keyClick(knob, Qt.Key.Key_Down)
    assert store.get("vace.context_scale") == pytest.approx(0.996)
    qtbot.mouseDClick(knob, Qt.MouseButton.LeftButton)
    assert store.get("vace.context_scale") == 1.0


def test_a_drag_goes_on_from_where_another_hand_put_the_value(knob, store, bridge) -> None:
    store.set("vace.context_scale", 0.5, "midi")
    bridge.pull()
    drag(knob, 22)
    assert store.get("vace.context_scale") == pytest.approx(0.5 + 2.0 * 22 / FULL_TURN_PX, abs=1e-3)


def shown(qtbot, bridge, key: str, width: int = 240) -> QWidget:
    widget = ParameterRow(key, bridge)
    qtbot.addWidget(widget)
    widget.resize(width, 70)
    widget.show()
    qtbot.waitExposed(widget)
    control = widget.bound.control
    control.row_widget = widget
    return control


def test_switch_by_mouse_and_key(qtbot, bridge, store) -> None:
    switch = shown(qtbot, bridge, "source.mirror")
    qtbot.mouseClick(switch, Qt.MouseButton.LeftButton)
    assert store.get("source.mirror") is True
    qtbot.keyClick(switch, Qt.Key.Key_Space)
    assert store.get("source.mirror") is False


def test_segments_by_mouse_and_key(qtbot, bridge, store) -> None:
    segments = shown(qtbot, bridge, "engine.steps")
    qtbot.mouseClick(segments, Qt.MouseButton.LeftButton, pos=QPoint(segments.width() // 2, 10))
    assert store.get("engine.steps") == 2
    qtbot.keyClick(segments, Qt.Key.Key_Right)
    assert store.get("engine.steps") == 3


def test_slider_by_mouse_wheel_and_double_click(qtbot, bridge, store) -> None:
    slider = shown(qtbot, bridge, "output.fps")
    qtbot.mouseClick(slider, Qt.MouseButton.LeftButton, pos=QPoint(slider.width() - 1, 10))
    assert store.get("output.fps") == 60
    turn_wheel(slider, -1)
    assert store.get("output.fps") == 59
    qtbot.mouseDClick(slider, Qt.MouseButton.LeftButton)
    assert store.get("output.fps") == 30


def test_picker_menu_sets_and_marks_the_choice(qtbot, bridge, store) -> None:
    picker = shown(qtbot, bridge, "annotator.name")
    actions = {action.text(): action for action in picker.menu.actions()}
    actions["pose"].trigger()
    assert store.get("annotator.name") == "pose"
    bridge.pull()
    assert picker.text == "pose"


def test_number_field_takes_digits_and_refuses_the_wheel_in_passing(qtbot, bridge, store) -> None:
    field = shown(qtbot, bridge, "engine.seed")
    turn_wheel(field, 1)
    assert store.get("engine.seed") == 42
    field.setFocus()
    field.selectAll()
    qtbot.keyClicks(field, "2147483647")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert store.get("engine.seed") == 2**31 - 1


def test_chip_is_lit_by_a_click(qtbot, bridge, store) -> None:
    row = ParameterRow("view.mirror", bridge, control=Chip("Mirror view"))
    qtbot.addWidget(row)
    row.show()
    qtbot.mouseClick(row.bound.control, Qt.MouseButton.LeftButton)
    assert store.get("view.mirror") is False


def test_a_refused_value_is_explained_and_taken_back(qtbot, bridge, store, notices) -> None:
    field = shown(qtbot, bridge, "source.uri")
    field.setFocus()
    field.setText("x" * 1200)
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert store.get("source.uri") == "demo"
    assert field.text() == "demo"
    said = notices.take()
    assert len(said) == 1
    assert "source.uri" in said[0].what
    assert "1000" in said[0].what


# --- the menu ---------------------------------------------------------------------------------------------


def actions_of(row: ParameterRow) -> dict[str, object]:
    return {action.text(): action for action in row.bound.menu(row).actions() if action.text()}


@pytest.mark.parametrize("key", list(TABLE))
def test_every_row_has_the_same_menu(key, qtbot, bridge) -> None:
    row = ParameterRow(key, bridge)
    qtbot.addWidget(row)
    texts = list(actions_of(row))
    assert texts[0] == TABLE[key].label
    assert texts[1:4] == ["Learn MIDI", "Forget MIDI", "Copy OSC address"]
    assert texts[4].startswith("Reset to default")


def test_copy_and_reset(qtbot, bridge, store, notices) -> None:
    row = ParameterRow("output.dim", bridge)
    qtbot.addWidget(row)
    actions_of(row)["Copy OSC address"].trigger()
    assert QGuiApplication.clipboard().text() == "/cuelight/output/dim"
    assert "/cuelight/output/dim" in notices.take()[0].what
    store.set("output.dim", 0.25, "osc")
    actions_of(row)["Reset to default  (1.00)"].trigger()
    assert store.get("output.dim") == 1.0


def test_a_right_click_opens_the_menu(qtbot, bridge) -> None:
    row = ParameterRow("output.dim", bridge)
    qtbot.addWidget(row)
    row.show()
    knob = row.bound.control
    knob.customContextMenuRequested.emit(QPoint(20, 20))
    menu = QApplication.activePopupWidget()
    assert menu is not None
    assert "Learn MIDI" in [action.text() for action in menu.actions()]
    menu.close()


def test_a_zero_with_a_name_is_shown_by_it(qtbot, bridge) -> None:
    assert value_text(row_of("engine.rate"), 0) == "off"
    assert value_text(row_of("engine.rate"), 24) == "24 frames/s"
    assert value_text(row_of("annotator.hold"), 0) == "0 frames"

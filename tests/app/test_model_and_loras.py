"""What is set up before the show: the deck's pages, the model's rows, LoRA slots and prompt transitions."""

from dataclasses import replace

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent

from app.settings import WindowMemory
from app.window import Window
from engine.core.parameters import LORA_SLOTS, TABLE
from tests.app.fakes import RUNNING


def show(bridge, runtime, status) -> None:
    runtime.now = status
    for _ in range(3):
        bridge.pull()


def drop(slot, path: str) -> bool:
    """Drag the file at `path` over `slot` and let go; True when it was welcome."""
    dragged = QMimeData()
    dragged.setUrls([QUrl.fromLocalFile(path)])
    how = (Qt.DropAction.CopyAction, dragged, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    enter = QDragEnterEvent(QPointF(5, 5).toPoint(), *how)
    enter.ignore()
    slot.dragEnterEvent(enter)
    if enter.isAccepted():
        slot.dropEvent(QDropEvent(QPointF(5, 5), *how))
    return enter.isAccepted()


# --- deck -------------------------------------------------------------------------------------------------


def test_a_tab_opens_its_page_and_the_first_is_open_at_the_start(window, qtbot) -> None:
    assert window.outputs.isVisible()
    qtbot.mouseClick(window.deck.tabs["LoRA"], Qt.MouseButton.LeftButton)
    assert (window.deck.page, window.loras.isVisible(), window.outputs.isVisible()) == ("LoRA", True, False)
    window.deck.open("a page of a later version")
    assert window.deck.page == "LoRA"


def test_page_and_fold_come_back_next_time(window, bridge, qtbot) -> None:
    assert not window.models.advanced
    window.deck.open("Model")
    qtbot.mouseClick(window.models.fold, Qt.MouseButton.LeftButton)
    window.close()
    assert (window.memory.page, window.memory.advanced) == ("Model", True)
    again = Window(bridge, WindowMemory(page="Model", advanced=True))
    qtbot.addWidget(again)
    qtbot.addWidget(again.output_window)
    assert (again.deck.page, again.models.advanced) == ("Model", True)


# --- model ------------------------------------------------------------------------------------------------


def test_every_row_of_the_model_is_there_and_rare_ones_are_folded_away(window, qtbot) -> None:
    window.deck.open("Model")
    rows = {row.bound.row.key: row for row in window.models.rows}
    assert set(rows) == {key for key in TABLE if key.startswith("engine.")} | {"noise.motion", "vace.hints"}
    hidden = {key for key, row in rows.items() if not row.isVisible()}
    assert hidden == {
        "engine.step_list",
        "engine.text_encoder",
        "vace.hints",
        "engine.rate",
        "engine.warp",
        "engine.fp8",
    }
    qtbot.mouseClick(window.models.fold, Qt.MouseButton.LeftButton)
    assert {key for key, row in rows.items() if row.isVisible()} == hidden | {"engine.pipeline"}
    window.models.show_roomy(True)
    assert all(row.isVisible() for row in rows.values())


@pytest.mark.parametrize("key", ["engine.pipeline", "engine.vae", "engine.resolution"])
def test_a_choice_is_one_menu_of_all(key, window, store) -> None:
    picker = next(row for row in window.models.rows if row.bound.row.key == key).bound.control
    actions = picker.menu.actions()
    assert tuple(action.text() for action in actions) == TABLE[key].choices
    actions[-1].trigger()
    assert store.get(key) == TABLE[key].choices[-1]


def test_what_changes_nothing_is_hatched(window, bridge, store) -> None:
    rows = {row.bound.row.key: row.bound.control for row in window.models.rows}

    def idle() -> set[str]:
        bridge.pull()
        return {key for key, control in rows.items() if getattr(control, "idle", False)}

    how_to_load = {"engine.vae", "engine.text_encoder", "engine.fp8"}
    assert idle() == how_to_load, "a bundled model is as it is"
    store.set("engine.pipeline", "longlive", "gui")
    assert idle() == set()
    store.set("engine.steps", 2, "gui")
    assert idle() == {"engine.rate"}
    store.set_many({"engine.steps": 0, "engine.step_list": "1000,500"}, "gui")
    assert idle() == {"engine.steps", "engine.rate"}


def test_a_step_list_is_pending_until_sent_and_a_refused_one_stays(window, bridge, store, qtbot) -> None:
    window.deck.open("Model")
    window.models.fold.setChecked(True)
    field = next(row for row in window.models.rows if row.bound.row.key == "engine.step_list").bound.control
    field.setFocus()
    qtbot.keyClicks(field, "1000,500")
    assert field.pending
    assert store.get("engine.step_list") == ""
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert store.get("engine.step_list") == "1000,500"
    assert not field.pending
    assert not field.hasFocus()
    field.setFocus()
    field.setText("1" * 81)
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert store.get("engine.step_list") == "1000,500"
    assert field.pending
    qtbot.keyClick(field, Qt.Key.Key_Escape)
    assert (field.text(), field.pending) == ("1000,500", False)


# --- LoRA slots -------------------------------------------------------------------------------------------


def test_an_empty_slot_is_idle_in_its_panel_and_among_the_macros(window, bridge, store, qtbot) -> None:
    window.deck.open("LoRA")
    slot, knob = window.loras.slots[1], window.macros.knobs["lora.2.strength"].bound.control
    assert (slot.picker.text, slot.strength.idle, knob.idle) == ("Empty", True, True)
    store.set("lora.2.file", "/loras/ink wash.safetensors", "osc")
    bridge.pull()
    assert (slot.picker.text, slot.strength.idle, knob.idle) == ("ink wash.safetensors", False, False)
    assert slot.picker.toolTip().startswith("/loras/ink wash.safetensors\n")
    for word, region in (("All", "inside"), ("In", "outside"), ("Out", "everywhere")):
        assert slot.region.text == word
        qtbot.mouseClick(slot.region, Qt.MouseButton.LeftButton)
        assert store.get("lora.2.region") == region
        bridge.pull()
    assert window.macros.knobs["lora.1.strength"].bound.control.idle
    next(action for action in slot.picker.menu.actions() if action.text() == "Empty").trigger()
    bridge.pull()
    assert store.get("lora.2.file") == ""
    assert knob.idle


def test_the_dialog_is_not_modal_and_fills_the_slot_that_asked(window, store, qtbot) -> None:
    window.deck.open("LoRA")
    for number in (1, 3):
        picker = window.loras.slots[number - 1].picker
        next(action for action in picker.menu.actions() if action.text() == "File…").trigger()
        assert window.loras.dialog.isVisible()
        assert not window.loras.dialog.isModal()
        window.loras.dialog.fileSelected.emit(f"/loras/{number}.pt")
        window.loras.dialog.close()
    assert [store.get(f"lora.{slot}.file") for slot in (1, 2, 3)] == ["/loras/1.pt", "", "/loras/3.pt"]


@pytest.mark.parametrize(
    ("path", "welcome"), [("/a/x.safetensors", True), ("/a/x.PT", True), ("/a/x.mp4", False)]
)
def test_only_a_lora_file_can_be_dropped_on_a_slot(path, welcome, window, store) -> None:
    assert drop(window.loras.slots[3], path) is welcome
    assert store.get("lora.4.file") == (path if welcome else "")


def test_a_file_that_could_not_be_loaded_says_why(window, bridge, runtime) -> None:
    window.deck.open("LoRA")
    wrong = "x.pt was made for 14B  Fix: choose another file"
    show(bridge, runtime, replace(RUNNING, loras=("", wrong, *("",) * (LORA_SLOTS - 2))))
    note, signs = window.loras.note, [slot.sign for slot in window.loras.slots]
    assert [sign.text() for sign in signs] == ["1", "△", "3", "4"]
    assert signs[1].toolTip() == wrong
    assert (note.isVisible(), note.toolTip()) == (True, f"2: {wrong}")
    show(bridge, runtime, RUNNING)
    assert not note.isVisible()
    assert signs[1].text() == "2"


# --- prompt transition ------------------------------------------------------------------------------------


def test_blend_is_idle_while_a_prompt_takes_over_at_once(window, bridge, store) -> None:
    assert window.prompts.blend.idle
    store.set("prompt.transition", 4, "midi")
    bridge.pull()
    assert not window.prompts.blend.idle
    assert window.prompts.transition.shown() == 4

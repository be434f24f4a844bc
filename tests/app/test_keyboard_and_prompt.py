"""The keys play the stage, but never while somebody types; the prompt is sent with Enter."""

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from tests.app.fakes import RUNNING


@pytest.mark.parametrize(
    ("key", "parameter"),
    [
        (Qt.Key.Key_B, "output.blackout"), (Qt.Key.Key_F, "output.freeze"),
        (Qt.Key.Key_C, "output.clean_camera"), (Qt.Key.Key_R, "output.record"),
    ],
)  # fmt: skip
def test_a_letter_turns_it_on_and_off(key, parameter, window, store, qtbot) -> None:
    qtbot.keyClick(window, key)
    assert store.get(parameter) is True
    qtbot.keyClick(window, key)
    assert store.get(parameter) is False


def test_panic_shows_the_camera_whatever_was_before(window, store, qtbot) -> None:
    store.set_many({"output.blackout": True, "output.freeze": True}, "gui")
    qtbot.keyClick(window, Qt.Key.Key_Escape, Qt.KeyboardModifier.ShiftModifier)
    assert (store.get("output.blackout"), store.get("output.freeze"), store.get("output.clean_camera")) == (
        False, False, True,
    )  # fmt: skip


def test_panic_lightens_a_dark_picture_and_leaves_a_dimmed_one(window, store, qtbot) -> None:
    for dim, after in ((0.0, 1.0), (0.6, 0.6)):
        store.set("output.dim", dim, "midi")
        qtbot.keyClick(window, Qt.Key.Key_Escape, Qt.KeyboardModifier.ShiftModifier)
        assert store.get("output.dim") == after


def test_letters_in_a_dialog_are_not_the_stages(window, store, qtbot) -> None:
    """In a list of files a letter jumps to a name; it must not make the audience's picture black."""
    window.source.open_dialog()
    dialog = window.source.dialog
    qtbot.addWidget(dialog)
    dialog.activateWindow()
    qtbot.waitUntil(dialog.isActiveWindow)
    qtbot.keyClicks(dialog, "bfcr")
    assert not any(store.get(f"output.{name}") for name in ("blackout", "freeze", "clean_camera", "record"))
    dialog.close()


def test_letters_go_into_the_prompt_while_it_has_the_focus(window, store, qtbot) -> None:
    field = window.prompts.field
    qtbot.keyClick(window, Qt.Key.Key_P)
    assert field.hasFocus()
    before = store.snapshot().version
    qtbot.keyClicks(field, "bfcr")
    assert store.snapshot().version == before
    assert field.toPlainText() == "bfcr"  # P had selected the old text


def test_letters_go_into_the_seed_field_or_nowhere(window, store, qtbot) -> None:
    window.deck.open("Model")
    seed = next(row for row in window.models.rows if row.bound.row.key == "engine.seed").bound.control
    seed.setFocus()
    qtbot.keyClicks(seed, "bfcr")
    assert not any(store.get(f"output.{name}") for name in ("blackout", "freeze", "clean_camera", "record"))


def test_escape_or_a_click_on_the_program_gives_the_keys_back_to_the_stage(window, store, qtbot) -> None:
    window.deck.open("Model")
    seed = next(row for row in window.models.rows if row.bound.row.key == "engine.seed").bound.control
    seed.setFocus()
    seed.selectAll()
    qtbot.keyClicks(seed, "12")
    qtbot.keyClick(seed, Qt.Key.Key_Escape)
    assert (store.get("engine.seed"), seed.shown()) == (42, 42), "what was half typed is not sent"
    for let_go in (
        lambda: qtbot.keyClick(seed, Qt.Key.Key_Escape),
        lambda: qtbot.mouseClick(window.program, Qt.MouseButton.LeftButton),
    ):
        seed.setFocus()
        let_go()
        assert not seed.hasFocus()
        before = store.get("output.blackout")
        qtbot.keyClick(QApplication.focusWidget() or window, Qt.Key.Key_B)
        assert store.get("output.blackout") is not before


def test_panic_and_f11_work_while_typing(window, store, qtbot) -> None:
    window.prompts.field.setFocus()
    qtbot.keyClick(window.prompts.field, Qt.Key.Key_Escape, Qt.KeyboardModifier.ShiftModifier)
    assert store.get("output.clean_camera") is True
    window.prompts.field.setFocus()
    qtbot.keyClick(window.prompts.field, Qt.Key.Key_F11)
    assert window.output_window.isVisible()


# --- prompt -----------------------------------------------------------------------------------------------


def type_prompt(window, qtbot, text: str) -> None:
    window.prompts.field.setFocus()
    window.prompts.field.selectAll()
    qtbot.keyClicks(window.prompts.field, text)


def test_nothing_is_sent_before_enter(window, store, bridge, qtbot) -> None:
    type_prompt(window, qtbot, "ice palace")
    assert store.get("prompt.text") == "gold figure, night"
    assert window.prompts.hint.text() == "◌ not sent yet"
    assert window.prompts.button.isEnabled()
    qtbot.keyClick(window.prompts.field, Qt.Key.Key_Return)
    bridge.pull()
    assert store.get("prompt.text") == "ice palace"
    assert window.prompts.hint.text() == "● on air"
    assert not window.prompts.button.isEnabled()


def test_enter_gives_the_keyboard_back_to_the_stage(window, store, qtbot) -> None:
    type_prompt(window, qtbot, "ice palace")
    qtbot.keyClick(window.prompts.field, Qt.Key.Key_Return)
    assert not window.prompts.field.hasFocus()
    qtbot.keyClick(window, Qt.Key.Key_B)
    assert store.get("output.blackout") is True


def test_the_button_sends_too(window, store, qtbot) -> None:
    type_prompt(window, qtbot, "red smoke")
    qtbot.mouseClick(window.prompts.button, Qt.MouseButton.LeftButton)
    assert store.get("prompt.text") == "red smoke"


def test_shift_enter_makes_a_line_and_escape_takes_back(window, store, qtbot) -> None:
    type_prompt(window, qtbot, "one")
    qtbot.keyClick(window.prompts.field, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClicks(window.prompts.field, "two")
    assert store.get("prompt.text") == "gold figure, night"
    assert window.prompts.field.toPlainText() == "one\ntwo"
    qtbot.keyClick(window.prompts.field, Qt.Key.Key_Escape)
    assert window.prompts.field.toPlainText() == "gold figure, night"
    assert QApplication.focusWidget() is not window.prompts.field


def test_a_prompt_from_elsewhere_does_not_disturb_typing(window, store, bridge, qtbot) -> None:
    type_prompt(window, qtbot, "half a tho")
    store.set("prompt.text", "from osc", "osc")
    bridge.pull()
    assert window.prompts.field.toPlainText() == "half a tho"
    qtbot.keyClick(window.prompts.field, Qt.Key.Key_Escape)
    assert window.prompts.field.toPlainText() == "from osc"


def test_ten_thousand_characters_are_refused_and_kept_for_shortening(window, store, bridge, qtbot) -> None:
    window.prompts.field.setPlainText("x" * 10_000)
    window.prompts.field.send()
    bridge.pull()
    assert store.get("prompt.text") == "gold figure, night"
    assert "10000 characters" in window.messages.text.text()
    assert len(window.prompts.field.toPlainText()) == 10_000


def test_an_empty_prompt_is_allowed(window, store) -> None:
    window.prompts.field.setPlainText("")
    window.prompts.field.send()
    assert store.get("prompt.text") == ""


def test_ignored_words_are_shown(window, bridge, runtime) -> None:
    runtime.now = replace(RUNNING, ignored_words=("whimsical", "ornithopter"))
    for _ in range(3):
        bridge.pull()
    assert window.prompts.understood.text() == "△ Ignored: whimsical, ornithopter"


def test_a_prompt_that_leads_nowhere_says_so(window, bridge, runtime) -> None:
    runtime.now = replace(
        RUNNING, ignored_words=("xyzzy",), prompt_note="the model knows none of these words"
    )
    for _ in range(3):
        bridge.pull()
    assert window.prompts.understood.text() == "△ the model knows none of these words. Ignored: xyzzy"

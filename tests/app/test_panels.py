"""What the panels say for each state of the engine, the source and the outputs."""

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication

from app import theme
from app.panels.messages import KEYS, STAYS_S, MessageStrip
from app.panels.source import file_uri, short_name
from engine.core.parameters import LORA_SLOTS
from engine.stages.reports import Report
from engine.video.sources import Camera
from tests.app.fakes import LOADING, RUNNING, flat


def show(bridge, runtime, status) -> None:
    runtime.now = status
    for _ in range(3):
        bridge.pull()


# --- status strip -----------------------------------------------------------------------------------------


def test_numbers_mode_and_reason(window, bridge, runtime) -> None:
    show(bridge, runtime, RUNNING)
    strip = window.status_strip
    assert (strip.generated.shown.value, strip.output.shown.value) == ("14.2", "30.0")
    assert (strip.latency.shown.value, strip.drops.shown.value) == ("912", "12")
    assert (strip.mode.shown.value, strip.mode.shown.below) == ("V2V scribble 1.0", RUNNING.mode_reason)
    assert "control: 12" in strip.drops.toolTip()


@pytest.mark.parametrize(
    ("ms", "shown"), [(0.0, ("–", "ms")), (640.4, ("640", "ms")), (11171.0, ("11.2", "s"))]
)
def test_a_latency_is_readable_however_long(ms, shown, window, bridge, runtime) -> None:
    show(bridge, runtime, replace(RUNNING, latency_ms=ms))
    latency = window.status_strip.latency.shown
    assert (latency.value, latency.unit) == shown


@pytest.mark.parametrize(
    ("engine", "words", "lamp"),
    [
        ("loading", "model loading", "half"),
        ("stalled", "model stalled", "half"),
        ("failed", "model failed", "hollow"),
    ],
)
def test_the_mode_lamp_says_what_the_engine_does(engine, words, lamp, window, bridge, runtime) -> None:
    show(bridge, runtime, replace(LOADING, engine=engine))
    assert (window.status_strip.mode.shown.value, window.status_strip.mode.shown.lamp) == (words, lamp)


@pytest.mark.parametrize(
    ("rung", "words"),
    [("generated", "generated"), ("hold", "holding"), ("control", "control picture"),
     ("camera", "clean camera"), ("slate", "slate")],
)  # fmt: skip
def test_the_rung_and_its_reason_are_on_screen(rung, words, window, bridge, runtime) -> None:
    show(bridge, runtime, replace(RUNNING, rung=rung, reason="the engine is slow"))
    assert window.status_strip.rung.shown.value == words
    assert "the engine is slow" in window.status_strip.rung.shown.below


def test_what_the_performer_chose_goes_before_the_rung(window, bridge, runtime, store) -> None:
    store.set("output.blackout", True, "midi")
    show(bridge, runtime, replace(RUNNING, rung="hold", reason="slow"))
    assert window.status_strip.rung.shown.value == "BLACKOUT"


def test_midi_and_osc_say_off_when_they_are(window, bridge, runtime) -> None:
    show(bridge, runtime, RUNNING)
    assert window.status_strip.midi.shown.below == "off"
    assert window.status_strip.osc.shown.below == "off"


# --- messages ---------------------------------------------------------------------------------------------


@pytest.fixture
def strip(qtbot, bridge, clock) -> MessageStrip:
    made = MessageStrip(bridge, clock)
    qtbot.addWidget(made)
    made.resize(1200, 40)
    made.show()
    return made


def test_quiet_shows_the_keys(strip) -> None:
    assert strip.text.text() == KEYS


def test_a_report_of_the_runtime_is_shown_with_its_fix_once(strip, bridge, runtime, clock) -> None:
    show(
        bridge,
        runtime,
        replace(RUNNING, errors=(Report(5.0, "capture", "camera vanished  Fix: plug it in"),)),
    )
    assert strip.text.text() == "camera vanished   →  plug it in"
    clock.advance(STAYS_S["error"] + 1)
    show(bridge, runtime, runtime.now)
    assert strip.text.text() == KEYS


def test_repeats_are_counted_and_others_wait_behind(strip, notices, qtbot) -> None:
    notices.post("first")
    for _ in range(3):
        notices.post("second", "do this")
    strip.refresh()
    assert strip.text.text() == "second   →  do this"
    assert strip.more.text() == "×3   +1 more"
    strip.dismiss()
    assert strip.text.text() == "first"
    strip.dismiss()
    assert strip.text.text() == KEYS


def test_a_long_message_is_cut_and_whole_in_its_tooltip(strip, notices) -> None:
    notices.post("long " * 200)
    strip.refresh()
    assert strip.text.text().endswith("…")
    assert strip.text.toolTip().count("long") == 200


# --- source -----------------------------------------------------------------------------------------------


def test_cameras_are_offered_by_name_and_twins_by_device(window, store) -> None:
    picker = window.source.picker
    picker.show_cameras(
        (
            Camera("usb-1", "Cam", "/dev/video0"),
            Camera("usb-2", "Cam", "/dev/video2"),
            Camera("x", "Stage", "/dev/video4"),
        )
    )
    texts = [action.text() for action in picker.menu.actions() if action.text()]
    assert texts == ["Cam (/dev/video0)", "Cam (/dev/video2)", "Stage", "Demo clip", "File…"]
    next(action for action in picker.menu.actions() if action.text() == "Stage").trigger()
    assert store.get("source.uri") == "camera:x"


def test_an_unplugged_camera_and_a_file_have_names(window, bridge, store) -> None:
    store.set("source.uri", "camera:gone", "settings")
    bridge.pull()
    assert window.source.picker.text == "Camera (not plugged in)"
    window.source.choose_file("/clips/dance one.mp4")
    bridge.pull()
    assert store.get("source.uri") == "file:/clips/dance one.mp4"
    assert window.source.picker.text == "dance one.mp4"


@pytest.mark.parametrize(("path", "uri"), [("/a/b.MP4", "file:/a/b.MP4"), ("/a/b.JPG", "image:/a/b.JPG")])
def test_pictures_and_clips_are_told_apart(path, uri) -> None:
    assert file_uri(path) == uri


@pytest.mark.parametrize(
    ("uri", "name"),
    [("demo", "Demo clip"), ("tcp://10.0.0.2:5000", "tcp://10.0.0.2:5000"), ("image:/x/y.png", "y.png")],
)
def test_short_names(uri, name) -> None:
    assert short_name(uri) == name


def test_the_file_dialog_is_not_modal(window, qtbot) -> None:
    window.source.open_dialog()
    dialog = window.source.dialog
    assert dialog is not None
    assert dialog.isVisible()
    assert not dialog.isModal()
    dialog.close()


def test_a_lost_source_says_why_and_what_to_do(window, bridge, runtime) -> None:
    show(bridge, runtime, replace(RUNNING, source="the camera vanished  Fix: plug it in", source_ok=False))
    assert window.source.preview.reason == ("the camera vanished", "plug it in")
    show(bridge, runtime, RUNNING)
    assert window.source.preview.reason == ("", "")


# --- annotator, macros, outputs, model --------------------------------------------------------------------


def test_the_annotator_is_named_and_what_it_does_not_read_is_hatched(window, bridge, store) -> None:
    store.set("annotator.name", "gray", "osc")
    bridge.pull()
    assert window.annotators.picker.text == "Gray"
    assert window.macros.knobs["annotator.detail"].bound.control.idle
    assert not window.macros.knobs["annotator.gain"].bound.control.idle
    assert not window.annotators.invert.isEnabled()
    store.set("annotator.name", "segmentation", "osc")
    bridge.pull()
    assert window.annotators.invert.isEnabled()


def test_no_annotator_and_nobody_found_are_said(window, bridge, runtime, store) -> None:
    store.set("annotator.name", "none", "osc")
    show(bridge, runtime, RUNNING)
    assert window.annotators.preview.reason[0] == "No control picture"
    store.set("annotator.name", "pose", "osc")
    show(bridge, runtime, replace(RUNNING, annotator_note="nobody in the picture"))
    assert window.annotators.preview.reason[0] == "nobody in the picture"


def test_outputs_say_what_they_do(window, bridge, runtime) -> None:
    show(
        bridge,
        runtime,
        replace(RUNNING, recording="/v/Cuelight/2026-11-21.mkv", virtual_camera="1280x720 at 30"),
    )
    assert window.outputs.recording.toolTip() == "/v/Cuelight/2026-11-21.mkv"
    assert window.outputs.recording.isVisible()
    assert window.outputs.camera.text() == "1280x720 at 30"
    show(bridge, runtime, RUNNING)
    assert not window.outputs.recording.isVisible()


def test_a_new_seed_is_another_one(window, store, qtbot) -> None:
    window.deck.open("Model")
    seeds = {store.get("engine.seed")}
    for _ in range(3):
        qtbot.mouseClick(window.models.dice, Qt.MouseButton.LeftButton)
        seeds.add(store.get("engine.seed"))
    assert len(seeds) >= 3


def test_the_device_is_named(window, bridge, runtime) -> None:
    show(bridge, runtime, replace(RUNNING, device="cuda: NVIDIA"))
    assert window.models.device.text() == "on cuda: NVIDIA"


def test_the_program_says_blackout_and_frozen(window, bridge, runtime, store) -> None:
    runtime.show(flat(1, 2, 3), flat(255, 255, 255), flat(0, 0, 0))
    store.set("output.blackout", True, "gui")
    show(bridge, runtime, RUNNING)
    assert window.program.veil == "BLACKOUT"
    store.set_many({"output.blackout": False, "output.freeze": True}, "gui")
    show(bridge, runtime, RUNNING)
    assert window.program.veil == "FROZEN"


# --- sizes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1180, 700), (1280, 720), (1366, 768), (1920, 1080)])
def test_everything_fits_and_the_program_is_the_largest_picture(size, window, qtbot) -> None:
    window.resize(*size)
    qtbot.waitUntil(lambda: (window.width(), window.height()) == size)
    assert window.minimumSizeHint().width() <= size[0]
    assert window.minimumSizeHint().height() <= size[1]
    program, source = window.program.size(), window.source.preview.size()
    assert program.width() * program.height() > 4 * source.width() * source.height()
    window.models.fold.setChecked(True)
    window.loras.show_notes(("it was made for another model",) * LORA_SLOTS)
    for widget in (window.macros, window.prompts, window.safety, window.messages):
        corner = widget.mapTo(window, widget.rect().bottomRight())
        assert corner.x() <= size[0]
        assert corner.y() <= size[1]
        assert widget.width() >= widget.minimumSizeHint().width()
        assert widget.height() >= widget.minimumSizeHint().height()
    pages = {
        "Output": window.outputs, "Control": window.control, "Image": window.pictures,
        "Mask": window.masks, "Canvas": window.canvas, "Layout": window.layout_page,
        "Model": window.models, "LoRA": window.loras,
    }  # fmt: skip
    for name, page in pages.items():
        tab = window.deck.tabs[name]
        assert tab.width() >= tab.fontMetrics().horizontalAdvance(name) + 2  # its frame
        window.deck.open(name)
        QApplication.processEvents()
        assert page.width() >= page.minimumSizeHint().width()
        assert page.height() >= page.minimumSizeHint().height()
        assert page.mapTo(window, page.rect().bottomRight()).y() <= size[1]


@pytest.mark.parametrize("ink", [theme.RED, theme.AMBER])
def test_a_lit_safety_button_can_be_read_in_the_dark(ink: str) -> None:
    lit = theme.mixed(theme.CONTROL, ink, 0.72)
    assert theme.contrast(theme.ink_on(lit), lit) >= 4.5
    assert theme.contrast(QColor("#FFFFFF"), QColor("#000000")) == pytest.approx(21)

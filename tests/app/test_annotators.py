"""The control picture's panel and page: what is chosen, what is idle, and what is said of the picture."""

from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint, Qt

from engine.core.parameters import row
from engine.core.types import ControlFrame, Frame
from tests.app.fakes import RUNNING, flat

FIX = "cuelight models get depth"
REMARK = f"a relief of the person, not a measured depth  Fix: {FIX}"


def show(bridge, runtime, note="", found=True, control=True) -> None:
    frame = Frame(flat(1, 2, 3), 0.0, 0)
    picture = flat(9, 9, 9) if control else None
    runtime.control_preview.put(ControlFrame(frame, picture, None, "depth", found, note))
    runtime.now = replace(RUNNING, annotator_note=note)
    for _ in range(3):
        bridge.pull()


def choose(bridge, store, **values) -> None:
    store.set_many({key.replace("__", "."): value for key, value in values.items()}, "osc")
    bridge.pull()


@pytest.mark.parametrize(
    ("values", "tag"),
    [
        ({"annotator__name": "none"}, "CONTROL"),
        ({"annotator__name": "pose"}, "CONTROL   Pose"),
        ({"annotator__name": "pose", "annotator__second": "depth"}, "CONTROL   Pose + Depth"),
        ({"annotator__name": "pose", "annotator__second": "pose"}, "CONTROL   Pose"),
        ({"annotator__name": "gray", "mask__source": "background"}, "CONTROL   Gray in background"),
        ({"annotator__name": "gray", "mask__source": "face", "mask__inpaint": False}, "CONTROL   Gray"),
    ],
)
def test_the_picture_is_named_after_all_that_is_in_it(values, tag, window, bridge, store) -> None:
    choose(bridge, store, **values)
    assert window.annotators.preview._tag == tag


def test_a_remark_stands_beside_a_good_picture_not_on_it(window, bridge, runtime, store) -> None:
    choose(bridge, store, annotator__name="depth")
    show(bridge, runtime, REMARK)
    assert window.annotators.preview.reason == ("", "")
    said = f"a relief of the person, not a measured depth. {FIX}"
    assert window.annotators.about.toolTip().splitlines()[0] == said
    show(bridge, runtime)
    assert window.annotators.about.toolTip().startswith("Near is white")


def test_what_is_wrong_is_said_on_the_picture(window, bridge, runtime, store) -> None:
    choose(bridge, store, annotator__name="pose")
    show(bridge, runtime, "no person seen", found=False)
    assert window.annotators.preview.reason == ("no person seen", "")
    show(bridge, runtime, "no control picture: broken  Fix: mend it", found=False, control=False)
    assert window.annotators.preview.reason == ("no control picture: broken", "mend it")
    assert window.annotators.about.toolTip().startswith("The skeleton")


def test_with_a_mask_alone_there_is_a_control_picture(window, bridge, runtime, store) -> None:
    choose(bridge, store, annotator__name="none", mask__source="person")
    show(bridge, runtime)
    assert window.annotators.preview.reason == ("", "")
    choose(bridge, store, mask__inpaint=False)
    show(bridge, runtime, control=False)
    assert window.annotators.preview.reason == ("No control picture", "the prompt alone leads")


def test_invert_is_offered_where_there_is_a_mask(window, bridge, store) -> None:
    for values, enabled in (
        ({"annotator.name": "gray", "mask.source": "none"}, False),
        ({"mask.source": "face"}, True),
        ({"annotator.name": "hands", "mask.source": "none"}, True),
    ):
        store.set_many(values, "osc")
        bridge.pull()
        assert window.annotators.invert.isEnabled() == enabled


def test_the_page_sets_every_value(window, store, qtbot) -> None:
    window.deck.open("Control")
    page = window.control
    for picker, key, label in ((page.second, "annotator.second", "Pose"),):
        next(action for action in picker.menu.actions() if action.text() == label).trigger()
        assert store.get(key) == label.lower()
    for slider, key in (
        (page.second_gain, "annotator.second_gain"), (page.smoothing, "annotator.smoothing"),
        (page.hold, "annotator.hold"),
    ):  # fmt: skip
        middle = QPoint(slider.width() // 2, slider.height() // 2)
        qtbot.mouseClick(slider, Qt.MouseButton.LeftButton, pos=middle)
        assert store.get(key) == pytest.approx(row(key).native(0.5), rel=0.1)


def test_the_page_shows_what_hands_change(window, bridge, store) -> None:
    choose(bridge, store, annotator__second="depth", annotator__hold=40)
    page = window.control
    assert (page.second.text, page.hold.shown()) == ("Depth", 40)


@pytest.mark.parametrize(
    ("values", "idle"),
    [
        ({}, (False, True)),
        ({"annotator__second": "pose"}, (False, False)),
        ({"annotator__name": "pose", "annotator__second": "pose"}, (True, True)),
    ],
)
def test_what_changes_nothing_is_hatched(values, idle, window, bridge, store) -> None:
    choose(bridge, store, **values)
    page = window.control
    assert (page.second.idle, page.second_gain.idle) == idle


def test_detail_is_read_by_either_annotator(window, bridge, store) -> None:
    choose(bridge, store, annotator__name="gray")
    detail = window.macros.knobs["annotator.detail"].bound.control
    assert detail.idle
    choose(bridge, store, annotator__second="edges")
    assert not detail.idle


def test_the_tooltip_tells_cost_device_fallback_and_licence(window, bridge, store) -> None:
    choose(bridge, store, annotator__name="segmentation")
    told = window.annotators.about.toolTip()
    for words in (
        "The person is generated",
        "11 ms",
        "processor",
        "without mediapipe",
        "Apache-2.0 (mediapipe",
    ):
        assert words in told

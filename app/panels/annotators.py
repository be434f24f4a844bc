"""The control picture the model is led by: which annotator draws it, and what is composed with it."""

from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.bridge import Bridge
from app.controls.choices import Picker
from app.controls.numbers import Slider
from app.controls.switches import Chip
from app.panels.frame import OneLine, Panel
from app.parameter_widgets import ParameterRow
from app.preview import Preview
from engine.core.parameters import Value, row
from engine.core.types import ControlFrame, Image
from engine.runtime import Status
from engine.video.annotators import ANNOTATORS, AnnotatorRow

KEY = "annotator.name"
SECOND, SECOND_GAIN = "annotator.second", "annotator.second_gain"
SMOOTHING, HOLD = "annotator.smoothing", "annotator.hold"
MASK, INVERT, INPAINT = "mask.source", "mask.invert", "mask.inpaint"
_LABEL_PX = 54


class AnnotatorPanel(QWidget):
    """The annotator's chooser, to stand under the control picture, its `preview`."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self._note = ""
        self.preview = Preview("CONTROL", self._newest)
        self.picker = Picker([(name, ANNOTATORS[name].label) for name in row(KEY).choices])
        self.invert = Chip("Invert")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        line = QHBoxLayout()
        line.setSpacing(2)
        line.addWidget(ParameterRow(KEY, bridge, "nowhere", self.picker), 1)
        line.addWidget(ParameterRow(INVERT, bridge, control=self.invert))
        layout.addLayout(line)
        self.about = OneLine()
        layout.addWidget(self.about)
        for key in (KEY, SECOND, MASK, INPAINT):
            bridge.watch(key, self._show_choice)
        bridge.tick.connect(self.preview.refresh)
        bridge.status.connect(self._show_status)

    def _show_choice(self, _value: Value) -> None:
        name, second, mask = (str(self._bridge.get(key)) for key in (KEY, SECOND, MASK))
        self.invert.setEnabled(mask != "none" or ANNOTATORS[name].masks)
        drawn = " + ".join(ANNOTATORS[one].label for one in dict.fromkeys((name, second)) if one != "none")
        where = f"in {mask}" if mask != "none" and self._bridge.get(INPAINT) is True else ""
        self.preview.tag(f"CONTROL   {drawn} {where}".rstrip())
        self._show_about()

    def _show_about(self) -> None:
        """What is to be said of the picture that is shown, else what the annotator does."""
        chosen = ANNOTATORS[str(self._bridge.get(KEY))]
        remarks = [self._note] if self._note else []
        self.about.show_text(self._note or chosen.about, "\n".join([*remarks, *_facts(chosen)]))

    def _show_status(self, status: Status) -> None:
        drawn = self._frame()
        what, _, fix = status.annotator_note.partition("  Fix: ")
        drawing = [self._bridge.get(key) for key in (KEY, SECOND)]
        if self._bridge.get(INPAINT) is True:
            drawing.append(self._bridge.get(MASK))
        if all(name == "none" for name in drawing):
            self.preview.say("No control picture", "the prompt alone leads")
            what = ""
        elif drawn is not None and drawn.found and drawn.control is not None:
            self.preview.say("")  # a remark beside a good picture must not cover it
        else:
            self.preview.say(what, fix)
            what = ""
        note = f"{what}. {fix}" if what and fix else what
        if note != self._note:
            self._note = note
            self._show_about()

    def _frame(self) -> ControlFrame | None:
        return self._bridge.runtime.control_preview.peek()

    def _newest(self) -> Image | None:
        drawn = self._frame()
        return None if drawn is None else drawn.control


def _facts(chosen: AnnotatorRow) -> list[str]:
    """What the tooltip says of an annotator, line by line."""
    return [
        chosen.about,
        f"Takes about {chosen.cost_ms:g} ms for 640 x 360 on one core; runs on: {chosen.device}",
        f"Where something is missing: {chosen.fallback}",
        chosen.licence,
    ]


class ControlPanel(Panel):
    """What is composed with the annotator's picture: a second one; and how steady both are."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        labels = {name: one.label for name, one in ANNOTATORS.items()}
        self.second = Picker([(name, labels[name]) for name in row(SECOND).choices])
        self.second_gain = Slider(row(SECOND_GAIN))
        self.smoothing = Slider(row(SMOOTHING))
        self.hold = Slider(row(HOLD))
        self.body.setSpacing(4)
        for key, control, label in (
            (SECOND, self.second, "Second"),
            (SECOND_GAIN, self.second_gain, "Gain"),
            (SMOOTHING, self.smoothing, "Smooth"),
            (HOLD, self.hold, "Hold"),
        ):
            self.body.addWidget(ParameterRow(key, bridge, "beside", control, label, _LABEL_PX))
        self.body.addStretch(1)
        for key in (KEY, SECOND):
            bridge.watch(key, self._show_use)

    def _show_use(self, _value: Value) -> None:
        """Hatch what changes nothing with the present choices."""
        name, second = (str(self._bridge.get(key)) for key in (KEY, SECOND))
        same = second == name and second != "none"
        self.second.show_idle(same)
        self.second_gain.show_idle(second == "none" or same)

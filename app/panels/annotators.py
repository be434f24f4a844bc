"""The control picture the model is led by, and which annotator draws it."""

from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.bridge import Bridge
from app.controls.choices import Picker
from app.controls.switches import Chip
from app.panels.frame import OneLine
from app.parameter_widgets import ParameterRow
from app.preview import Preview
from engine.core.parameters import Value, row
from engine.core.types import Image
from engine.runtime import Status
from engine.video.annotators import ANNOTATORS

KEY = "annotator.name"
INVERT = "mask.invert"


class AnnotatorPanel(QWidget):
    """The annotator's chooser, to stand under the control picture, its `preview`."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
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
        bridge.watch(KEY, self._show_name)
        bridge.tick.connect(self.preview.refresh)
        bridge.status.connect(self._show_status)

    def _show_name(self, value: Value) -> None:
        chosen = ANNOTATORS[str(value)]
        self.about.show_text(chosen.about)
        self.invert.setEnabled("invert" in chosen.uses)
        self.preview.tag("CONTROL" if value == "none" else f"CONTROL   {chosen.label}")

    def _show_status(self, status: Status) -> None:
        if self._bridge.get(KEY) == "none":
            self.preview.say("No control picture", "the prompt alone leads")
        else:
            what, _, fix = status.annotator_note.partition("  Fix: ")
            self.preview.say(what, fix)

    def _newest(self) -> Image | None:
        drawn = self._bridge.runtime.control_preview.peek()
        return None if drawn is None else drawn.control

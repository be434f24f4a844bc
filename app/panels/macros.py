"""The big knobs: every macro row of the table, context scale first."""

from PySide6.QtWidgets import QHBoxLayout

from app.bridge import Bridge
from app.knob import Knob
from app.panels.frame import Panel
from app.parameter_widgets import ParameterRow
from engine.core.parameters import TABLE, Value
from engine.video.annotators import ANNOTATORS


class MacrosPanel(Panel):
    """Grows one knob per macro row."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__("Macros")
        line = QHBoxLayout()
        line.setSpacing(4)
        self.knobs = {key: ParameterRow(key, bridge) for key, row in TABLE.items() if row.macro}
        for knob in self.knobs.values():
            line.addWidget(knob, 1)
        self.body.addLayout(line, 1)
        bridge.watch("annotator.name", self._show_use)

    def _show_use(self, annotator: Value) -> None:
        """Hatch the annotator's knobs that its present kind does not read."""
        used = ANNOTATORS[str(annotator)].uses
        for name in ("detail", "gain"):
            knob = self.knobs[f"annotator.{name}"].bound.control
            if isinstance(knob, Knob):
                knob.show_idle(name not in used)

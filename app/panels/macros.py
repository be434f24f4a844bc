"""The big knobs: every macro row of the table, context scale first."""

from functools import partial

from PySide6.QtWidgets import QHBoxLayout

from app.bridge import Bridge
from app.knob import Knob
from app.panels.frame import Panel
from app.parameter_widgets import ParameterRow
from engine.core.parameters import LORA_SLOTS, TABLE, Value
from engine.video.annotators import ANNOTATORS

_SHORT = {f"lora.{slot}.strength": f"LoRA {slot}" for slot in range(1, LORA_SLOTS + 1)}


class MacrosPanel(Panel):
    """Grows one knob per macro row."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__("Macros")
        line = QHBoxLayout()
        line.setSpacing(2)
        self.knobs = {
            key: ParameterRow(key, bridge, control=Knob(row, _SHORT.get(key, "")))
            for key, row in TABLE.items()
            if row.macro
        }
        for knob in self.knobs.values():
            line.addWidget(knob, 1)
        self.body.addLayout(line, 1)
        bridge.watch("annotator.name", self._show_use)
        for slot in range(1, LORA_SLOTS + 1):
            if f"lora.{slot}.strength" in self.knobs:
                bridge.watch(f"lora.{slot}.file", partial(self._show_slot, slot))

    def _show_use(self, annotator: Value) -> None:
        """Hatch the annotator's knobs that its present kind does not read."""
        used = ANNOTATORS[str(annotator)].uses
        for name in ("detail", "gain"):
            self._show_idle(f"annotator.{name}", name not in used)

    def _show_slot(self, slot: int, file: Value) -> None:
        """Hatch a LoRA's knob while its slot is empty."""
        self._show_idle(f"lora.{slot}.strength", not str(file).strip())

    def _show_idle(self, key: str, idle: bool) -> None:
        knob = self.knobs[key].bound.control
        if isinstance(knob, Knob):
            knob.show_idle(idle)

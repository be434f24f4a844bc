"""What is played: the big knobs, every macro row of the table, and over them what is asked for once."""

from functools import partial

from PySide6.QtWidgets import QHBoxLayout

from app.bridge import Bridge
from app.command_button import CommandButton
from app.knob import Knob
from app.panels.frame import Panel
from app.parameter_widgets import ParameterRow
from engine.core.commands import REPLAY, RESET, SNAPSHOT
from engine.core.parameters import LORA_SLOTS, TABLE, Value
from engine.video.annotators import ANNOTATORS

_ANNOTATORS = ("annotator.name", "annotator.second")
_COMMANDS = {RESET: "", REPLAY: "", SNAPSHOT: "S"}  # and the keys that ask for them
_SHORT = {f"lora.{slot}.strength": f"LoRA {slot}" for slot in range(1, LORA_SLOTS + 1)}


class MacrosPanel(Panel):
    """Grows one knob per macro row, and a button for each command that belongs to no other control."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__("Macros")
        self.commands = {name: CommandButton(name, bridge, key) for name, key in _COMMANDS.items()}
        for button in self.commands.values():
            self.heading.addWidget(button)
        self.raise_heading(4)
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
        self._bridge = bridge
        for key in _ANNOTATORS:
            bridge.watch(key, self._show_use)
        for slot in range(1, LORA_SLOTS + 1):
            if f"lora.{slot}.strength" in self.knobs:
                bridge.watch(f"lora.{slot}.file", partial(self._show_slot, slot))

    def _show_use(self, _annotator: Value) -> None:
        """Hatch the annotators' knobs that their present kinds do not read; the second has its own gain."""
        first, second = (ANNOTATORS[str(self._bridge.get(key))].uses for key in _ANNOTATORS)
        self._show_idle("annotator.detail", "detail" not in (*first, *second))
        self._show_idle("annotator.gain", "gain" not in first)

    def _show_slot(self, slot: int, file: Value) -> None:
        """Hatch a LoRA's knob while its slot is empty."""
        self._show_idle(f"lora.{slot}.strength", not str(file).strip())

    def _show_idle(self, key: str, idle: bool) -> None:
        knob = self.knobs[key].bound.control
        if isinstance(knob, Knob):
            knob.show_idle(idle)

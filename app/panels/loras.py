"""The LoRA slots: which file is in each, how strongly and where it acts, and why one could not be loaded.

Hands are bound to a slot, so another file in it keeps its knob.
"""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout

from app.bridge import Bridge
from app.controls.numbers import Slider
from app.controls.switches import TurnChip
from app.file_dialog import file_dialog
from app.panels.file_slot import FilePicker, FileSlot, WrongLine
from app.panels.frame import Panel
from app.parameter_widgets import ParameterRow
from engine.core.parameters import LORA_SLOTS, Value, row
from engine.core.paths import models_dir
from engine.runtime import Status
from engine.stages.loras import FOLDER

SUFFIXES = (".safetensors", ".pt")
_FILTERS = ("LoRA files (*.safetensors *.pt)", "All files (*)")
_EMPTY = "Empty"
_REGIONS = {"everywhere": "All", "inside": "In", "outside": "Out"}


class LoraPicker(FilePicker):
    """Offers another file for the slot, or none."""

    file_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.offer([("", _EMPTY)], ("File…", self.file_wanted.emit))
        self.show_value("")


class LoraSlot(FileSlot):
    """One slot: file, strength and region."""

    file_wanted = Signal(int)

    def __init__(self, slot: int, bridge: Bridge) -> None:
        picker = LoraPicker()
        super().__init__(f"lora.{slot}.file", bridge, picker, (str(slot), "△"), SUFFIXES)
        self.picker = picker
        self.picker.file_wanted.connect(lambda: self.file_wanted.emit(slot))
        self.sign.setFixedWidth(12)
        self.strength = Slider(row(f"lora.{slot}.strength"))
        region = row(f"lora.{slot}.region")
        self.region = TurnChip([(name, _REGIONS[name]) for name in region.choices])
        foot = QHBoxLayout()
        foot.setSpacing(4)
        foot.addSpacing(16)
        foot.addWidget(ParameterRow(f"lora.{slot}.strength", bridge, "nowhere", self.strength), 1)
        foot.addWidget(ParameterRow(region.key, bridge, control=self.region))
        self.lines.addLayout(foot)
        bridge.watch(self._key, self._show_use)

    def _show_use(self, file: Value) -> None:
        """Hatch the strength of an empty slot."""
        self.strength.show_idle(not str(file).strip())


class LorasPanel(Panel):
    """All slots, one under the other, and under them why a file is not in use."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self.dialog: QFileDialog | None = None
        self._asking = 1
        self.body.setSpacing(4)
        self.note = WrongLine()
        self.slots = tuple(LoraSlot(slot, bridge) for slot in range(1, LORA_SLOTS + 1))
        for slot in self.slots:
            slot.file_wanted.connect(self.open_dialog)
            self.body.addWidget(slot)
        self.body.addWidget(self.note)
        self.body.addStretch(1)
        bridge.status.connect(self._show_status)

    def show_notes(self, notes: tuple[str, ...]) -> None:
        """Say what is wrong with each slot, from the first on; empty texts are well."""
        for slot, note in zip(self.slots, notes, strict=True):
            slot.show_note(note)
        self.note.show_wrong([f"{slot}: {note}" for slot, note in enumerate(notes, 1) if note])

    def open_dialog(self, slot: int) -> None:
        """Ask for a file for `slot` (from 1) without stopping anything: the dialog is dark, and not modal."""
        self._asking = slot
        if self.dialog is None:
            self.dialog = file_dialog(self.window(), _FILTERS, self._chosen, models_dir() / FOLDER)
        self.dialog.setWindowTitle(f"LoRA for slot {slot}")
        self.dialog.show()
        self.dialog.raise_()

    def _chosen(self, path: str) -> None:
        self.slots[self._asking - 1].choose_file(path)

    def _show_status(self, status: Status) -> None:
        self.show_notes(status.loras)

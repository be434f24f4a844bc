"""The LoRA slots: which file is in each, how strongly and where it acts, and why one could not be loaded.

Hands are bound to a slot, so another file in it keeps its knob.
"""

from pathlib import Path

from PySide6.QtCore import QMimeData, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from app import theme
from app.bridge import Bridge
from app.controls.choices import Picker
from app.controls.numbers import Slider
from app.controls.switches import TurnChip
from app.file_dialog import file_dialog
from app.panels.frame import OneLine, Panel, secondary_label
from app.parameter_widgets import ParameterRow
from app.wording import tooltip
from engine.core.parameters import LORA_SLOTS, Value, row
from engine.core.paths import models_dir
from engine.runtime import Status
from engine.stages.loras import FOLDER

SUFFIXES = (".safetensors", ".pt")
_FILTERS = ("LoRA files (*.safetensors *.pt)", "All files (*)")
_EMPTY = "Empty"
_REGIONS = {"everywhere": "All", "inside": "In", "outside": "Out"}


class LoraPicker(Picker):
    """Shows the slot's file by name; offers another file, or none."""

    file_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.offer([("", _EMPTY)], ("File…", self.file_wanted.emit))
        self.show_value("")

    def name_of(self, value: str) -> str:
        """A file is called by its name; its folder is in the tooltip."""
        return Path(value).name or value


class LoraSlot(QWidget):
    """One slot: file, strength and region; its number becomes a warning sign when the file is not well."""

    file_wanted = Signal(int)

    def __init__(self, slot: int, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self._slot = slot
        self._key = f"lora.{slot}.file"
        self.picker = LoraPicker()
        self.picker.file_wanted.connect(lambda: self.file_wanted.emit(slot))
        self.strength = Slider(row(f"lora.{slot}.strength"))
        region = row(f"lora.{slot}.region")
        self.region = TurnChip([(name, _REGIONS[name]) for name in region.choices])
        self.setAcceptDrops(True)
        head = QHBoxLayout()
        head.setSpacing(4)
        self.sign = secondary_label(str(slot))
        self.sign.setFixedWidth(12)
        head.addWidget(self.sign)
        self.file = ParameterRow(self._key, bridge, "nowhere", self.picker)
        head.addWidget(self.file, 1)
        foot = QHBoxLayout()
        foot.setSpacing(4)
        foot.addSpacing(16)
        foot.addWidget(ParameterRow(f"lora.{slot}.strength", bridge, "nowhere", self.strength), 1)
        foot.addWidget(ParameterRow(region.key, bridge, control=self.region))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(head)
        layout.addLayout(foot)
        bridge.watch(self._key, self._show_file)

    def choose_file(self, path: str) -> None:
        """Put the file at `path` into the slot."""
        self._bridge.set(self._key, path)

    def show_note(self, note: str) -> None:
        """Say what is wrong with the slot's file; empty: nothing is."""
        self.sign.setText("△" if note else str(self._slot))
        self.sign.setStyleSheet(f"color: {theme.AMBER};" if note else "")
        self.sign.setToolTip(note)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: D102
        if _lora_in(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: D102
        path = _lora_in(event.mimeData())
        if path:
            event.acceptProposedAction()
            self.choose_file(path)

    def _show_file(self, file: Value) -> None:
        self.strength.show_idle(not str(file).strip())
        self.file.bound.describe(f"{file}\n{tooltip(self.file.bound.row)}".strip())


class LorasPanel(Panel):
    """All slots, one under the other, and under them why a file is not in use."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self.dialog: QFileDialog | None = None
        self._asking = 1
        self.body.setSpacing(4)
        self.note = OneLine()
        self.note.setStyleSheet(f"color: {theme.AMBER};")
        self.note.hide()
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
        wrong = [f"{slot}: {note}" for slot, note in enumerate(notes, 1) if note]
        more = f"  +{len(wrong) - 1} more" if len(wrong) > 1 else ""
        self.note.show_text(f"{wrong[0].partition('  Fix: ')[0]}{more}" if wrong else "", "\n".join(wrong))
        self.note.setVisible(bool(wrong))

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


def _lora_in(dragged: QMimeData) -> str:
    """The path of the one LoRA file that is dragged; empty when it is something else."""
    urls = dragged.urls()
    if len(urls) != 1 or not urls[0].isLocalFile():
        return ""
    path = urls[0].toLocalFile()
    return path if Path(path).suffix.lower() in SUFFIXES else ""

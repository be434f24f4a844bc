"""A slot that names a file, by its menu or by drop; and what is said of files that are not well."""

from collections.abc import Collection, Sequence
from pathlib import Path

from PySide6.QtCore import QMimeData
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app import theme
from app.bridge import Bridge
from app.controls.choices import Picker
from app.panels.frame import OneLine, secondary_label
from app.parameter_widgets import ParameterRow
from app.wording import tooltip
from engine.core.parameters import Value


class FilePicker(Picker):
    """Shows the file's name; its folder is in the tooltip."""

    def name_of(self, value: str) -> str:
        """A file is called by its name."""
        return Path(value).name or value


class FileSlot(QWidget):
    """One row that names a file; its sign becomes a warning when that is not well. `lines` is its layout."""

    def __init__(
        self, key: str, bridge: Bridge, picker: Picker, signs: tuple[str, str], suffixes: Collection[str]
    ) -> None:
        """`signs`: when all is well, and when not. `suffixes`: of the files that are taken, as in ".png"."""
        super().__init__()
        self._bridge = bridge
        self._key = key
        self._signs = signs
        self._suffixes = suffixes
        self.setAcceptDrops(True)
        self.sign = secondary_label(signs[0])
        self.row = ParameterRow(key, bridge, "nowhere", picker)
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.sign)
        line.addWidget(self.row, 1)
        self.lines = QVBoxLayout(self)
        self.lines.setContentsMargins(0, 0, 0, 0)
        self.lines.setSpacing(2)
        self.lines.addLayout(line)
        bridge.watch(key, self._show_file)

    def choose_file(self, path: str) -> None:
        """Put the file at `path` into the slot."""
        self._bridge.set(self._key, path)

    def show_note(self, note: str) -> None:
        """Say what is wrong with the slot's file; empty: nothing is."""
        self.sign.setText(self._signs[1 if note else 0])
        self.sign.setStyleSheet(f"color: {theme.AMBER};" if note else "")
        self.sign.setToolTip(note)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: D102
        if self._file_in(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: D102
        path = self._file_in(event.mimeData())
        if path:
            event.acceptProposedAction()
            self.choose_file(path)

    def _file_in(self, dragged: QMimeData) -> str:
        """The path of the one fitting file that is dragged; empty when it is something else."""
        urls = dragged.urls()
        if len(urls) != 1 or not urls[0].isLocalFile():
            return ""
        path = urls[0].toLocalFile()
        return path if Path(path).suffix.lower() in self._suffixes else ""

    def _show_file(self, file: Value) -> None:
        self.row.bound.describe(f"{file}\n{tooltip(self.row.bound.row)}".strip())


class WrongLine(OneLine):
    """What is wrong with some slots: the first of it, and all in the tooltip; hidden while all is well."""

    def __init__(self) -> None:
        super().__init__()
        self.setStyleSheet(f"color: {theme.AMBER};")
        self.hide()

    def show_wrong(self, wrong: Sequence[str]) -> None:
        """Say it, one text for each slot that is not well."""
        more = f"  +{len(wrong) - 1} more" if len(wrong) > 1 else ""
        self.show_text(f"{wrong[0].partition('  Fix: ')[0]}{more}" if wrong else "", "\n".join(wrong))
        self.setVisible(bool(wrong))

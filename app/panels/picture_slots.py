"""Slots that name a picture file: by dialog, by drop, or the picture of this moment."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from PySide6.QtCore import QMimeData, QObject, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QPaintEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QWidget

from app import theme
from app.bridge import Bridge
from app.controls.choices import Picker
from app.file_dialog import file_dialog
from app.learnable import Learnable
from app.map_dot import MapDot
from app.panels.frame import OneLine, secondary_label
from app.parameter_widgets import ParameterRow
from app.wording import command_tooltip, tooltip
from controllers.binding import command_key
from engine.core.commands import TAKES
from engine.core.parameters import Value, row
from engine.core.paths import config_dir
from engine.core.types import Frame, Image, OutputFrame
from engine.runtime import Status
from engine.stages.pictures import DRAWN, FIRST, FOLDER, LAST, MASK, REFERENCE_FILES, keep_picture
from engine.video.still import SUFFIXES

LABEL_PX = 46
_SIGNS = {key: f"Ref {number}" for number, key in enumerate(REFERENCE_FILES, 1)} | {
    FIRST: "First", LAST: "Last", MASK: "File",
}  # fmt: skip
_FILTERS = (f"Pictures ({' '.join(f'*{suffix}' for suffix in sorted(SUFFIXES))})", "All files (*)")


class PicturePicker(Picker):
    """Shows the row's file by name; offers another file, the picture of this moment, or none."""

    file_wanted = Signal()
    output_wanted = Signal()
    camera_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.dot = MapDot(self)
        self.offer([("", "None")], ("File…", self.file_wanted.emit))
        self.output = self.menu.addAction("Output as it is now", self.output_wanted.emit)
        self.menu.addAction("Camera as it is now", self.camera_wanted.emit)
        self.show_value("")

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        super().paintEvent(event)
        self.dot.paint()

    def name_of(self, value: str) -> str:
        """A file is called by its name, a mask that was drawn is called so; the rest is in the tooltip."""
        path = Path(value)
        return "Drawn" if path.parent == Path(DRAWN) else path.name or value


class PictureSlot(QWidget):
    """One row that names a picture; its sign turns into a warning when the file is not well."""

    file_wanted = Signal(str)

    def __init__(self, key: str, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self._key = key
        self._take_command = next(name for name, named in TAKES.items() if named == key)
        self.picker = PicturePicker()
        self.picker.file_wanted.connect(lambda: self.file_wanted.emit(key))
        runtime = bridge.runtime
        self.picker.output_wanted.connect(self._take_output)
        self.picker.camera_wanted.connect(partial(self._take, lambda: _image(runtime.source_preview.peek())))
        self.setAcceptDrops(True)
        self.sign = secondary_label(_SIGNS[key])
        self.sign.setFixedWidth(LABEL_PX)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(4)
        line.addWidget(self.sign)
        self.row = ParameterRow(key, bridge, "nowhere", self.picker)
        self.take = Learnable(
            command_key(self._take_command), bridge, self.picker.dot, command_tooltip(self._take_command)
        )
        self.take.adopt_entry(self.picker, self.picker.menu, self.picker.output)
        self.row.bound.join(self.take)
        line.addWidget(self.row, 1)
        bridge.watch(key, self._show_file)

    def choose_file(self, path: str) -> None:
        """Let the row name the file at `path`, also when it did so before: a key frame has another turn."""
        if self._bridge.get(self._key) == path:
            self._bridge.set(self._key, "")
        self._bridge.set(self._key, path)

    def show_note(self, note: str) -> None:
        """Say what is wrong with the picture; empty: nothing is."""
        self.sign.setText(f"△ {_SIGNS[self._key]}" if note else _SIGNS[self._key])
        self.sign.setStyleSheet(f"color: {theme.AMBER};" if note else "")
        self.sign.setToolTip(note)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: D102
        if _picture_in(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: D102
        path = _picture_in(event.mimeData())
        if path:
            event.acceptProposedAction()
            self.choose_file(path)

    def _take_output(self) -> None:
        """Have the output as it is now in this row, as a pad or a wire would."""
        self._bridge.command(self._take_command)

    def _take(self, newest: Callable[[], Image | None]) -> None:
        """Keep the picture of this moment as a file, and name that."""
        image = newest()
        if image is None:
            self._bridge.notices.post("There is no picture to take yet", level="info")
            return
        self._bridge.errands.run(lambda: keep_picture(image), self.choose_file)

    def _show_file(self, file: Value) -> None:
        self.row.bound.describe(f"{file}\n{tooltip(self.row.bound.row)}".strip())


class PictureSlots(QObject):
    """The slots of one page, with the dialog they share and a line that says why a picture is not in use."""

    def __init__(self, page: QWidget, bridge: Bridge, keys: tuple[str, ...]) -> None:
        super().__init__(page)
        self.dialog: QFileDialog | None = None
        self._page = page
        self._asking = keys[0]
        self.by_key: Mapping[str, PictureSlot] = {key: PictureSlot(key, bridge) for key in keys}
        for slot in self.by_key.values():
            slot.file_wanted.connect(self.open_dialog)
        self.note = OneLine()
        self.note.setStyleSheet(f"color: {theme.AMBER};")
        self.note.hide()
        bridge.status.connect(self._show_status)

    def open_dialog(self, key: str) -> None:
        """Ask for a file for the row `key` without stopping anything."""
        self._asking = key
        if self.dialog is None:
            self.dialog = file_dialog(self._page.window(), _FILTERS, self._chosen, config_dir() / FOLDER)
        self.dialog.setWindowTitle(row(key).label)
        self.dialog.show()
        self.dialog.raise_()

    def _chosen(self, path: str) -> None:
        self.by_key[self._asking].choose_file(path)

    def _show_status(self, status: Status) -> None:
        notes = {key: status.pictures.get(key, "") for key in self.by_key}
        for key, slot in self.by_key.items():
            slot.show_note(notes[key])
        wrong = [f"{_SIGNS[key]}: {note}" for key, note in notes.items() if note]
        more = f"  +{len(wrong) - 1} more" if len(wrong) > 1 else ""
        self.note.show_text(f"{wrong[0].partition('  Fix: ')[0]}{more}" if wrong else "", "\n".join(wrong))
        self.note.setVisible(bool(wrong))


def _image(shown: Frame | OutputFrame | None) -> Image | None:
    return None if shown is None else shown.image


def _picture_in(dragged: QMimeData) -> str:
    """The path of the one picture file that is dragged; empty when it is something else."""
    urls = dragged.urls()
    if len(urls) != 1 or not urls[0].isLocalFile():
        return ""
    path = urls[0].toLocalFile()
    return path if Path(path).suffix.lower() in SUFFIXES else ""

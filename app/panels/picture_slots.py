"""Slots that name a picture file: by dialog, by drop, or the picture of this moment."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QFileDialog, QWidget

from app.bridge import Bridge
from app.file_dialog import file_dialog
from app.learnable import Learnable
from app.map_dot import MapDot
from app.panels.file_slot import FilePicker, FileSlot, WrongLine
from app.wording import command_tooltip
from controllers.binding import command_key
from engine.core.commands import TAKES
from engine.core.parameters import row
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


class PicturePicker(FilePicker):
    """Offers another file for the row, the picture of this moment, or none."""

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
        """A mask that was drawn is called so."""
        return "Drawn" if Path(value).parent == Path(DRAWN) else super().name_of(value)


class PictureSlot(FileSlot):
    """One row that names a picture."""

    file_wanted = Signal(str)

    def __init__(self, key: str, bridge: Bridge) -> None:
        picker = PicturePicker()
        super().__init__(key, bridge, picker, (_SIGNS[key], f"△ {_SIGNS[key]}"), SUFFIXES)
        self.picker = picker
        self.sign.setFixedWidth(LABEL_PX)
        self._take_command = next(name for name, named in TAKES.items() if named == key)
        self.picker.file_wanted.connect(lambda: self.file_wanted.emit(key))
        runtime = bridge.runtime
        self.picker.output_wanted.connect(self._take_output)
        self.picker.camera_wanted.connect(partial(self._take, lambda: _image(runtime.source_preview.peek())))
        self.take = Learnable(
            command_key(self._take_command), bridge, self.picker.dot, command_tooltip(self._take_command)
        )
        self.take.adopt_entry(self.picker, self.picker.menu, self.picker.output)
        self.row.bound.join(self.take)

    def choose_file(self, path: str) -> None:
        """Let the row name the file at `path`, also when it did so before: a key frame has another turn."""
        if self._bridge.get(self._key) == path:
            self._bridge.set(self._key, "")
        super().choose_file(path)

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
        self.note = WrongLine()
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
        self.note.show_wrong([f"{_SIGNS[key]}: {note}" for key, note in notes.items() if note])


def _image(shown: Frame | OutputFrame | None) -> Image | None:
    return None if shown is None else shown.image

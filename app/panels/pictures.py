"""Pictures that lead the model: references, key frames, a mask; and what is kept of the camera."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QMimeData, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QWidget

from app import theme
from app.bridge import Bridge
from app.controls.choices import Picker
from app.controls.numbers import Slider
from app.controls.switches import Chip
from app.panels.frame import OneLine, Panel, secondary_label
from app.parameter_widgets import ParameterRow
from engine.core.parameters import Value, row
from engine.core.types import Frame, Image, OutputFrame
from engine.runtime import Status
from engine.stages.pictures import FIRST, LAST, MASK, PICTURE_KEYS, REFERENCE_FILES, keep_picture
from engine.video.annotators import ANNOTATORS
from engine.video.still import SUFFIXES

FIT, CHUNKS = "reference.fit", "extension.chunks"
COMPOSITE, FEATHER, SOURCE, ANNOTATOR = "mask.composite", "mask.feather", "mask.source", "annotator.name"
_FITS = (("white", "Fit on white"), ("crop", "Crop to fill"))
_SIGNS = {key: f"Ref {number}" for number, key in enumerate(REFERENCE_FILES, 1)} | {
    FIRST: "First", LAST: "Last", MASK: "Mask",
}  # fmt: skip
_LABEL_PX = 46
_FILTERS = (f"Pictures ({' '.join(f'*{suffix}' for suffix in sorted(SUFFIXES))})", "All files (*)")


class PicturePicker(Picker):
    """Shows the row's file by name; offers another file, the picture of this moment, or none."""

    file_wanted = Signal()
    output_wanted = Signal()
    camera_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.offer([("", "None")], ("File…", self.file_wanted.emit))
        self.menu.addAction("Output as it is now", self.output_wanted.emit)
        self.menu.addAction("Camera as it is now", self.camera_wanted.emit)
        self.show_value("")

    def name_of(self, value: str) -> str:
        """A file is called by its name; its folder is in the tooltip."""
        return Path(value).name or value


class PictureSlot(QWidget):
    """One row that names a picture; its sign turns into a warning when the file is not well."""

    file_wanted = Signal(str)

    def __init__(self, key: str, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self._key = key
        self.picker = PicturePicker()
        self.picker.file_wanted.connect(lambda: self.file_wanted.emit(key))
        runtime = bridge.runtime
        self.picker.output_wanted.connect(partial(self._take, lambda: _image(runtime.program.peek())))
        self.picker.camera_wanted.connect(partial(self._take, lambda: _image(runtime.source_preview.peek())))
        self.setAcceptDrops(True)
        self.sign = secondary_label(_SIGNS[key])
        self.sign.setFixedWidth(_LABEL_PX)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(4)
        line.addWidget(self.sign)
        line.addWidget(ParameterRow(key, bridge, "nowhere", self.picker), 1)
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

    def _take(self, newest: Callable[[], Image | None]) -> None:
        """Keep the picture of this moment as a file, and name that."""
        image = newest()
        if image is None:
            self._bridge.notices.post("There is no picture to take yet", level="info")
            return
        self._bridge.errands.run(lambda: keep_picture(image), self.choose_file)

    def _show_file(self, file: Value) -> None:
        self.picker.setToolTip(f"{file}\n{row(self._key).help}".strip())


class PicturesPanel(Panel):
    """One row for each picture and what belongs to it, and under them why one is not in use."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self.dialog: QFileDialog | None = None
        self._bridge = bridge
        self._asking = REFERENCE_FILES[0]
        self.slots = {key: PictureSlot(key, bridge) for key in PICTURE_KEYS}
        self.fit = Picker(_FITS)
        self.chunks = Slider(row(CHUNKS))
        self.composite = Chip("Keep")
        self.feather = Slider(row(FEATHER))
        self.note = OneLine()
        self.note.setStyleSheet(f"color: {theme.AMBER};")
        self.note.hide()
        self.body.setSpacing(2)
        for slot in self.slots.values():
            slot.file_wanted.connect(self.open_dialog)
        for key in REFERENCE_FILES:
            self.body.addWidget(self.slots[key])
        self.body.addWidget(ParameterRow(FIT, bridge, "beside", self.fit, "Fit", _LABEL_PX))
        for key in (FIRST, LAST):
            self.body.addWidget(self.slots[key])
        self.body.addWidget(ParameterRow(CHUNKS, bridge, "beside", self.chunks, "Over", _LABEL_PX))
        self.body.addWidget(self.slots[MASK])
        kept = QHBoxLayout()
        kept.setSpacing(4)
        kept.addWidget(ParameterRow(COMPOSITE, bridge, control=self.composite))
        kept.addWidget(ParameterRow(FEATHER, bridge, "nowhere", self.feather), 1)
        self.body.addLayout(kept)
        self.body.addWidget(self.note)
        self.body.addStretch(1)
        for key in (*PICTURE_KEYS, COMPOSITE, SOURCE, ANNOTATOR):
            bridge.watch(key, self._show_use)
        bridge.status.connect(self._show_status)

    def open_dialog(self, key: str) -> None:
        """Ask for a file for the row `key` without stopping anything: the dialog is dark, and not modal."""
        self._asking = key
        if self.dialog is None:
            self.dialog = QFileDialog(self.window())
            self.dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
            self.dialog.setOption(QFileDialog.Option.HideNameFilterDetails)
            self.dialog.setDirectory(str(Path.home()))
            self.dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
            self.dialog.setNameFilters(list(_FILTERS))
            self.dialog.setModal(False)
            self.dialog.resize(860, 520)
            self.dialog.fileSelected.connect(self._chosen)
        self.dialog.setWindowTitle(row(key).label)
        self.dialog.show()
        self.dialog.raise_()

    def _chosen(self, path: str) -> None:
        self.slots[self._asking].choose_file(path)

    def _show_use(self, _value: Value) -> None:
        """Hatch what changes nothing with the present choices."""
        there = {key: bool(str(self._bridge.get(key)).strip()) for key in PICTURE_KEYS}
        self.fit.show_idle(not any(there[key] for key in REFERENCE_FILES))
        self.chunks.show_idle(not there[FIRST] and not there[LAST])
        masked = there[MASK] or self._bridge.get(SOURCE) != "none" or self._annotator_masks()
        self.feather.show_idle(not masked or self._bridge.get(COMPOSITE) is not True)

    def _annotator_masks(self) -> bool:
        return ANNOTATORS[str(self._bridge.get(ANNOTATOR))].masks

    def _show_status(self, status: Status) -> None:
        for key, slot in self.slots.items():
            slot.show_note(status.pictures.get(key, ""))
        wrong = [f"{_SIGNS[key]}: {note}" for key, note in status.pictures.items() if note]
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

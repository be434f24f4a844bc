"""Where pictures come from: the live thumbnail, cameras by name, a file, the demo clip."""

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.bridge import Bridge
from app.controls.choices import Picker
from app.controls.switches import Chip
from app.file_dialog import file_dialog
from app.panels.frame import OneLine
from app.parameter_widgets import ParameterRow
from app.preview import Preview
from engine.core.parameters import Value
from engine.core.types import Image
from engine.runtime import Status
from engine.video.sources import DEMO, Camera, list_cameras

KEY = "source.uri"
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
_FILTERS = (
    "Clips and pictures (*.mp4 *.mov *.mkv *.avi *.webm *.m4v *.png *.jpg *.jpeg *.bmp *.webp)",
    "All files (*)",
)


def file_uri(path: str) -> str:
    """The source that plays the file at `path`."""
    return ("image:" if Path(path).suffix.lower() in _PICTURES else "file:") + path


def short_name(uri: str) -> str:
    """A source as the performer reads it when it is no camera in the list."""
    if uri == DEMO:
        return "Demo clip"
    kind, _, rest = uri.partition(":")
    if kind in ("file", "image"):
        return Path(rest).name or uri
    return "Camera (not plugged in)" if kind == "camera" and rest else uri


class SourcePicker(Picker):
    """Offers cameras, the demo clip and "File…"; shows the chosen source by name."""

    file_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._cameras: tuple[Camera, ...] = ()
        self.show_cameras(())

    def show_cameras(self, cameras: tuple[Camera, ...]) -> None:
        """Offer these cameras, unless they are offered already (an open menu must not flicker)."""
        if cameras == self._cameras and self._choices:
            return
        self._cameras = cameras
        twins = [camera.name for camera in cameras]
        named = [
            (
                f"camera:{camera.id}",
                camera.name if twins.count(camera.name) == 1 else f"{camera.name} ({camera.device})",
            )
            for camera in cameras
        ]
        group = [("", "")] if named else []
        self.offer([*named, *group, (DEMO, "Demo clip")], ("File…", self.file_wanted.emit))
        self.show_value(self._value)

    def name_of(self, value: str) -> str:
        """What to call a source that is not offered: a file, an address, a camera that is not there."""
        return short_name(value)


class SourcePanel(QWidget):
    """The source's chooser, to stand under its `preview`."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self.dialog: QFileDialog | None = None
        self.preview = Preview("SOURCE", self._newest, takes_files=True)
        self.preview.file_dropped.connect(self.choose_file)
        self.picker = SourcePicker()
        self.picker.opening.connect(self.list_cameras)
        self.picker.file_wanted.connect(self.open_dialog)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(ParameterRow(KEY, bridge, "nowhere", self.picker))
        chips = QHBoxLayout()
        chips.setSpacing(6)
        self.mirror_view = Chip("Mirror view")
        for key, chip in (
            ("source.loop", Chip("Loop")),
            ("source.mirror", Chip("Mirror")),
            ("view.mirror", self.mirror_view),
        ):
            chips.addWidget(ParameterRow(key, bridge, control=chip))
        chips.addStretch(1)
        layout.addLayout(chips)
        self.about = OneLine()
        self._was_ok = True
        layout.addWidget(self.about)
        bridge.watch("view.mirror", self._mirror)
        bridge.watch(KEY, self._mirror)
        bridge.tick.connect(self.preview.refresh)
        bridge.status.connect(self._show_status)
        self.list_cameras()

    def list_cameras(self) -> None:
        """Ask for the cameras, elsewhere; the menu shows them when they are known."""
        self._bridge.errands.run(list_cameras, lambda found: self.picker.show_cameras(tuple(found)))

    def choose_file(self, path: str) -> None:
        """Play the file at `path`."""
        self._bridge.set(KEY, file_uri(path))

    def open_dialog(self) -> None:
        """Ask for a file without stopping anything: the dialog is dark, and not modal."""
        if self.dialog is None:
            self.dialog = file_dialog(self.window(), _FILTERS, self.choose_file)
            self.dialog.setWindowTitle("Play a clip or a picture")
        self.dialog.show()
        self.dialog.raise_()

    def _mirror(self, _value: Value) -> None:
        """A camera is a mirror to whoever stands before it; a clip is not."""
        is_camera = str(self._bridge.get(KEY)).startswith("camera:")
        self.mirror_view.setEnabled(is_camera)
        self.preview.mirror(is_camera and self._bridge.get("view.mirror"))

    def _newest(self) -> Image | None:
        frame = self._bridge.runtime.source_preview.peek()
        return None if frame is None else frame.image

    def _show_status(self, status: Status) -> None:
        self.about.show_text(status.source)
        if status.source_ok and not self._was_ok:
            self.list_cameras()  # perhaps it was plugged in just now, and has a name
        self._was_ok = status.source_ok
        if status.source_ok:
            self.preview.say("")
        else:
            what, _, fix = status.source.partition("  Fix: ")
            self.preview.say(what, fix)

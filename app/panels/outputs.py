"""Where the picture goes besides this window: a recording, a virtual camera, the second window."""

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel

from app import theme
from app.bridge import Bridge
from app.controls.switches import Switch
from app.panels.frame import OneLine, Panel, secondary_label
from app.parameter_widgets import ParameterRow
from engine.runtime import Status

RECORD = "output.record"
VIRTUAL_CAMERA = "output.virtual_camera"


class OutputsPanel(Panel):
    """Switches for the outputs, and what they do now in words."""

    window_wanted = Signal(object)

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self.body.setSpacing(4)
        self.recording = OneLine(Qt.TextElideMode.ElideMiddle)
        self.camera = OneLine(Qt.TextElideMode.ElideMiddle)
        self.recording.setStyleSheet(f"color: {theme.RED};")
        self.body.addWidget(ParameterRow(RECORD, bridge))
        self.body.addWidget(self.recording)
        self.body.addWidget(ParameterRow(VIRTUAL_CAMERA, bridge))
        self.body.addWidget(self.camera)
        self.window_switch = Switch("Second window")
        self.window_switch.setToolTip("What the audience sees in a window of its own\nF11: full screen")
        self.window_switch.edited.connect(self.window_wanted)
        line = QHBoxLayout()
        line.addWidget(QLabel("Second window"), 1)
        line.addWidget(secondary_label("F11"))
        line.addWidget(self.window_switch)
        self.body.addLayout(line)
        self.body.addWidget(ParameterRow("output.fps", bridge, "beside", label="Rate"))
        self.body.addStretch(1)
        bridge.status.connect(self._show_status)

    def show_window(self, is_open: bool) -> None:
        """Tell that the second window opened or closed."""
        self.window_switch.show_value(is_open)

    def _show_status(self, status: Status) -> None:
        self.recording.show_text(
            f"● {Path(status.recording).name}" if status.recording else "", status.recording
        )
        self.recording.setVisible(bool(status.recording))
        self.camera.show_text(status.virtual_camera)
        self.camera.setVisible(bool(status.virtual_camera))

"""What generates: the model, its size, its steps and its seed."""

import random

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QPushButton

from app.bridge import Bridge
from app.panels.frame import Panel, secondary_label
from app.parameter_widgets import ParameterRow
from engine.core.parameters import rows
from engine.runtime import Status

GROUP = "engine"
SEED = "engine.seed"
_LARGEST_ROLLED = 99_999  # a seed one can read out to somebody


class ModelsPanel(Panel):
    """One line per row of the engine group."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__("Model")
        self._bridge = bridge
        self.device = secondary_label()
        self.heading.addWidget(self.device)
        self.rows: list[ParameterRow] = []
        self.dice = self._dice()
        for row in sorted(rows(GROUP), key=lambda row: row.effect != "reload"):
            line = QHBoxLayout()
            line.setSpacing(4)
            widget = ParameterRow(row.key, bridge, "beside")
            self.rows.append(widget)
            line.addWidget(widget, 1)
            if row.key == SEED:
                line.addWidget(self.dice)
            self.body.addLayout(line)
        self.body.addStretch(1)
        bridge.status.connect(self._show_status)

    def _dice(self) -> QPushButton:
        button = QPushButton("New")
        button.setObjectName("quiet")
        button.setToolTip("Another seed at random")
        button.setCursor(Qt.CursorShape.PointingHandCursor)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.clicked.connect(lambda: self._bridge.set(SEED, random.randint(0, _LARGEST_ROLLED)))
        return button

    def _show_status(self, status: Status) -> None:
        self.device.setText(f"on {status.device}" if status.device else "")

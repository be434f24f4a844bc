"""What generates: the model, its size, its steps and its seed."""

import random

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.bridge import Bridge
from app.controls.hatched import Hatched
from app.controls.switches import Chip
from app.panels.frame import OneLine, Panel
from app.parameter_widgets import ParameterRow
from engine.core.parameters import Value
from engine.core.parameters import row as row_of
from engine.runtime import Status
from engine.stages.asked import has_choice

PIPELINE = "engine.pipeline"
SEED = "engine.seed"
# What reloads first, then what is heard at the next chunk. Noise itself is a macro.
VAE, STEPS, FP8 = "engine.vae", "engine.steps", "engine.fp8"
USUAL = {
    VAE: "VAE",
    "engine.resolution": "Size",
    STEPS: "Steps",
    SEED: "Seed",
    "noise.motion": "Motion",
}
STEP_LIST = "engine.step_list"
TEXT_ENCODER = "engine.text_encoder"
HINTS, RATE = "vace.hints", "engine.rate"
ADVANCED_SWITCHES = ("engine.warp", FP8)
_LARGEST_ROLLED = 99_999  # a seed one can read out to somebody


class ModelsPanel(Panel):
    """The model's rows; what is rarely touched stands under a fold. `advanced` opens it at the start.

    Where the window is low, the fold opens in place of the usual rows: nothing is squashed or scrolled.
    """

    def __init__(self, bridge: Bridge, advanced: bool = False) -> None:
        super().__init__()
        self._bridge = bridge
        self.body.setSpacing(4)
        self.device = OneLine()
        self.rows = [ParameterRow(PIPELINE, bridge, "nowhere")]
        self.dice = self._dice()
        self.body.addWidget(self.rows[0])
        self._roomy = False
        self._usual = QWidget()
        usual = QVBoxLayout(self._usual)
        usual.setContentsMargins(0, 0, 0, 0)
        usual.setSpacing(4)
        self.body.addWidget(self._usual)
        for key, label in USUAL.items():
            line = QHBoxLayout()
            line.setSpacing(4)
            widget = ParameterRow(key, bridge, "beside", label=label)
            self.rows.append(widget)
            line.addWidget(widget, 1)
            if key == SEED:
                line.addWidget(self.dice)
            usual.addLayout(line)
        self.fold = self._fold()
        self._rare = self._rare_rows()
        self.body.addWidget(self.fold)
        self.body.addWidget(self._rare)
        self.body.addStretch(1)
        self.body.addWidget(self.device)
        self.fold.toggled.connect(self._show_fold)
        self.fold.setChecked(advanced)
        self._show_fold(advanced)
        bridge.status.connect(self._show_status)
        for key in (PIPELINE, STEPS, STEP_LIST):
            bridge.watch(key, self._show_use)

    @property
    def advanced(self) -> bool:
        """Whether the rare rows are unfolded."""
        return self.fold.isChecked()

    def show_roomy(self, roomy: bool) -> None:
        """Whether there is room for the usual rows beside the rare ones."""
        self._roomy = roomy
        self._show_fold(self.advanced)

    def _show_use(self, _value: Value) -> None:
        """Hatch what changes nothing: how a bundled model is loaded, steps while a list says them."""
        get = self._bridge.get
        as_it_is = not has_choice(str(get(PIPELINE)))
        listed = bool(str(get(STEP_LIST)).strip())
        idle = {VAE: as_it_is, TEXT_ENCODER: as_it_is, FP8: as_it_is, STEPS: listed}
        idle[RATE] = listed or get(STEPS) != 0
        for widget in self.rows:
            control = widget.bound.control
            if widget.bound.key in idle and isinstance(control, Hatched):
                control.show_idle(idle[widget.bound.key])

    def _rare_rows(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        steps = ParameterRow(STEP_LIST, self._bridge, "beside", label="List")
        column.addWidget(steps)
        encoder = ParameterRow(TEXT_ENCODER, self._bridge, "beside", label="Text")
        column.addWidget(encoder)
        hints = ParameterRow(HINTS, self._bridge, "beside", label="Hints")
        column.addWidget(hints)
        rate = ParameterRow(RATE, self._bridge, "beside", label="Least")
        column.addWidget(rate)
        switches = QHBoxLayout()
        switches.setSpacing(4)
        chips = [
            ParameterRow(key, self._bridge, control=Chip(row_of(key).label)) for key in ADVANCED_SWITCHES
        ]
        for chip in chips:
            switches.addWidget(chip)
        switches.addStretch(1)
        column.addLayout(switches)
        self.rows += [steps, encoder, hints, rate, *chips]
        return page

    def _fold(self) -> QPushButton:
        button = QPushButton()
        button.setObjectName("quiet")
        button.setCheckable(True)
        button.setToolTip("Step list, text encoder, hints, least rate, warping and precision")
        button.setCursor(Qt.CursorShape.PointingHandCursor)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        return button

    def _show_fold(self, is_open: bool) -> None:
        self._usual.setVisible(self._roomy or not is_open)
        self._rare.setVisible(is_open)
        self.fold.setText("▾  Advanced" if is_open else "▸  Advanced")

    def _dice(self) -> QPushButton:
        button = QPushButton("New")
        button.setObjectName("quiet")
        button.setToolTip("Another seed at random")
        button.setCursor(Qt.CursorShape.PointingHandCursor)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.clicked.connect(lambda: self._bridge.set(SEED, random.randint(0, _LARGEST_ROLLED)))
        return button

    def _show_status(self, status: Status) -> None:
        self.device.show_text(f"on {status.device}" if status.device else "")

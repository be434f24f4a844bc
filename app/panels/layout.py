"""The layout's box or point: who carries it, where it is, how large; dragged with the mouse or by knobs."""

from PySide6.QtWidgets import QHBoxLayout

from app.box_tool import HEIGHT, WIDTH, BoxTool, X, Y
from app.bridge import Bridge
from app.controls.choices import Picker
from app.controls.numbers import Slider
from app.controls.switches import Chip
from app.panels.frame import OneLine, Panel
from app.parameter_widgets import ParameterRow
from engine.core.parameters import Value, row
from engine.video.layout import POINT

FOLLOW, SHAPE = "layout.follow", "layout.shape"
FIRST, SECOND = "annotator.name", "annotator.second"
_LABEL_PX = 46


class LayoutPanel(Panel):
    """Where the subject is to be."""

    def __init__(self, bridge: Bridge, tool: BoxTool) -> None:
        super().__init__()
        self._bridge = bridge
        self._tool = tool
        self.follow = Picker([(part, part.capitalize()) for part in row(FOLLOW).choices])
        self.across, self.down, self.wide, self.high = (Slider(row(key)) for key in (X, Y, WIDTH, HEIGHT))
        self.drag = Chip("Drag")
        self.drag.setToolTip(
            "Drag the box on SOURCE or PROGRAM: inside it moves, at a corner it resizes,\n"
            "elsewhere a new one begins; the wheel makes it larger or smaller.\n"
            "A point goes where the mouse is."
        )
        self.drag.edited.connect(tool.switch)
        self.shape = Picker([(shape, shape.capitalize()) for shape in row(SHAPE).choices])
        self.about = OneLine()
        self.body.setSpacing(4)
        for key, control, label in (
            (FOLLOW, self.follow, "Follow"),
            (X, self.across, "Across"),
            (Y, self.down, "Down"),
            (WIDTH, self.wide, "Width"),
            (HEIGHT, self.high, "Height"),
        ):
            self.body.addWidget(ParameterRow(key, bridge, "beside", control, label, _LABEL_PX))
        line = QHBoxLayout()
        line.addWidget(self.drag)
        line.addWidget(ParameterRow(SHAPE, bridge, "nowhere", self.shape), 1)
        self.body.addLayout(line)
        self.body.addWidget(self.about)
        self.body.addStretch(1)
        for key in (FOLLOW, SHAPE, FIRST, SECOND):
            bridge.watch(key, self._show_use)
        tool.changed.connect(lambda: self.drag.show_value(tool.on))

    def _show_use(self, _value: Value) -> None:
        """Hatch what changes nothing with the present choices; say what is missing."""
        used = "layout" in (self._bridge.get(FIRST), self._bridge.get(SECOND))
        carried = self._bridge.get(FOLLOW) != "none"
        self.follow.show_idle(not used)
        self.shape.show_idle(not used)
        for slider in (self.wide, self.high):
            slider.show_idle(not used or self._bridge.get(SHAPE) == POINT)
        for slider in (self.across, self.down):
            slider.show_idle(not used or carried)
        if not used:
            self.about.show_text("Choose the annotator Layout first")
        else:
            self.about.show_text(f"The {self._bridge.get(FOLLOW)} carries it" if carried else "It stays put")

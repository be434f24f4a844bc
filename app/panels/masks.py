"""What is generated and what is kept: a mask that is found, one from a file, one drawn with the mouse."""

from collections.abc import Callable

from PySide6.QtWidgets import QHBoxLayout, QPushButton

from app.bridge import Bridge
from app.controls.choices import Picker
from app.controls.numbers import Slider
from app.controls.switches import Chip
from app.mask_tool import BRUSH, MaskTool
from app.panels.frame import Panel
from app.panels.picture_slots import LABEL_PX, PictureSlots
from app.parameter_widgets import ParameterRow
from engine.core.parameters import Value, row
from engine.stages.pictures import MASK
from engine.video.annotators import ANNOTATORS

SOURCE, GROW, ANNOTATOR = "mask.source", "mask.grow", "annotator.name"
INPAINT, COMPOSITE, FEATHER, KEEP, ZOOM, FIT = (
    "mask.inpaint", "mask.composite", "mask.feather", "canvas.keep", "canvas.zoom", "canvas.fit",
)  # fmt: skip
_HOW = (
    "Paint on SOURCE or PROGRAM what is to be generated.\n"
    "Right button or Shift erases, the wheel resizes the brush, Ctrl+Z takes a stroke back."
)


class MaskPanel(Panel):
    """The masks, the tool that draws one, and how what is kept is joined to what is generated."""

    def __init__(self, bridge: Bridge, tool: MaskTool) -> None:
        super().__init__()
        self._bridge = bridge
        self._tool = tool
        self.source = Picker([(name, name.capitalize()) for name in row(SOURCE).choices])
        self.grow = Slider(row(GROW))
        self.slots = PictureSlots(self, bridge, (MASK,))
        self.draw = Chip("Draw")
        self.draw.setToolTip(_HOW)
        self.draw.edited.connect(tool.switch)
        self.brush = Slider(row(BRUSH))
        self.undo = _button("Undo", "Take the last stroke back (Ctrl+Z)", tool.undo)
        self.clear = _button("Clear", "Keep the whole picture", tool.clear)
        self.fill = _button("Fill", "Generate the whole picture", tool.fill)
        self.invert = _button("Invert", "Generate what is kept and keep what is generated", tool.invert)
        self.inpaint = Chip("Inpaint")
        self.composite = Chip("Keep")
        self.feather = Slider(row(FEATHER))
        self._lay_out(bridge)
        for key in (MASK, INPAINT, COMPOSITE, SOURCE, ANNOTATOR, KEEP, ZOOM, FIT):
            bridge.watch(key, self._show_use)
        tool.changed.connect(self._show_tool)
        self._show_tool()

    def _lay_out(self, bridge: Bridge) -> None:
        self.body.setSpacing(4)
        self.body.addWidget(ParameterRow(SOURCE, bridge, "beside", self.source, "Find", LABEL_PX))
        self.body.addWidget(ParameterRow(GROW, bridge, "beside", self.grow, "Grow", LABEL_PX))
        self.body.addWidget(self.slots.by_key[MASK])
        drawing, steps, kept = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        for line in (drawing, steps, kept):
            line.setSpacing(4)
        drawing.addWidget(self.draw)
        drawing.addWidget(ParameterRow(BRUSH, bridge, "nowhere", self.brush), 1)
        for button in (self.undo, self.clear, self.fill, self.invert):
            steps.addWidget(button, 1)
        kept.addWidget(ParameterRow(INPAINT, bridge, control=self.inpaint))
        kept.addWidget(ParameterRow(COMPOSITE, bridge, control=self.composite))
        kept.addStretch(1)
        for line in (drawing, steps, kept):
            self.body.addLayout(line)
        self.body.addWidget(ParameterRow(FEATHER, bridge, "beside", self.feather, "Soft", LABEL_PX))
        self.body.addWidget(self.slots.note)
        self.body.addStretch(1)

    def _show_tool(self) -> None:
        self.draw.show_value(self._tool.on)
        self.brush.show_idle(not self._tool.on)
        for button in (self.clear, self.fill, self.invert):
            button.setEnabled(self._tool.on)
        self.undo.setEnabled(self._tool.on and self._tool.drawing.can_undo)

    def _show_use(self, _value: Value) -> None:
        """Hatch what changes nothing with the present choices."""
        get = self._bridge.get
        found = get(SOURCE) != "none" or ANNOTATORS[str(get(ANNOTATOR))].masks
        around = get(KEEP) is True and (get(ZOOM) != 1 or get(FIT) == "whole")
        self.grow.show_idle(not found)
        masked = found or bool(str(get(MASK)).strip())
        kept = around or (masked and get(INPAINT) is True)
        self.feather.show_idle(not kept or get(COMPOSITE) is not True)


def _button(word: str, about: str, act: Callable[[], None]) -> QPushButton:
    button = QPushButton(word)
    button.setObjectName("tool")
    button.setMinimumWidth(40)  # four stand side by side
    button.setToolTip(about)
    button.clicked.connect(lambda _checked=False: act())
    return button

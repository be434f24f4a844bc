"""The canvas: how large the camera's picture lies on it, where, and what is generated around it."""

from app.bridge import Bridge
from app.controls.choices import Picker
from app.controls.numbers import Slider
from app.panels.frame import OneLine, Panel
from app.parameter_widgets import ParameterRow
from engine.core.parameters import Value, row

FIT, ZOOM, ACROSS, DOWN, KEEP = "canvas.fit", "canvas.zoom", "canvas.x", "canvas.y", "canvas.keep"
_FITS = (("crop", "Crop"), ("whole", "Whole"))
_LABEL_PX = 50


class CanvasPanel(Panel):
    """Zoom out, pan, and another aspect."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self.fit = Picker(_FITS)
        self.zoom, self.across, self.down = (Slider(row(key)) for key in (ZOOM, ACROSS, DOWN))
        self.about = OneLine()
        self.body.setSpacing(4)
        for key, control, label in (
            (ZOOM, self.zoom, "Zoom"),
            (ACROSS, self.across, "Across"),
            (DOWN, self.down, "Down"),
            (FIT, self.fit, "Fit"),
        ):
            self.body.addWidget(ParameterRow(key, bridge, "beside", control, label, _LABEL_PX))
        self.keep = ParameterRow(KEEP, bridge)
        self.body.addWidget(self.keep)
        self.body.addWidget(self.about)
        self.body.addStretch(1)
        for key in (FIT, ZOOM, KEEP):
            bridge.watch(key, self._show_use)

    def _show_use(self, _value: Value) -> None:
        """Hatch what changes nothing while the camera fills the canvas; say what is generated."""
        fills = self._bridge.get(ZOOM) == 1 and self._bridge.get(FIT) == "crop"
        self.across.show_idle(fills)
        self.down.show_idle(fills)
        if fills:
            self.about.show_text("The camera fills the picture")
        elif self._bridge.get(KEEP) is True:
            self.about.show_text("Around the camera is generated")
        else:
            self.about.show_text("All is generated")

"""Pictures that lead the model: references and key frames."""

from app.bridge import Bridge
from app.controls.choices import Picker
from app.controls.numbers import Slider
from app.panels.frame import Panel
from app.panels.picture_slots import LABEL_PX, PictureSlots
from app.parameter_widgets import ParameterRow
from engine.core.parameters import Value, row
from engine.stages.pictures import FIRST, LAST, REFERENCE_FILES

FIT, CHUNKS = "reference.fit", "extension.chunks"
_KEYS = (*REFERENCE_FILES, FIRST, LAST)
_FITS = (("white", "Fit on white"), ("crop", "Crop to fill"))


class PicturesPanel(Panel):
    """One row for each picture and what belongs to it, and under them why one is not in use."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self.slots = PictureSlots(self, bridge, _KEYS)
        self.fit = Picker(_FITS)
        self.chunks = Slider(row(CHUNKS))
        self.body.setSpacing(2)
        for key in REFERENCE_FILES:
            self.body.addWidget(self.slots.by_key[key])
        self.body.addWidget(ParameterRow(FIT, bridge, "beside", self.fit, "Fit", LABEL_PX))
        for key in (FIRST, LAST):
            self.body.addWidget(self.slots.by_key[key])
        self.body.addWidget(ParameterRow(CHUNKS, bridge, "beside", self.chunks, "Over", LABEL_PX))
        self.body.addWidget(self.slots.note)
        self.body.addStretch(1)
        for key in _KEYS:
            bridge.watch(key, self._show_use)

    def _show_use(self, _value: Value) -> None:
        """Hatch what changes nothing with the present choices."""
        there = {key: bool(str(self._bridge.get(key)).strip()) for key in _KEYS}
        self.fit.show_idle(not any(there[key] for key in REFERENCE_FILES))
        self.chunks.show_idle(not there[FIRST] and not there[LAST])

"""Widgets grown from the table: which control shows a row, and what they all share.

`Bound` ties one control to one row: edits go to the store, values and lamps come back.
"""

from typing import Literal, Protocol, TypeAlias, cast

from PySide6.QtCore import QPointF, QSize, SignalInstance
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QMenu, QSizePolicy, QWidget

from app.bridge import Bridge
from app.controls.choices import Picker, TextField
from app.controls.numbers import NumberField, Segments, Slider
from app.controls.switches import Chip, Switch
from app.knob import Knob
from app.learnable import Learnable
from app.map_dot import MapDot
from app.painting import draw_badge
from app.wording import tooltip, value_text
from engine.core.parameters import Parameter, Value
from engine.core.parameters import row as row_of

Placement: TypeAlias = Literal["above", "beside", "nowhere"]
_MOST_SEGMENTS = 6
_LONGEST_SLIDER = 1000
_BESIDE_PX = 46


class Control(Protocol):
    """What every control can do; `edited` carries the new native value."""

    edited: SignalInstance

    def shown(self) -> Value:
        """The value on display."""

    def show_value(self, value: Value) -> None:
        """Show a value."""


class Bound(Learnable):
    """One control tied to one row of the table."""

    def __init__(self, key: str, control: Control, bridge: Bridge, dot: MapDot) -> None:
        self.row = row_of(key)
        super().__init__(key, bridge, dot, tooltip(self.row))
        self.control = control
        bridge.watch(key, control.show_value)
        control.edited.connect(self._edited)
        widget = cast(QWidget, control)
        widget.setAccessibleName(self.row.label)
        self.adopt(widget)

    def fill(self, menu: QMenu) -> None:
        """Add this row's actions to `menu`."""
        super().fill(menu)
        default = value_text(self.row, self.row.default)
        menu.addAction(f"Reset to default  ({default})", lambda: self._bridge.reset(self.key))

    def _edited(self, value: object) -> None:
        self._bridge.set(self.key, value)
        # A refused value must not stay on display; an accepted one comes back the same.
        self.control.show_value(self._bridge.get(self.key))


class Marks(QWidget):
    """The latency badge and the map dot beside a plain control."""

    def __init__(self, effect: str) -> None:
        super().__init__()
        self._effect = effect
        self.dot = MapDot(self)
        self.setFixedSize(36, 20)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.dot.draw(painter, QPointF(8, 10))
        draw_badge(painter, QPointF(27, 10), self._effect)
        painter.end()

    def sizeHint(self) -> QSize:  # noqa: D102
        return QSize(36, 20)


def control_for(row: Parameter) -> Control:
    """The control that suits a row."""
    if row.kind == "bool":
        return Switch(row.label)
    if row.kind == "choice":
        return Picker([(choice, choice) for choice in row.choices])
    if row.kind == "text":
        return TextField(row)
    if row.macro:
        return Knob(row)
    assert row.low is not None and row.high is not None
    span = row.high - row.low
    if row.kind == "int" and span < _MOST_SEGMENTS:
        return Segments(row)
    if row.kind == "int" and span > _LONGEST_SLIDER:
        return NumberField(row)
    return Slider(row)


class ParameterRow(QWidget):
    """One row of the table as a widget.

    `place` says where the label goes: "above" the control, "beside" it, or "nowhere". A switch always has
    its label beside it; a knob and a chip draw label and lamp themselves. `label` is a shorter one where
    the panel's title says the rest, `label_px` its width when it stands beside.
    """

    def __init__(
        self,
        key: str,
        bridge: Bridge,
        place: Placement = "above",
        control: Control | None = None,
        label: str = "",
        label_px: int = _BESIDE_PX,
    ) -> None:
        super().__init__()
        row = row_of(key)
        control = control if control is not None else control_for(row)
        widget = cast(QWidget, control)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(4)
        grid.setVerticalSpacing(4)
        if isinstance(control, Knob | Chip):
            grid.addWidget(widget, 0, 0)
            self.bound = Bound(key, control, bridge, control.dot)
            return
        marks = Marks(row.effect)
        if isinstance(control, Slider):
            control.show_ghost_of(marks.dot)
        self.bound = Bound(key, control, bridge, marks.dot)
        self.bound.adopt(marks)
        widget.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        if place == "nowhere":
            grid.addWidget(widget, 0, 0)
            grid.addWidget(marks, 0, 1)
            return
        words = QLabel(label or row.label)
        self.bound.adopt(words)
        grid.addWidget(words, 0, 0)
        grid.addWidget(marks, 0, 1)
        if isinstance(control, Switch):
            widget.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            grid.setColumnStretch(0, 1)
            grid.addWidget(widget, 0, 2)
        elif place == "beside":
            grid.setColumnStretch(2, 1)
            words.setFixedWidth(label_px)
            grid.addWidget(widget, 0, 2)
        else:
            grid.setColumnStretch(0, 1)
            grid.addWidget(widget, 1, 0, 1, 2)

"""Drawing a mask with the mouse on a preview: what is painted is generated, all else is kept.

Each finished stroke becomes a file of its own, which the row `mask.file` then names. So the engine, a look
and a wire see one and the same thing, and stepping back is naming an older file. Writing happens elsewhere.
"""

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPen, qRgba

from app import theme
from app.bridge import Bridge
from app.mouse_tool import MouseTool
from app.pen import Point
from app.ways import Way, within
from engine.core.errors import CuelightError
from engine.core.parameters import Value, row
from engine.core.types import Image
from engine.stages.annotate import engine_size
from engine.stages.pictures import MASK, keep_mask, picture_path
from engine.video.brush import MaskDrawing
from engine.video.masks import mask_of
from engine.video.still import read_still

BRUSH, RESOLUTION = "mask.brush", "engine.resolution"
_PER_NOTCH = 1.15
_LEAST_HEIGHT = 360  # a mask of a small picture is drawn finer, so that strokes look round
_VEIL = 0.45


class MaskTool(MouseTool):
    """The mask in the making; begins with the one that is in use."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge)
        self._named = self._begun = ""  # the file that `drawing` is, and the one that it began with
        self.drawing = self._empty()
        bridge.watch(MASK, self._follow)
        bridge.watch(RESOLUTION, self._refit)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in which the mask of the present picture is drawn."""
        height, width = engine_size(self._bridge.snapshot())
        finer = max(1, round(_LEAST_HEIGHT / height))
        return height * finer, width * finer

    @property
    def radius(self) -> float:
        """Of the brush, in parts of the picture's height."""
        return self._bridge.snapshot().number(BRUSH)

    def resize(self, factor: float) -> None:
        """Take a brush so many times as wide."""
        self._bridge.set(BRUSH, row(BRUSH).clamp(self.radius * factor)[0])

    def stroke(self, at: Point, erases: bool) -> None:
        """Set the brush down at a point in parts of the engine's picture."""
        self.drawing.begin(at, self.radius, erases)

    def end(self) -> None:
        """Lift the brush: the stroke is done and goes to the engine."""
        if self.drawing.drawing:
            self.drawing.end()
            self._keep()

    def undo(self) -> None:
        """Take the last stroke back."""
        if self.drawing.can_undo:
            self.drawing.undo()
            self._keep()

    def clear(self) -> None:
        """Keep the whole picture."""
        self._change(self.drawing.clear)

    def fill(self) -> None:
        """Generate the whole picture."""
        self._change(self.drawing.fill)

    def invert(self) -> None:
        """Generate what is kept and keep what is generated."""
        self._change(self.drawing.invert)

    def _change(self, change: Callable[[], None]) -> None:
        change()
        self._keep()

    def _keep(self) -> None:
        """Have the mask written as it is now; the row names it when that is done."""
        mask, begun = self.drawing.mask.copy(), self._begun
        # With the last stroke taken back all is as before the first, even where that was no mask at all.
        write = (lambda: begun) if self.drawing.untouched else lambda: keep_mask(mask)
        if not self._bridge.errands.run(write, self._name):
            self._bridge.notices.post("The mask was not saved: too much is being written", "draw on")
        self.changed.emit()

    def _name(self, name: str) -> None:
        self._named = name
        self._bridge.set(MASK, name)

    def _follow(self, named: Value) -> None:
        """The row names another mask: draw on from that."""
        name = str(named).strip()
        if name != self._named:
            self._take_up(name)

    def _refit(self, _resolution: Value) -> None:
        """The engine's picture may have another shape: the mask in use is drawn in that."""
        if self.drawing.mask.shape != self.size:
            self._take_up(self._named)

    def _take_up(self, name: str) -> None:
        """Begin with the mask of a file, or with an empty one."""
        self._named = self._begun = name
        self.drawing = self._empty()
        self.changed.emit()
        if name:
            size = self.size
            self._bridge.errands.run(lambda: _read(name, size), lambda mask: self._adopt(name, mask))

    def _adopt(self, name: str, mask: Image | None) -> None:
        # What was drawn or chosen while it was read goes first.
        if mask is not None and name == self._named and self.drawing.untouched:
            self.drawing = MaskDrawing(mask)
            self.changed.emit()

    def _empty(self) -> MaskDrawing:
        return MaskDrawing(np.zeros(self.size, np.uint8))


class MaskPen:
    """The tool in a preview's hand. `place` tells where the preview's picture lies on the engine's."""

    def __init__(self, tool: MaskTool, place: Callable[[], Way | None]) -> None:
        self._tool = tool
        self._place = place
        self._at: Point | None = None

    def press(self, at: Point, erases: bool) -> None:
        """Begin a stroke."""
        way = self._place()
        if way is not None:
            self._tool.stroke(way.there(at), erases)

    def hover(self, at: Point) -> None:
        """Draw on, and show the brush here."""
        self._at = at
        way = self._place()
        if way is not None:
            self._tool.drawing.move(way.there(at), self._tool.radius)

    def lift(self) -> None:
        """The stroke is done."""
        self._tool.end()

    def leave(self) -> None:
        """No brush is shown."""
        self._at = None

    def turn(self, notches: float) -> None:
        """A larger or a smaller brush."""
        self._tool.resize(_PER_NOTCH**notches)

    def paint(self, painter: QPainter, frame: QRectF) -> None:
        """The mask as a veil over the picture, and the brush."""
        way = self._place()
        if way is None:
            return
        whole = within(frame, way.back((0.0, 0.0)), way.back((1.0, 1.0)))
        painter.drawImage(whole, _veil(self._tool.drawing.mask))
        if self._at is not None:
            radius = self._tool.radius * whole.height()
            middle = QPointF(
                frame.left() + self._at[0] * frame.width(), frame.top() + self._at[1] * frame.height()
            )
            painter.setBrush(Qt.BrushStyle.NoBrush)
            for ink, width in ((theme.STAGE, 3.0), (theme.LIVE, 1.2)):
                painter.setPen(QPen(QColor(ink), width))
                painter.drawEllipse(middle, radius, radius)


def _read(name: str, size: tuple[int, int]) -> Image | None:
    """The mask of a file in `size`; None when it cannot be read, which its slot says already."""
    try:
        picture = read_still(picture_path(name)).image
    except CuelightError:
        return None
    return mask_of(picture, *size)


def _veil(mask: Image) -> QImage:
    """The mask (u8 [H, W]) as a picture that is clear where it keeps; it shares the mask's memory."""
    height, width = mask.shape
    veil = QImage(mask.data, width, height, width, QImage.Format.Format_Indexed8)
    ink = QColor(theme.VIOLET)
    tint = qRgba(ink.red(), ink.green(), ink.blue(), round(255 * _VEIL))
    veil.setColorTable([0] * 255 + [tint])
    return veil

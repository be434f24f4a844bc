"""What the mouse does on a preview that somebody took over: draw a mask, drag a box."""

from typing import Protocol, TypeAlias

from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainter

Point: TypeAlias = tuple[float, float]


class Pen(Protocol):
    """Held by a preview. Points are x, y in parts of the picture's width and height, never mirrored; they may
    lie outside 0..1.
    """

    def press(self, at: Point, erases: bool) -> None:
        """A button went down; `erases`: the right one, or the left one with Shift."""

    def hover(self, at: Point) -> None:
        """The mouse is elsewhere, with a button down or not."""

    def lift(self) -> None:
        """The button went up."""

    def leave(self) -> None:
        """The mouse left the preview."""

    def turn(self, notches: float) -> None:
        """The wheel was turned, up is positive."""

    def paint(self, painter: QPainter, frame: QRectF) -> None:
        """Draw over the picture, which fills `frame`; a mirrored view is mirrored already."""

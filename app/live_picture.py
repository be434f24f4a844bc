"""A picture that is pulled, not pushed: the newest one of a channel.

It is wrapped by QImage without a copy and only while it is painted; the widget keeps the numpy array alive
until the next one. Runs on the GUI thread at the bridge's tick.
"""

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QWidget

from engine.core.types import Image

_INSIDE = Qt.WindowType.Widget


class LivePicture(QWidget):
    """Holds the newest picture, `_image`; how it is shown is for each kind to paint, all over the widget."""

    def __init__(self, pull: Callable[[], Image | None], window: Qt.WindowType = _INSIDE) -> None:
        """`pull` gives the newest picture. `window`: what window this is, when it is one."""
        super().__init__(None, window)
        self._pull = pull
        self._image: Image | None = None
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)

    def refresh(self) -> None:
        """Take the newest picture; called at every tick."""
        if not self.isVisible():
            return
        newest = self._pull()
        if newest is not self._image:
            self._image = newest
            self.update()


def draw_picture(painter: QPainter, frame: QRectF, image: Image, mirrored: bool = False) -> QRectF:
    """Draw `image` (u8 [H, W, 3] RGB) as large as fits into `frame`, centred, aspect kept; says where."""
    height, width = image.shape[:2]
    scale = min(frame.width() / width, frame.height() / height)
    target = QRectF(0, 0, width * scale, height * scale)
    target.moveCenter(frame.center())
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    if mirrored:
        mirror(painter, frame)
    whole = np.ascontiguousarray(image)
    wrapped = QImage(whole.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    painter.drawImage(target, wrapped)
    painter.restore()
    return target


def mirror(painter: QPainter, frame: QRectF) -> None:
    """Swap left and right of `frame` in what is painted next."""
    painter.translate(2 * frame.center().x(), 0)
    painter.scale(-1, 1)

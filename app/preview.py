"""What the operator sees of a channel: its newest picture, or why there is none. A pen may have the mouse."""

from collections.abc import Callable

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QDragEnterEvent,
    QDropEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy

from app import theme
from app.live_picture import LivePicture, draw_picture, mirror
from app.pen import Pen, Point
from engine.core.types import Image

_NOTCH = 120  # of a wheel, in Qt's units


class Preview(LivePicture):
    """One live picture in a dark frame, with a tag in its corner."""

    double_clicked = Signal()
    file_dropped = Signal(str)

    def __init__(self, tag: str, pull: Callable[[], Image | None], takes_files: bool = False) -> None:
        super().__init__(pull)
        self._tag = tag
        self._mirrored = False
        self._pen: Pen | None = None
        self._shown = QRectF()  # where the picture lies
        self.reason = ("", "")  # why there is no picture, and what to do
        self.veil = ""
        self.on_air = False
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAcceptDrops(takes_files)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)  # a click on a picture leaves any field

    def minimumSizeHint(self) -> QSize:  # noqa: D102
        return QSize(160, 92)

    def say(self, reason: str, hint: str = "") -> None:
        """Why there is no (fresh) picture, and what to do; empty when all is well."""
        if (reason, hint) != self.reason:
            self.reason = (reason, hint)
            self.update()

    def tag(self, text: str, on_air: bool = False, veil: str = "") -> None:
        """The corner's text, whether the picture is on air, and a word over it (BLACKOUT...)."""
        if (text, on_air, veil) != (self._tag, self.on_air, self.veil):
            self._tag, self.on_air, self.veil = text, on_air, veil
            self.update()

    def mirror(self, mirrored: object) -> None:
        """Swap left and right in this view only."""
        self._mirrored = mirrored is True
        self.update()

    @property
    def pen(self) -> Pen | None:
        """Who has the mouse; None where it does what it always does."""
        return self._pen

    def hand(self, pen: Pen | None) -> None:
        """Let `pen` have the mouse, or nobody."""
        self._pen = pen
        self.setMouseTracking(pen is not None)
        if pen is None:
            self.unsetCursor()
        else:
            self.setCursor(Qt.CursorShape.CrossCursor)
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        if self._pen is None or self._image is None:
            super().mousePressEvent(event)
            return
        right = event.button() == Qt.MouseButton.RightButton
        if right or event.button() == Qt.MouseButton.LeftButton:
            shifted = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self._pen.press(self._point(event.position()), right or shifted)
            self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        if self._pen is None or self._image is None:
            super().mouseMoveEvent(event)
            return
        self._pen.hover(self._point(event.position()))
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        if self._pen is None:
            super().mouseReleaseEvent(event)
            return
        self._pen.lift()
        self.update()

    def leaveEvent(self, event: QEvent) -> None:  # noqa: D102
        if self._pen is not None:
            self._pen.leave()
            self.update()
        super().leaveEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: D102
        if self._pen is None:
            super().wheelEvent(event)
            return
        self._pen.turn(event.angleDelta().y() / _NOTCH)
        event.accept()
        self.update()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        if self._pen is None:
            self.double_clicked.emit()
        else:
            self.mousePressEvent(event)  # the second of two quick strokes

    def _point(self, at: QPointF) -> Point:
        """A place of the widget in parts of the picture."""
        x = (at.x() - self._shown.left()) / max(self._shown.width(), 1.0)
        y = (at.y() - self._shown.top()) / max(self._shown.height(), 1.0)
        return 1 - x if self._mirrored else x, y

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: D102
        urls = event.mimeData().urls()
        if len(urls) == 1 and urls[0].isLocalFile():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: D102
        event.acceptProposedAction()
        self.file_dropped.emit(event.mimeData().urls()[0].toLocalFile())

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QColor(theme.WINDOW))
        frame = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        outline = QPainterPath()
        outline.addRoundedRect(frame, theme.RADIUS, theme.RADIUS)
        painter.fillPath(outline, QColor(theme.STAGE))
        painter.save()
        painter.setClipPath(outline)
        corner = frame.topLeft()
        if self._image is not None:
            self._shown = draw_picture(painter, frame, self._image, self._mirrored)
            corner = self._shown.topLeft()
            self._paint_pen(painter)
        if self.reason[0]:
            self._paint_reason(painter, frame)
        painter.restore()
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(theme.RED) if self.on_air else QColor("#1F2226"), 1))
        painter.drawPath(outline)
        self._paint_tag(painter, corner)
        painter.end()

    def _paint_pen(self, painter: QPainter) -> None:
        if self._pen is None:
            return
        painter.save()
        painter.setClipRect(self._shown, Qt.ClipOperation.IntersectClip)
        if self._mirrored:
            mirror(painter, self._shown)
        self._pen.paint(painter, self._shown)
        painter.restore()

    def _paint_reason(self, painter: QPainter, frame: QRectF) -> None:
        if self._image is not None:
            painter.fillRect(frame, theme.colour(theme.STAGE, 0.72))
        reason, hint = self.reason
        small = frame.height() < 200
        middle = frame.adjusted(14, 0, -14, 0)
        flags = Qt.AlignmentFlag.AlignHCenter | Qt.TextFlag.TextWordWrap
        painter.setFont(theme.font(theme.BASE_PX if small else 20))
        painter.setPen(QColor(theme.TEXT))
        needed = painter.boundingRect(middle, flags | Qt.AlignmentFlag.AlignVCenter, reason)
        lift = needed.height() / 2 if hint else 0.0
        painter.drawText(needed.translated(0, -lift), flags, reason)
        if hint:
            painter.setFont(theme.font(theme.SMALL_PX if small else theme.BASE_PX))
            painter.setPen(QColor(theme.SECONDARY))
            below = QRectF(middle.left(), needed.bottom() - lift + 6, middle.width(), frame.height())
            painter.drawText(below, flags, hint)

    def _paint_tag(self, painter: QPainter, corner: QPointF) -> None:
        painter.setFont(theme.font(theme.SMALL_PX, spaced=0.6))
        metrics = painter.fontMetrics()
        left = 24.0 if self.on_air else 9.0
        taken = metrics.horizontalAdvance(self._tag)
        extra = metrics.horizontalAdvance(self.veil) + 12 if self.veil else 0
        pill = QRectF(corner.x() + 8, corner.y() + 8, left + taken + extra + 9, 22)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour(theme.STAGE, 0.72))
        painter.drawRoundedRect(pill, 5, 5)
        if self.on_air:
            painter.setBrush(QColor(theme.RED))
            painter.drawEllipse(QPointF(pill.left() + 13, pill.center().y()), 4, 4)
        painter.setPen(QColor(theme.TEXT))
        words = pill.adjusted(left, 0, 0, 0)
        painter.drawText(words, Qt.AlignmentFlag.AlignVCenter, self._tag)
        painter.setPen(QColor(theme.AMBER))
        painter.drawText(words.adjusted(taken + 12, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, self.veil)

"""Small marks that several widgets draw: the latency badge, the hatch, the dots."""

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QIcon, QPainter, QPen, QPixmap

from app import theme
from app.wording import BADGES


def draw_badge(painter: QPainter, centre: QPointF, effect: str) -> None:
    """The letter that says when a change is heard: N, S, C or R."""
    box = QRectF(centre.x() - 8.5, centre.y() - 8, 17, 16)
    painter.setPen(QPen(QColor(theme.HAIRLINE), 1))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(box, 4, 4)
    painter.setPen(QColor(theme.SECONDARY))
    painter.setFont(theme.font(theme.SMALL_PX))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, BADGES[effect][0])


def draw_hatch(painter: QPainter, box: QRectF) -> None:
    """Hatch a control that changes nothing in the present mode."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QBrush(theme.colour(theme.SECONDARY, 0.4), Qt.BrushStyle.BDiagPattern))
    painter.drawRoundedRect(box, 6, 6)


def dot_icon(ink: str | None) -> QIcon:
    """A small dot for menus; None leaves the room empty."""
    pixmap = QPixmap(16, 16)
    pixmap.fill(Qt.GlobalColor.transparent)
    if ink is not None:
        painter = QPainter(pixmap)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(ink))
        painter.drawEllipse(QPointF(8, 8), 3.5, 3.5)
        painter.end()
    return QIcon(pixmap)


def draw_lamp(painter: QPainter, centre: QPointF, shape: str, ink: str) -> None:
    """A status lamp: "full" is well, "half" limps, "hollow" is off or wrong."""
    painter.setPen(QPen(QColor(ink), 1.8))
    painter.setBrush(QColor(ink) if shape == "full" else Qt.BrushStyle.NoBrush)
    painter.drawEllipse(centre, 4.2, 4.2)
    if shape == "half":
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(ink))
        painter.drawPie(QRectF(centre.x() - 4.2, centre.y() - 4.2, 8.4, 8.4), 90 * 16, 180 * 16)

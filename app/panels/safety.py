"""The three buttons that save a show: BLACKOUT, FREEZE, CAMERA. Large, always there, never confirmed."""

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy

from app import theme
from app.bridge import Bridge
from app.controls.switches import OnOff
from app.map_dot import MapDot
from app.panels.frame import Panel, secondary_label
from app.parameter_widgets import Bound

ROWS = (
    ("output.blackout", "BLACKOUT", "B"),
    ("output.freeze", "FREEZE", "F"),
    ("output.clean_camera", "CAMERA", "C"),
)


class SafetyButton(OnOff):
    """A toggle that is hard to miss; acts when pressed, not when released."""

    def __init__(self, word: str, letter: str, ink: str) -> None:
        super().__init__()
        self._word, self._letter, self._ink = word, letter, ink
        self._lit = theme.mixed(theme.CONTROL, ink, 0.72)
        self._words = theme.ink_on(self._lit)
        self.dot = MapDot(self)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(theme.TOUCH)

    def sizeHint(self) -> QSize:  # noqa: D102
        return QSize(180, 44)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        if event.button() == Qt.MouseButton.LeftButton:
            self.edited.emit(not self._on)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        hover = self.underMouse()
        painter.setPen(QPen(QColor(self._ink) if self._on else QColor(theme.HAIRLINE), 1))
        off = theme.RAISED if hover else theme.CONTROL
        painter.setBrush(self._lit if self._on else QColor(off))
        painter.drawRoundedRect(box, theme.RADIUS, theme.RADIUS)
        self._paint_mark(painter, QPointF(22, box.center().y()))
        painter.setFont(theme.font(15, QFont.Weight.DemiBold, 1.0))
        painter.setPen(self._words if self._on else QColor(theme.TEXT))
        painter.drawText(box.adjusted(40, 0, -36, 0), Qt.AlignmentFlag.AlignVCenter, self._word)
        key = QRectF(box.right() - 34, box.center().y() - 10, 22, 20)
        painter.setFont(theme.font(theme.SMALL_PX))
        painter.setPen(QPen(self._words if self._on else QColor(theme.HAIRLINE), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(key, 4, 4)
        painter.setPen(self._words if self._on else QColor(theme.SECONDARY))
        painter.drawText(key, Qt.AlignmentFlag.AlignCenter, self._letter)
        self.dot.draw(painter, QPointF(box.right() - 46, box.center().y()))
        painter.end()

    def _paint_mark(self, painter: QPainter, at: QPointF) -> None:
        """Filled when on, hollow when off: the meaning is not in the colour alone."""
        ink = self._words if self._on else QColor(self._ink)
        painter.setPen(QPen(ink, 1.8))
        painter.setBrush(ink if self._on else Qt.BrushStyle.NoBrush)
        painter.drawEllipse(at, 5, 5)


class SafetyPanel(Panel):
    """The safety buttons, and the key for when nothing else is clear."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__("Safety")
        self.heading.addWidget(secondary_label("panic  Shift+Esc"))
        inks = {
            "output.blackout": theme.RED,
            "output.freeze": theme.AMBER,
            "output.clean_camera": theme.AMBER,
        }
        self.buttons: dict[str, SafetyButton] = {}
        self.bound: list[Bound] = []
        for key, word, letter in ROWS:
            button = SafetyButton(word, letter, inks[key])
            self.buttons[key] = button
            self.bound.append(Bound(key, button, bridge, button.dot))
            self.body.addWidget(button, 1)

"""One of several, and free text."""

from collections.abc import Callable, Sequence

from PySide6.QtCore import QPoint, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QLineEdit, QMenu

from app import theme
from app.controls.hatched import Hatched
from app.painting import dot_icon, draw_hatch
from engine.core.parameters import Parameter, Value


class Picker(Hatched):
    """Shows the chosen one of several; pressed, it opens a menu of all."""

    edited = Signal(object)
    opening = Signal()

    def __init__(self, choices: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__()
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self._value: Value = ""
        self._text = ""
        self._choices: list[tuple[str, str]] = []
        self.menu = QMenu(self)
        self.menu.aboutToShow.connect(self.opening)
        self.menu.aboutToHide.connect(self.update)
        self.offer(choices)

    def sizeHint(self) -> QSize:  # noqa: D102
        return QSize(120, 36)

    def minimumSizeHint(self) -> QSize:  # noqa: D102
        return QSize(84, 36)

    def shown(self) -> Value:
        """The value on display."""
        return self._value

    @property
    def text(self) -> str:
        """The words on display."""
        return self._text

    def offer(
        self, choices: Sequence[tuple[str, str]], last: tuple[str, Callable[[], None]] | None = None
    ) -> None:
        """Offer (value, label) pairs; a pair of empty texts draws a line between groups.

        `last` is one more entry that is no value: its label, and what it does.
        """
        self._choices = list(choices)
        self.menu.clear()
        for value, label in choices:
            if not label:
                self.menu.addSeparator()
                continue
            action = self.menu.addAction(label)
            action.setData(value)
            action.triggered.connect(lambda _checked=False, value=value: self.edited.emit(value))
        if last is not None:
            self.menu.addAction(last[0], last[1])
        self._mark()

    def show_value(self, value: Value) -> None:
        """Show `value` as chosen."""
        self._value = value
        known = next((text for offered, text in self._choices if offered == value and text), None)
        self._text = known if known is not None else self.name_of(str(value))
        self._mark()
        self.update()

    def name_of(self, value: str) -> str:
        """What to call a value that is not offered."""
        return value

    def open_menu(self) -> None:
        """Open the menu under the button; nothing waits for an answer."""
        self.menu.setMinimumWidth(self.width())
        self.menu.popup(self.mapToGlobal(QPoint(0, self.height() + 2)))
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        if event.button() == Qt.MouseButton.LeftButton:
            self.open_menu()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        if event.key() in (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Down):
            self.open_menu()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        lit = self.underMouse() or self.menu.isVisible()
        painter.setPen(QPen(QColor("#6C7787") if self.hasFocus() else QColor(theme.HAIRLINE), 1))
        painter.setBrush(QColor(theme.RAISED if lit else theme.CONTROL))
        painter.drawRoundedRect(box, 6, 6)
        if self.idle:
            draw_hatch(painter, box)
        painter.setPen(QColor(theme.SECONDARY if self.idle else theme.TEXT))
        inner = box.adjusted(12, 0, -26, 0)
        short = painter.fontMetrics().elidedText(self._text, Qt.TextElideMode.ElideMiddle, int(inner.width()))
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter, short)
        painter.setPen(QPen(QColor(theme.SECONDARY), 1.6, c=Qt.PenCapStyle.RoundCap))
        tip = QPointF(box.right() - 14, box.center().y() + 2.5)
        painter.drawLine(tip, tip + QPointF(-4.5, -4.5))
        painter.drawLine(tip, tip + QPointF(4.5, -4.5))
        painter.end()

    def _mark(self) -> None:
        for action in self.menu.actions():
            if not action.isSeparator():
                action.setIcon(dot_icon(theme.LIVE if action.data() == self._value else None))


class TextField(QLineEdit):
    """One line of text, sent with Enter; Esc takes back what was typed.

    What is typed but not sent has an amber ring at its end; what was refused stays, to be mended.
    """

    edited = Signal(object)

    def __init__(self, row: Parameter) -> None:
        super().__init__()
        self._value = str(row.default)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setMinimumWidth(60)
        self.returnPressed.connect(self._send)

    @property
    def pending(self) -> bool:
        """Typed but not sent."""
        return self.text() != self._value

    def shown(self) -> Value:
        """The value on display."""
        return self.text()

    def show_value(self, value: Value) -> None:
        """Show `value` unless something else is just being typed."""
        typing = self.hasFocus() and self.pending
        self._value = str(value)
        if not typing and self.pending:
            self.setText(self._value)
            self.setCursorPosition(0)
        self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        if event.key() == Qt.Key.Key_Escape and not event.modifiers():
            self.setText(self._value)
            self.clearFocus()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        super().paintEvent(event)
        if self.pending:
            painter = QPainter(self)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(QColor(theme.AMBER), 1.6))
            painter.drawEllipse(QPointF(self.width() - 10, self.height() / 2), 3.5, 3.5)
            painter.end()

    def _send(self) -> None:
        self.edited.emit(self.text())
        if not self.pending:
            self.clearFocus()

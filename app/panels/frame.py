"""The frame all panels share: a rounded dark card with a quiet title."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from app import theme

_TOP = 10  # over a title


class Panel(QFrame):
    """A card; `body` is where the panel's widgets go, `heading` the line of its title.

    Without a title the card begins with its body: a page of the deck is named by its tab.
    """

    def __init__(self, title: str = "") -> None:
        super().__init__()
        self.setObjectName("panel")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(theme.PAD, _TOP, theme.PAD, theme.PAD)
        outer.setSpacing(theme.GAP)
        self.heading = QHBoxLayout()
        self.heading.setSpacing(theme.GAP)
        if title:
            self.heading.addWidget(title_label(title))
            self.heading.addStrut(20)
            self.heading.addStretch(1)
            outer.addLayout(self.heading)
        self.body = QVBoxLayout()
        self.body.setSpacing(theme.GAP)
        outer.addLayout(self.body, 1)
        self._outer = outer

    def raise_heading(self, by: int) -> None:
        """Let a heading that is `by` pixels higher than a title on both sides reach into the room around it.

        Titles of panels that stand side by side stay on one line.
        """
        self._outer.setContentsMargins(theme.PAD, _TOP - by, theme.PAD, theme.PAD)
        self._outer.setSpacing(theme.GAP - by)


def title_label(text: str) -> QLabel:
    """A panel's title."""
    label = QLabel(text.upper())
    label.setObjectName("title")
    return label


def secondary_label(text: str = "", parent: QWidget | None = None) -> QLabel:
    """A line in the second colour."""
    label = QLabel(text, parent)
    label.setObjectName("secondary")
    return label


class OneLine(QLabel):
    """A line in the second colour that is cut where it is too long, and whole in its tooltip."""

    def __init__(self, cut: Qt.TextElideMode = Qt.TextElideMode.ElideRight) -> None:
        super().__init__()
        self.setObjectName("secondary")
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._cut = cut
        self._whole = ""

    def show_text(self, text: str, detail: str = "") -> None:
        """Show `text`; the tooltip holds all of it, or `detail`."""
        if text != self._whole:
            self._whole = text
            self.setToolTip(detail or text)
            self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: D102
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.setText(self.fontMetrics().elidedText(self._whole, self._cut, self.width()))

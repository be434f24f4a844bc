"""Several pages in one place, one click apart: what is set up before the show and seldom touched in it."""

from collections.abc import Mapping
from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QStackedWidget, QVBoxLayout, QWidget

_MOST_TABS = 5  # side by side in the narrowest window


class Deck(QWidget):
    """Tabs over the pages they open; the first page is open until told otherwise."""

    def __init__(self, pages: Mapping[str, QWidget]) -> None:
        super().__init__()
        self._stack = QStackedWidget()
        self._names = list(pages)
        self.tabs: dict[str, QPushButton] = {}
        group = QButtonGroup(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        lines = -(-len(pages) // _MOST_TABS)
        each = -(-len(pages) // lines)
        for index, (name, page) in enumerate(pages.items()):
            if index % each == 0:
                line = QHBoxLayout()
                line.setSpacing(0)
                layout.addLayout(line)
            self._stack.addWidget(page)
            tab = QPushButton(name)
            tab.setObjectName("tab")
            tab.setCheckable(True)
            tab.setCursor(Qt.CursorShape.PointingHandCursor)
            tab.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            tab.clicked.connect(partial(self.open, name))
            group.addButton(tab)
            # A long name needs more of the room; the rest is the frame around it.
            line.addWidget(tab, tab.fontMetrics().horizontalAdvance(name) + 4)
            self.tabs[name] = tab
        layout.addWidget(self._stack, 1)
        self.open(self._names[0])

    @property
    def page(self) -> str:
        """The name of the open page."""
        return self._names[self._stack.currentIndex()]

    def open(self, name: str) -> None:
        """Open the page called `name`; a name that is not known (any more) changes nothing."""
        if name in self.tabs:
            self._stack.setCurrentIndex(self._names.index(name))
            self.tabs[name].setChecked(True)

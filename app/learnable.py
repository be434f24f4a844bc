"""What a hand can learn: its right-click menu, its lamp, and in its tooltip the control that plays it.

The same for every parameter and for every command.
"""

import time
from typing import cast

from PySide6.QtCore import QEvent, QObject, QPoint, Qt
from PySide6.QtGui import QAction, QGuiApplication, QMouseEvent
from PySide6.QtWidgets import QMenu, QWidget

from app.bridge import Bridge
from app.map_dot import MapDot
from app.wording import address_of, label_of


class Learnable:
    """One key that a hand can learn: a row of the table, or "command.NAME"."""

    def __init__(self, key: str, bridge: Bridge, dot: MapDot, about: str) -> None:
        """`about` is what the tooltip tells before it tells what plays the key."""
        self.key = key
        self.label = label_of(key)
        self._bridge = bridge
        self._dot = dot
        self._about = about
        self._tipped: list[QWidget | QAction] = []
        self._joined: list[Learnable] = []
        self._played = self._played_text()
        bridge.tick.connect(self._show_lamp)

    def adopt(self, widget: QWidget) -> None:
        """Open the menu on a right-click on `widget`, and give it the tooltip."""
        widget.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        widget.customContextMenuRequested.connect(lambda at: self.open_menu(widget, at))
        self._tip(widget)

    def adopt_entry(self, widget: QWidget, menu: QMenu, entry: QAction) -> None:
        """The same for one entry of the menu of `widget`: a right-click opens this and chooses nothing."""
        menu.setToolTipsVisible(True)
        menu.installEventFilter(_EntryClicks(widget, menu, entry, self))
        self._tip(entry)

    def join(self, other: "Learnable") -> None:
        """Offer `other` below this in the menu, and tell of it in the tooltip."""
        self._joined.append(other)

    def describe(self, about: str) -> None:
        """Tell something else before what plays it."""
        self._about = about
        self._show_tips()

    def menu(self, parent: QWidget) -> QMenu:
        """The menu as it is now."""
        menu = QMenu(parent)
        for index, learnable in enumerate((self, *self._joined)):
            if index:
                menu.addSeparator()
            menu.addAction(learnable.label).setEnabled(False)
            menu.addSeparator()
            learnable.fill(menu)
        return menu

    def fill(self, menu: QMenu) -> None:
        """Add what can be done with the key to `menu`."""
        hands, key = self._bridge.hands, self.key
        if hands.learning.phase == "listening" and hands.learning.key == key:
            menu.addAction("Stop learning", hands.cancel)
        else:
            menu.addAction("Learn MIDI", lambda: hands.learn(key))
        mapped = hands.lamp(key).mapped
        forget = menu.addAction(f"Forget MIDI  ({mapped})" if mapped else "Forget MIDI")
        forget.triggered.connect(lambda: hands.forget(key))
        forget.setEnabled(bool(mapped))
        menu.addAction("Copy OSC address", self._copy_address)

    def open_menu(self, widget: QWidget, at: QPoint) -> None:
        """Open the menu at a point of `widget`; nothing waits for an answer."""
        menu = self.menu(widget)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(widget.mapToGlobal(at))

    def _copy_address(self) -> None:
        address = address_of(self.key)
        QGuiApplication.clipboard().setText(address)
        self._bridge.notices.post(f"Copied {address}", level="info")

    def _tip(self, tipped: QWidget | QAction) -> None:
        self._tipped.append(tipped)
        tipped.setToolTip(f"{self._about}\n{self._played}")

    def _played_text(self) -> str:
        mapped = self._bridge.hands.lamp(self.key).mapped
        lines = [f"Played by {mapped}, right-click to change it" if mapped else "Right-click to map it"]
        for other in self._joined:
            theirs = self._bridge.hands.lamp(other.key).mapped
            lines += [f"{other.label}: played by {theirs}"] if theirs else []
        return "\n".join(lines)

    def _show_tips(self) -> None:
        for tipped in self._tipped:
            tipped.setToolTip(f"{self._about}\n{self._played}")

    def _show_lamp(self) -> None:
        self._dot.show_lamp(self._bridge.hands.lamp(self.key), time.monotonic())
        played = self._played_text()
        if played != self._played:
            self._played = played
            self._show_tips()


class _EntryClicks(QObject):
    """Right-clicks on one entry of a menu, which else would choose it like a left one."""

    def __init__(self, widget: QWidget, menu: QMenu, entry: QAction, learnable: Learnable) -> None:
        super().__init__(menu)
        self._widget, self._menu, self._entry, self._learnable = widget, menu, entry, learnable

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
        if event.type() not in (QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonRelease):
            return False
        click = cast(QMouseEvent, event)
        at = click.position().toPoint()
        if click.button() != Qt.MouseButton.RightButton or self._menu.actionAt(at) != self._entry:
            return False
        if event.type() == QEvent.Type.MouseButtonRelease:
            there = self._widget.mapFromGlobal(self._menu.mapToGlobal(at))
            self._menu.close()  # or it stays in front of what is learned, and takes the Esc that ends it
            self._learnable.open_menu(self._widget, there)
        return True

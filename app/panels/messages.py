"""The line along the bottom: what went wrong and what to do, what is being learned, else the keys.

Never modal. An error stays until it is old, read away, or pushed aside by a newer one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy

from app import theme
from app.bridge import Bridge
from app.notices import Notice
from app.wording import label_of
from controllers.learn import LearnState

HEIGHT = 40
STAYS_S = {"info": 5.0, "warning": 10.0, "error": 25.0}
KEYS = (
    "B blackout    F freeze    C camera    R record    S snapshot    P prompt    F11 output    "
    "Shift+Esc panic"
)
_MOST_KEPT = 20
_MARKS = {"info": ("●", theme.GREEN), "warning": ("△", theme.AMBER), "error": ("▲", theme.RED)}


@dataclass(frozen=True)
class _Line:
    notice: Notice
    at: float
    times: int = 1


class MessageStrip(QFrame):
    """Shows the newest notice; the others wait behind it."""

    def __init__(self, bridge: Bridge, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.setObjectName("strip")
        self.setFixedHeight(HEIGHT)
        self._bridge = bridge
        self._clock = clock
        self._lines: list[_Line] = []
        self._mark = QLabel()
        self.text = QLabel()
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.more = QLabel()
        self.more.setObjectName("secondary")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(16, 0, 8, 0)
        layout.setSpacing(10)
        layout.addWidget(self._mark)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.more)
        hands = bridge.hands
        self._answers = [
            self._button("Move it here", lambda: hands.answer("move")),
            self._button("Play both", lambda: hands.answer("add")),
            self._button("Cancel", hands.cancel),
        ]
        self._away = self._button("Dismiss", self.dismiss)
        self.buttons = (*self._answers, self._away)
        bridge.tick.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Take new notices, forget old ones, show what matters most."""
        now = self._clock()
        for notice in self._bridge.notices.take():
            self._add(notice, now)
        self._lines = [line for line in self._lines if now - line.at < STAYS_S[line.notice.level]]
        learning = self._bridge.hands.learning
        asking = learning.phase == "conflict"
        for button in self._answers[:2]:
            button.setVisible(asking)
        self._answers[2].setVisible(asking or learning.phase == "listening")
        self._away.setVisible(bool(self._lines) and not self._answers[2].isVisibleTo(self))
        if asking or learning.phase == "listening":
            self._say("◎", theme.BLUE, _learning_text(learning), theme.TEXT)
            self.more.setText("")
        elif self._lines:
            self._show_line(self._lines[-1])
        else:
            self._say("", theme.SECONDARY, KEYS, theme.SECONDARY)
            self.more.setText("")

    def dismiss(self) -> None:
        """Read: away with it."""
        if self._lines:
            self._lines.pop()
        self.refresh()

    def _add(self, notice: Notice, now: float) -> None:
        """Put the newest last; one that is here already is counted, not repeated."""
        times = 1
        for line in self._lines:
            if line.notice == notice:
                times = line.times + 1
        self._lines = [line for line in self._lines if line.notice != notice]
        self._lines.append(_Line(notice, now, times))
        del self._lines[:-_MOST_KEPT]

    def _show_line(self, line: _Line) -> None:
        mark, ink = _MARKS[line.notice.level]
        text = line.notice.what + (f"   →  {line.notice.fix}" if line.notice.fix else "")
        self._say(mark, ink, text, theme.TEXT)
        others = len(self._lines) - 1
        repeated = f"×{line.times}" if line.times > 1 else ""
        self.more.setText(
            "   ".join(part for part in (repeated, f"+{others} more" if others else "") if part)
        )

    def _say(self, mark: str, ink: str, text: str, text_ink: str) -> None:
        self._mark.setVisible(bool(mark))
        self._mark.setText(mark)
        self._mark.setStyleSheet(f"color: {ink};")
        self.text.setStyleSheet(f"color: {text_ink};")
        one_line = " ".join(text.split("\n"))
        short = self.text.fontMetrics().elidedText(one_line, Qt.TextElideMode.ElideRight, self.text.width())
        self.text.setText(short)
        self.text.setToolTip(text if short != one_line else "")

    def _button(self, text: str, act: Callable[[], None]) -> QPushButton:
        button = QPushButton(text, self)
        button.setObjectName("quiet")
        button.setCursor(Qt.CursorShape.PointingHandCursor)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.clicked.connect(act)
        layout = self.layout()
        assert isinstance(layout, QHBoxLayout)
        layout.addWidget(button)
        button.hide()
        return button


def _learning_text(state: LearnState) -> str:
    label = label_of(state.key)
    if state.phase == "conflict":
        others = ", ".join(label_of(other.key) for other in state.conflicts)
        control = state.binding.control if state.binding is not None else "this control"
        return f"{control} plays {others} already. What shall it do for {label}?"
    heard = f"   heard {state.text}" if state.text else ""
    return f"{label}: move a knob or press a pad   ({state.remaining_s:.0f} s, Esc ends){heard}"

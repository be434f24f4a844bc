"""The prompt: typed off air, sent with Enter, and what of it the model does not understand."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QContextMenuEvent, QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QSizePolicy

from app import theme
from app.bridge import Bridge
from app.controls.choices import Picker
from app.controls.numbers import Slider
from app.panels.frame import Panel, secondary_label
from app.parameter_widgets import Bound, Marks, ParameterRow
from engine.core.parameters import Value, row
from engine.runtime import Status

KEY = "prompt.text"
TRANSITION = "prompt.transition"
BLEND = "prompt.blend"
_LONGEST_SHOWN = 200  # characters of ignored words


class PromptField(QPlainTextEdit):
    """Some lines of text; Enter sends and gives the keyboard back to the stage, Esc takes back."""

    edited = Signal(object)
    touched = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._sent = ""
        self.bound: Bound | None = None
        self.setPlaceholderText("Describe what to make of the picture")
        self.setTabChangesFocus(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(44)
        self.setFont(theme.font(16))
        self.textChanged.connect(self.touched.emit)

    @property
    def pending(self) -> bool:
        """Typed but not sent."""
        return self.toPlainText() != self._sent

    def shown(self) -> Value:
        """The value on display."""
        return self.toPlainText()

    def show_value(self, value: Value) -> None:
        """Show what is sent, unless the performer is typing something else."""
        typing = self.hasFocus() and self.pending
        self._sent = str(value)
        if not typing and self.pending:
            self.setPlainText(self._sent)
        self.touched.emit()

    def send(self) -> None:
        """Send what is typed; what is refused stays, to be made shorter."""
        text = self.toPlainText().strip()
        if text != self.toPlainText():
            self.setPlainText(text)
        self.setFocus()
        self.edited.emit(text)
        if not self.pending:
            self.clearFocus()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        plain = not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and plain:
            self.send()
        elif event.key() == Qt.Key.Key_Escape and plain:
            self.setPlainText(self._sent)
            self.clearFocus()
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: D102
        super().focusInEvent(event)
        if event.reason() == Qt.FocusReason.ShortcutFocusReason:
            self.selectAll()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: D102
        menu = self.createStandardContextMenu()
        if self.bound is not None:
            menu.addSeparator()
            self.bound.fill(menu)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(event.globalPos())


class PromptPanel(Panel):
    """The field, its Send button, and one line about what was understood."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__("Prompt")
        self._ignored: tuple[str, ...] = ()
        self._note = ""
        self.field = PromptField()
        marks = Marks("chunk")
        self.field.bound = Bound(KEY, self.field, bridge, marks.dot)
        self.field.bound.adopt(marks)
        self.field.setContextMenuPolicy(
            Qt.ContextMenuPolicy.DefaultContextMenu
        )  # its own, with copy and paste
        self.heading.addWidget(marks)
        self.button = QPushButton("Send")
        self.button.setObjectName("primary")
        self.button.setCursor(Qt.CursorShape.PointingHandCursor)
        self.button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.button.clicked.connect(self.field.send)
        self.understood = QLabel()
        self.understood.setObjectName("secondary")
        self.understood.setTextFormat(Qt.TextFormat.PlainText)
        self.understood.setWordWrap(True)
        self.understood.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.hint = secondary_label("Enter sends")
        self.body.addWidget(self.field, 1)
        self.transition = Slider(row(TRANSITION))
        self.blend = Picker([(name, name) for name in row(BLEND).choices])
        switch = QHBoxLayout()
        switch.setSpacing(4)
        switch.addWidget(ParameterRow(TRANSITION, bridge, "beside", self.transition, "Over", 34), 1)
        switch.addWidget(ParameterRow(BLEND, bridge, "nowhere", self.blend))
        self.body.addLayout(switch)
        bridge.watch(TRANSITION, self._show_transition)
        foot = QHBoxLayout()
        foot.setSpacing(theme.PAD)
        foot.addWidget(self.understood, 1)
        foot.addWidget(self.hint)
        foot.addWidget(self.button)
        self.body.addLayout(foot)
        self.field.touched.connect(self._show_state)
        bridge.status.connect(self._show_status)
        self._show_state()

    def _show_transition(self, chunks: Value) -> None:
        """Nothing is mixed where a new prompt takes over at once."""
        self.blend.show_idle(chunks == 0)

    def _show_status(self, status: Status) -> None:
        if (status.ignored_words, status.prompt_note) != (self._ignored, self._note):
            self._ignored, self._note = status.ignored_words, status.prompt_note
            self._show_state()

    def _show_state(self) -> None:
        pending = self.field.pending
        self.button.setEnabled(pending)
        self.hint.setText("◌ not sent yet" if pending else "● on air")
        self.hint.setStyleSheet(f"color: {theme.AMBER if pending else theme.SECONDARY};")
        text = self._understood()
        self.understood.setText(f"△ {text}" if text else "")
        self.understood.setStyleSheet(f"color: {theme.AMBER};" if text else "")

    def _understood(self) -> str:
        """What of the prompt on air is lost on the model; empty when nothing is."""
        words = ", ".join(self._ignored)
        if len(words) > _LONGEST_SHOWN:
            words = words[:_LONGEST_SHOWN] + "…"
        return ". ".join(part for part in (self._note, f"Ignored: {words}" if words else "") if part)

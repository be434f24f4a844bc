"""The operator's window: puts the panels in their places, and the keyboard on the stage.

status strip
source  |                    | signals
control |      program       | deck: output, control, images, ..., LoRAs
macros          | prompt     | safety
message strip
"""

import time
from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QByteArray, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QKeyEvent, QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QMainWindow,
    QPlainTextEdit,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.box_tool import BoxPen, BoxTool
from app.bridge import Bridge
from app.mask_tool import MaskPen, MaskTool
from app.mouse_tool import MouseTool
from app.output_window import OutputWindow
from app.overrides import override, panic
from app.panels.annotators import AnnotatorPanel, ControlPanel
from app.panels.canvas import CanvasPanel
from app.panels.deck import Deck
from app.panels.layout import LayoutPanel
from app.panels.loras import LorasPanel
from app.panels.macros import MacrosPanel
from app.panels.masks import MaskPanel
from app.panels.messages import MessageStrip
from app.panels.models import ModelsPanel
from app.panels.outputs import OutputsPanel
from app.panels.pictures import PicturesPanel
from app.panels.prompts import PromptPanel
from app.panels.safety import SafetyPanel
from app.panels.signals import SignalsPanel
from app.panels.source import SourcePanel
from app.panels.stats import StatusStrip
from app.pen import Pen
from app.preview import Preview
from app.settings import WindowMemory
from app.ways import way_from_camera, way_from_program, way_to_view
from engine.core.commands import SNAPSHOT
from engine.core.types import Image
from engine.runtime import Status

SMALLEST = (1180, 700)
FIRST_SIZE = (1366, 768)
ROOMY = 900  # pixels of height from which explanations and signals have room
_WIDE, _LOW = QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum
_TYPING = (QLineEdit, QPlainTextEdit, QAbstractSpinBox)
_AGAIN_S = 5.0  # within which a second close ends a show that is on air


class Window(QMainWindow):
    """Everything the operator sees. `memory` is what it wants to find again next time.

    `on_air` says, ten times a second, whether the picture goes anywhere but into this window.
    """

    on_air = Signal(bool)

    def __init__(
        self, bridge: Bridge, memory: WindowMemory, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._clock = clock
        self._is_on_air = False
        self._asked_at = float("-inf")  # when a close was answered with a question
        self.setWindowTitle("Cuelight")
        self.setMinimumSize(*SMALLEST)
        self.memory = memory
        self._bridge = bridge
        self.program = Preview("PROGRAM", self._newest)
        self.output_window = OutputWindow(self._newest, self, memory.display)
        self.status_strip = StatusStrip(bridge)
        self.source = SourcePanel(bridge)
        self.annotators = AnnotatorPanel(bridge)
        self.outputs = OutputsPanel(bridge)
        self.signals = SignalsPanel(bridge)
        self.models = ModelsPanel(bridge, memory.advanced)
        self.loras = LorasPanel(bridge)
        self.control = ControlPanel(bridge)
        self.pictures = PicturesPanel(bridge)
        self.mask_tool = MaskTool(bridge)
        self.masks = MaskPanel(bridge, self.mask_tool)
        self.canvas = CanvasPanel(bridge)
        self.box_tool = BoxTool(bridge)
        self.layout_page = LayoutPanel(bridge, self.box_tool)
        self.deck = Deck(
            {
                "Output": self.outputs,
                "Control": self.control,
                "Image": self.pictures,
                "Mask": self.masks,
                "Canvas": self.canvas,
                "Layout": self.layout_page,
                "Model": self.models,
                "LoRA": self.loras,
            }
        )
        self.deck.open(memory.page)
        self.macros = MacrosPanel(bridge)
        self.prompts = PromptPanel(bridge)
        self.safety = SafetyPanel(bridge)
        self.messages = MessageStrip(bridge)
        self._lay_out()
        self._connect()
        self._keys()
        self.setWindowIcon(theme.icon())
        self.setFocus()  # nobody's field: the keys are the stage's
        self.resize(*FIRST_SIZE)
        if memory.geometry:
            self.restoreGeometry(QByteArray.fromBase64(memory.geometry.encode("ascii", "ignore")))
        if memory.output_open:
            QTimer.singleShot(0, self, self.output_window.open)

    def _lay_out(self) -> None:
        self._left = QWidget()
        left = QVBoxLayout(self._left)
        left.setContentsMargins(0, 0, 0, 0)
        left.setSpacing(theme.GAP)
        for panel in (self.source, self.annotators):
            left.addWidget(panel.preview, 1)
            left.addWidget(panel)
        self._right = QWidget()
        right = QVBoxLayout(self._right)
        right.setContentsMargins(0, 0, 0, 0)
        right.setSpacing(theme.GAP)
        right.addWidget(self.deck)
        right.addWidget(self.signals, 1)
        pictures = QHBoxLayout()
        pictures.setSpacing(theme.GAP)
        pictures.addWidget(self._left)
        pictures.addWidget(self.program, 1)
        pictures.addWidget(self._right)
        self._hands = QWidget()
        hands = QHBoxLayout(self._hands)
        hands.setContentsMargins(0, 0, 0, 0)
        hands.setSpacing(theme.GAP)
        hands.addWidget(self.macros, 8)
        hands.addWidget(self.prompts, 5)
        hands.addWidget(self.safety)
        root = QWidget()
        root.setObjectName("root")
        grid = QGridLayout(root)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(0)
        inner = QVBoxLayout()
        inner.setContentsMargins(theme.GAP, theme.GAP, theme.GAP, theme.GAP)
        inner.setSpacing(theme.GAP)
        inner.addLayout(pictures, 1)
        inner.addWidget(self._hands)
        grid.addWidget(self.status_strip, 0, 0)
        grid.addLayout(inner, 1, 0)
        grid.addWidget(self.messages, 2, 0)
        grid.setRowStretch(1, 1)
        self.setCentralWidget(root)

    def _connect(self) -> None:
        bridge = self._bridge
        bridge.tick.connect(self.program.refresh)
        bridge.watch("output.fps", self.output_window.show_rate)
        bridge.status.connect(self._show_status)
        self.outputs.window_wanted.connect(
            lambda wanted: self.output_window.open() if wanted else self.output_window.hide()
        )
        self.output_window.opened.connect(self.outputs.show_window)
        self.program.double_clicked.connect(self._open_output)
        self.mask_tool.changed.connect(partial(self._take_over, self.mask_tool, self.box_tool))
        self.box_tool.changed.connect(partial(self._take_over, self.box_tool, self.mask_tool))

    def _open_output(self) -> None:
        """Only opens: one careless double-click must not take the picture from the audience."""
        if not self.output_window.isVisible():
            self.output_window.open()

    def _take_over(self, tool: MouseTool, other: MouseTool) -> None:
        """Hand the mouse over the pictures to `tool`, which was switched; there is one tool at a time."""
        if tool.on:
            other.switch(False)
        bridge = self._bridge
        for preview, way in ((self.source.preview, way_from_camera), (self.program, way_from_program)):
            pen: Pen | None = None
            if self.mask_tool.on:
                pen = MaskPen(self.mask_tool, partial(way, bridge))
            elif self.box_tool.on:
                pen = BoxPen(self.box_tool, partial(way_to_view, partial(way, bridge), bridge))
            if type(pen) is not type(preview.pen):
                preview.hand(pen)
            preview.update()

    # --- keyboard ---------------------------------------------------------------------------------------

    def _keys(self) -> None:
        bridge = self._bridge
        self._key("B", lambda: bridge.toggle("output.blackout"))
        self._key("F", lambda: bridge.toggle("output.freeze"))
        self._key("C", lambda: bridge.toggle("output.clean_camera"))
        self._key("R", lambda: bridge.toggle("output.record"))
        self._key("S", lambda: bridge.command(SNAPSHOT))
        self._key("P", lambda: self.prompts.field.setFocus(Qt.FocusReason.ShortcutFocusReason))
        self._key("Ctrl+Z", lambda: self.mask_tool.undo() if self.mask_tool.on else None)
        self._key("F11", self.output_window.toggle_full, even_typing=True)
        self._key("Shift+Esc", self.panic, even_typing=True)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        # Not a shortcut: in a text field, Esc first belongs to the field.
        if event.key() == Qt.Key.Key_Escape and not event.modifiers():
            self._bridge.hands.cancel()
            self.mask_tool.switch(False)
            self.box_tool.switch(False)
        else:
            super().keyPressEvent(event)

    def _key(self, keys: str, act: Callable[[], None], even_typing: bool = False) -> None:
        """`act` on `keys` in every window of ours; unless told otherwise, never while text is typed."""
        shortcut = QShortcut(QKeySequence(keys), self)
        shortcut.setContext(Qt.ShortcutContext.ApplicationShortcut)
        shortcut.setAutoRepeat(False)
        shortcut.activated.connect(lambda: act() if even_typing or not _busy() else None)

    def panic(self) -> None:
        """The audience sees the camera, whatever was before."""
        self._bridge.set_many(panic(self._bridge.get))

    # --- pictures and status ----------------------------------------------------------------------------

    def _newest(self) -> Image | None:
        shown = self._bridge.runtime.program.peek()
        return None if shown is None else shown.image

    def _show_status(self, status: Status) -> None:
        get = self._bridge.get
        doing = override(get)
        self._is_on_air = (
            self.output_window.isVisible() or bool(status.recording) or get("output.virtual_camera") is True
        )
        self.on_air.emit(self._is_on_air)
        self.program.tag("PROGRAM", self._is_on_air, "" if doing is None else doing.veil)
        if self._newest() is None:
            self.program.say("Waiting for the first picture", status.reason)
        else:
            self.program.say("")

    # --- size and end -----------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: D102
        super().resizeEvent(event)
        self._left.setFixedWidth(min(max(int(self.width() * 0.2), 264), 420))
        side = min(max(int(self.width() * 0.165), 226), 300)
        self._right.setFixedWidth(side)
        self.safety.setFixedWidth(side)
        self._hands.setFixedHeight(min(max(int(self.height() * 0.25), 192), 256))
        roomy = self.height() >= ROOMY
        self.signals.setVisible(roomy)
        self.models.show_roomy(roomy)
        self.source.about.setVisible(roomy)
        self.annotators.about.setVisible(roomy)
        self.deck.setSizePolicy(_WIDE, _LOW if roomy else _WIDE)

    def remembered(self) -> WindowMemory:
        """What it would want to find again if it closed now."""
        geometry = self.saveGeometry().toBase64().toStdString()
        output = self.output_window
        return WindowMemory(
            geometry, output.isVisible(), output.display, self.deck.page, self.models.advanced
        )

    def end(self) -> None:
        """Close without a question: whoever asks is not a hand that slipped."""
        self._is_on_air = False
        self.close()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: D102
        now = self._clock()
        if self._is_on_air and now - self._asked_at > _AGAIN_S:
            self._asked_at = now
            self._bridge.notices.post(
                "The audience still sees the show",
                f"close again within {_AGAIN_S:.0f} seconds to end it",
                "warning",
            )
            event.ignore()
            return
        self._bridge.stop()
        self.memory = self.remembered()
        self.output_window.close()
        super().closeEvent(event)
        QApplication.quit()


def _busy() -> bool:
    """Whether letters belong to somebody else: a field with the focus, or a dialog."""
    return isinstance(QApplication.focusWidget(), _TYPING) or isinstance(QApplication.activeWindow(), QDialog)

"""The status strip: which mode runs and why, what is on screen, how fast, how late, what was dropped."""

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QWidget

from app import theme
from app.bridge import Bridge
from app.overrides import override
from app.painting import draw_lamp
from engine.runtime import Status

HEIGHT = 56
# rung: word, lamp shape, colour
RUNGS = {
    "generated": ("generated", "full", theme.GREEN),
    "hold": ("holding", "half", theme.AMBER),
    "control": ("control picture", "half", theme.AMBER),
    "camera": ("clean camera", "half", theme.AMBER),
    "slate": ("slate", "hollow", theme.RED),
}


@dataclass(frozen=True)
class Shown:
    """What a reading shows: a live value with its unit, a line below, a lamp ("" for none)."""

    value: str = "–"
    unit: str = ""
    below: str = ""
    lamp: str = ""
    ink: str = theme.LIVE


class Reading(QWidget):
    """A small title over a live value.

    A wide reading takes the room that is left and shows value and explanation one above the other; both
    are cut where they are too long and are then in the tooltip.
    """

    def __init__(self, title: str, widest: str = "", wide: bool = False) -> None:
        super().__init__()
        self.title = title
        self._widest = widest
        self._wide = wide
        self._shown = Shown()
        policy = QSizePolicy.Policy.Expanding if wide else QSizePolicy.Policy.Fixed
        self.setSizePolicy(policy, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # noqa: D102
        title = QFontMetrics(theme.font(theme.SMALL_PX)).horizontalAdvance(self.title)
        widest = QFontMetrics(theme.font(theme.LIVE_PX)).horizontalAdvance(self._widest)
        return QSize(max(title, widest) + 4, HEIGHT - 10)

    def minimumSizeHint(self) -> QSize:  # noqa: D102
        return QSize(110, HEIGHT - 10) if self._wide else self.sizeHint()

    @property
    def shown(self) -> Shown:
        """What is on display."""
        return self._shown

    def display(self, shown: Shown, detail: str = "") -> None:
        """Show something else; `detail` is the tooltip."""
        self.setToolTip(detail)
        if shown != self._shown:
            self._shown = shown
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._wide:
            self._paint_wide(painter)
        else:
            self._paint_number(painter)
        painter.end()

    def _paint_number(self, painter: QPainter) -> None:
        painter.setFont(theme.font(theme.SMALL_PX))
        painter.setPen(QColor(theme.SECONDARY))
        painter.drawText(QRectF(0, 2, self.width(), 18), Qt.AlignmentFlag.AlignLeft, self.title)
        painter.setFont(theme.font(theme.LIVE_PX))
        painter.setPen(QColor(self._shown.ink))
        box = QRectF(0, 20, self.width(), 26)
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(box, left, self._shown.value)
        if self._shown.unit:
            taken = painter.fontMetrics().horizontalAdvance(self._shown.value) + 4
            painter.setFont(theme.font(theme.SMALL_PX))
            painter.setPen(QColor(theme.SECONDARY))
            painter.drawText(box.adjusted(taken, 2, 0, 0), left, self._shown.unit)

    def _paint_wide(self, painter: QPainter) -> None:
        shown = self._shown
        indent = 18.0 if shown.lamp else 0.0
        if shown.lamp:
            draw_lamp(painter, QPointF(7, 13), shown.lamp, shown.ink)
        painter.setFont(theme.font(16, QFont.Weight.DemiBold))
        painter.setPen(QColor(theme.LIVE))
        self._cut(painter, QRectF(indent, 2, self.width() - indent, 24), shown.value)
        painter.setFont(theme.font(theme.SMALL_PX))
        painter.setPen(QColor(theme.SECONDARY))
        self._cut(painter, QRectF(indent, 26, self.width() - indent, 18), shown.below)

    def _cut(self, painter: QPainter, box: QRectF, text: str) -> None:
        short = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, int(box.width()))
        painter.drawText(box, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, short)


class StatusStrip(QFrame):
    """The line along the top."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self.setObjectName("strip")
        self.setFixedHeight(HEIGHT)
        self._bridge = bridge
        self.mode = Reading("MODE", wide=True)
        self.rung = Reading("ON SCREEN", wide=True)
        self.generated = Reading("GENERATED", "00.0 fps")
        self.output = Reading("OUTPUT", "00.0 fps")
        self.latency = Reading("LATENCY", "0000 ms")
        self.drops = Reading("DROPS", "00000")
        self.midi = Reading("MIDI", wide=True)
        self.osc = Reading("OSC", wide=True)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(16, 5, 16, 5)
        layout.setSpacing(18)
        name = QLabel("Cuelight")
        name.setFont(theme.font(18, QFont.Weight.DemiBold, 0.4))
        layout.addWidget(name)
        for reading, stretch in (
            (self.mode, 5), (self.rung, 5), (self.generated, 0), (self.output, 0), (self.latency, 0),
            (self.drops, 0), (self.midi, 3), (self.osc, 3),
        ):  # fmt: skip
            layout.addWidget(reading, stretch)
        bridge.status.connect(self.show_status)

    def show_status(self, status: Status) -> None:
        """Show a status of the runtime, and how MIDI and OSC are."""
        self._show_mode(status)
        self._show_rung(status)
        expected = f", {status.expected_ms:.0f} ms expected" if status.expected_ms else ""
        self.generated.display(
            Shown(f"{status.fps_generated:.1f}", "fps"),
            f"{status.chunk_ms:.0f} ms per chunk{expected}\n{status.effort}".strip(),
        )
        self.output.display(Shown(f"{status.fps_output:.1f}", "fps"), f"{status.repeats} frames shown twice")
        self.latency.display(_latency(status.latency_ms), "from capture to screen, measured")
        dropped = sum(status.drops.values())
        each = "\n".join(f"{name}: {count}" for name, count in status.drops.items())
        self.drops.display(Shown(str(dropped)), f"frames that were too late to be used\n{each}")
        for reading, line in ((self.midi, self._bridge.hands.midi()), (self.osc, self._bridge.hands.osc())):
            shape, ink = _LINES[line.ok]
            reading.display(Shown(reading.title, below=line.text, lamp=shape, ink=ink), line.detail)

    def _show_mode(self, status: Status) -> None:
        running = status.engine == "running"
        lamp, ink = ("full", theme.GREEN) if running else ("half", theme.AMBER)
        if status.engine == "failed":
            lamp, ink = "hollow", theme.RED
        name = status.mode if running and status.mode else f"model {status.engine}"
        overridden = override(self._bridge.get) is not None
        why = status.mode_reason if running else "" if overridden else status.reason
        self.mode.display(Shown(name, below=why, lamp=lamp, ink=ink), f"{name}\n{why}")

    def _show_rung(self, status: Status) -> None:
        word, lamp, ink = RUNGS[status.rung]
        reason = status.reason
        doing = override(self._bridge.get)
        if doing is not None:  # before the ladder
            word, lamp, ink, reason = doing.word, "full", doing.ink, "chosen by you"
        below = f"on screen: {reason}" if reason else "on screen"
        self.rung.display(Shown(word, below=below, lamp=lamp, ink=ink), f"{word}\n{below}")


_LINES = {True: ("full", theme.GREEN), None: ("hollow", theme.SECONDARY), False: ("half", theme.AMBER)}


def _latency(ms: float) -> Shown:
    """A latency as one reads it; seconds from ten of them on, a dash before anything was measured."""
    if not ms:
        return Shown("–", "ms")
    return Shown(f"{ms / 1000:.1f}", "s") if ms >= 10_000 else Shown(f"{ms:.0f}", "ms")

"""How Cuelight looks: a calm dark window for dark rooms.

Colours carry one meaning each, and never alone (a shape or a word says the same): red is on air, amber
is pending, green is mapped or well, blue is learning, violet is drawn by hand. Knows nothing of
values or the engine.
"""

import math

from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QColor, QFont, QIcon, QPainter, QPalette, QPixmap, QRadialGradient
from PySide6.QtWidgets import QApplication

WINDOW = "#0E0F11"
PANEL = "#17191C"
CONTROL = "#23262B"
RAISED = "#2C3036"  # a control under the mouse
HAIRLINE = "#33373D"
STAGE = "#08090A"  # behind pictures

TEXT = "#D7DADF"
SECONDARY = "#9AA0A8"
LIVE = "#F2EADA"  # live values: the warm white of a cue light

RED = "#E5534B"
AMBER = "#E3A23B"
GREEN = "#57B98A"
BLUE = "#5B9BFF"
VIOLET = "#B58CFF"

GAP = 8  # between panels
PAD = 12  # inside a panel
RADIUS = 8
BASE_PX = 14
SMALL_PX = 12  # nothing is smaller
LIVE_PX = 18
PULSE_HZ = 0.8  # nothing blinks faster than 3 Hz
TOUCH = 40  # the least height of what a finger must hit


def colour(name: str, alpha: float = 1.0) -> QColor:
    """A theme colour with an opacity of 0..1."""
    made = QColor(name)
    made.setAlphaF(alpha)
    return made


def mixed(one: str, other: str, share: float) -> QColor:
    """`share` (0..1) of `other` mixed into `one`."""
    a, b = QColor(one), QColor(other)
    return QColor(
        round(a.red() + (b.red() - a.red()) * share),
        round(a.green() + (b.green() - a.green()) * share),
        round(a.blue() + (b.blue() - a.blue()) * share),
    )


def ink_on(ground: QColor) -> QColor:
    """White or nearly black, whichever is read better on `ground` (contrast as WCAG 2 defines it)."""
    return max((QColor("#FFFFFF"), QColor(WINDOW)), key=lambda ink: contrast(ink, ground))


def contrast(one: QColor, other: QColor) -> float:
    """How well two colours are told apart, 1 to 21 (WCAG 2)."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: QColor) -> float:
    """The relative luminance of a colour, 0 to 1 (WCAG 2)."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (colour.redF(), colour.greenF(), colour.blueF())
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def font(px: int = BASE_PX, weight: QFont.Weight = QFont.Weight.Normal, spaced: float = 0.0) -> QFont:
    """The interface's font; digits all have one width, so that live numbers do not dance."""
    made = QFont()
    made.setFamilies(["Inter", "Segoe UI", "SF Pro Text", "Cantarell", "Noto Sans", "DejaVu Sans"])
    made.setPixelSize(px)
    made.setWeight(weight)
    made.setFeature(QFont.Tag("tnum"), 1)
    if spaced:
        made.setLetterSpacing(QFont.SpacingType.AbsoluteSpacing, spaced)
    return made


def pulse(clock: float) -> float:
    """A slow swell between 0 and 1; `clock` in seconds."""
    return 0.5 - 0.5 * math.cos(2 * math.pi * PULSE_HZ * clock)


def icon() -> QIcon:
    """A lit cue lamp."""
    pixmap = QPixmap(64, 64)
    pixmap.fill(QColor(0, 0, 0, 0))
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QColor(HAIRLINE))
    painter.setBrush(QColor(PANEL))
    painter.drawRoundedRect(QRectF(2, 2, 60, 60), 14, 14)
    glow = QRadialGradient(QPointF(32, 32), 24)
    for at, alpha in ((0.0, 1.0), (0.42, 1.0), (0.5, 0.35), (1.0, 0.0)):
        glow.setColorAt(at, colour(LIVE, alpha))
    painter.setPen(QColor(0, 0, 0, 0))
    painter.setBrush(glow)
    painter.drawEllipse(QPointF(32, 32), 24, 24)
    painter.end()
    return QIcon(pixmap)


def apply(app: QApplication) -> None:
    """Dress the whole application."""
    app.setStyle("Fusion")
    app.setFont(font())
    app.setPalette(_palette())
    app.setStyleSheet(STYLE)


def _palette() -> QPalette:
    palette = QPalette()
    roles = {
        QPalette.ColorRole.Window: WINDOW,
        QPalette.ColorRole.Base: CONTROL,
        QPalette.ColorRole.AlternateBase: PANEL,
        QPalette.ColorRole.Button: CONTROL,
        QPalette.ColorRole.ToolTipBase: CONTROL,
        QPalette.ColorRole.WindowText: TEXT,
        QPalette.ColorRole.Text: TEXT,
        QPalette.ColorRole.ButtonText: TEXT,
        QPalette.ColorRole.ToolTipText: TEXT,
        QPalette.ColorRole.BrightText: LIVE,
        QPalette.ColorRole.PlaceholderText: SECONDARY,
        QPalette.ColorRole.Highlight: "#3A4E6E",
        QPalette.ColorRole.HighlightedText: LIVE,
        QPalette.ColorRole.Link: BLUE,
        QPalette.ColorRole.Light: RAISED,
        QPalette.ColorRole.Midlight: RAISED,
        QPalette.ColorRole.Mid: HAIRLINE,
        QPalette.ColorRole.Dark: WINDOW,
        QPalette.ColorRole.Shadow: "#000000",
    }
    for role, name in roles.items():
        palette.setColor(role, QColor(name))
    faint = QColor("#5F656D")
    for role in (QPalette.ColorRole.Text, QPalette.ColorRole.WindowText, QPalette.ColorRole.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, faint)
    return palette


STYLE = f"""
* {{ outline: none; }}
QMainWindow, QWidget#root {{ background: {WINDOW}; }}
QLabel {{ background: transparent; color: {TEXT}; }}
QLabel#title {{ color: {SECONDARY}; font-size: {SMALL_PX}px; font-weight: 600; letter-spacing: 1.4px; }}
QLabel#secondary {{ color: {SECONDARY}; font-size: {SMALL_PX}px; }}
QFrame#panel {{ background: {PANEL}; border: 1px solid #1F2226; border-radius: {RADIUS}px; }}
QFrame#strip {{ background: {PANEL}; border: none; }}

QToolTip {{ background: {CONTROL}; color: {TEXT}; border: 1px solid {HAIRLINE}; padding: 6px 8px; }}

QPushButton {{ background: {CONTROL}; color: {TEXT}; border: 1px solid {HAIRLINE}; border-radius: 6px;
    padding: 0 14px; min-height: 34px; font-size: {BASE_PX}px; }}
QPushButton:hover {{ background: {RAISED}; }}
QPushButton:pressed {{ background: {HAIRLINE}; }}
QPushButton:focus {{ border-color: #566070; }}
QPushButton:disabled {{ color: #5F656D; }}
QPushButton#primary {{ background: #E9E0CD; color: #17191C; border: none; font-weight: 600; }}
QPushButton#primary:hover {{ background: {LIVE}; }}
QPushButton#primary:disabled {{ background: {CONTROL}; color: #767C85; border: 1px solid {HAIRLINE}; }}
QPushButton#quiet {{ background: transparent; border: none; color: {SECONDARY}; padding: 0 8px;
    min-height: 24px; }}
QPushButton#quiet:hover {{ color: {TEXT}; background: {CONTROL}; }}
QPushButton#tool {{ padding: 0 4px; min-height: 26px; font-size: {SMALL_PX}px; }}
QPushButton#tab {{ background: transparent; border: 1px solid transparent; color: {SECONDARY};
    padding: 2px 0; min-height: 24px; font-size: 12px; }}
QPushButton#tab:hover {{ color: {TEXT}; background: {CONTROL}; }}
QPushButton#tab:checked {{ color: {LIVE}; background: {PANEL}; border-color: {HAIRLINE}; }}

QLineEdit, QPlainTextEdit, QSpinBox {{ background: #1D2024; color: {TEXT}; border: 1px solid {HAIRLINE};
    border-radius: 6px; padding: 6px 10px; selection-background-color: #3A4E6E; selection-color: {LIVE}; }}
QLineEdit:focus, QPlainTextEdit:focus, QSpinBox:focus {{ border-color: #6C7787; background: #202429; }}
QSpinBox {{ min-height: 22px; padding: 5px 8px; }}
QSpinBox QLineEdit {{ background: transparent; border: none; padding: 0; }}
QSpinBox::up-button, QSpinBox::down-button {{ width: 0; border: none; }}

QMenu {{ background: #1D2024; color: {TEXT}; border: 1px solid {HAIRLINE}; padding: 6px; }}
QMenu::item {{ padding: 8px 24px 8px 12px; border-radius: 4px; }}
QMenu::item:selected {{ background: #30353C; color: {LIVE}; }}
QMenu::item:disabled {{ color: {SECONDARY}; background: transparent; }}
QMenu::separator {{ height: 1px; background: {HAIRLINE}; margin: 6px 8px; }}
QMenu::icon {{ padding-left: 8px; }}

QScrollBar:vertical {{ background: transparent; width: 10px; margin: 2px; }}
QScrollBar::handle:vertical {{ background: {HAIRLINE}; border-radius: 3px; min-height: 24px; }}
QScrollBar:horizontal {{ background: transparent; height: 10px; margin: 2px; }}
QScrollBar::handle:horizontal {{ background: {HAIRLINE}; border-radius: 3px; min-width: 24px; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
"""

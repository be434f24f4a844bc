"""Whether a window can open here at all. Knows no Qt: Qt itself would end the process without a word."""

from collections.abc import Mapping

from engine.core.errors import CuelightError


def display_problem(environment: Mapping[str, str], platform: str) -> CuelightError | None:
    """Why no window can open on this `platform` (sys.platform's word), or None when one can."""
    if not platform.startswith("linux"):
        return None
    if any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")):
        return None
    return CuelightError(
        "there is no display to open the window on",
        "start it on a desktop, set DISPLAY, or work without a window: cuelight render --help",
    )

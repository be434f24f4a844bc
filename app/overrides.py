"""What the performer did to the audience's picture himself: no fault of the engine, and said before any."""

from collections.abc import Callable
from dataclasses import dataclass

from app import theme
from engine.core.parameters import Value, row

DIM = "output.dim"
DARK = 0.05  # dimmed below this, an audience sees black


@dataclass(frozen=True)
class Override:
    """One doing: its `word` and `ink` in the status strip, and the `veil` over the program's preview."""

    word: str
    ink: str
    veil: str = ""


_SWITCHES = {
    "output.freeze": Override("frozen", theme.AMBER, "FROZEN"),
    "output.clean_camera": Override("clean camera", theme.AMBER),
}


def override(get: Callable[[str], Value]) -> Override | None:
    """What stands over the generated picture now, the strongest first; None for nothing."""
    if get("output.blackout") is True:
        return Override("BLACKOUT", theme.RED, "BLACKOUT")
    if is_dark(get(DIM)):
        word = f"DIM {float(get(DIM)):.0%}"
        return Override(word, theme.RED, word)
    return next((shown for key, shown in _SWITCHES.items() if get(key) is True), None)


def is_dark(dim: Value) -> bool:
    """Whether a value of output.dim leaves nothing to be seen."""
    return float(dim) < DARK


def panic(get: Callable[[str], Value]) -> dict[str, object]:
    """The values with which the audience sees the camera, whatever was before."""
    values: dict[str, object] = {
        "output.clean_camera": True,
        "output.blackout": False,
        "output.freeze": False,
    }
    return values | ({DIM: row(DIM).default} if is_dark(get(DIM)) else {})

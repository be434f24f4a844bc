"""The table's rows in words: values, tooltips and what the latency badges mean."""

from collections.abc import Mapping

from engine.core.parameters import Parameter, Value

# effect: letter, meaning
BADGES: Mapping[str, tuple[str, str]] = {
    "frame": ("N", "now, at the next output frame"),
    "step": ("S", "at the next denoising step"),
    "chunk": ("C", "at the next chunk"),
    "reload": ("R", "after a reload; the picture is held meanwhile"),
}


def value_text(row: Parameter, value: Value) -> str:
    """A value as the performer reads it."""
    if row.kind == "float":
        return f"{float(value):.2f}{' ' + row.unit if row.unit else ''}"
    if row.kind == "int":
        if row.zero and value == 0:
            return row.zero
        return f"{int(value)}{' ' + row.unit if row.unit else ''}"
    if row.kind == "bool":
        return "on" if value else "off"
    return str(value)


def tooltip(row: Parameter) -> str:
    """What a row does, when it is heard, and how it is reached from outside."""
    letter, meaning = BADGES[row.effect]
    return f"{row.help}\n{letter}: heard {meaning}\nOSC {row.osc_address}\nRight-click to map it"

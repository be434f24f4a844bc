"""Mapping files: the bindings of a controller in a TOML file a person can read, edit and share.

A file holds only what differs from the defaults. Keys and parameters this version does not know
survive a round trip. A file that is not what it says is refused whole, naming the file and the field.
"""

import datetime
import json
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar

from controllers.binding import BUTTONS, ENCODINGS, TYPES, Binding, End, refused
from controllers.curves import CURVES
from controllers.takeover import MODES
from engine.core.errors import ControllerError
from engine.core.paths import config_dir, presets_dir, write_atomic

FORMAT = "cuelight-mapping"
FORMAT_VERSION = 1
MAX_BYTES = 256 * 1024
MAX_BINDINGS = 1000
_LONGEST = 2000
_HEADER = ("format", "format_version", "name", "binding")

_T = TypeVar("_T", bound=str)


@dataclass(frozen=True)
class ControlMapping:
    """What a mapping file says. `extra` holds top-level keys of a newer version, kept for the file."""

    name: str = ""
    bindings: tuple[Binding, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Parameters the bindings name and this version does not have, for the operator to see."""
        return tuple(sorted({binding.key for binding in self.bindings if not binding.known}))


def generic_path() -> Path:
    """The bundled mapping for a controller nobody has mapped yet."""
    return presets_dir() / "mappings" / "generic.toml"


def user_path() -> Path:
    """The user's own mapping: load it when it is there, the bundled one when not; save to it."""
    return config_dir() / "mappings" / "mapping.toml"


def load_mapping(path: Path) -> ControlMapping:
    """Read a mapping file. Raises ControllerError naming the file, and the field where one is bad."""
    document = _document(path)
    tables = document.get("binding", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ControllerError(f"{path}: binding is not a list of tables", "start each one with [[binding]]")
    if len(tables) > MAX_BINDINGS:
        raise ControllerError(f"{path}: {len(tables)} bindings", f"at most {MAX_BINDINGS} are read")
    bindings = []
    for index, table in enumerate(tables, start=1):
        try:
            bindings.append(parse_binding(table))
        except ControllerError as error:
            raise ControllerError(f"{path}: binding {index}: {error.what}", error.fix) from error
    try:
        name = _text(document, "name", "")
    except ControllerError as error:
        raise ControllerError(f"{path}: {error.what}", error.fix) from error
    extra = {key: value for key, value in document.items() if key not in _HEADER}
    return ControlMapping(name, tuple(bindings), extra)


def save_mapping(path: Path, mapping: ControlMapping) -> None:
    """Write a mapping file, whole or not at all. Raises ControllerError when it cannot be written."""
    try:
        data = format_mapping(mapping).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ControllerError(f"{path}: a text holds a broken character", "type the text again") from error
    if len(data) > MAX_BYTES:
        raise ControllerError(f"{path} would be larger than {MAX_BYTES // 1024} KiB", "remove bindings")
    try:
        write_atomic(path, data)
    except OSError as error:
        raise ControllerError(
            f"cannot write {path}: {error.strerror}", "check the folder and the free space"
        ) from error


def format_mapping(mapping: ControlMapping) -> str:
    """The text of a mapping file."""
    header = {"format": FORMAT, "format_version": FORMAT_VERSION, "name": mapping.name, **mapping.extra}
    lines = [f"{_key(key)} = {_literal(value)}" for key, value in header.items()]
    for binding in mapping.bindings:
        lines += ["", "[[binding]]"]
        lines += [f"{_key(key)} = {_literal(value)}" for key, value in _differing(binding).items()]
    return "\n".join(lines) + "\n"


def parse_binding(table: Mapping[str, object]) -> Binding:
    """A binding from a file's values. Raises ControllerError naming the field that is bad."""
    known = {entry.name for entry in fields(Binding)} - {"extra"}
    return Binding(
        key=_text(table, "key", None),
        type=_one_of(table, "type", TYPES, None),
        number=_whole(table, "number", 0),
        channel=0 if table.get("channel") == "any" else _whole(table, "channel", 0),
        device="" if table.get("device") == "any" else _text(table, "device", ""),
        min=_end(table, "min"),
        max=_end(table, "max"),
        invert=_flag(table, "invert", False),
        curve=_one_of(table, "curve", CURVES, "linear"),
        takeover=_one_of(table, "takeover", MODES, "pickup"),
        button=_one_of(table, "button", BUTTONS, "toggle"),
        threshold=_whole(table, "threshold", 64),
        encoding=_one_of(table, "encoding", ENCODINGS, "twos"),
        enabled=_flag(table, "enabled", True),
        extra={key: value for key, value in table.items() if key not in known},
    )


def _document(path: Path) -> dict[str, object]:
    try:
        # A pipe or a device would never end: only a plain file is opened.
        if os.path.exists(path) and not os.path.isfile(path):
            raise ControllerError(f"{path} is not a file", "choose a mapping file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ControllerError(f"cannot read {path}: {error.strerror}", "choose another file") from error
    if len(data) > MAX_BYTES:
        raise ControllerError(
            f"{path} is larger than {MAX_BYTES // 1024} KiB", "this is not a mapping; choose another file"
        )
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # bad UTF-8, bad TOML, absurd numbers or nesting
        raise ControllerError(
            f"{path} is not readable as TOML: {error}", "correct the line it names"
        ) from error
    version = document.get("format_version")
    if document.get("format") != FORMAT or not isinstance(version, int):
        raise ControllerError(f"{path} is not a mapping", f'its first line must be format = "{FORMAT}"')
    if version > FORMAT_VERSION:
        raise ControllerError(
            f"{path}: format_version {version} is newer than this program", "update Cuelight"
        )
    return document


def _differing(binding: Binding) -> dict[str, object]:
    """The fields that say something: key, type, number, and what differs from the defaults."""
    values: dict[str, object] = {"key": binding.key, "type": binding.type, "number": binding.number}
    for entry in fields(Binding):
        value = getattr(binding, entry.name)  # a field of our own dataclass, by the name it declares
        if entry.name not in values and entry.name != "extra" and value != entry.default:
            values[entry.name] = value
    return values | dict(binding.extra)


def _present(table: Mapping[str, object], name: str, default: object) -> object:
    if name not in table and default is None:
        raise ControllerError(f"{name} is missing", f"add {name} = ...")
    return table.get(name, default)


def _text(table: Mapping[str, object], name: str, default: str | None) -> str:
    value = _present(table, name, default)
    if not isinstance(value, str) or len(value) > _LONGEST or "\0" in value:
        raise refused(name, value, f"a text of at most {_LONGEST} characters")
    return value


def _whole(table: Mapping[str, object], name: str, default: int) -> int:
    value = table.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise refused(name, value, "a whole number")
    return value


def _flag(table: Mapping[str, object], name: str, default: bool) -> bool:
    value = table.get(name, default)
    if not isinstance(value, bool):
        raise refused(name, value, "true or false")
    return value


def _one_of(table: Mapping[str, object], name: str, allowed: tuple[_T, ...], default: _T | None) -> _T:
    value = _present(table, name, default)
    for choice in allowed:
        if choice == value:
            return choice
    raise refused(name, value, "one of " + ", ".join(allowed))


def _end(table: Mapping[str, object], name: str) -> End:
    value = table.get(name)
    if isinstance(value, str):
        return _text(table, name, None)
    if value is None or (isinstance(value, bool | int | float) and abs(value) < 1e300):  # NaN fails too
        return value
    raise refused(name, value, "a number or a text")


def _key(name: str) -> str:
    bare = name.replace("_", "").replace("-", "")
    return name if bare.isascii() and bare.isalnum() else _literal(name)


def _literal(value: object) -> str:
    """`value` as TOML: everything a TOML file can hold, so that unknown keys come back as they were."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's, except that TOML wants DEL escaped too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_literal(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_literal(inner) for inner in value) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return repr(value)

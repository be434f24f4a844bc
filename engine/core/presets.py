"""Looks: named values in a TOML file a person can read, edit and share.

A file holds only what differs from the defaults, one table per group, under a header with format
and version. Keys this version does not know survive a round trip.
"""

import json
import logging
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.core.errors import ParameterError, PresetError
from engine.core.parameters import TABLE, Value
from engine.core.paths import config_dir, presets_dir, write_atomic
from engine.core.store import Store

FORMAT = "cuelight-look"
FORMAT_VERSION = 1
MAX_BYTES = 256 * 1024

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """What a look file says: checked `values` by key, and `unknown` keys kept for later versions."""

    values: dict[str, Value]
    unknown: dict[str, Value] = field(default_factory=dict)


def load_look(path: Path) -> dict[str, Value]:
    """The values of a look file, ready for `Store.set_many`; unknown keys are logged.

    Raises PresetError when the file is missing, too large, not a look, or holds a bad value.
    """
    look = read_look(path)
    if look.unknown:
        _log.warning("%s: unknown keys left alone: %s", path, ", ".join(sorted(look.unknown)))
    return look.values


def read_look(path: Path) -> Look:
    """Everything in a look file. Raises PresetError as `load_look` does."""
    document = _parse(path)
    flat: dict[str, Value] = {}
    for name, table in document.items():
        if name in ("format", "format_version"):
            continue
        if not isinstance(table, dict):
            raise PresetError(f"{path}: {name!r} stands outside a table", "put values under a [group] line")
        flat.update(_flat(path, name, table))
    return Look(_checked(path, flat), {key: value for key, value in flat.items() if key not in TABLE})


def save_look(
    path: Path,
    store: Store,
    keys: Iterable[str] | None = None,
    unknown: Mapping[str, Value] | None = None,
) -> None:
    """Write what differs from the defaults (of `keys`, when given), and the `unknown` keys of an older file.

    The file appears whole or not at all. Raises PresetError when it cannot be written.
    """
    wanted = set(TABLE if keys is None else keys)
    values = {
        key: value
        for key, value in store.snapshot().values.items()
        if key in wanted and key in TABLE and value != TABLE[key].default
    }
    data = _document(values | dict(unknown or {})).encode("utf-8")
    if len(data) > MAX_BYTES:
        raise PresetError(f"{path} would be larger than {MAX_BYTES // 1024} KiB", "shorten its texts")
    try:
        write_atomic(path, data)
    except OSError as error:
        raise PresetError(
            f"cannot write {path}: {error.strerror}", "check the folder and the free space"
        ) from error


def list_looks(*folders: Path) -> list[Path]:
    """The look files of `folders` (the bundled and the user's when none is given), by name."""
    found = folders or (presets_dir() / "looks", config_dir() / "looks")
    return sorted(
        (path for folder in found for path in folder.glob("*.toml")), key=lambda path: path.stem.lower()
    )


def _parse(path: Path) -> dict[str, object]:
    # A pipe or a device would never end.
    if os.path.exists(path) and not os.path.isfile(path):
        raise PresetError(f"cannot read {path}: it is not a file", "choose a look file")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PresetError(f"cannot read {path}: {error.strerror}", "choose another file") from error
    if len(data) > MAX_BYTES:
        raise PresetError(
            f"{path} is larger than {MAX_BYTES // 1024} KiB", "this is not a look; choose another file"
        )
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # bad UTF-8, bad TOML, or a number of thousands of digits
        raise PresetError(f"{path} is not readable as TOML: {error}", "correct the line it names") from error
    version = document.get("format_version")
    if document.get("format") != FORMAT or not isinstance(version, int):
        raise PresetError(f"{path} is not a look", f'its first line must be format = "{FORMAT}"')
    if version > FORMAT_VERSION:
        raise PresetError(f"{path} was written by a newer version (format {version})", "update Cuelight")
    return document


def _flat(path: Path, name: str, table: Mapping[str, object]) -> dict[str, Value]:
    """The values of a table by their whole keys; `[lora.1]` is a table inside `[lora]`."""
    flat: dict[str, Value] = {}
    for key, value in table.items():
        whole = f"{name}.{key}"
        if isinstance(value, dict):
            flat.update(_flat(path, whole, value))
        elif isinstance(value, str | bool | int | float):
            flat[whole] = value
        else:
            raise PresetError(f"{path}: {whole} is not a plain value", "use a number, text or true/false")
    return flat


def _checked(path: Path, flat: Mapping[str, Value]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    problems = []
    for key, value in flat.items():
        if key not in TABLE:
            continue
        try:
            values[key] = TABLE[key].check(value)
        except ParameterError as error:
            problems.append(str(error))
    if problems:
        raise PresetError(f"{path}: " + "; ".join(problems), "correct these values in the file")
    return values


def _document(values: Mapping[str, Value]) -> str:
    lines = [f'format = "{FORMAT}"', f"format_version = {FORMAT_VERSION}"]
    groups: dict[str, list[str]] = {}
    for key in sorted(values):
        *group, name = key.split(".")
        table = ".".join(map(_quoted, group))
        groups.setdefault(table, []).append(f"{_quoted(name)} = {_literal(values[key])}")
    for table, entries in groups.items():
        lines += ["", f"[{table}]", *entries]
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    bare = name.replace("_", "").replace("-", "")
    return name if bare.isascii() and bare.isalnum() else _literal(name)


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's, except that TOML wants DEL escaped too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)

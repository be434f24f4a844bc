"""Live values on the command line: a look, a few short names, and `--set key=value` for all others."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from engine.cli.files import models_folder_argument
from engine.core.errors import CuelightError, PresetError
from engine.core.parameters import TABLE, Value, row

_SHORT_NAMES = {
    "--annotator": "annotator.name",
    "--prompt": "prompt.text",
    "--seed": "engine.seed",
    "--pipeline": "engine.pipeline",
}


def generation_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that are short names of rows of the table; their defaults are the rows' own."""
    for option, key in _SHORT_NAMES.items():
        about = f"{TABLE[key].help} [{TABLE[key].allowed}]".replace("%", "%%")
        parser.add_argument(option, dest=key, metavar=option.strip("-").upper(), help=about)
    parser.add_argument("--look", metavar="NAME", help="a look of presets/looks, or a look file")
    parser.add_argument(
        "--set", action="append", default=[], dest="settings", metavar="KEY=VALUE",
        help="any other parameter; `cuelight parameters` lists them",
    )  # fmt: skip
    models_folder_argument(parser)


def given_values(options: argparse.Namespace) -> dict[str, Value]:
    """The values the command line gives: the look first, then the short names, then every --set."""
    given = vars(options)
    short = {key: TABLE[key].parse(given[key]) for key in _SHORT_NAMES.values() if given[key] is not None}
    return _look(options.look) | short | parse_settings(options.settings)


def parse_settings(pairs: Sequence[str]) -> dict[str, Value]:
    """`key=value` words as checked values. Raises ParameterError naming the closest keys."""
    values: dict[str, Value] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise CuelightError(f"--set {pair} has no value", "write --set key=value")
        values[key.strip()] = row(key.strip()).parse(text)
    return values


def _look(name: str | None) -> dict[str, Value]:
    """The values of the look `name` that a rendered file has a use for; {} without a name."""
    if name is None:
        return {}
    from engine.core.presets import list_looks, load_look
    from engine.render import USED_KEYS

    looks = {path.stem.lower(): path for path in list_looks()}
    path = looks.get(name.lower(), Path(name))
    if not path.is_file():
        known = ", ".join(path.stem for path in looks.values())
        raise PresetError(f"there is no look {name!r}", f"choose one of {known}, or name a look file")
    return {key: value for key, value in load_look(path).items() if key in USED_KEYS}

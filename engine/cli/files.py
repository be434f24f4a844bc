"""Files that commands take and make: the folder of the models, and the numbers as JSON."""

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.core.errors import CuelightError
from engine.core.paths import write_atomic


def models_folder_argument(parser: argparse.ArgumentParser) -> None:
    """Declare `--models DIR`."""
    parser.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        help="folder of the model files (else CUELIGHT_MODELS or the user's)",
    )


@contextmanager
def models_folder(folder: Path | None) -> Iterator[None]:
    """While a command runs, model files are looked for in `folder`, and nowhere else."""
    if folder is None:
        yield
        return
    before = os.environ.get("CUELIGHT_MODELS")
    os.environ["CUELIGHT_MODELS"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["CUELIGHT_MODELS"]
        else:
            os.environ["CUELIGHT_MODELS"] = before


def check_json(path: Path) -> None:
    """Refuse a place that cannot be written before the long work, not after it."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise CuelightError(f"cannot write {path}", "name a file in a folder that exists")


def write_json(path: Path, document: object) -> None:
    """Write the numbers of a command to `path`, whole or not at all."""
    try:
        write_atomic(path, (json.dumps(document, indent=2) + "\n").encode())
    except OSError as error:
        raise CuelightError(f"cannot write {path}: {error.strerror}", "check folder and disk") from error

"""Licences of model files: shown in full before the first file of a repository, accepted once, recorded.

The record is a JSON file in the settings folder. It names the text that was shown by a digest, so that a
licence whose text has changed is shown again.
"""

import datetime
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.core.errors import WeightsError
from engine.core.paths import config_dir, write_atomic
from engine.model.registry import Licence, ModelFile

FILE_NAME = "accepted-licences.json"


@dataclass(frozen=True)
class Accepted:
    """One line of the record: whose files, which licence, which text of it (`text_id`), and the day."""

    repository: str
    licence: str
    text_id: str
    date: str


def accept(
    files: Iterable[ModelFile],
    *,
    ask: Callable[[str], str],
    tell: Callable[[str], None],
    agreed: bool = False,
    today: datetime.date | None = None,
) -> None:
    """Show the licences of `files` that are not accepted yet and ask for a typed `yes`; record the answer.

    `agreed` stands for the `yes` (the licences are shown all the same). Raises WeightsError when the answer
    is another one, or when there is nobody to ask.
    """
    known = {(line.repository, line.licence, line.text_id) for line in record()}
    new = {
        (file.repository, file.licence.id, text_id(file.licence)): file
        for file in files
        if (file.repository, file.licence.id, text_id(file.licence)) not in known
    }
    if not new:
        return
    for file in new.values():
        tell(f"{file.repository}: {file.licence.name}")
        tell(f"    {file.licence.text}")
        tell(f"    {file.licence.url}   card: {file.card}")
    if not agreed and _answer(ask) != "yes":
        raise WeightsError("The licences were not accepted; nothing was done.", "Type yes, or use --accept.")
    date = (today or datetime.date.today()).isoformat()
    lines = [*record(), *(Accepted(*key, date) for key in new)]
    document = json.dumps([asdict(line) for line in lines], indent=2) + "\n"
    try:
        write_atomic(record_file(), document.encode())
    except OSError as error:
        raise WeightsError(
            f"{record_file()} cannot be written: {error.strerror}.", "Check the folder."
        ) from error


def record() -> list[Accepted]:
    """What was accepted so far; a record that cannot be read counts as empty, so that one is asked again."""
    try:
        lines = json.loads(record_file().read_text(encoding="utf-8"))
        return [Accepted(**line) for line in lines]
    except (OSError, ValueError, TypeError):
        return []


def record_file() -> Path:
    """Where acceptances are recorded."""
    return config_dir() / FILE_NAME


def text_id(licence: Licence) -> str:
    """Names the text that is shown: the licence's id and a digest of its name, address and text."""
    shown = "\n".join((licence.name, licence.url, licence.text))
    return f"{licence.id}-{hashlib.sha256(shown.encode()).hexdigest()[:12]}"


def _answer(ask: Callable[[str], str]) -> str:
    try:
        return ask("Type yes to accept these licences: ").strip().lower()
    except EOFError:
        return ""

"""LoRAs: reads the files that the slots name, beside the show. Thread "loras".

The engine goes on with what it has until a file is read, and takes it at a chunk boundary; reading never
stops a picture. A file that cannot be used leaves its slot empty and the operator the reason.
"""

from dataclasses import dataclass
from pathlib import Path

from engine.core.channels import Latest
from engine.core.errors import CuelightError
from engine.core.parameters import LORA_SLOTS
from engine.core.paths import models_dir, named_file
from engine.core.store import Snapshot, Store
from engine.model.lora_file import Lora
from engine.session import Session, SessionClosed

FOLDER = "loras"


@dataclass(frozen=True, eq=False)
class Adapters:
    """What the slots hold for `session`, from the first on; None is an empty slot."""

    session: Session
    loras: tuple[Lora | None, ...]


def lora_path(named: str) -> Path:
    """The file that a slot names: a path, or the name of a file in the folder `loras` of the models.

    Raises CuelightError for a name that leads out of that folder.
    """
    return named_file(models_dir() / FOLDER, named)


def names_of(snapshot: Snapshot) -> tuple[str, ...]:
    """The files that the slots name, from the first on; empty texts are empty slots."""
    return tuple(snapshot.text(f"lora.{slot}.file").strip() for slot in range(1, LORA_SLOTS + 1))


class LoraStage:
    """Waits for a session in `wishes` (put again whenever a slot was changed) and answers in `adapters`."""

    def __init__(self, store: Store, wishes: Latest[Session], adapters: Latest[Adapters]) -> None:
        self.notes: tuple[str, ...] = ("",) * LORA_SLOTS
        """What is wrong with each slot, or worth knowing; empty where nothing is."""
        self._store = store
        self._wishes = wishes
        self._adapters = adapters
        self._session: Session | None = None
        self._read: dict[str, tuple[Lora | None, str]] = {}

    def tick(self) -> None:
        """Read what the slots name now and was not read for this session yet; waits until it is asked to."""
        session = self._wishes.get()
        if session is None:
            return
        if session is not self._session:
            self._session = session
            self._read.clear()
        named = names_of(self._store.snapshot())
        try:
            self._read = {name: self._read.get(name) or self._open(session, name) for name in named if name}
        except SessionClosed:
            return  # the next session asks for itself
        slots = [self._read[name] if name else (None, "") for name in named]
        self.notes = tuple(note for _, note in slots)
        self._adapters.put(Adapters(session, tuple(lora for lora, _ in slots)))

    def _open(self, session: Session, name: str) -> tuple[Lora | None, str]:
        try:
            lora = session.read_lora(lora_path(name))
        except SessionClosed:
            raise
        except CuelightError as error:
            return None, str(error)
        unused = len(lora.unknown)
        return lora, f"{unused} keys of it name nothing in this model: {lora.unknown[0]} …" if unused else ""

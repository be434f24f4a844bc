"""Fetching model files, one at a time: free space first, resumed after an interruption, checked before use.

A file is fetched into `<models>/.downloads`, checked there, and only then moved to its place, so that nothing
half-written ever counts as present. Nothing is fetched unless `download` is called. The only module that
knows huggingface_hub, and it imports it when a file is asked for.
"""

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from engine.core.errors import WeightsError
from engine.model.registry import ModelFile

STAGING = ".downloads"
SPARE = 2**30  # bytes that must stay free on the disk: a full one breaks recordings and settings
_BLOCK = 2**22


@dataclass(frozen=True)
class Remote:
    """What a hub says of a file. `checksum`: 64 hex digits (sha256), 40 (git blob) or "" when it has none."""

    bytes: int
    checksum: str


class Hub(Protocol):
    """Where files come from. Both methods raise WeightsError saying what to do instead."""

    def facts(self, file: ModelFile) -> Remote:
        """Size and checksum, without fetching the file."""
        ...

    def fetch(self, file: ModelFile, part: Path, size: int) -> None:
        """Fetch the file's `size` bytes into `part`, going on after those an interrupted fetch has left."""
        ...


def download(
    files: Sequence[ModelFile],
    models: Path,
    hub: Hub,
    *,
    free: Callable[[Path], int] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Fetch those of `files` that are not in place below `models`; returns where they lie now.

    Sizes are asked for first, and nothing is fetched when the disk cannot hold all of them (`free` gives the
    bytes left at a path). Raises WeightsError: no connection, disk too small, wrong size, wrong checksum.
    """
    wanted = [file for file in dict.fromkeys(files) if not file.is_present(models)]
    for file in wanted:
        _refuse_unfetchable(file, models)
    facts = [(file, _agreed(file, hub.facts(file))) for file in wanted]
    _check_space(facts, models, free or free_bytes)
    placed = []
    for file, remote in facts:
        tell(f"{file.path} ({in_words(remote.bytes)}) from {file.repository}")
        placed.append(_place(file, remote, models, hub))
    return placed


def _place(file: ModelFile, remote: Remote, models: Path, hub: Hub) -> Path:
    part = _part(file, remote, models)
    target = file.local(models)
    with _disk_errors(target):
        part.parent.mkdir(parents=True, exist_ok=True)
        for other in part.parent.iterdir():
            if other != part:  # the beginning of what was published there before
                other.unlink()
        hub.fetch(file, part, remote.bytes)
        problem = wrong(part, remote.bytes, remote.checksum)
        if problem:
            part.unlink()
            raise WeightsError(
                f"{file.path} of {file.repository} is not the file expected ({problem}); it was removed.",
                "Try again; if it stays so, it was changed where it is published: look for a new Cuelight.",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, target)
        for folder in (part.parent, part.parent.parent):
            with contextlib.suppress(OSError):  # not empty: the beginning of another download
                folder.rmdir()
    return target


def _part(file: ModelFile, remote: Remote, models: Path) -> Path:
    """Where the bytes that have arrived are kept, named by what they are the beginning of."""
    return models / STAGING / file.id / f"{remote.checksum[:16] or remote.bytes}.part"


def wrong(path: Path, size: int, checksum: str) -> str:
    """What is wrong with the file at `path`, or "". Reads it once; size 0 and checksum "" are not checked."""
    found = path.stat().st_size
    if size and found != size:
        return f"{found} bytes instead of {size}"
    if checksum and digest(path, git=len(checksum) == 40) != checksum:
        return "its checksum differs"
    return ""


def digest(path: Path, git: bool = False) -> str:
    """The sha256 of a file in hex; with `git` the sha1 that git gives its content (small files of a hub)."""
    if git:
        total = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    else:
        total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            total.update(block)
    return total.hexdigest()


def free_bytes(path: Path) -> int:
    """Bytes left on the disk that `path` is or will be on."""
    there = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.is_dir())
    return shutil.disk_usage(there).free


def check_space(needed: int, folder: Path, free: int) -> None:
    """WeightsError when `needed` bytes and the spare do not fit into `free` bytes."""
    if needed + SPARE > free:
        usable = in_words(max(0, free - SPARE))
        raise WeightsError(
            f"{in_words(needed)} are needed in {folder}, and {usable} are free there.",
            "Make room, or set CUELIGHT_MODELS to a folder on a larger disk.",
        )


def in_words(count: int) -> str:
    """Bytes as people read them: 5.68 GB, 45.3 MB, 250 bytes."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


def by_hand(file: ModelFile, models: Path) -> str:
    """How to bring a file here without a connection."""
    source = file.url or f"https://huggingface.co/{file.repository}/resolve/{file.revision}/{file.path}"
    return (
        f"Fetch {source} on another computer and put it at {file.local(models)}, "
        "or copy a folder that holds it and use: cuelight models import FOLDER."
    )


class HuggingFaceHub:
    """huggingface.co through its own client; HF_ENDPOINT and HF_TOKEN are honoured.

    `endpoint` names another server. With `mirror` files come from the mirrors of the models file.
    """

    def __init__(self, models: Path, *, endpoint: str | None = None, mirror: bool = False) -> None:
        self._models = models
        self._endpoint = endpoint
        self._mirror = mirror

    def facts(self, file: ModelFile) -> Remote:
        """Size and checksum as the server states them."""
        from huggingface_hub import get_hf_file_metadata

        with self._explained(file):
            metadata = get_hf_file_metadata(self._url(file), endpoint=self._endpoint)
        etag = (metadata.etag or "").lower()
        return Remote(metadata.size or 0, etag if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", etag) else "")

    def fetch(self, file: ModelFile, part: Path, size: int) -> None:
        """Fetch over HTTP from where `part` ends; the client shows its progress bar on a terminal.

        Not through hf_hub_download, which throws away what has arrived when it is interrupted.
        """
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # not marked exported

        headers = build_hf_headers()  # the token stays with the hub: HTTP clients drop it on other hosts
        headers["Accept-Encoding"] = "identity"  # byte ranges of the file, not of a compressed answer
        with self._explained(file), part.open("r+b" if part.exists() else "w+b") as kept:
            arrived = kept.seek(0, os.SEEK_END)
            if size and arrived > size:
                arrived = kept.seek(0)
                kept.truncate()
            http_get(
                self._url(file), kept, resume_size=arrived, headers=headers, expected_size=size or None,
                displayed_filename=file.name,
            )  # fmt: skip

    def _url(self, file: ModelFile) -> str:
        from huggingface_hub import hf_hub_url

        repository, revision = self._source(file)
        return hf_hub_url(repository, file.path, revision=revision, endpoint=self._endpoint)

    def _source(self, file: ModelFile) -> tuple[str, str]:
        """Repository and revision; a mirror has commits of its own, so its newest state is taken."""
        return (file.mirror, "main") if self._mirror and file.mirror else (file.repository, file.revision)

    @contextlib.contextmanager
    def _explained(self, file: ModelFile) -> Iterator[None]:
        """Say in our words what the client's errors mean."""
        from huggingface_hub import errors

        gone = (errors.EntryNotFoundError, errors.RepositoryNotFoundError, errors.RevisionNotFoundError)
        no_connection = (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError)
        # The client's HTTP library is httpx or httpx2, as its version has it.
        network = cast("type[Exception]", errors.HfHubHTTPError.__bases__[0])
        try:
            yield
        except errors.GatedRepoError as error:
            raise WeightsError(
                f"{file.repository} gives its files only to people who are logged in and have agreed there.",
                f"Agree on {file.card}, then set HF_TOKEN to your token.",
            ) from error
        except no_connection as error:
            raise self._unreachable(file) from error
        except gone as error:
            mirror = "Use --mirror" if file.mirror and not self._mirror else "Look for a new Cuelight"
            raise WeightsError(
                f"{file.path} is not published at {self._source(file)[0]} any more.",
                f"{mirror}. {by_hand(file, self._models)}",
            ) from error
        except network as error:
            raise self._unreachable(file) from error
        except OSError as error:
            if error.errno is not None:  # the disk, not the transfer
                raise
            raise self._unreachable(file) from error

    def _unreachable(self, file: ModelFile) -> WeightsError:
        return WeightsError(
            f"{file.path} could not be fetched: no connection to the server, or it broke off.",
            f"Connect and try again (what has arrived is kept). {by_hand(file, self._models)}",
        )


def _refuse_unfetchable(file: ModelFile, models: Path) -> None:
    if file.url:
        raise WeightsError(f"{file.path} is not on the hub.", by_hand(file, models))


def _agreed(file: ModelFile, remote: Remote) -> Remote:
    """The published facts, ours before the server's; a server that contradicts ours has another file."""
    size = file.bytes or remote.bytes
    if remote.bytes and remote.bytes != size:
        raise WeightsError(
            f"{file.path} at {file.repository} has {remote.bytes} bytes, and {size} are expected.",
            "The file was changed where it is published: look for a new Cuelight.",
        )
    return Remote(size, file.sha256 or remote.checksum)


def _check_space(
    facts: Sequence[tuple[ModelFile, Remote]], models: Path, free: Callable[[Path], int]
) -> None:
    needed = sum(
        (remote.bytes or file.about) - _arrived(_part(file, remote, models)) for file, remote in facts
    )
    if needed > 0:
        check_space(needed, models, free(models))


def _arrived(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


@contextlib.contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WeightsError(
            f"{target} cannot be written: {error.strerror or error}.", "Check the folder and the disk."
        ) from error

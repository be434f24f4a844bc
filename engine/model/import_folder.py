"""Taking model files out of a folder that someone copied, in whatever layout it has.

A file is known by its name and size, and where its checksum is published by that. Files without either must
lie in a folder named as their repository when their name says nothing (`config.json`, `lora.pt`). Nothing
outside the folder is touched: symbolic links that lead out of it are not followed.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.core.errors import WeightsError
from engine.model.download import STAGING, check_space, digest, free_bytes, in_words
from engine.model.registry import ModelFile

GENERIC_NAMES = ("config.json", "model.pt", "base.pt", "lora.pt")
MOST_ENTRIES = 200_000  # a folder with more is not a folder of models but, say, a home folder
_BLOCK = 2**22


@dataclass(frozen=True)
class Found:
    """A model file and where it lies in the copied folder."""

    file: ModelFile
    source: Path


def find(folder: Path, files: Iterable[ModelFile]) -> tuple[list[Found], list[str]]:
    """The files that `folder` holds, best match each, and a line for each look-alike that was not taken.

    Raises WeightsError when `folder` is not one or has too many entries.
    """
    if not folder.is_dir():
        raise WeightsError(f"{folder} is not a folder.", "Name the folder that holds the copied files.")
    files = list(files)
    by_name: dict[str, list[Path]] = {file.name: [] for file in files}
    for path in _entries(folder):
        if path.name in by_name:
            by_name[path.name].append(path)
    found, refused = [], []
    for file in files:
        reasons = []
        for path in sorted(by_name[file.name], key=lambda path: (-_likeness(path, file), str(path))):
            reason = _why_not(path, file, folder)
            if not reason:
                found.append(Found(file, path))
                break
            reasons.append(f"{_shown(path, folder)} is not {file.repository}/{file.path}: {reason}")
        else:
            refused += reasons
    return found, refused


def bring(found: list[Found], models: Path, link: bool = False) -> list[Path]:
    """Copy (or link) found files to their places below `models`; returns those places.

    Raises WeightsError: disk too small, or a folder that cannot be written. A copy shows when it is whole.
    """
    if not link:
        needed = sum(item.source.stat().st_size for item in found)
        check_space(needed, models, free_bytes(models))
    return [_bring(item, item.file.local(models), link) for item in found]


def _bring(item: Found, target: Path, link: bool) -> Path:
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        try:
            if link:
                _link(item.source.resolve(), part)
            else:
                _copy(item, part)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise WeightsError(
            f"{target} cannot be written: {error.strerror}.", "Check folder and disk."
        ) from error
    return target


def _copy(item: Found, part: Path) -> None:
    total = hashlib.sha256()
    with item.source.open("rb") as source, part.open("xb") as copy:
        while block := source.read(_BLOCK):
            total.update(block)
            copy.write(block)
        copy.flush()
        os.fsync(copy.fileno())
    if item.file.sha256 and total.hexdigest() != item.file.sha256:
        raise WeightsError(f"{item.source} changed while it was copied.", "Copy it again.")


def _link(source: Path, part: Path) -> None:
    """A second name for the same bytes where the disk allows it, else a symbolic link."""
    with contextlib.suppress(OSError):
        os.link(source, part)
        return
    part.symlink_to(source)


def _entries(folder: Path) -> Iterator[Path]:
    count = 0
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if name != STAGING)
        for name in sorted(names):
            count += 1
            if count > MOST_ENTRIES:
                raise WeightsError(
                    f"{folder} holds more than {MOST_ENTRIES} files.", "Name the folder of the models alone."
                )
            yield Path(parent, name)


def _likeness(path: Path, file: ModelFile) -> int:
    """How much of the published path the found one shares: trailing parts, and the repository's name."""
    shared = 0
    for have, want in zip(reversed(path.parts), reversed(file.path.split("/")), strict=False):
        if have != want:
            break
        shared += 1
    return shared + 10 * _names_repository(path, file)


def _names_repository(path: Path, file: ModelFile) -> bool:
    """Whether a folder on the way is named as the repository, as people or the hub's cache name it."""
    parts = {part.lower() for part in path.parts[:-1]}
    for repository in filter(None, (file.repository.lower(), file.mirror.lower())):
        owner, _, name = repository.partition("/")
        if parts & {name, f"models--{owner}--{name}", f"{owner}--{name}", f"{owner}_{name}"}:
            return True
    return False


def _why_not(path: Path, file: ModelFile, folder: Path) -> str:
    """Why `path` is not taken for `file`; "" when it is."""
    try:
        if folder.resolve() not in path.resolve(strict=True).parents:
            return "it leads out of the folder"
        status = path.stat()
    except (OSError, RuntimeError):
        return "it cannot be read"
    if not stat.S_ISREG(status.st_mode):
        return "it is not a file"
    if file.bytes and status.st_size != file.bytes:
        return f"it has {status.st_size} bytes instead of {file.bytes}"
    if status.st_size < max(1, file.about // 4):  # a quarter: stored at half the precision, or a cut-off copy
        return f"it has only {status.st_size} bytes, about {in_words(file.about)} are expected"
    if file.sha256:
        return "" if digest(path) == file.sha256 else "its checksum differs"
    if file.name in GENERIC_NAMES and not _names_repository(path, file):
        return f"its name says nothing; put it into a folder named {file.repository.partition('/')[2]}"
    return ""


def _shown(path: Path, folder: Path) -> str:
    """The path as it may be printed: a copied folder can hold any name."""
    return ascii(path.relative_to(folder).as_posix())[1:-1]

"""Picture files that lead the model: references, key frames, a mask. Thread "pictures".

The engine goes on with what it has until a file is read and encoded, and takes it at a chunk boundary. A file
that cannot be used counts as none, and the operator is told why.
"""

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import numpy.typing as npt

from engine.core.channels import Latest
from engine.core.errors import CuelightError, OutputError
from engine.core.parameters import REFERENCES
from engine.core.paths import config_dir, named_file, write_atomic
from engine.core.store import Snapshot, Store
from engine.core.types import Image
from engine.model.references import Fit, Reference
from engine.session import Session, SessionClosed
from engine.video.masks import mask_of
from engine.video.opencv import cv2
from engine.video.still import Still, read_still

FOLDER = "pictures"
DRAWN = "masks"
"""The folder in it for masks drawn by hand."""
FIRST, LAST, MASK = "extension.first", "extension.last", "mask.file"
REFERENCE_FILES = tuple(f"reference.{number}.file" for number in range(1, REFERENCES + 1))
PICTURE_KEYS = (*REFERENCE_FILES, FIRST, LAST, MASK)
"""The rows that name a picture file."""
ROWS = frozenset((*PICTURE_KEYS, "reference.fit"))
"""The rows after whose change something is to be read or encoded."""
LOOK_AGAIN_S = 0.5
_DIGITS = 12  # of a mask's name


@dataclass(frozen=True, eq=False)
class Given:
    """The pictures given to `session`: `references` in order, key frames u8 [h, w, 3] of any size, a `mask`
    u8 [H, W] of the engine's size (0 or 255). `shown` tells these key frames from the ones before.
    """

    session: Session
    references: tuple[Reference, ...] = ()
    first: Image | None = None
    last: Image | None = None
    mask: Image | None = None
    shown: Hashable = None


def picture_folder() -> Path:
    """Where pictures lie that a row can name without a path."""
    return config_dir() / FOLDER


def picture_path(named: str) -> Path:
    """The file that a row names: a path, or the name of a file in the folder `pictures` beside the looks.

    Raises CuelightError for a name that leads out of that folder.
    """
    return named_file(picture_folder(), named)


_State = tuple[int, int] | None
"""When a file was written last (ns) and how large it is; None where there is no file."""


def _state(name: str) -> _State:
    """What tells a file from its own earlier self. Raises CuelightError as `picture_path`."""
    try:
        found = picture_path(name).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


class Shelf:
    """Reads and encodes for one session what the rows name, each picture once."""

    def __init__(self, session: Session) -> None:
        self.errors: dict[str, CuelightError] = {}
        """Why the picture of a row is not in use, by the row's key."""
        self.remarks: dict[str, str] = {}
        """What is to be said of a picture that is in use."""
        self._session = session
        self._stills: dict[str, tuple[_State, Still]] = {}
        self._references: dict[tuple[str, _State, Fit], Reference] = {}
        self._made: tuple[Still, Image] | None = None  # the newest mask, and of what

    def given(self, snapshot: Snapshot) -> Given:
        """What the rows name now. What cannot be used is left out and in `errors`."""
        named = {key: snapshot.text(key).strip() for key in PICTURE_KEYS}
        self.errors, self.remarks = {}, {}
        # A file that could not be used is tried again: it may have been mended since.
        self._stills = {name: still for name, still in self._stills.items() if name in named.values()}
        stills = {key: self._still(key, name) for key, name in named.items() if name}
        first, last, mask = (stills.get(key) for key in (FIRST, LAST, MASK))
        return Given(
            self._session,
            self._encoded([(key, named[key]) for key in REFERENCE_FILES if stills.get(key)], snapshot),
            None if first is None else first.image,
            None if last is None else last.image,
            None if mask is None else self._mask(mask),
            tuple((named[key], snapshot.version_of(key)) for key in (FIRST, LAST)),
        )

    def stale(self) -> bool:
        """Whether a file in use was written anew, perhaps by a painting program, since it was read."""
        return any(_state(name) not in (None, state) for name, (state, _) in self._stills.items())

    def _still(self, key: str, name: str) -> Still | None:
        """The picture in a file; None where there is none, and the reason kept."""
        known = self._stills.get(name)
        try:
            state = _state(name)
            # A file that is gone stays as it was, a file that was written anew is read anew.
            if known is None or state not in (None, known[0]):
                known = self._stills[name] = (state, read_still(picture_path(name)))
        except CuelightError as error:
            self.errors[key] = error
            # Perhaps it is just being written: what was read before stays in use.
            return None if known is None else known[1]
        if known[1].animated:
            self.remarks[key] = f"{name} is animated: its first picture is used"
        return known[1]

    def _encoded(self, named: list[tuple[str, str]], snapshot: Snapshot) -> tuple[Reference, ...]:
        """The references of the rows `named` (key and file), each encoded once."""
        fit = cast(Fit, snapshot.text("reference.fit"))
        before, self._references = self._references, {}
        made = []
        for _, name in named:
            state, still = self._stills[name]
            one = (name, state, fit)
            known = self._references.get(one) or before.get(one)
            self._references[one] = known or self._session.reference(still.image, fit)
            made.append(self._references[one])
        return tuple(made)

    def _mask(self, still: Still) -> Image:
        """The mask of a picture in the engine's size; made once, for a file asks with every frame."""
        if self._made is None or self._made[0] is not still:
            self._made = still, mask_of(still.image, self._session.height, self._session.width)
        return self._made[1]


class PictureStage:
    """Waits for a session in `wishes` (put again whenever a picture was changed) and answers in `given`."""

    def __init__(self, store: Store, wishes: Latest[Session], given: Latest[Given]) -> None:
        self.notes: Mapping[str, str] = {}
        """What is wrong with a row's picture, or worth knowing, by the row's key."""
        self._store = store
        self._wishes = wishes
        self._given = given
        self._session: Session | None = None
        self._shelf: Shelf | None = None

    def tick(self) -> None:
        """Read and encode what the rows name now; waits until it is asked to, or a file was written anew."""
        session = self._wishes.get(LOOK_AGAIN_S)
        if session is not None and session is not self._session:
            self._session, self._shelf = session, Shelf(session)
        if self._shelf is None or (session is None and not self._shelf.stale()):
            return
        try:
            given = self._shelf.given(self._store.snapshot())
        except SessionClosed:
            return  # the next session asks for itself
        self.notes = self._shelf.remarks | {key: str(error) for key, error in self._shelf.errors.items()}
        self._given.put(given)


def keep_picture(image: Image, folder: Path | None = None) -> str:
    """Save `image` (u8 [H, W, 3]), called after the time, in the folder of pictures or in another `folder`.

    Returns the name by which a row can name it there. Raises OutputError when it cannot be written.
    """
    now = datetime.now()
    name = f"{now:%Y-%m-%d %H-%M-%S}-{now.microsecond // 1000:03d}.png"
    _write(folder or picture_folder(), name, _png(cv2.cvtColor(image, cv2.COLOR_RGB2BGR)))
    return name


def keep_mask(mask: Image) -> str:
    """Save a mask u8 [H, W] in the folder of pictures; returns the name by which a row can name it.

    It is called after what it holds: a look that names it finds the same mask for ever, however much is drawn
    after it. Raises OutputError when it cannot be written.
    """
    data = _png(mask)
    name = f"{DRAWN}/{hashlib.sha256(data).hexdigest()[:_DIGITS]}.png"
    if not picture_path(name).is_file():
        _write(picture_folder(), name, data)
    return name


def _png(image: npt.NDArray[Any]) -> bytes:
    done, data = cv2.imencode(".png", image)
    if not done:
        raise OutputError("a picture cannot be encoded", "try again")
    return data.tobytes()


def _write(folder: Path, name: str, data: bytes) -> None:
    """Write a file of `folder` whole or not at all."""
    try:
        write_atomic(folder / name, data)
    except OSError as error:
        raise OutputError(
            f"{name} cannot be written into {folder} ({error.strerror})", "check folder and free space"
        ) from error

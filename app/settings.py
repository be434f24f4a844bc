"""What is remembered between two evenings: the values, where the window stood, which display is the output.

One file in the format of a look (engine.core.presets), so a person can read it, edit it, and even load it
as a look; what the window remembers stands beside the values under [window]. Saving happens on the errand
thread; the file appears whole or not at all.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from app.notices import Notices
from app.overrides import DIM, is_dark
from engine.core.backups import back_up
from engine.core.errors import PresetError
from engine.core.parameters import TABLE, Value
from engine.core.paths import config_dir
from engine.core.presets import read_look, save_look
from engine.core.store import Store

SETTER = "settings"
_WINDOW = "window."
# A show never starts black, frozen or recording because the last one ended so.
NOT_REMEMBERED = frozenset(("output.blackout", "output.freeze", "output.clean_camera", "output.record"))
REMEMBERED = tuple(key for key in TABLE if key not in NOT_REMEMBERED)


@dataclass(frozen=True)
class WindowMemory:
    """Where the windows stood. `geometry` is Qt's own record as base64; `display` names the output's.

    `page` is the open page of the deck, `advanced` whether the model's rare settings are unfolded.
    """

    geometry: str = ""
    output_open: bool = False
    display: str = ""
    page: str = ""
    advanced: bool = False


def settings_path() -> Path:
    """The settings file."""
    return config_dir() / "settings.toml"


class Settings:
    """The settings file and what of it is not a parameter. `window` may be replaced at any time."""

    def __init__(self, path: Path, window: WindowMemory, unknown: dict[str, Value]) -> None:
        self.window = window
        self._path = path
        self._unknown = unknown

    def save(self, store: Store) -> None:
        """Write the file. Raises PresetError when that is not possible."""
        window: dict[str, Value] = {
            _WINDOW + name: value for name, value in asdict(self.window).items() if value
        }
        save_look(self._path, store, REMEMBERED, self._unknown | window)


def restore(path: Path, store: Store, notices: Notices) -> Settings:
    """Read the file at `path` into `store`. Never raises.

    A file that cannot be used is put aside under another name, the defaults apply, and the performer is
    told. No file at all is simply the first start.
    """
    if not path.exists():
        return Settings(path, WindowMemory(), {})
    try:
        look = read_look(path)
    except PresetError as error:
        notices.post(
            f"The settings could not be read, so these are the defaults: {error.what}", put_aside(path)
        )
        return Settings(path, WindowMemory(), {})
    back_up(path)  # as the last show left it: this one saves over it
    values = {key: value for key, value in look.values.items() if key in REMEMBERED}
    if is_dark(values.get(DIM, 1.0)):
        del values[DIM]  # the last show faded out; the next one does not begin so
    store.set_many(values, SETTER)
    unknown = {key: value for key, value in look.unknown.items() if not key.startswith(_WINDOW)}
    return Settings(path, _window(look.unknown), unknown)


def _window(unknown: dict[str, Value]) -> WindowMemory:
    """The window's part of the file; a value of a wrong type counts as absent."""
    memory = WindowMemory()
    for entry in fields(memory):
        value = unknown.get(_WINDOW + entry.name)
        if type(value) is type(entry.default):
            memory = replace(memory, **{entry.name: value})
    return memory


def put_aside(path: Path, now: Callable[[], float] = time.time) -> str:
    """Rename a file that cannot be used, before anything is saved over it; says where it is now."""
    aside = path.with_name(f"{path.stem}.unreadable-{int(now())}{path.suffix}")
    try:
        path.replace(aside)
    except OSError as error:
        return f"it could not be put aside either ({error.strerror}); it will be overwritten"
    return f"the old file is kept as {aside.name}"

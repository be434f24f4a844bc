"""The composition root: builds everything once, in reading order, and takes it down again.

table -> store -> settings -> runtime -> hands -> window. Nothing here is global.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from app.autosave import Autosave
from app.awake import Awake, Lock, system_lock
from app.bridge import Bridge
from app.commands import obey
from app.errands import Errands
from app.hands import Hands
from app.notices import Notices
from app.options import Options
from app.settings import Settings, put_aside, restore, settings_path
from app.window import Window
from controllers.mapping import generic_path, user_path
from controllers.midi import MidiInputs
from controllers.osc import OscServer
from controllers.router import Router
from engine.core.backups import back_up
from engine.core.errors import ControllerError, ParameterError
from engine.core.parameters import TABLE
from engine.core.store import Store
from engine.runtime import Runtime
from engine.stages.pictures import MASK
from engine.stages.strokes import forget_strokes

SETTER = "command line"
STOP_S = 20.0  # a chunk being made, or a model being loaded, is waited for; the window is gone already
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """Everything that was built, ready to be started and taken down."""

    store: Store
    settings: Settings
    notices: Notices
    errands: Errands
    runtime: Runtime
    hands: Hands
    bridge: Bridge
    window: Window
    awake: Awake
    autosave: Autosave
    command: Callable[[str], None]

    def start(self) -> None:
        """Threads first, then the window, so that it opens on a running stream."""
        self.errands.start()
        in_use = self.store.snapshot().text(MASK)
        self.errands.run(lambda: forget_strokes([in_use]))  # now, before anything can be undone
        self.runtime.start()
        self.hands.start()
        self.bridge.start()
        self.window.show()

    def stop(self) -> tuple[str, ...]:
        """Down again: nothing new comes in, nothing goes out, all is written. Names threads that hang."""
        self.bridge.stop()
        self.hands.stop()
        self.settings.window = self.window.memory
        self.errands.run(lambda: self.settings.save(self.store))
        stuck = self.runtime.stop(STOP_S)
        if not self.errands.stop():
            stuck = (*stuck, "errands")
        for name in stuck:
            _log.error("the thread %s did not end in time", name)
        return stuck


def compose(
    options: Options,
    notices: Notices,
    make_runtime: Callable[[Store], Runtime] = Runtime,
    lock: Lock | None = None,
) -> Stage:
    """Build everything, in reading order; nothing runs yet. `lock` keeps the computer awake, else its own."""
    errands = Errands(lambda _name, error: notices.report(error))
    store = Store(TABLE)
    settings = restore(settings_path(), store, notices)
    _take(options, store, notices)
    runtime = make_runtime(store)

    def command(name: str) -> None:
        obey(name, runtime, notices)

    router = Router(store, command)
    _load_mapping(router, notices)
    midi = MidiInputs(router, "jack" if options.jack else None) if options.midi else None
    osc = _osc(options, store, command) if options.osc_port else None
    hands = Hands(router, midi, osc, notices, errands, user_path())
    bridge = Bridge(store, runtime, hands, notices, errands)
    window = Window(bridge, settings.window)
    awake = Awake(errands, notices, lock or system_lock())
    window.on_air.connect(awake.want)
    autosave = Autosave(settings, store, window.remembered, errands)
    bridge.status.connect(autosave.look)
    # The stage keeps both: a signal alone does not.
    return Stage(store, settings, notices, errands, runtime, hands, bridge, window, awake, autosave, command)


def _take(options: Options, store: Store, notices: Notices) -> None:
    """The command line goes before what was remembered."""
    for key, value in (("source.uri", options.source), ("prompt.text", options.prompt)):
        if value is None:
            continue
        try:
            store.set(key, value, SETTER)
        except ParameterError as error:
            notices.report(error)


def _osc(options: Options, store: Store, command: Callable[[str], None]) -> OscServer:
    return OscServer(store, options.osc_host, options.osc_port, command, options.osc_to)


def _load_mapping(router: Router, notices: Notices) -> None:
    """The user's own mapping, else the bundled one.

    One that cannot be used is put aside and explained: the next learned control is saved in its place.
    """
    own = user_path()
    if own.is_file():
        try:
            router.load(own)
        except ControllerError as error:
            what = f"Your MIDI mapping could not be read, so this is the bundled one: {error.what}"
            notices.post(what, put_aside(own))
        else:
            back_up(own)  # as it was before this evening's learning
            return
    try:
        router.load(generic_path())
    except ControllerError as error:
        notices.report(error)

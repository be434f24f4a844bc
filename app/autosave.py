"""Settings written now and then, so that whatever ends the program costs a performer half a minute."""

import time
from collections.abc import Callable

from app.errands import Errands
from app.settings import Settings, WindowMemory
from engine.core.store import Store

EVERY_S = 30.0


class Autosave:
    """Writes the settings, on the errands' thread, when they differ from what was written last.

    `look` is called often, on the window's thread, and costs nothing while it is not yet time.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        remembered: Callable[[], WindowMemory],
        errands: Errands,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._store, self._remembered, self._errands = settings, store, remembered, errands
        self._clock = clock
        self._next = clock() + EVERY_S
        self._saved = (store.snapshot().version, settings.window)

    def look(self) -> None:
        """Save if it is time and something is new."""
        if self._clock() < self._next:
            return
        self._next = self._clock() + EVERY_S
        now = (self._store.snapshot().version, self._remembered())
        if now != self._saved:
            self._saved = now
            self._settings.window = now[1]
            self._errands.run(lambda: self._settings.save(self._store))

"""Between the engine's world and Qt's: values, status and pictures, all pulled at 30 Hz.

Nothing is pushed from another thread. At every tick the bridge compares the store's newest snapshot with
the one it showed last, so a storm of changes costs one repaint and always ends on the last value. Runs on
the GUI thread; `Notices` and `Store` may be used from anywhere.
"""

from collections.abc import Callable

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from app.commands import obey
from app.errands import Errands
from app.hands import Hands
from app.notices import Notices
from engine.core.errors import ParameterError
from engine.core.parameters import Parameter, Value, row
from engine.core.store import Snapshot, Store
from engine.runtime import Runtime, Status

TICK_MS = 33
_STATUS_EVERY = 3  # ticks: ten times a second is as fast as anybody reads
SETTER = "gui"


class Bridge(QObject):
    """What panels know of the engine.

    `tick` says "pull your pictures now"; `status` brings a Status ten times a second; `hands_moved` says
    that learning or a mapping changed.
    """

    tick = Signal()
    status = Signal(object)
    hands_moved = Signal()

    def __init__(
        self, store: Store, runtime: Runtime, hands: Hands, notices: Notices, errands: Errands
    ) -> None:
        super().__init__()
        self.runtime = runtime
        self.hands = hands
        self.notices = notices
        self.errands = errands
        self._store = store
        self._shown = store.snapshot()
        self._watchers: dict[str, list[Callable[[Value], None]]] = {}
        self._ticks = 0
        self._reported_at = float("-inf")
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self.pull)

    def start(self) -> None:
        """Begin to pull."""
        self._timer.start()

    def stop(self) -> None:
        """Stop pulling; nothing is shown any more."""
        self._timer.stop()

    def get(self, key: str) -> Value:
        """The newest value of `key`."""
        return self._store.get(key)

    def snapshot(self) -> Snapshot:
        """All newest values at one instant."""
        return self._store.snapshot()

    def set(self, key: str, value: object) -> bool:
        """Set a value for the performer; a refused one is explained in the message strip (False)."""
        return self.set_many({key: value})

    def set_many(self, values: dict[str, object]) -> bool:
        """Set several values at once or none of them."""
        try:
            self._store.set_many(values, SETTER)
        except ParameterError as error:
            self.notices.report(error)
            return False
        return True

    def toggle(self, key: str) -> None:
        """Turn a bool row on or off."""
        self.set(key, not self._store.get(key))

    def reset(self, key: str) -> None:
        """Set `key` back to its default."""
        self.set(key, row(key).default)

    def command(self, name: str) -> None:
        """Ask for one of COMMANDS for the performer; what goes wrong is explained in the message strip."""
        obey(name, self.runtime, self.notices)

    def watch(self, key: str, show: Callable[[Value], None]) -> Parameter:
        """Call `show` now and after every change of `key`, at most 30 times a second. Returns the row."""
        parameter = row(key)
        self._watchers.setdefault(key, []).append(show)
        show(self._shown[key])
        return parameter

    def _flush(self) -> None:
        """Show every value that changed since the last time."""
        newest = self._store.snapshot()
        before, self._shown = self._shown, newest
        if newest.version == before.version:
            return
        for key, watchers in self._watchers.items():
            if newest.version_of(key) != before.version_of(key):
                for show in watchers:
                    show(newest[key])

    def pull(self) -> None:
        """One tick: values, results of errands, hands, now and then the status, then the pictures."""
        self._ticks += 1
        self._flush()
        self.errands.deliver()
        if self.hands.poll():
            self.hands_moved.emit()
        if self._ticks % _STATUS_EVERY == 0:
            status = self.runtime.status()
            self._pass_on(status)
            self.status.emit(status)
        self.tick.emit()

    def _pass_on(self, status: Status) -> None:
        """Put the runtime's new complaints before the performer."""
        for report in status.errors:
            if report.at > self._reported_at:
                what, _, fix = report.text.partition("  Fix: ")
                self.notices.post(what, fix)
        self._reported_at = max((report.at for report in status.errors), default=self._reported_at)

"""A named thread that runs one tick again and again, and survives its errors."""

import logging
import threading
from collections.abc import Callable

from engine.core.channels import Closed
from engine.core.errors import CuelightError

_log = logging.getLogger(__name__)


class Worker:
    """Runs `tick` on a thread called `name` until `stop`.

    Closed, raised by a channel, ends it quietly. Any other exception is logged and handed to
    `on_error(name, exception)`; after `retry_s` seconds, or at once when stopping, it goes on.
    `finish`, when given, runs on the same thread at the end: the place to close a device.
    """

    def __init__(
        self,
        name: str,
        tick: Callable[[], None],
        on_error: Callable[[str, BaseException], None],
        retry_s: float = 0.5,
        finish: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self._tick = tick
        self._on_error = on_error
        self._retry_s = retry_s
        self._finish = finish
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def alive(self) -> bool:
        """True between `start` and the end of the thread."""
        return self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        """True once `stop` was called: a long tick should come to an end."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Start the thread (once)."""
        self._thread.start()

    def pause(self, seconds: float) -> bool:
        """Wait on this worker's thread, at most `seconds`; True when it is to stop."""
        return self._stopping.wait(max(0.0, seconds))

    def signal_stop(self) -> None:
        """Ask the thread to end without waiting for it."""
        self._stopping.set()

    def stop(self, timeout: float = 5.0) -> bool:
        """Ask the thread to end and wait for it; False when it is still running after `timeout` s.

        A tick that waits on a channel is woken by closing the channel, which the owner does first.
        """
        self._stopping.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._tick()
            except Closed:
                break
            except Exception as error:  # the worker's edge: the show goes on
                self._report(error)
                self._stopping.wait(self._retry_s)
        if self._finish is not None:
            try:
                self._finish()
            except Exception as error:  # nothing is left to protect, only to tell
                self._report(error)

    def _report(self, error: Exception) -> None:
        surprise = None if isinstance(error, CuelightError) else error  # ours say all in one line
        _log.error("%s: %s", self.name, error, exc_info=surprise)
        try:
            self._on_error(self.name, error)
        except Exception:  # reporting must not end the thread either
            _log.exception("%s: the error could not be reported", self.name)

"""One thread for what may take a while and must not hold up the window: listing cameras, writing settings."""

import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from engine.core.channels import Closed, Fifo
from engine.core.worker import Worker

T = TypeVar("T")
_LONGEST_QUEUE = 32


class Errands:
    """Runs errands one after the other on its own thread; results are delivered on the window's thread.

    An errand that fails is reported to `on_error(name, error)` on the errand thread and delivers nothing.
    """

    def __init__(self, on_error: Callable[[str, BaseException], None]) -> None:
        self._queue: Fifo[Callable[[], None]] = Fifo(_LONGEST_QUEUE)
        self._results: deque[Callable[[], None]] = deque()
        self._finished = threading.Event()
        self._worker = Worker("errands", self._tick, on_error, retry_s=0.0, finish=self._finished.set)

    def start(self) -> None:
        """Start the thread."""
        self._worker.start()

    def run(self, work: Callable[[], T], then: Callable[[T], None] | None = None) -> bool:
        """Queue `work`; `then(result)` is called by `deliver`. False when refused (full or stopped)."""

        def errand() -> None:
            result = work()
            if then is not None:
                self._results.append(lambda: then(result))

        try:
            return self._queue.put(errand, timeout=0.0)
        except Closed:
            return False

    def deliver(self) -> None:
        """Hand over the results that are ready; the window calls this at its own tick."""
        while self._results:
            self._results.popleft()()

    def stop(self, timeout: float = 5.0) -> bool:
        """Finish what is queued and end the thread; False when it is still busy after `timeout` s."""
        self._queue.close()
        if self._worker.alive:
            self._finished.wait(timeout)
        return self._worker.stop(0.5)

    def _tick(self) -> None:
        errand = self._queue.get()
        if errand is not None:
            errand()

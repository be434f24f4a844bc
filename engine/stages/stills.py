"""Stills: the picture the audience sees now as a file, to keep or to lead the model. Thread "stills".

Whoever asks never waits: the picture is taken at once, written here, and named by its row when that is done.
"""

import contextlib
from dataclasses import dataclass

from engine.core.channels import Closed, Fifo, Latest
from engine.core.commands import SNAPSHOT, TAKES
from engine.core.errors import CuelightError
from engine.core.paths import recordings_dir
from engine.core.store import Store
from engine.core.types import Image, OutputFrame
from engine.stages.pictures import keep_picture
from engine.stages.reports import Reports

STILLS = (SNAPSHOT, *TAKES)
"""The commands that are obeyed here."""
SETTER = "still"
_QUEUED = 8


@dataclass(frozen=True, eq=False)
class _Still:
    """A picture u8 [H, W, 3] and the command that asked for it."""

    command: str
    image: Image


class Stills:
    """Both ends of the queue: `take` for whoever asks, `tick` for the thread that writes."""

    def __init__(self, store: Store, program: Latest[OutputFrame], reports: Reports) -> None:
        """`program`: what the audience sees."""
        self._store = store
        self._program = program
        self._reports = reports
        self._queue: Fifo[_Still] = Fifo(_QUEUED)

    def take(self, command: str) -> None:
        """Take the picture of this moment for one of STILLS. Any thread, never waits."""
        shown = self._program.peek()
        if shown is None:
            self._reports.add("stills", "there is no picture to take yet")
            return
        with contextlib.suppress(Closed):  # asked for while the runtime stops
            if not self._queue.put(_Still(command, shown.image), timeout=0):
                self._reports.add("stills", f"{command}: not obeyed, too many pictures are being written")

    def tick(self) -> None:
        """Write the next picture; waits for one. A disk that is full costs that picture alone."""
        still = self._queue.get()
        if still is None:
            return
        try:
            if still.command == SNAPSHOT:
                keep_picture(still.image, recordings_dir())
            else:
                self._store.set(TAKES[still.command], keep_picture(still.image), SETTER)
        except CuelightError as error:
            self._reports.add("stills", error)

    def shut(self) -> None:
        """No more pictures: what is queued is written, then the thread ends."""
        self._queue.close()

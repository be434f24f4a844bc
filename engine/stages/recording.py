"""Recording: what the output shows, written to a file. Thread "recorder".

The output thread only offers pictures to a bounded queue and never waits; what does not fit is counted
and its place is filled with the next picture, so that a recording lasts as long as the show did. When the
disk is nearly full, recording ends with a whole file and a message, and the switch goes off.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.core.channels import Fifo
from engine.core.errors import OutputError
from engine.core.paths import recordings_dir, safe_name
from engine.core.store import Snapshot, Store
from engine.core.types import Image
from engine.stages.reports import Reports

_QUEUED_S = 1.0
_LONGEST_GAP_S = 5.0
_SWITCH = "output.record"
LEAST_FREE = 2 * 1000**3  # bytes that a recording leaves on the disk, for whatever else writes there
_LOOK_EVERY = 60  # pictures between two looks at the free space


def free_bytes(folder: Path) -> int:
    """How many bytes the disk of `folder` still takes."""
    return shutil.disk_usage(folder).free


class Recorder(Protocol):
    """An open recording; see engine.video.recorder."""

    def write(self, image: Image) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class OpenRecorder(Protocol):
    """Starts a recording. Raises OutputError and leaves nothing behind when it cannot."""

    def __call__(self, path: Path, width: int, height: int, fps: float) -> Recorder: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class _Offer:
    """`copies` times the same picture of take number `take`; no picture ends the take."""

    take: int
    fps: float
    image: Image | None
    copies: int


class Recording:
    """Both ends of the queue: `offer` for the output thread, `tick` for the recorder thread."""

    def __init__(
        self,
        store: Store,
        open_recorder: OpenRecorder,
        reports: Reports,
        new_path: Callable[[], Path] | None = None,
        longest_fps: float = 60.0,
        free_bytes: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._free_bytes = free_bytes
        self._written = 0
        self.path = ""
        self.drops = 0
        self._store = store
        self._open_recorder = open_recorder
        self._reports = reports
        self._new_path = new_path if new_path is not None else _dated_path
        self._queue: Fifo[_Offer] = Fifo(int(longest_fps * _QUEUED_S))
        # Output thread's side.
        self._take = 0
        self._version = 0  # of the switch, when it was last obeyed
        self._on = False
        self._ending = False
        self._fps = 0.0
        self._started_at = 0.0
        self._offered = 0
        # Recorder thread's side.
        self._recorder: Recorder | None = None
        self._written_take = 0

    def offer(self, image: Image, now: float, snapshot: Snapshot) -> None:
        """Record `image` shown at `now` while the switch is on; never waits."""
        # By version: off and on again between two frames is a new take, after a failure for example.
        if snapshot.version_of(_SWITCH) != self._version:
            self._version = snapshot.version_of(_SWITCH)
            self._ending, self._on = self._ending or self._on, False
        if self._ending:
            self._ending = not self._queue.put(_Offer(self._take, self._fps, None, 0), timeout=0)
        if not self._on:
            if self._ending or not snapshot.flag(_SWITCH):
                return
            self._on = True
            self._take += 1
            self._fps, self._started_at, self._offered = snapshot.number("output.fps"), now, 0
        # By the clock, not by the call: late, dropped and too frequent pictures do not change its length.
        due = round((now - self._started_at) * self._fps) + 1
        copies = min(due - self._offered, int(_LONGEST_GAP_S * self._fps))
        if copies <= 0:
            return
        if self._queue.put(_Offer(self._take, self._fps, image, copies), timeout=0):
            self._offered = due
        else:
            self.drops += 1

    def tick(self) -> None:
        """Write the next picture; waits for one. Errors end the recording, not the thread."""
        offer = self._queue.get()
        if offer is None:
            return
        try:
            self._write(offer)
        except Exception as error:  # whatever the encoder raises ends this take, never the show
            self._give_up(error)

    def shut(self) -> None:
        """No more pictures: the recorder thread writes what is queued and ends."""
        self._queue.close()

    def finish(self) -> None:
        """Close the file (on the recorder thread, at its end)."""
        recorder, self._recorder = self._recorder, None
        self.path = ""
        if recorder is not None:
            recorder.close()

    def _write(self, offer: _Offer) -> None:
        if offer.image is None:
            self.finish()
            return
        if offer.take != self._written_take:
            self.finish()
            self._written_take = offer.take
            height, width = offer.image.shape[:2]
            path = self._new_path()
            path.parent.mkdir(parents=True, exist_ok=True)
            self._written = 0
            self._check_space(path.parent)
            self._recorder = self._open_recorder(path, width, height, offer.fps)
            self.path = str(path)
        if self._recorder is None:
            return  # this take has failed already; the switch is about to go off
        for _ in range(offer.copies):
            self._recorder.write(offer.image)
            self._written += 1
            if self._written % _LOOK_EVERY == 0:
                self._check_space(Path(self.path).parent)

    def _check_space(self, folder: Path) -> None:
        if self._free_bytes(folder) < LEAST_FREE:
            raise OutputError(
                f"recording ended: less than {LEAST_FREE // 1000**3} GB are free in {folder}",
                "make room on that disk, then switch recording on again",
            )

    def _give_up(self, error: Exception) -> None:
        self._reports.add("recorder", error)
        self._store.set(_SWITCH, False, "recorder")
        try:
            self.finish()
        except Exception as further:
            self._reports.add("recorder", further)


def _dated_path() -> Path:
    """A file name that sorts by time and does not exist yet."""
    stem = safe_name(time.strftime("%Y-%m-%d_%H-%M-%S"))
    folder = recordings_dir()
    path = folder / f"{stem}.mkv"
    number = 2
    while path.exists():
        path = folder / f"{stem}_{number}.mkv"
        number += 1
    return path

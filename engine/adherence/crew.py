"""Trials are measured one after the other: in this process, or in several that take the next one by turns.

Whoever measures a trial, it finds the same, and findings come in the order of the trials. This process draws
the clips while the others measure.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from engine.adherence.bench import Bench, open_bench
from engine.adherence.measure import Finding
from engine.adherence.trials import Trial
from engine.core.errors import CuelightError, EngineError
from engine.core.store import Snapshot
from engine.model.load import best_device
from engine.model.pipelines import pipeline_spec

PATIENCE_S = 5.0
"""How long a process that has nothing more to do may take to end."""
MOST_JOBS = 4  # where nobody says: each holds the model and the judge
FEW_CLIPS = 3  # are measured sooner than other processes have begun


def usual_jobs(pipeline: str, clips: int | None) -> int:
    """In how many processes to measure where nobody says: one for each core, at most MOST_JOBS.

    One where a GPU makes the pictures, which is busy with one stream, and for a `pipeline` of downloaded
    files: memory may not hold its model twice. One also for a few `clips` a control; None is one for each
    look, 0 only filmed ones, and both are many.
    """
    device, _ = best_device()
    large = pipeline_spec(pipeline).files is not None
    if large or device.type != "cpu" or (clips is not None and 0 < clips <= FEW_CLIPS):
        return 1
    return min(MOST_JOBS, os.cpu_count() or 1)


def measured(trial: Trial, bench: Bench, scales: Sequence[float]) -> Finding:
    """What a trial finds at every scale, each in a new stream with the same noise."""
    ceiling = trial.ceiling(bench)
    return Finding(trial.case.source, ceiling, {scale: trial.run(bench, scale) for scale in scales})


def one_by_one(trials: Iterable[Trial], bench: Bench, scales: Sequence[float]) -> Iterator[Finding]:
    """Measure in this process."""
    return (measured(trial, bench, scales) for trial in trials)


@dataclass
class Hand:
    """A process that measures, the way to it, and the number of the trial it is at."""

    process: SpawnProcess
    pipe: Connection
    at: int | None = None


@dataclass
class Crew:
    """Processes that measure. Get one from `open_crew`."""

    hands: list[Hand]
    _done: dict[int, Finding] = field(default_factory=dict)

    def measure(self, trials: Iterable[Trial]) -> Iterator[Finding]:
        """What each trial finds, in the order of `trials`, whose next one is drawn while others are measured.

        Raises what measuring raises, or EngineError where a process has ended.
        """
        waiting: deque[int] = deque()
        for number, trial in enumerate(trials):
            idle = self._idle()
            try:
                idle.pipe.send(trial)
            except OSError:
                raise _ended() from None
            idle.at = number
            waiting.append(number)
            while waiting and waiting[0] in self._done:
                yield self._done.pop(waiting.popleft())
        while waiting:
            while waiting[0] not in self._done:
                self._hear()
            yield self._done.pop(waiting.popleft())

    def _idle(self) -> Hand:
        """A process that has nothing to do; waits for one."""
        while not (free := [hand for hand in self.hands if hand.at is None]):
            self._hear()
        return free[0]

    def _hear(self) -> None:
        """Wait until somebody has measured something."""
        ready = wait([hand.pipe for hand in self.hands if hand.at is not None])
        for hand in self.hands:
            if hand.pipe not in ready or hand.at is None:
                continue
            try:
                answer = hand.pipe.recv()
            except (EOFError, OSError):
                raise _ended() from None
            number, hand.at = hand.at, None
            if isinstance(answer, CuelightError):
                raise answer
            self._done[number] = answer


@contextmanager
def open_crew(jobs: int, values: Snapshot, scales: Sequence[float], folder: Path) -> Iterator[Crew]:
    """So many processes, each with a bench of its own, a part of `folder`, and one thread of torch.

    They end with the block; in the middle of their work where it is left by an error or by Ctrl-C.
    """
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    hands: list[Hand] = []
    try:
        for number in range(jobs):
            own = folder / f"process {number}"
            own.mkdir()
            mine, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, values, tuple(scales), own), daemon=True)
            process.start()
            theirs.close()
            hands.append(Hand(process, mine))
        yield Crew(hands)
        for hand in hands:
            with suppress(OSError):  # it has ended by itself
                hand.pipe.send(None)
            hand.process.join(PATIENCE_S)
    finally:
        for hand in hands:
            hand.process.terminate()
            hand.process.join()
            hand.pipe.close()


def _ended() -> EngineError:
    return EngineError(
        "A process that measured has ended, perhaps for want of memory.", "Measure with fewer --jobs."
    )


def _serve(pipe: Connection, values: Snapshot, scales: Sequence[float], folder: Path) -> None:
    """Measure what comes until None comes; an error that a person can act on is sent back."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the first process tells us
    try:
        with open_bench(values, folder) as bench:
            while (trial := pipe.recv()) is not None:
                pipe.send(_answer(trial, bench, scales))
    except CuelightError as error:
        pipe.send(error)
    except (EOFError, BrokenPipeError):
        return  # whoever asked is gone


def _answer(trial: Trial, bench: Bench, scales: Sequence[float]) -> Finding | CuelightError:
    try:
        return measured(trial, bench, scales)
    except CuelightError as error:
        return error

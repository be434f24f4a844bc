"""Several processes: they find what one finds, in the same order, and whatever ends them is told."""

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from engine.adherence.bench import Bench, open_bench
from engine.adherence.cases import Case, drawn_cases
from engine.adherence.crew import Crew, Hand, one_by_one, open_crew, usual_jobs
from engine.adherence.measure import Finding, Found
from engine.adherence.progress import Progress
from engine.adherence.trials import ControlTrial, ReferenceTrial, Trial
from engine.core.errors import EngineError, WeightsError
from engine.render import settings

VALUES = settings({"engine.steps": 1})
SCALES = (1.0,)


@dataclass
class Hopeless:
    """A trial whose files are missing."""

    case: Case

    def ceiling(self, bench: Bench) -> Found:
        raise WeightsError("there is no gold.safetensors", "download it")

    def run(self, bench: Bench, scale: float) -> Found:
        return {}


def trials() -> Iterator[Trial]:
    yield from map(ControlTrial, drawn_cases("layout", 1, 0.1, VALUES, ("gold",)))
    [case] = drawn_cases("gray", 1, 0.1, VALUES, ("gold",))
    yield ReferenceTrial("gray+", case, [case.truth.video[0]])


def test_another_process_finds_the_very_same_and_says_what_it_cannot_do(tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    with open_bench(VALUES, tmp_path / "alone") as bench:
        alone = list(one_by_one(trials(), bench, SCALES))
    assert ("gray+reference", "change") in alone[1].at[1.0]
    with open_crew(1, VALUES, SCALES, tmp_path) as crew:
        with pytest.raises(WeightsError, match=r"gold\.safetensors"):
            list(crew.measure(Hopeless(trial.case) for trial in trials()))
        assert list(crew.measure(trials())) == alone
        processes = [hand.process for hand in crew.hands]
    assert not any(process.is_alive() for process in processes)


@pytest.mark.parametrize(
    ("cores", "device", "clips", "jobs"),
    [
        (2, "cpu", None, 2),
        (16, "cpu", None, 4),
        (None, "cpu", None, 1),
        (16, "cpu", 3, 1),
        (16, "cpu", 0, 4),  # filmed ones, each once for every look
        (16, "cuda", None, 1),
    ],
)
def test_so_many_processes_measure_as_the_machine_and_the_clips_are_worth(
    cores: int | None, device: str, clips: int | None, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr("engine.adherence.crew.best_device", lambda: (torch.device(device), torch.float32))
    assert usual_jobs("pocket", clips) == jobs
    assert usual_jobs("longlive", clips) == 1, "it may not fit into memory twice"


def test_findings_come_in_the_order_of_the_trials_however_long_each_takes() -> None:
    first_may_end = threading.Event()

    def serve(pipe: Connection) -> None:
        with suppress(EOFError):
            while True:
                number = int(pipe.recv().case.name)
                if number == 0:
                    first_may_end.wait(20)
                if number == 4:
                    first_may_end.set()
                pipe.send(Finding(str(number), {}, {}))

    pipes = [multiprocessing.Pipe() for _ in range(2)]
    threads = [threading.Thread(target=serve, args=(theirs,)) for _, theirs in pipes]
    for thread in threads:
        thread.start()
    nobody = multiprocessing.get_context("spawn").Process()
    crew = Crew([Hand(nobody, mine) for mine, _ in pipes])
    [case] = drawn_cases("gray", 1, 0.1, VALUES, ("gold",))
    numbered = (ControlTrial(replace(case, name=str(number))) for number in range(7))
    assert [finding.source for finding in crew.measure(numbered)] == [str(number) for number in range(7)]
    for mine, _ in pipes:
        mine.close()
    for thread in threads:
        thread.join()


def test_a_process_that_has_ended_is_told(tmp_path: Path) -> None:
    with open_crew(1, VALUES, SCALES, tmp_path) as crew:
        crew.hands[0].process.kill()
        crew.hands[0].process.join()
        with pytest.raises(EngineError, match="has ended") as told:
            list(crew.measure(trials()))
    assert "--jobs" in told.value.fix


def test_processes_do_not_outlive_what_stops_the_first(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_crew(1, VALUES, SCALES, tmp_path) as crew:
        processes = [hand.process for hand in crew.hands]
        raise KeyboardInterrupt
    assert not processes[0].is_alive()


class Terminal:
    """Where words go, and whether anybody looks."""

    def __init__(self, looked_at: bool) -> None:
        self.said, self._looked_at = "", looked_at

    def isatty(self) -> bool:
        return self._looked_at

    def write(self, text: str) -> int:
        self.said += text
        return len(text)

    def flush(self) -> None: ...


@pytest.mark.parametrize("looked_at", [True, False])
def test_a_terminal_is_told_how_many_are_measured_and_what_comes_next(looked_at: bool) -> None:
    terminal, times = Terminal(looked_at), iter([0.0, 1.0, 75.0])
    cases = drawn_cases("gray", 1, 0.1, VALUES, ("gold",))
    with Progress(terminal, lambda: next(times)) as progress:  # type: ignore[arg-type]
        for _ in progress.drawing(map(ControlTrial, cases)):
            progress.measured()
    lines = [line.rstrip() for line in terminal.said.split("\r")]
    assert lines[1:] == (
        [
            "0 measured in 0:01; procedural gray, seed 3000, gold, night",
            "1 measured in 1:15; procedural gray, seed 3000, gold, night",
        ]
        if looked_at
        else []
    )

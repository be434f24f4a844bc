"""The number of threads that serves a pass best is found, kept, and found again when the machine changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from engine.model.pipelines import PIPELINES
from engine.model.savings import ALL, NONE
from engine.model.stream import LatentStream
from engine.model.threads import LOOK_AGAIN, REMEMBERED, TRIES, Threads
from engine.model.wan import CausalWan
from tests.bench.test_steady_state import ARCH, noise, words


class Machine:
    """A processor on which a pass with n threads takes `seconds(n)`."""

    def __init__(self, most: int, seconds: Callable[[int], float]) -> None:
        self.now, self.threads, self.seconds = 0.0, most, seconds
        self.runs: list[int] = []

    def put(self, threads: int) -> None:
        self.threads = threads

    def passes(self, chosen: Threads, times: int, kind: str = "pass") -> list[int]:
        """So many passes; with how many threads each ran."""
        first = len(self.runs)
        for _ in range(times):
            with chosen.chosen(kind) as threads:
                assert self.threads == threads
                self.runs.append(threads)
                self.now += self.seconds(threads)
        return self.runs[first:]


def choosing(machine: Machine) -> Threads:
    return Threads(clock=lambda: machine.now, get=lambda: machine.threads, put=machine.put)


@pytest.mark.parametrize(
    ("most", "seconds", "best"),
    [(2, {2: 3.0, 1: 2.0}, 1), (2, {2: 1.0, 1: 2.0}, 2), (6, {6: 3.0, 3: 1.0, 1: 2.0}, 3)],
)
def test_after_a_few_tries_of_each_the_quickest_stays(
    most: int, seconds: dict[int, float], best: int
) -> None:
    machine = Machine(most, seconds.__getitem__)
    chosen = choosing(machine)
    tried = machine.passes(chosen, TRIES * len(seconds))
    assert {threads: tried.count(threads) for threads in seconds} == dict.fromkeys(seconds, TRIES)
    assert set(machine.passes(chosen, LOOK_AGAIN - 1)) == {best}
    assert machine.threads == most  # put back after every pass


def test_when_the_machine_changes_so_does_the_number() -> None:
    machine = Machine(2, {2: 1.0, 1: 2.0}.__getitem__)
    chosen = choosing(machine)
    machine.passes(chosen, 2 * TRIES + 5)
    machine.seconds = {2: 9.0, 1: 2.0}.__getitem__
    assert machine.passes(chosen, REMEMBERED)[-1] == 1
    machine.seconds = {2: 1.0, 1: 2.0}.__getitem__
    assert machine.passes(chosen, LOOK_AGAIN * REMEMBERED + 2)[-1] == 2


def test_kinds_of_passes_are_apart_and_one_thread_needs_no_choice() -> None:
    machine = Machine(2, {2: 3.0, 1: 2.0}.__getitem__)
    chosen = choosing(machine)
    machine.passes(chosen, 10, "small")
    machine.seconds = {2: 1.0, 1: 2.0}.__getitem__
    assert machine.passes(chosen, 10, "large")[-1] == 2
    assert machine.passes(chosen, 1, "small") == [1]
    alone = Machine(1, {1: 1.0}.__getitem__)
    assert set(alone.passes(choosing(alone), 60)) == {1}


def test_a_number_that_somebody_sets_later_is_the_most_from_then_on() -> None:
    machine = Machine(4, lambda threads: 1.0 / threads)
    chosen = choosing(machine)
    assert machine.passes(chosen, 12)[-1] == 4
    machine.threads = 1
    assert set(machine.passes(chosen, 5)) == {1} and machine.threads == 1


def test_a_pass_that_fails_puts_the_number_back() -> None:
    machine = Machine(4, lambda threads: 1.0)
    with pytest.raises(ValueError, match="broken"), choosing(machine).chosen():
        raise ValueError("broken")
    assert machine.threads == 4


def test_a_stream_makes_the_same_numbers_with_any_threads() -> None:
    torch.manual_seed(3)
    dit = CausalWan(ARCH).requires_grad_(False)
    for block in dit.vace_blocks:
        torch.nn.init.normal_(block.after_proj.weight, std=0.1)
    torch.nn.init.normal_(dit.head.head.weight, std=0.1)
    text, context = words(dit), torch.randn(1, 96, 3, 8, 8)
    before, made = torch.get_num_threads(), []
    for savings in (ALL, NONE):
        stream = LatentStream(
            dit, PIPELINES["longlive"].policy, latent_size=(8, 8), latents_per_chunk=3, device="cpu",
            dtype=torch.float32, savings=savings,
        )  # fmt: skip
        out = []
        for index in range(4):
            stream.begin(3, text)
            out.append(stream.predict(noise(index), 500.0, context=context))
            stream.finish(out[-1])
        made.append(torch.cat(out))
    assert torch.get_num_threads() == before
    assert made[0].std() > 1e-3 and (made[0] - made[1]).abs().max() < 2e-4

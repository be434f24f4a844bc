"""Hints used again: what is computed, what is not, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.core.errors import EngineError
from engine.model.hints import (
    HintPolicy,
    Verdict,
    chosen,
    fingerprint,
    passed_of,
    read_verdicts,
    renewed,
    rounded,
    write_verdicts,
)
from engine.model.policies import SinkWindow
from engine.model.spec import Arch
from engine.model.stream import LatentStream
from engine.model.wan import CausalWan, CrossCache

ARCH = Arch(dim=24, ffn_dim=40, heads=2, layers=3, vace_layers=(0, 2), text_len=6, text_dim=8, freq_dim=16)
FOUR = (1000.0, 937.5, 833.3, 625.0)


@pytest.fixture(scope="module")
def dit() -> CausalWan:
    torch.manual_seed(2)
    made = CausalWan(ARCH).requires_grad_(False).eval()
    for parameter in made.parameters():
        if not parameter.any():
            parameter.normal_(std=0.1)
    return made


@pytest.fixture
def stream(dit: CausalWan) -> LatentStream:
    return LatentStream(
        dit, SinkWindow(6, 0), latent_size=(4, 6), latents_per_chunk=3, device="cpu", dtype=torch.float32
    )


@pytest.fixture
def text(dit: CausalWan) -> CrossCache:
    return dit.cross_cache(noise(9, 1, 6, 8))


@pytest.fixture
def branch_runs(dit: CausalWan) -> Iterator[list[int]]:
    """Grows by one each time the branch runs."""
    runs: list[int] = []
    handle = dit.vace_blocks[0].register_forward_hook(lambda *given: runs.append(1))
    yield runs
    handle.remove()


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def latents(seed: int) -> Tensor:
    return noise(seed, 1, 3, 16, 4, 6)


CONTEXT = noise(5, 1, 96, 3, 4, 6)


@pytest.mark.parametrize(
    ("policy", "steps", "expected"),
    [
        ("every", 4, {0, 1, 2, 3}), ("two", 4, {0, 2}), ("one", 4, {0}), ("two", 3, {0, 1}),
        ("two", 2, {0, 1}), ("two", 1, {0}), ("one", 1, {0}),
    ],
)  # fmt: skip
def test_the_first_step_always_makes_hints(policy: HintPolicy, steps: int, expected: set[int]) -> None:
    assert renewed(policy, steps) == expected


def test_keeping_hints_changes_nothing_by_itself(stream: LatentStream, text: CrossCache) -> None:
    stream.begin(3, text)
    exact = stream.predict(latents(1), 700.0, context=CONTEXT, context_scale=0.8)
    kept = stream.predict(latents(1), 700.0, context=CONTEXT, context_scale=0.8, keep=True)
    assert (exact - kept).abs().max() < 2e-6


def test_hints_that_are_used_again_are_not_made_again(
    stream: LatentStream, text: CrossCache, branch_runs: list[int]
) -> None:
    stream.begin(3, text)
    for index, t in enumerate(FOUR):
        stream.predict(latents(index), t, context=CONTEXT, keep=True, again=index not in renewed("two", 4))
    assert len(branch_runs) == 2


def test_the_scale_of_this_step_counts_and_the_hints_of_the_first(
    dit: CausalWan, stream: LatentStream, text: CrossCache
) -> None:
    stream.begin(3, text)
    stream.predict(latents(1), 1000.0, context=CONTEXT, context_scale=1.0, keep=True)
    tables = stream._running(latents(1)).tables
    hints = dit.hints(latents(1), torch.full((1, 3), 1000.0), text, CONTEXT, tables)
    again = stream.predict(latents(2), 600.0, context=CONTEXT, context_scale=0.3, keep=True, again=True)
    plan = stream.policy.plan(0, 3)
    expected = dit(
        latents(2), torch.full((1, 3), 600.0), text, cache=stream.cache, plan=plan, context=CONTEXT,
        context_scale=0.3, hints=hints,
    )  # fmt: skip
    assert (again - expected).abs().max() < 2e-6
    fresh = stream.predict(latents(2), 600.0, context=CONTEXT, context_scale=0.3)
    assert (again - fresh).abs().max() > 1e-4, "they are an approximation"


def test_a_control_turned_up_in_the_middle_of_a_chunk_is_looked_at(
    stream: LatentStream, text: CrossCache, branch_runs: list[int]
) -> None:
    stream.begin(3, text)
    stream.predict(latents(1), 1000.0, context=CONTEXT, context_scale=0.0, keep=True)
    assert not branch_runs
    late = stream.predict(latents(2), 600.0, context=CONTEXT, context_scale=1.0, keep=True, again=True)
    fresh = stream.predict(latents(2), 600.0, context=CONTEXT, context_scale=1.0)
    assert (late - fresh).abs().max() < 2e-6 and len(branch_runs) == 2
    silent = stream.predict(latents(2), 600.0, context=CONTEXT, context_scale=0.0, keep=True, again=True)
    assert (silent - stream.predict(latents(2), 600.0)).abs().max() < 2e-6, "turned down again"


def test_hints_end_with_their_chunk_and_the_clean_pass_has_none(
    stream: LatentStream, text: CrossCache, branch_runs: list[int]
) -> None:
    stream.begin(3, text)
    stream.predict(latents(1), 1000.0, context=CONTEXT, keep=True)
    stream.finish(latents(3))
    assert len(branch_runs) == 1
    stream.begin(3, text)
    other = stream.predict(latents(4), 1000.0, context=-CONTEXT, keep=True, again=True)
    assert len(branch_runs) == 2
    assert (other - stream.predict(latents(4), 1000.0, context=-CONTEXT)).abs().max() < 2e-6


def test_auto_takes_the_cheapest_that_passed_at_these_very_steps() -> None:
    one, two = ("one", rounded(FOUR)), ("two", rounded(FOUR))
    assert chosen("auto", frozenset(), FOUR) == "every"
    assert chosen("auto", frozenset({two}), FOUR) == "two"
    assert chosen("auto", frozenset({one, two}), FOUR) == "one"
    assert chosen("auto", frozenset({one}), FOUR[:2]) == "every", "measured at other steps"
    assert chosen("two", frozenset(), FOUR) == "two", "asked for by hand"
    assert chosen("auto", frozenset({("one", (1000.0,))}), (1000.0,)) == "every", (
        "one step has nothing to save"
    )


def test_verdicts_are_about_weights_and_replace_older_ones(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Linear(30, 20)
    file, mine = tmp_path / "hints.json", fingerprint(network)
    assert passed_of(network, [file]) == frozenset()
    write_verdicts(file, [Verdict(mine, rounded(FOUR), "one", True), Verdict("other", (1.0,), "two", True)])
    assert passed_of(network, [tmp_path / "none.json", file]) == {("one", rounded(FOUR))}
    write_verdicts(file, [Verdict(mine, rounded(FOUR), "one", False)])
    assert passed_of(network, [file]) == frozenset()
    assert len(read_verdicts(file)) == 2
    with torch.no_grad():
        network.weight[3] += 1
    assert fingerprint(network) != mine
    assert fingerprint(network.to(torch.bfloat16)) != fingerprint(network.float())


def test_a_broken_file_of_verdicts_stops_no_show(tmp_path: Path) -> None:
    file = tmp_path / "hints.json"
    file.write_text('{"verdicts": [{"print": 3}]}')
    assert passed_of(nn.Linear(2, 2), [file]) == frozenset()
    with pytest.raises(EngineError, match=r"hints\.json"):
        read_verdicts(file)

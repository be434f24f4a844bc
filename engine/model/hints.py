"""What may be left out of a chunk, and what was measured of leaving it out.

Hints follow from the noisy latents and the timestep, so the exact engine makes them at every denoising step.
Making them at fewer steps and using them again is an approximation. So is turbo: no clean pass, and what the
last denoising step left in the cache stays there for the chunks to come. Whether a model bears one of them
is measured for its very weights and steps, by a gate that compares with the exact engine; nothing here is a
guess.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from engine.core.errors import EngineError
from engine.core.paths import write_atomic

HintPolicy = Literal["every", "two", "one"]
"""At every denoising step, at two of them, at the first alone."""
HintChoice = Literal["auto", "every", "two", "one"]
"""Auto: the cheapest that passed for these weights and steps, every where nothing is known."""
Approximation = Literal["every", "two", "one", "turbo every", "turbo two", "turbo one"]
"""A hint policy, or turbo together with one."""
TURBO: Mapping[HintPolicy, Approximation] = {
    "every": "turbo every", "two": "turbo two", "one": "turbo one",
}  # fmt: skip
CHEAPEST: tuple[HintPolicy, ...] = ("one", "two", "every")
FORMAT = 1
SAMPLED = 64
"""Numbers of each weight that go into a fingerprint."""

Timesteps = tuple[float, ...]


def renewed(policy: HintPolicy, steps: int) -> frozenset[int]:
    """The denoising steps, of so many, at which hints are made; the others use the last ones again."""
    if policy == "every":
        return frozenset(range(steps))
    return frozenset({0} if policy == "one" else {0, steps // 2})


@dataclass(frozen=True)
class Verdict:
    """What the gate said of a policy: for which weights (`print`), at which timesteps."""

    print: str
    timesteps: Timesteps
    policy: Approximation
    passed: bool


Passed = frozenset[tuple[Approximation, Timesteps]]
"""What passed for a model, each at the timesteps it was measured at."""


def chosen(choice: HintChoice, passed: Passed, timesteps: Sequence[float]) -> HintPolicy:
    """The policy of a chunk of these timesteps."""
    if choice != "auto":
        return choice
    exact = renewed("every", len(timesteps))
    for policy in CHEAPEST:
        if renewed(policy, len(timesteps)) == exact:
            return "every"
        if (policy, rounded(timesteps)) in passed:
            return policy
    return "every"


def cleans(choice: HintChoice, policy: HintPolicy, passed: Passed, timesteps: Sequence[float]) -> bool:
    """Whether a chunk of these timesteps, with hints by this policy, is to end with a clean pass.

    Only what leaves the choice to the program leaves the pass out.
    """
    return choice != "auto" or (TURBO[policy], rounded(timesteps)) not in passed


def rounded(timesteps: Sequence[float]) -> Timesteps:
    """Timesteps as they are written down."""
    return tuple(round(float(t), 1) for t in timesteps)


def fingerprint(network: nn.Module) -> str:
    """Sixteen letters that change with the weights or their number type; reads a sample of every weight."""
    parts = []
    digest = hashlib.sha256()
    for name, weight in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype};".encode())
        stride = max(1, weight.numel() // SAMPLED)
        parts.append(weight.detach().flatten()[::stride].float())
    if parts:
        digest.update(torch.cat(parts).cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def read_verdicts(file: Path) -> tuple[Verdict, ...]:
    """What a file of verdicts holds; none where there is no file. Raises EngineError for a broken one."""
    if not file.is_file():
        return ()
    try:
        rows = json.loads(file.read_text("utf-8"))["verdicts"]
        return tuple(
            Verdict(str(row["print"]), rounded(row["timesteps"]), row["policy"], bool(row["passed"]))
            for row in rows
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(
            f"{file} cannot be read: {error}.", "Delete it; measuring makes it anew."
        ) from error


def write_verdicts(file: Path, verdicts: Iterable[Verdict]) -> None:
    """Put verdicts into a file, each in place of an older one about the same.

    Raises EngineError where the file holds something else, or OSError.
    """
    kept = {(row.print, row.timesteps, row.policy): row for row in (*read_verdicts(file), *verdicts)}
    rows = [asdict(row) for row in kept.values()]
    write_atomic(file, json.dumps({"format": FORMAT, "verdicts": rows}, indent=1).encode() + b"\n")


def passed_of(network: nn.Module, files: Iterable[Path]) -> Passed:
    """What passed for this very network, as the files that exist say; a broken one says nothing."""
    verdicts: list[Verdict] = []
    for file in files:
        with contextlib.suppress(EngineError):  # then the exact engine plays, which is always right
            verdicts += read_verdicts(file)
    if not verdicts:
        return frozenset()
    mine = fingerprint(network)
    latest = {(row.policy, row.timesteps): row.passed for row in verdicts if row.print == mine}
    return frozenset(key for key, passed in latest.items() if passed)

"""`cuelight bench`: how fast a pipeline runs here, where its time goes, and how far from the limit it is.

Random weights are as fast as trained ones, so a pipeline of any size can be measured before its files are
here. What is measured is the session itself, as a show runs it. Returns plain rows for a table and for JSON.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from engine.bench.compare import Comparison, compare, comparison_lines
from engine.bench.machine import describe_machine
from engine.bench.measure import Result, measure
from engine.bench.plan import SUITE, SUITE_S, Plan
from engine.bench.report import heading, lines, outline
from engine.bench.weights import make_pipeline
from engine.core.errors import CuelightError
from engine.model.load import best_device

__all__ = ["SUITE", "Plan", "main", "suite"]

NO_GPU = "not measured: no GPU"
NO_TIME = "not measured: no time left"

Document = dict[str, object]
"""What is written as JSON."""


def main(plan: Plan) -> Document:
    """Measure one pipeline and print its table. Raises EngineError or WeightsError."""
    result = _measured(plan)
    told = comparison_lines(result) if isinstance(result, Comparison) else lines(result)
    print(heading(plan), *told, sep="\n")
    return describe_machine() | result.document()


def suite(
    plans: Sequence[Plan] = SUITE,
    *,
    seconds: float = SUITE_S,
    on_gpu: bool | None = None,
    run: Callable[[Plan], Result | Comparison] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Document:
    """Measure a list of plans one after the other, a line each; ends within about `seconds`.

    A plan is not begun when the longest one so far would no longer fit in. Without a GPU nothing is measured,
    and every row says so. What fails is told in its row; the rest goes on. `on_gpu` None: as it is.
    """
    there = best_device()[0].type == "cuda" if on_gpu is None else on_gpu
    begin, longest, rows = clock(), 0.0, []
    for plan in plans:
        print(heading(plan))
        started = clock()
        if not there:
            row = plan.document() | {"note": NO_GPU}
        elif started + longest > begin + seconds:
            row = plan.document() | {"note": NO_TIME}
        else:
            row = _row(plan, run or _measured)
            longest = max(longest, clock() - started)
        print(f"  {outline(row)}")
        rows.append(row)
    return describe_machine() | {"rows": rows}


def _row(plan: Plan, run: Callable[[Plan], Result | Comparison]) -> Document:
    """What came of one plan; an error that can be explained becomes its note."""
    try:
        return run(plan).document()
    except CuelightError as error:
        return plan.document() | {"note": f"not measured: {error.what}"}


def _measured(plan: Plan) -> Result | Comparison:
    pipeline, origin = make_pipeline(plan)
    plan = replace(plan, weights=origin)
    return compare(pipeline, plan) if plan.against else measure(pipeline, plan)

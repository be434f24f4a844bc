"""`cuelight bench`: how fast a pipeline runs here, where its time goes, and how far from the limit it is.

Random weights are as fast as trained ones, so a pipeline of any size can be measured before its files are
here. What is measured is the session itself, as a show runs it. Returns plain rows for a table and for JSON.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from engine.bench.compare import Comparison, compare, comparison_lines
from engine.bench.machine import describe_machine
from engine.bench.measure import Result, measure
from engine.bench.plan import ROW_S, SUITE, SUITE_S, Plan
from engine.bench.report import heading, lines, outline
from engine.bench.weights import make_pipeline
from engine.core.errors import CuelightError
from engine.model.load import best_device

__all__ = ["SUITE", "Plan", "main", "measured_rows", "suite"]

NO_GPU = "not measured: no GPU"
NO_TIME = "not measured: no time left"

Document = dict[str, object]
"""What is written as JSON."""
Run = Callable[[Plan, float], Result | Comparison]
"""Measures a plan, and makes no further chunk after an instant of `time.monotonic`."""


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
    run: Run | None = None,
    clock: Callable[[], float] = time.monotonic,
    told: Callable[[Document], None] = lambda document: None,
) -> Document:
    """Measure a list of plans one after the other, a line each; ends within about `seconds`.

    A plan is not begun when the longest one so far would no longer fit in, and makes no further chunk once
    it has had its share of the time. Without a GPU nothing is measured, and every row says so. What fails is
    told in its row; the rest goes on. `on_gpu` None: as it is. `told` gets what there is after every row.
    """
    there = best_device()[0].type == "cuda" if on_gpu is None else on_gpu
    begin, longest, rows = clock(), 0.0, []
    machine = describe_machine()
    for plan in plans:
        print(heading(plan), flush=True)
        started = clock()
        if not there:
            row = plan.document() | {"note": NO_GPU}
        elif started + longest > begin + seconds:
            row = plan.document() | {"note": NO_TIME}
        else:
            row = _row(plan, run or _measured, min(started + max(ROW_S, plan.seconds), begin + seconds))
            longest = max(longest, clock() - started - plan.seconds)
        print(f"  {outline(row)}", flush=True)
        rows.append(row)
        told(machine | {"rows": rows})
    return machine | {"rows": rows}


def measured_rows(document: Document) -> int:
    """How many rows of a list were measured."""
    rows = document["rows"]
    return sum("note" not in row for row in rows) if isinstance(rows, list) else 0


def _row(plan: Plan, run: Run, until: float) -> Document:
    """What came of one plan; what went wrong becomes its note, and the next plan finds the memory free.

    A RuntimeError is what torch raises where a card has too little memory or lacks a kernel.
    """
    try:
        return run(plan, until).document()
    except CuelightError as error:
        return plan.document() | {"note": f"not measured: {error.what}"}
    except RuntimeError as error:
        why = (str(error).splitlines() or [""])[0][:200]
        return plan.document() | {"note": f"not measured: {type(error).__name__}: {why}"}
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _measured(plan: Plan, until: float = math.inf) -> Result | Comparison:
    pipeline, origin = make_pipeline(plan)
    plan = replace(plan, weights=origin)
    return compare(pipeline, plan, until) if plan.against else measure(pipeline, plan, until)

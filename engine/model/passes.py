"""The passes of a transformer through one cache, as they are or from recordings.

Knows what a pass is given and how it is run here; when there is one, and what becomes of it, is the stream's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from engine.model.attention import Attend
from engine.model.cache import KVCache
from engine.model.graphs import Graphs
from engine.model.policies import CachePlan
from engine.model.quantize import Float8Linear
from engine.model.savings import Savings
from engine.model.tables import Tables
from engine.model.vace import References
from engine.model.wan import CausalWan, CrossCache, Hints

_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Pass:
    """All that may differ between two passes of one kind; every field as `CausalWan.forward` takes it."""

    x: Tensor
    t: Tensor
    text: CrossCache
    tables: Tables
    inside: Tensor | None = None
    context: Tensor | None = None
    context_scale: float | Tensor = 1.0
    references: References | None = None
    hints: Hints | None = None


class Passes:
    """Runs the passes of one stream. Not thread-safe."""

    def __init__(
        self,
        dit: CausalWan,
        cache: KVCache,
        attends: tuple[Attend, Attend],
        savings: Savings,
        graphs: Graphs | None = None,
    ) -> None:
        """`attends`: of the main stack and of the branch. `graphs`: None runs every pass as it is."""
        self._dit, self._cache, self._attends = dit, cache, attends
        self._savings = savings
        self._graphs = graphs if savings.tables and savings.text else None  # else plans are looked at inside
        self._layers = tuple(dit.modules())

    def flow(self, plan: CachePlan, given: Pass, *, leaving: bool = False) -> Tensor:
        """The network's output. `leaving`: only what the pass leaves in the cache is wanted."""
        leaving = leaving and self._savings.leaving

        def compute(now: Pass) -> Tensor:
            flow: Tensor = self._dit(
                now.x,
                now.t,
                now.text if self._savings.text else now.text.rows,
                cache=self._cache,
                plan=plan,
                context=now.context,
                context_scale=now.context_scale,
                attend=self._attends[0],
                vace_attend=self._attends[1],
                tables=now.tables if self._savings.tables else None,
                references=now.references,
                hints=now.hints,
                inside=now.inside,
                leaving=leaving,
            )
            return flow

        return self._run(("flow", plan.write, plan.read, leaving), compute, given)

    def hints(self, given: Pass) -> Hints:
        """What the branch gives to the main stack in such a pass; it needs a context."""

        def compute(now: Pass) -> Hints:
            if now.context is None:
                raise TypeError("hints are made of a context")
            return self._dit.hints(
                now.x,
                now.t,
                now.text,
                now.context,
                now.tables,
                attend=self._attends[1],
                references=now.references,
                inside=now.inside,
            )

        return self._run("hints", compute, given)

    def _run(self, kind: Hashable, compute: Callable[[Pass], _Made], given: Pass) -> _Made:
        """One pass, played from its recording where there are any.

        A recording holds for this cache, and for the LoRAs and the precision that the network runs with now.
        """
        if self._graphs is None:
            return compute(given)
        if not isinstance(given.context_scale, Tensor) and given.context_scale != 0:
            scale = torch.full((), given.context_scale, device=given.x.device)
            given = replace(given, context_scale=scale)
        worn = tuple(hook for layer in self._layers for hook in layer._forward_hooks)
        exactly = any(isinstance(layer, Float8Linear) and layer.exact for layer in self._layers)
        return self._graphs.run((kind, self._cache.k_LBMHD.data_ptr(), worn, exactly), compute, given)

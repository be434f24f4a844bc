"""A stream of latents without end: the cache, the memory and the passes that carry one chunk to the next.

Carries out a policy's plans and knows nothing else of policies, and nothing of prompts as words, pictures,
autoencoders, schedules or threads. A chunk is `begin`, any number of `predict`s, `finish`. Text, step list,
scales and weights may change at any chunk (weights and scales at any step): no reset is ever needed.
Shape letters: B batch, F latents of the chunk, h w latent size.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.core.errors import EngineError
from engine.model.attention import Attend, attend
from engine.model.bank import Bank
from engine.model.cache import KVCache
from engine.model.graphs import Graphs
from engine.model.host_memory import keep_freed_memory
from engine.model.passes import Pass, Passes
from engine.model.policies import CachePlan, Policy, Rewrite
from engine.model.savings import ALL, Savings
from engine.model.tables import Tables, make_tables
from engine.model.vace import References
from engine.model.wan import CausalWan, CrossCache, Hints

CLEAN = 0.0
"""Timestep of passes over finished latents."""
KEPT_TABLES = 8
"""Enough for every ring that is written three latents at a time."""
_Kind = tuple[tuple[int, ...], tuple[int, ...], tuple[float, ...], int, int]
"""All of a plan that its tables depend on."""


@dataclass(frozen=True)
class _Chunk:
    """What holds for every forward of a chunk."""

    plan: CachePlan
    tables: Tables
    text: CrossCache
    inside: Tensor | None = None


class LatentStream:
    """Chunks of latents, each of which sees the past as the policy plans it. Not thread-safe."""

    start: int
    """Absolute index of the next latent."""

    def __init__(
        self,
        dit: CausalWan,
        policy: Policy,
        *,
        latent_size: tuple[int, int],
        latents_per_chunk: int,
        device: torch.device | str,
        dtype: torch.dtype,
        batch: int = 1,
        attend: Attend = attend,
        vace_attend: Attend = attend,
        savings: Savings = ALL,
        graphs: Graphs | None = None,
    ) -> None:
        """Allocate all that the stream will ever hold; EngineError when such chunks do not fit the policy.

        `latent_size`: (h, w). `dtype`: of the KV cache, the network's own. `policy` may be exchanged
        between chunks for one with the same slots (another past bias, say). `savings`: what is kept.
        `graphs`: passes are recorded there and played again; None: every pass runs as it is.
        """
        policy.plan(0, latents_per_chunk)
        if torch.device(device).type == "cpu":
            keep_freed_memory()
        arch, height, width = dit.arch, *latent_size
        _, patch_height, patch_width = arch.patch
        self.policy = policy
        self.cache = KVCache(
            layers=arch.layers,
            slots=policy.slots,
            tokens_per_latent=arch.tokens_per_latent(height, width),
            heads=arch.heads,
            head_dim=arch.head_dim,
            batch=batch,
            folded=policy.folded,
            device=device,
            dtype=dtype,
        )
        self._dit = dit
        self._passes = Passes(dit, self.cache, (attend, vace_attend), savings, graphs)
        self._made: dict[_Kind, Tables] = {}
        self._bank = Bank(self.cache, height // patch_height, width // patch_width)
        self._memory = torch.zeros(batch, policy.remembered, arch.in_dim, height, width, device=device)
        self._insides = torch.zeros(policy.remembered, arch.tokens_per_latent(height, width), device=device)
        self.reset()

    def reset(self) -> None:
        """Forget the past. Little is cleared: plans never read keys that were not written since."""
        self._insides.zero_()  # not written while no chunk has a mask, and read once one has
        self.start = 0
        self._folded = 0
        self._chunk: _Chunk | None = None
        self._hints: Hints | None = None
        self._parted = False  # whether any chunk had a mask

    @torch.inference_mode()
    def begin(
        self,
        latents: int,
        text: CrossCache,
        anchor: Callable[[], Tensor] | None = None,
        references: int = 0,
        inside: Tensor | None = None,
    ) -> None:
        """Plan a chunk of `latents` under `text` and bring the cache up to it.

        `anchor` gives the latent [B, 1, 16, h, w] of the oldest decoded picture that a policy with
        anchors may ask for; without it the remembered latent stands in. `references`: how many the chunk's
        `predict`s will be given. `inside`: as `CausalWan` takes it, for every pass of this chunk and whenever
        its latents are passed again. May be called again for a chunk that was given up. Raises EngineError
        when the chunk does not fit.
        """
        plan = self.policy.plan(self.start, latents)
        rewrite = self.policy.context(self.start)
        if rewrite is not None:
            self._rewrite(rewrite, text, anchor)
        if self._folded < self.start:
            for fold in plan.folds:
                self.cache.fold(fold)
            self._folded = self.start
        self._chunk = _Chunk(plan, self._tables(plan, latents, references), text, inside)
        self._parted |= inside is not None
        self._hints = None

    @torch.inference_mode()
    def predict(
        self,
        x: Tensor,
        t: float | Tensor,
        *,
        context: Tensor | None = None,
        context_scale: float | Tensor = 1.0,
        references: References | None = None,
        keep: bool = False,
        again: bool = False,
    ) -> Tensor:
        """One denoising call: the network's output for noisy latents `x` [B, F, 16, h, w] at timestep t.

        `t`: 0..1000, one for all latents or [B, F]. `context`, `context_scale` and `references` as
        `CausalWan` takes them. `keep`: the hints stay for later calls of this chunk; `again`: hints that were
        kept are used instead of new ones, under whatever scale is given now. Raises EngineError before
        `begin`, or when x is not the chunk that was begun.
        """
        chunk = self._running(x)
        given = replace(
            self._given(chunk, x, t), context=context, context_scale=context_scale, references=references
        )
        hints = self._hints if again else None
        wanted = context is not None and (isinstance(context_scale, Tensor) or context_scale != 0)
        if wanted and keep and hints is None and self._dit.vace_layers:
            hints = self._hints = self._passes.hints(replace(given, context_scale=1.0))
        return self._passes.flow(chunk.plan, replace(given, hints=hints))

    @torch.inference_mode()
    def finish(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        context_scale: float | Tensor = 1.0,
        clean: bool = True,
    ) -> None:
        """Take the finished latents into the past, with a clean pass where the policy has one.

        Models are trained to pass clean latents without hints; `context` is there to try the other way.
        Without `clean`, what the last `predict` left in the cache stays there: an approximation.
        """
        chunk = self._running(x)
        if chunk.plan.clean and clean:
            given = replace(self._given(chunk, x, CLEAN), context=context, context_scale=context_scale)
            self._passes.flow(chunk.plan, given, leaving=True)
        for commit in chunk.plan.commits:
            self._bank.commit(commit, chunk.text.main)
        self._remember(x, chunk.inside)
        self.start += x.shape[1]
        self._chunk = self._hints = None

    @torch.inference_mode()
    def recache(self, text: CrossCache) -> None:
        """Speak the past in a new text, where the policy says that the model was trained with it.

        For use between chunks, before the first chunk under that text begins.
        """
        rewrite = self.policy.recache(self.start)
        if rewrite is not None:
            self._rewrite(rewrite, text)

    def _rewrite(
        self, rewrite: Rewrite, text: CrossCache, anchor: Callable[[], Tensor] | None = None
    ) -> None:
        """Run finished latents at t = 0 for the keys and values that they leave in the cache."""
        parts = [self._recalled(latent) for latent in rewrite.latents]
        if rewrite.anchored and anchor is not None:
            parts[0] = anchor().to(parts[0])
        x = torch.cat(parts, dim=1)
        inside = torch.cat([self._recalled_inside(n) for n in rewrite.latents]) if self._parted else None
        chunk = _Chunk(rewrite.plan, self._tables(rewrite.plan, x.shape[1]), text, inside)
        self._passes.flow(chunk.plan, self._given(chunk, x, CLEAN), leaving=True)

    def _given(self, chunk: _Chunk, x: Tensor, t: float | Tensor) -> Pass:
        """What every pass of a chunk is given, at one timestep for all of its latents or one for each."""
        t = t if isinstance(t, Tensor) else torch.full(x.shape[:2], t, device=x.device)
        return Pass(x, t, chunk.text, chunk.tables, chunk.inside)

    def _running(self, x: Tensor) -> _Chunk:
        if self._chunk is None:
            raise EngineError("A chunk was continued that never began.", "Call begin() first.")
        if x.shape[1] != len(self._chunk.plan.query_positions):
            raise EngineError(
                f"The chunk has {x.shape[1]} latents, but was begun with "
                f"{len(self._chunk.plan.query_positions)}.",
                "Begin it with the number of latents it has.",
            )
        return self._chunk

    def _tables(self, plan: CachePlan, latents: int, references: int = 0) -> Tables:
        """The tables of a plan; a ring comes back to the same few plans, so the newest ones are kept."""
        kind = plan.query_positions, plan.key_positions, plan.key_bias, latents, references
        if kind not in self._made:
            height, width = self._memory.shape[-2:]
            self._made[kind] = make_tables(
                plan, latents, self._dit.arch, height, width, self._memory.device, references
            )
        self._made[kind] = self._made.pop(kind)
        while len(self._made) > KEPT_TABLES:
            del self._made[next(iter(self._made))]
        return self._made[kind]

    def _remember(self, x: Tensor, inside: Tensor | None) -> None:
        """Keep finished latents, each at a place of its own in a ring, and where they lay inside a mask."""
        kept = self._memory.shape[1]
        for offset in range(max(0, x.shape[1] - kept), x.shape[1]):
            place = (self.start + offset) % kept
            self._memory[:, place] = x[:, offset]
            if self._parted:
                self._insides[place] = 0 if inside is None else inside.view(x.shape[1], -1)[offset]

    def _recalled(self, latent: int) -> Tensor:
        """The finished latent with this absolute index, [B, 1, 16, h, w]."""
        kept = latent % self._memory.shape[1]
        return self._memory[:, kept : kept + 1]

    def _recalled_inside(self, latent: int) -> Tensor:
        """How far each token of the finished latent with this index lay inside the mask; without one, 0."""
        return self._insides[latent % len(self._insides)]

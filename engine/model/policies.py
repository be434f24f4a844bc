"""Cache policies: which slots a chunk writes, which it reads, and at which positions. Host ints only.

A policy knows nothing of tensors or layers; a `LatentStream` carries its plans out and knows nothing of
policies but their plans. So one more policy is one more dataclass with the four members of `Policy`.
Every plan follows from the index of the chunk's first latent alone: a policy has no state to reset.
Unit everywhere: latents (one slot holds one latent).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from engine.core.errors import EngineError

Span = tuple[int, int]
"""A run of slots [first, stop)."""


@dataclass(frozen=True)
class Fold:
    """Average `source` into `into`, slot by slot: into = keep * into + (1 - keep) * source.

    `first`: nothing was folded into these slots since a chunk wrote them.
    """

    source: Span
    into: Span
    keep: float
    first: bool


@dataclass(frozen=True)
class Commit:
    """Put a copy of slot `source` into a bank of which `filled` slots are in use.

    A full bank first gives up the slot whose keys fit the text least. `turn`: the position that the copy's
    keys are turned to for good, for plans with absolute positions; such keys are read at position 0.
    """

    source: int
    bank: Span
    filled: int
    turn: int = 0


@dataclass(frozen=True)
class CachePlan:
    """All that there is to know about the cache while one chunk is made.

    `write`: spans the chunk's latents overwrite, in latent order. `read`: spans attention sees, the
    chunk's own included. `query_positions`: one per latent of the chunk. `key_positions`: one per
    latent read, in reading order. Every denoising step and the clean pass run the same plan.
    `key_bias`: added to the logits of each latent read, in reading order; empty means none.
    `folds`: done once before the chunk writes. `commits`: done once after the chunk is finished.
    `clean`: whether the chunk ends with a clean pass.
    """

    write: tuple[Span, ...]
    read: tuple[Span, ...]
    query_positions: tuple[int, ...]
    key_positions: tuple[int, ...]
    key_bias: tuple[float, ...] = ()
    folds: tuple[Fold, ...] = ()
    commits: tuple[Commit, ...] = ()
    clean: bool = True


@dataclass(frozen=True)
class Rewrite:
    """A pass at t = 0 over latents already made, which writes their keys and values anew.

    `latents`: absolute indices, oldest first. `anchored`: the oldest one is to be replaced by an anchor
    (the latent of a decoded picture) where there is one.
    """

    latents: tuple[int, ...]
    plan: CachePlan
    anchored: bool = False


class Policy(Protocol):
    """What a stream asks of a policy."""

    @property
    def slots(self) -> int:
        """Latents the KV cache has room for."""
        ...

    @property
    def remembered(self) -> int:
        """How many of the newest finished latents a stream keeps for `Rewrite`s."""
        ...

    @property
    def folded(self) -> int:
        """How many slots, counted from the first, receive folds (and need fp32 for it)."""
        ...

    def plan(self, start: int, latents: int) -> CachePlan:
        """Plan the chunk [start, start + latents); EngineError when it does not fit."""
        ...

    def context(self, start: int) -> Rewrite | None:
        """What to rewrite before every chunk that begins at `start`."""
        ...

    def recache(self, start: int) -> Rewrite | None:
        """What to rewrite when the prompt changes before the chunk that begins at `start`."""
        ...


@dataclass(frozen=True)
class SinkWindow:
    """Keep the first `sink` latents for ever and the newest `window - sink` others in a ring.

    `relative`: positions count 0, 1, 2... in order of age inside the window, so that a stream has no
    end; otherwise they are the latents' absolute indices (what LongLive was recorded with).
    `recaches`: whether the model was trained to have its window rewritten at a prompt switch.
    """

    window: int
    sink: int
    relative: bool = True
    recaches: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes that leave no room for a chunk."""
        if not 0 <= self.sink < self.window:
            raise EngineError(
                f"A window of {self.window} latents cannot hold a sink of {self.sink}.",
                "Choose 0 <= sink < window.",
            )

    @property
    def slots(self) -> int:
        """One per latent of the window."""
        return self.window

    @property
    def remembered(self) -> int:
        """A whole window where it may have to be rewritten."""
        return self.window if self.recaches else 0

    @property
    def folded(self) -> int:
        """None: what leaves the window is forgotten."""
        return 0

    def slot(self, latent: int) -> int:
        """The slot that holds the latent with this absolute index."""
        if latent < self.sink:
            return latent
        return self.sink + (latent - self.sink) % (self.window - self.sink)

    def held(self, stop: int) -> tuple[int, ...]:
        """Absolute indices of the latents in the cache once latents [0, stop) were made, by age."""
        return (*range(min(self.sink, stop)), *range(self._oldest(stop), stop))

    def plan(self, start: int, latents: int) -> CachePlan:
        """Plan the chunk [start, start + latents) of a stream."""
        stop = start + latents
        held = self.held(stop)
        if latents < 1 or held[-latents:] != tuple(range(start, stop)):
            raise EngineError(
                f"A chunk of {latents} latents does not fit a window of {self.window} with a sink "
                f"of {self.sink}.",
                "Use fewer latents per chunk or a larger window.",
            )
        positions = range(len(held)) if self.relative else held
        by_slot = dict(sorted((self.slot(latent), at) for latent, at in zip(held, positions, strict=True)))
        return CachePlan(
            write=spans(self.slot(latent) for latent in range(start, stop)),
            read=spans(by_slot),
            query_positions=tuple(positions[-latents:]),
            key_positions=tuple(by_slot.values()),
        )

    def evicted(self, start: int, latents: int) -> range:
        """Latents whose slots the chunk [start, start + latents) takes."""
        return range(self._oldest(start), min(start, self._oldest(start + latents)))

    def context(self, start: int) -> Rewrite | None:
        """Nothing: the clean pass of every chunk left the cache as the next one needs it."""
        del start
        return None

    def recache(self, start: int) -> Rewrite | None:
        """All latents in the cache; once something was evicted, the sink stays as it is.

        The sink's latents are then long past, and whatever else was evicted has no slot to be written to.
        """
        if not self.recaches or start == 0:
            return None
        count = start if start <= self.window else self.window - self.sink
        return Rewrite(tuple(range(start - count, start)), self.plan(start - count, count))

    def _oldest(self, stop: int) -> int:
        """First latent outside the sink that is in the cache once [0, stop) were made."""
        return max(self.sink, stop - (self.window - self.sink))


@dataclass(frozen=True)
class EmaSink:
    """A `SinkWindow` whose sink is a slow average: every evicted latent is folded into one of its slots.

    `keep`: how much of the sink each fold leaves (0.999 in the released Reward Forcing). Slots receive
    evicted latents in turn. Positions are relative, as the model was trained.
    """

    window: int
    sink: int
    keep: float = 0.999

    def __post_init__(self) -> None:
        """Refuse a sink that nothing can be folded into, and weights that are none."""
        if self.sink < 1 or not 0 <= self.keep <= 1:
            raise EngineError(
                f"A sink of {self.sink} latents cannot keep {self.keep} of itself.",
                "Choose a sink of at least 1 and a share of 0..1.",
            )
        SinkWindow(self.window, self.sink)

    @property
    def slots(self) -> int:
        """One per latent of the window."""
        return self.window

    @property
    def remembered(self) -> int:
        """None: the model was trained to go on with the keys it has when the prompt changes."""
        return 0

    @property
    def folded(self) -> int:
        """The sink."""
        return self.sink

    def plan(self, start: int, latents: int) -> CachePlan:
        """Plan the chunk [start, start + latents) of a stream."""
        ring = SinkWindow(self.window, self.sink)
        pairs = [(ring.slot(old), (old - self.sink) % self.sink) for old in ring.evicted(start, latents)]
        fresh = max(0, 2 * self.sink - ring.evicted(start, latents).start)
        folds = (
            Fold(source, into, self.keep, first)
            for part, first in ((pairs[:fresh], True), (pairs[fresh:], False))
            for source, into in paired_spans(part)
        )
        return replace(ring.plan(start, latents), folds=tuple(folds))

    def context(self, start: int) -> Rewrite | None:
        """Nothing: the clean pass of every chunk left the cache as the next one needs it."""
        del start
        return None

    def recache(self, start: int) -> Rewrite | None:
        """Nothing: the model was not trained with it."""
        del start
        return None


@dataclass(frozen=True)
class MemoryBank:
    """A `SinkWindow` and beside it a bank: every `every`-th latent of the stream, those that fit the text.

    A latent enters the bank when its chunk is finished, once. While the bank is full, the one that fits
    the text least leaves for it. Slots: sink, bank, ring. `relative`: positions count up over sink, bank
    and ring; otherwise they are absolute, and a bank key keeps the position it was made at.
    """

    window: int
    sink: int
    bank: int = 3
    every: int = 9
    relative: bool = True
    recaches: bool = True

    def __post_init__(self) -> None:
        """Refuse banks that hold nothing or never take anything in."""
        if self.bank < 1 or self.every < 1:
            raise EngineError(
                f"A bank of {self.bank} that takes every {self.every}th latent is none.",
                "Choose at least 1 for both.",
            )
        SinkWindow(self.window, self.sink)

    @property
    def slots(self) -> int:
        """Those of the window and of the bank."""
        return self.window + self.bank

    @property
    def remembered(self) -> int:
        """A whole window where it may have to be rewritten."""
        return self._ring.remembered

    @property
    def folded(self) -> int:
        """None."""
        return 0

    @property
    def _ring(self) -> SinkWindow:
        return SinkWindow(self.window, self.sink, self.relative, self.recaches)

    def slot(self, latent: int) -> int:
        """The slot outside the bank that holds the latent with this absolute index."""
        return self._moved(self._ring.slot(latent))

    def held(self, stop: int) -> tuple[int, ...]:
        """Absolute indices of the latents outside the bank once latents [0, stop) were made, by age."""
        return self._ring.held(stop)

    def filled(self, start: int) -> int:
        """Bank slots in use while the chunk that begins at `start` is made."""
        return min(self.bank, -(-start // self.every))

    def plan(self, start: int, latents: int) -> CachePlan:
        """Plan the chunk [start, start + latents) of a stream."""
        own = range(start, start + latents)
        bank = (self.sink, self.sink + self.bank)
        plan = self._seen(self._ring.plan(start, latents), self.filled(start))
        commits = (
            Commit(self.slot(latent), bank, self.filled(latent), 0 if self.relative else latent)
            for latent in own
            if latent % self.every == 0
        )
        return replace(plan, commits=tuple(commits))

    def context(self, start: int) -> Rewrite | None:
        """Nothing: the clean pass of every chunk left the cache as the next one needs it."""
        del start
        return None

    def recache(self, start: int) -> Rewrite | None:
        """As a `SinkWindow` does; the bank is seen and stays as it is."""
        rewrite = self._ring.recache(start)
        if rewrite is None:
            return None
        return replace(rewrite, plan=self._seen(rewrite.plan, self.filled(start)))

    def _moved(self, slot: int) -> int:
        """A slot of the ring alone -> the same one behind the bank."""
        return slot if slot < self.sink else slot + self.bank

    def _seen(self, plan: CachePlan, filled: int) -> CachePlan:
        """The ring's plan with the bank between its sink and the rest."""
        of_sink = min(self.sink, plan.read[-1][1])
        shift = filled if self.relative else 0

        def later(position: int) -> int:
            return position + shift if position >= self.sink else position

        slots = [*range(of_sink), *range(self.sink, self.sink + filled)]
        slots += [self._moved(slot) for slot in each(plan.read) if slot >= self.sink]
        of_bank = tuple(range(self.sink, self.sink + filled)) if self.relative else (0,) * filled
        keys = tuple(map(later, plan.key_positions))
        return replace(
            plan,
            write=spans(self._moved(slot) for slot in each(plan.write)),
            read=spans(slots),
            query_positions=tuple(map(later, plan.query_positions)),
            key_positions=(*keys[:of_sink], *of_bank, *keys[of_sink:]),
        )


@dataclass(frozen=True)
class ContextRecompute:
    """No memory but `context` latents, run through the model anew before every chunk (Krea Realtime).

    They are the newest ones; the oldest of them stands for all that was before: first the stream's first
    latent, later an anchor made from a decoded picture. `bias` (0..1, 1 = none) weakens the past: its
    logarithm is added to the logits of keys neither in the anchor nor in the chunk.
    """

    window: int
    context_latents: int = 3
    bias: float = 0.3

    def __post_init__(self) -> None:
        """Refuse sizes that leave no room for a chunk, and weights that are none."""
        if not 1 <= self.context_latents < self.window or not 0 < self.bias <= 1:
            raise EngineError(
                f"A window of {self.window} latents with a context of {self.context_latents} and a past "
                f"bias of {self.bias} is not possible.",
                "Choose 1 <= context < window and 0 < bias <= 1.",
            )

    @property
    def slots(self) -> int:
        """One per latent of the window."""
        return self.window

    @property
    def remembered(self) -> int:
        """Twice the context: the stream's first latent stays until anchors take over."""
        return 2 * self.context_latents

    @property
    def folded(self) -> int:
        """None."""
        return 0

    def plan(self, start: int, latents: int) -> CachePlan:
        """Plan the chunk [start, start + latents): the context lies before it, at the first positions."""
        past = min(start, self.context_latents)
        stop = past + latents
        if latents < 1 or stop > self.window:
            raise EngineError(
                f"A chunk of {latents} latents does not fit a window of {self.window} with a context "
                f"of {self.context_latents}.",
                "Use fewer latents per chunk or a larger window.",
            )
        weakened = (0.0, *[math.log(self.bias)] * (past - 1), *[0.0] * latents)
        return CachePlan(
            write=((past, stop),),
            read=((0, stop),),
            query_positions=tuple(range(past, stop)),
            key_positions=tuple(range(stop)),
            key_bias=weakened if self.bias < 1 and past > 1 else (),
            clean=False,
        )

    def context(self, start: int) -> Rewrite | None:
        """The anchor and the newest latents, which see each other and nothing else."""
        count = min(start, self.context_latents)
        if count == 0:
            return None
        anchored = start >= 2 * self.context_latents
        oldest = start - count if anchored else 0
        own = tuple(range(count))
        plan = CachePlan(((0, count),), ((0, count),), own, own)
        return Rewrite((oldest, *range(start - count + 1, start)), plan, anchored)

    def recache(self, start: int) -> Rewrite | None:
        """Nothing: the next chunk's context speaks the new text anyway."""
        del start
        return None


def each(runs: Iterable[Span]) -> list[int]:
    """The slots of runs, one by one."""
    return [slot for first, stop in runs for slot in range(first, stop)]


def spans(slots: Iterable[int]) -> tuple[Span, ...]:
    """Join neighbouring slots, in the given order, into runs."""
    runs: list[Span] = []
    for slot in slots:
        if runs and runs[-1][1] == slot:
            runs[-1] = (runs[-1][0], slot + 1)
        else:
            runs.append((slot, slot + 1))
    return tuple(runs)


def paired_spans(pairs: Iterable[tuple[int, int]]) -> tuple[tuple[Span, Span], ...]:
    """Join pairs of slots into pairs of runs of equal length, neighbours on both sides."""
    runs: list[tuple[Span, Span]] = []
    for left, right in pairs:
        if runs and (runs[-1][0][1], runs[-1][1][1]) == (left, right):
            runs[-1] = ((runs[-1][0][0], left + 1), (runs[-1][1][0], right + 1))
        else:
            runs.append(((left, left + 1), (right, right + 1)))
    return tuple(runs)

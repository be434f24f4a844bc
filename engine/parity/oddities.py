"""Rules of the reference that the product leaves out on purpose, as policies that make its plans.

Each is made of the product's own policies and plans; tests pin what the product does instead.
"""

from dataclasses import dataclass, replace

from torch import Tensor

from engine.model.attention import attend
from engine.model.policies import CachePlan, Commit, MemoryBank, Rewrite, SinkWindow
from engine.parity.dit import attend_with_padding


@dataclass(frozen=True)
class RepeatingBank(MemoryBank):
    """MemFlow's reference takes the latent it recorded last into the bank again before every chunk.

    Until the next one is recorded, the newest slot is written over and over; a full bank even gives up a
    slot each time, so that copies of one latent push the others out.
    """

    def plan(self, start: int, latents: int) -> CachePlan:
        """The product's plan with the reference's commit."""
        stop = start + latents
        recorded = (stop - 1) // self.every * self.every
        filled = min(self.bank, recorded // self.every)
        bank = (self.sink, self.sink + self.bank)
        if recorded in self.held(stop):
            commit = Commit(self.slot(recorded), bank, filled, recorded)
        else:
            commit = Commit(self.sink + min(filled, self.bank - 1), bank, filled)
        return replace(super().plan(start, latents), commits=(commit,))


@dataclass(frozen=True)
class EmptyBank(MemoryBank):
    """With VACE, MemFlow's reference never fills its bank: its zeros take part in attention."""

    def plan(self, start: int, latents: int) -> CachePlan:
        """The product's plan without a commit."""
        return replace(super().plan(start, latents), commits=())


class MovedSink:
    """A LongLive variant whose prompt switch rewrites the sink as well, with the window's oldest latents."""

    folded = 0

    def __init__(self, ring: SinkWindow) -> None:
        """A stream's policy; unlike the product's ones it has a state, where its sink was taken."""
        self.ring = ring
        self.slots = self.remembered = ring.window
        self.origin = 0

    def held(self, stop: int) -> tuple[int, ...]:
        """Absolute indices of the latents in the cache, sink first."""
        held, sink = self.ring.held(stop), self.ring.sink
        return (*(self.origin + latent for latent in held[:sink]), *held[sink:])

    def slot(self, latent: int) -> int:
        """The slot of a latent that is held."""
        of_sink = latent - self.origin
        return of_sink if 0 <= of_sink < self.ring.sink else self.ring.slot(latent)

    def plan(self, start: int, latents: int) -> CachePlan:
        """The ring's plan; the sink's keys have their own positions."""
        plan, sink = self.ring.plan(start, latents), self.ring.sink
        moved = (self.origin + position for position in plan.key_positions[:sink])
        return replace(plan, key_positions=(*moved, *plan.key_positions[sink:]))

    def context(self, start: int) -> Rewrite | None:
        """Nothing."""
        return self.ring.context(start)

    def recache(self, start: int) -> Rewrite | None:
        """The whole window at once, which begins a new sink."""
        window = min(start, self.ring.window)
        self.origin = start - window
        own = range(self.origin, start)
        plan = self.plan(start - 1, 1)
        write = tuple((self.slot(latent), self.slot(latent) + 1) for latent in own)
        return Rewrite(tuple(own), replace(plan, write=write, query_positions=tuple(own)))


class PhantomKeys:
    """Krea's reference with a past bias: zero keys that pad the attention of denoising steps."""

    def __init__(self) -> None:
        """Off, as in the passes over the context."""
        self.on = False

    def __call__(
        self, q_BNHD: Tensor, k_BMHD: Tensor, v_BMHD: Tensor, bias_M: Tensor | None = None, /
    ) -> Tensor:
        """Attend with or without them."""
        return (attend_with_padding if self.on else attend)(q_BNHD, k_BMHD, v_BMHD, bias_M)

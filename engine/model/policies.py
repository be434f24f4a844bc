"""Cache policies: which slots a chunk writes, which it reads, and at which positions. Host ints only.

A policy knows nothing of tensors or layers. Unit everywhere: latents (one slot holds one latent).
"""

from dataclasses import dataclass

from engine.core.errors import EngineError

Span = tuple[int, int]
"""A run of slots [first, stop)."""


@dataclass(frozen=True)
class CachePlan:
    """All that the layers need to know about the cache while one chunk is made.

    `write`: spans the chunk's latents overwrite, in latent order. `read`: spans attention sees, the
    chunk's own included. `query_positions`: one per latent of the chunk. `key_positions`: one per
    latent read, in reading order. Every denoising step and the clean pass run the same plan.
    """

    write: tuple[Span, ...]
    read: tuple[Span, ...]
    query_positions: tuple[int, ...]
    key_positions: tuple[int, ...]


@dataclass(frozen=True)
class SinkWindow:
    """Keep the first `sink` latents for ever and the newest `window - sink` others in a ring.

    `relative`: positions count 0, 1, 2... in order of age inside the window, so that a stream has no
    end; otherwise they are the latents' absolute indices (what LongLive was recorded with).
    """

    window: int
    sink: int
    relative: bool = True

    def __post_init__(self) -> None:
        """Refuse sizes that leave no room for a chunk."""
        if not 0 <= self.sink < self.window:
            raise EngineError(
                f"A window of {self.window} latents cannot hold a sink of {self.sink}.",
                "Choose 0 <= sink < window.",
            )

    def slot(self, latent: int) -> int:
        """The slot that holds the latent with this absolute index."""
        if latent < self.sink:
            return latent
        return self.sink + (latent - self.sink) % (self.window - self.sink)

    def held(self, stop: int) -> tuple[int, ...]:
        """Absolute indices of the latents in the cache once latents [0, stop) were made, by age."""
        oldest = max(self.sink, stop - (self.window - self.sink))
        return (*range(min(self.sink, stop)), *range(oldest, stop))

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
            write=_spans([self.slot(latent) for latent in range(start, stop)]),
            read=_spans(list(by_slot)),
            query_positions=tuple(positions[-latents:]),
            key_positions=tuple(by_slot.values()),
        )


def _spans(slots: list[int]) -> tuple[Span, ...]:
    """Join neighbouring slots, in the given order, into runs."""
    runs: list[Span] = []
    for slot in slots:
        if runs and runs[-1][1] == slot:
            runs[-1] = (runs[-1][0], slot + 1)
        else:
            runs.append((slot, slot + 1))
    return tuple(runs)

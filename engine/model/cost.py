"""What a chunk costs: how much there is to compute, and from measured chunks how long another one would take.

The operations of a transformer follow from its sizes (a product of N tokens with a d x d matrix takes
2*N*d*d, attention of N tokens to M takes 4*N*M*d). What they take on this machine follows from chunks that
ran. So the time of a chunk with fewer steps is known before it is tried.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.model.spec import Arch

SMOOTHING = 0.3
"""Share of a new measurement in what is known of a kind of chunk."""


@dataclass(frozen=True)
class Work:
    """What decides how long a chunk takes.

    `tokens` of the chunk, `seen` by its attention; denoising `steps`, `hinted` of them with the VACE branch;
    `clean`: whether a clean pass follows.
    """

    tokens: int
    seen: int
    steps: int
    hinted: int
    clean: bool = True

    def operations(self, arch: Arch) -> int:
        """Floating-point operations of the transformer, multiplications and additions counted apart."""
        width = arch.dim
        dense = self.tokens * (12 * width**2 + 4 * width * arch.ffn_dim)
        text = 4 * self.tokens * arch.text_len * width
        main = arch.layers * (dense + text + 4 * self.tokens * self.seen * width)
        branch = len(arch.vace_layers) * (
            dense + text + 2 * self.tokens * width**2 + 4 * self.tokens**2 * width
        )
        return main * (self.steps + self.clean) + branch * self.hinted


class CostModel:
    """Expected seconds of a chunk by its work, learned from chunks that ran.

    A kind of chunk that ran is known by its own time. Another one's is a line through those that ran: so much
    per operation, and so much that every chunk takes (autoencoder, host). While only one kind has run, all
    its time is taken for the operations'. Never below 0; not thread-safe.
    """

    def __init__(self, arch: Arch) -> None:
        self._arch = arch
        self._known: dict[Work, float] = {}

    def observe(self, work: Work, seconds: float) -> None:
        """A chunk took so long. Not for a stream's first chunks, which warm up."""
        before = self._known.get(work, seconds)
        self._known[work] = before + SMOOTHING * (seconds - before)

    def expected(self, work: Work) -> float | None:
        """Seconds such a chunk should take; None while nothing was observed."""
        if work in self._known or not self._known:
            return self._known.get(work)
        fixed, each = self._line()
        return fixed + each * work.operations(self._arch)

    def _line(self) -> tuple[float, float]:
        """Seconds of every chunk, and seconds per operation, by least squares."""
        points = [(work.operations(self._arch), seconds) for work, seconds in self._known.items()]
        middle = sum(count for count, _ in points) / len(points), sum(s for _, s in points) / len(points)
        spread = sum((count - middle[0]) ** 2 for count, _ in points)
        if spread > 0:
            slope = sum((count - middle[0]) * (s - middle[1]) for count, s in points) / spread
            fixed = middle[1] - slope * middle[0]
            if slope > 0 and fixed >= 0:
                return fixed, slope
        return 0.0, middle[1] / middle[0]  # one kind alone, or noise larger than what tells them apart

"""What the engine computes once and uses again; each can be switched off, to show what it brings."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Savings:
    """Which of them are on; the numbers that come out are the same either way, but for rounding.

    `tables`: positions of a plan that comes back. `text`: keys and values of a text that is said again.
    `gray`: the encoded inactive stream of a control without a mask. `leaving`: passes over finished latents
    end with the last keys and values that they leave. `threads`: on a processor a small network runs on one
    thread, not on all (`engine.model.threads`). The autoencoder's own is `TAE.joins`.
    """

    tables: bool = True
    text: bool = True
    gray: bool = True
    leaving: bool = True
    threads: bool = True


ALL = Savings()
WHOLE = Savings(leaving=False)
"""For whoever wants to see what a pass over finished latents would give to the end."""
NONE = Savings(tables=False, text=False, gray=False, leaving=False, threads=False)

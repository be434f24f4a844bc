"""The never-black ladder: which picture the audience sees. Pure arithmetic on given times.

generated -> hold -> control -> camera -> slate. Down at once when a picture is missing, up again only
after a moment, so that a limping engine does not make the show flicker. It does not know pixels.
"""

from dataclasses import dataclass

RUNGS = ("generated", "hold", "control", "camera", "slate")
HOLD_S = 4.0
HOLD_LOADING_S = 30.0
DWELL_S = 1.0
STALL_LEAST_S = 1.0
STALL_CHUNKS = 1.5


@dataclass(frozen=True)
class Situation:
    """What there is to show.

    `chunk_age` is the time since the last generated chunk arrived (None before the first), `chunk_s` the
    usual time between two, or what the one in hand should take where that is longer; `control` and `camera`
    say whether those pictures are fresh; `loading` that a model is being loaded on purpose; `trouble` is the
    known cause, in words.
    """

    chunk_age: float | None
    chunk_s: float
    control: bool
    camera: bool
    loading: bool
    trouble: str

    @property
    def stall_after(self) -> float:
        """Seconds without a chunk after which the engine counts as stalled."""
        return max(STALL_LEAST_S, STALL_CHUNKS * self.chunk_s)


class Ladder:
    """The current rung and since when."""

    def __init__(self) -> None:
        self.rung = "slate"
        self._since = float("-inf")

    def step(self, now: float, situation: Situation) -> str:
        """The rung to show at `now` (seconds; must not go back)."""
        wanted = self._wanted(situation)
        climbs = RUNGS.index(wanted) < RUNGS.index(self.rung)
        waits = climbs and _available(self.rung, situation) and now - self._since < DWELL_S
        if wanted != self.rung and not waits:
            self.rung, self._since = wanted, now
        return self.rung

    def _wanted(self, situation: Situation) -> str:
        for rung in RUNGS:
            if rung == "hold" and self.rung not in ("generated", "hold"):
                continue  # an old picture is no way up
            if _available(rung, situation):
                return rung
        return "slate"


def reason(rung: str, situation: Situation) -> str:
    """Why the audience sees `rung`, for the operator; empty for a generated picture."""
    if rung == "generated":
        return ""
    return situation.trouble or "waiting for the engine"


def _available(rung: str, situation: Situation) -> bool:
    age = situation.chunk_age
    if rung == "generated":
        return age is not None and age <= situation.stall_after
    if rung == "hold":
        longest = HOLD_LOADING_S if situation.loading else HOLD_S
        return age is not None and age <= situation.stall_after + longest
    if rung == "control":
        return situation.control
    if rung == "camera":
        return situation.camera
    return True

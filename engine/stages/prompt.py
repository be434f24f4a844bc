"""Prompt: turns the newest prompt text into conditioning. Thread "prompt".

Older text vanishes; text that was spoken before comes from a small cache. The engine keeps playing the
old prompt until the new one is ready.
"""

from collections import OrderedDict
from dataclasses import dataclass

from engine.core.channels import Closed, Latest
from engine.core.store import Store
from engine.model.text import Conditioning
from engine.session import Session, SessionClosed
from engine.stages.reports import Reports

_CACHED = 64


@dataclass(frozen=True, eq=False)
class Spoken:
    """A prompt ready for `session`: its conditioning and the store's version of the text."""

    session: Session
    conditioning: Conditioning
    version: int


class PromptStage:
    """Waits for a session in `wishes` (put again whenever the text changed) and answers in `spoken`."""

    def __init__(
        self, store: Store, wishes: Latest[Session], spoken: Latest[Spoken], reports: Reports
    ) -> None:
        self.ignored: tuple[str, ...] = ()
        self.note = ""
        self._store = store
        self._wishes = wishes
        self._spoken = spoken
        self._reports = reports
        self._session: Session | None = None
        self._cache: OrderedDict[str, Conditioning] = OrderedDict()

    def tick(self) -> None:
        """Encode the newest text for the newest session; waits until it is asked to."""
        session = self._wishes.get()
        if session is None:
            return
        if session is not self._session:
            self._session = session
            self._cache.clear()
        snapshot = self._store.snapshot()
        try:
            conditioning = self._encode(session, snapshot.text("prompt.text"))
        except SessionClosed:
            return  # the next session asks for itself
        self.ignored = tuple(conditioning.ignored)
        self.note = _note(conditioning)
        self._spoken.put(Spoken(session, conditioning, snapshot.version_of("prompt.text")))

    def _encode(self, session: Session, text: str) -> Conditioning:
        if text not in self._cache:
            self._cache[text] = self._new(session, text)
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        self._cache.move_to_end(text)
        return self._cache[text]

    def _new(self, session: Session, text: str) -> Conditioning:
        try:
            return session.conditioning(text)
        except (Closed, SessionClosed):
            raise
        except Exception as error:
            current = self._spoken.peek()
            if current is not None and current.session is session:
                raise  # the old prompt goes on; the worker reports
            self._reports.add("prompt", error)
            return session.conditioning("")  # a session without any prompt could not start


def _note(conditioning: Conditioning) -> str:
    """What the operator should know about a prompt that leads nowhere."""
    if conditioning.known:
        return ""
    if conditioning.ignored:
        return "the model knows none of these words: the control picture leads alone"
    return "the prompt is empty: write what to see"

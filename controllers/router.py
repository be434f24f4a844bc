"""The router: a signal from a hand becomes a value in the store.

signal -> learn? -> binding(s) -> curve -> takeover -> store.set(key, value, source). Every call is
O(bindings of that one control): a storm leaves nothing queued, and the last message is the last value.
Any thread may call any method; the store is set outside the lock. It knows no wire and no window.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from controllers.binding import COMMAND_PREFIX, Binding
from controllers.learn import ANSWER_S, Learned, Learner, LearnState, Note, binding_for
from controllers.mapping import ControlMapping, load_mapping, save_mapping
from controllers.signal import ControlSignal, SignalKind
from controllers.slot import Slot
from engine.core.commands import COMMANDS
from engine.core.errors import CuelightError, ParameterError
from engine.core.parameters import Value, row
from engine.core.store import Change, Store

Answer: TypeAlias = Literal["move", "add", "cancel"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ghost:
    """Where a control really stands, for the window to draw beside the value.

    `norm` is where it would put the value, 0..1 of the parameter's knob; `held` whether it has hold of
    it (draw nothing then); `source` which control it is.
    """

    norm: float
    held: bool
    source: str


@dataclass(frozen=True)
class RouterCounts:
    """Signals so far: all, those no binding wanted, and those takeover held back."""

    heard: int = 0
    unbound: int = 0
    held_back: int = 0


class Router:
    """Plays the `store` with bindings. `on_command(name)` is called for bindings of "command.NAME"."""

    def __init__(
        self,
        store: Store,
        on_command: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._on_command = on_command
        self._clock = clock
        self._lock = threading.Lock()
        self._mapping = ControlMapping()
        self._slots: tuple[Slot, ...] = ()
        self._by_wire: dict[tuple[SignalKind, int], list[Slot]] = {}
        self._by_key: dict[str, list[Slot]] = {}
        self._learner: Learner | None = None
        self._learn = LearnState()
        self._answer_until = 0.0
        self._heard = self._unbound = self._held_back = 0
        self._last: ControlSignal | None = None
        self._moved_at: dict[str, float] = {}
        self._pads_down: set[Note] = set()
        self._unsubscribe = store.subscribe(self._changed)

    def close(self) -> None:
        """Stop listening to the store."""
        self._unsubscribe()

    # Signals

    def handle(self, signal: ControlSignal) -> None:
        """Play one signal. Never raises; a signal nobody is bound to is counted."""
        with self._lock:
            self._heard += 1
            self._last = signal
            self._watch_pads(signal)
            self._advance_learning(signal.at)  # the ten seconds may be over
            if self._learner is not None:
                self._learner.offer(signal)
                self._advance_learning(signal.at)
                return
            moves = self._moves(signal)
        for slot, value in moves:
            self._play(slot, value, signal)

    def reset_history(self, device: str) -> None:
        """Forget where the controls of `device` stood: it was unplugged, they may stand anywhere."""
        with self._lock:
            self._pads_down = {pad for pad in self._pads_down if pad[0] != device}
            for slot in self._slots:
                slot.forget(device)

    # Bindings

    @property
    def mapping(self) -> ControlMapping:
        """All bindings, with the name and the unknown keys of the file they came from."""
        with self._lock:
            return self._mapping

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """All bindings, in the order of the file."""
        return self.mapping.bindings

    def bindings_of(self, key: str) -> tuple[Binding, ...]:
        """The bindings that move `key`."""
        return tuple(binding for binding in self.bindings if binding.key == key)

    def add(self, binding: Binding) -> None:
        """Add a binding; one of the same control on the same key is replaced."""
        with self._lock:
            self._add(binding)

    def remove(self, binding: Binding) -> None:
        """Remove a binding; one that is not there is no error."""
        with self._lock:
            self._set(tuple(other for other in self._mapping.bindings if other != binding))

    def replace(self, old: Binding, new: Binding) -> None:
        """Put `new` in the place of `old` (the mapping table edits one field)."""
        with self._lock:
            self._set(tuple(new if other == old else other for other in self._mapping.bindings))

    def set_mapping(self, mapping: ControlMapping) -> None:
        """Take over a whole mapping; an empty one clears."""
        with self._lock:
            self._mapping = mapping
            self._set(mapping.bindings)

    def load(self, path: Path) -> ControlMapping:
        """Read a mapping file and use it. Raises ControllerError; the old mapping stays in use then."""
        mapping = load_mapping(path)
        if mapping.unknown:
            _log.warning("%s: kept, but unknown here: %s", path, ", ".join(mapping.unknown))
        self.set_mapping(mapping)
        return mapping

    def save(self, path: Path) -> None:
        """Write the bindings in use to a mapping file. Raises ControllerError."""
        save_mapping(path, self.mapping)

    # Learn

    def start_learn(self, key: str) -> None:
        """Listen ten seconds for the control meant for `key` (a parameter or "command.NAME").

        Meanwhile signals move nothing. Raises ParameterError for an unknown key.
        """
        if not key.startswith(COMMAND_PREFIX):
            row(key)
        elif key.removeprefix(COMMAND_PREFIX) not in COMMANDS:
            raise ParameterError(f"there is no {key}", f"use one of {', '.join(COMMANDS)}")
        with self._lock:
            self._learner = Learner(key, self._clock(), frozenset(self._pads_down))
            self._learn = LearnState("listening", key)

    def cancel_learn(self) -> None:
        """Stop listening, or refuse a conflict."""
        with self._lock:
            if self._learn.phase in ("listening", "conflict"):
                self._learn = LearnState("cancelled", self._learn.key)
            self._learner = None

    def learn_state(self) -> LearnState:
        """How learning stands now; the window asks at its own rate, which also lets time pass."""
        with self._lock:
            self._advance_learning(self._clock())
            return self._learn

    def resolve_learn(self, answer: Answer) -> None:
        """Answer a conflict: "move" takes the control from its old bindings, "add" lets it do both."""
        if answer == "cancel":
            self.cancel_learn()
            return
        with self._lock:
            state = self._learn
            if state.phase != "conflict" or state.binding is None:
                return
            if answer == "move":
                self._set(tuple(other for other in self._mapping.bindings if other not in state.conflicts))
            self._add(state.binding)
            self._learn = LearnState("learned", state.key, state.text, binding=state.binding)

    # What the window shows

    def ghosts(self) -> dict[str, Ghost]:
        """For each key a knob or fader that picks its value up has moved: where the one moved last stands."""
        with self._lock:
            found = {key: _ghost(slots) for key, slots in self._by_key.items()}
        return {key: ghost for key, ghost in found.items() if ghost is not None}

    def moved_at(self) -> dict[str, float]:
        """For each key, when a bound control last spoke (`time.monotonic()` s): what flashes."""
        with self._lock:
            return dict(self._moved_at)

    @property
    def last_signal(self) -> ControlSignal | None:
        """The newest signal, bound or not."""
        return self._last

    @property
    def counts(self) -> RouterCounts:
        """The counters."""
        with self._lock:
            return RouterCounts(self._heard, self._unbound, self._held_back)

    @property
    def status(self) -> str:
        """One line for the operator."""
        last = self._last
        count = len(self.bindings)
        bindings = "1 binding" if count == 1 else f"{count} bindings"
        return bindings if last is None else f"{bindings}; last: {last.device} {last.text}"

    # Inside (with the lock held unless said otherwise)

    def _watch_pads(self, signal: ControlSignal) -> None:
        """Keep which pads are down, for a learner that hears one of them let go."""
        pad = (signal.device, signal.channel, signal.number)
        if signal.kind == "note":
            self._pads_down.add(pad)
        elif signal.kind == "note_off":
            self._pads_down.discard(pad)

    def _moves(self, signal: ControlSignal) -> list[tuple[Slot, Value]]:
        moves = []
        bound = False
        for slot in self._by_wire.get((signal.kind, signal.number), ()):
            if not slot.binding.hears(signal):
                continue
            bound = True
            current = None if slot.binding.is_command else self._store.get(slot.binding.key)
            value = slot.turn(signal, current)
            if slot.held_back:
                self._held_back += 1
                continue
            self._moved_at[slot.binding.key] = signal.at
            if value is not None:
                moves.append((slot, value))
        self._unbound += not bound
        return moves

    def _play(self, slot: Slot, value: Value, signal: ControlSignal) -> None:
        """Without the lock: listeners of the store may call the router."""
        if not slot.binding.is_command:
            self._store.set(slot.binding.key, value, slot.setter(signal))
        elif self._on_command is not None:
            try:
                self._on_command(slot.binding.key.removeprefix(COMMAND_PREFIX))
            except CuelightError as error:
                _log.warning("%s", error)

    def _changed(self, change: Change) -> None:
        """Without the lock, on any thread: somebody set a value, so every other hand lost hold of it."""
        with self._lock:
            for slot in self._by_key.get(change.key, ()):
                slot.changed_by(change.source)

    def _add(self, binding: Binding) -> None:
        kept = tuple(
            other
            for other in self._mapping.bindings
            if other.key != binding.key or not other.same_control(binding)
        )
        self._set((*kept, binding))

    def _set(self, bindings: tuple[Binding, ...]) -> None:
        old = {id(slot.binding): slot for slot in self._slots}
        self._mapping = ControlMapping(self._mapping.name, bindings, self._mapping.extra)
        self._slots = tuple(
            old[id(binding)] if id(binding) in old else Slot(binding)
            for binding in bindings
            if binding.enabled and binding.known
        )
        self._by_wire, self._by_key = {}, {}
        for slot in self._slots:
            self._by_key.setdefault(slot.binding.key, []).append(slot)
            for wire in slot.binding.wires:
                self._by_wire.setdefault(wire, []).append(slot)

    def _advance_learning(self, now: float) -> None:
        state = self._learn
        if state.phase == "conflict" and now >= self._answer_until:
            self._learn = LearnState("expired", state.key, state.text, binding=state.binding)
        learner = self._learner
        if learner is None:
            return
        learned = learner.decide(now)
        if learned is not None:
            self._finish_learning(learner, learned, now)
        elif learner.remaining(now) <= 0.0:
            self._learner = None
            self._learn = LearnState("expired", learner.key, learner.text)
        else:
            self._learn = LearnState("listening", learner.key, learner.text, learner.remaining(now))

    def _finish_learning(self, learner: Learner, learned: Learned, now: float) -> None:
        self._learner = None
        binding = binding_for(learner.key, learned)
        conflicts = tuple(
            other
            for other in self._mapping.bindings
            if other.key != binding.key and other.known and other.same_control(binding)
        )
        if conflicts:
            self._answer_until = now + ANSWER_S
            self._learn = LearnState("conflict", learner.key, learner.text, 0.0, binding, conflicts)
            return
        self._add(binding)
        newest = learner.newest(learned)
        if newest is not None and binding.is_button:
            for slot in self._by_key[binding.key]:
                if slot.binding is binding:
                    slot.take_note(newest)
        self._learn = LearnState("learned", learner.key, learner.text, binding=binding)


def _ghost(slots: list[Slot]) -> Ghost | None:
    """The control that spoke last, of those that stand somewhere and have to pick the value up."""
    picking = (slot for slot in slots if slot.binding.takeover == "pickup")
    standing = [found for slot in picking if (found := slot.standing()) is not None]
    if not standing:
        return None
    newest = max(standing, key=lambda found: found.at)
    return Ghost(newest.norm, newest.held, newest.source)

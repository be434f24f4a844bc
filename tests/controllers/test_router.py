"""The router: from a signal to the store, with learn, takeover, buttons and encoders."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from controllers.binding import Binding
from controllers.learn import ANSWER_S
from controllers.mapping import ControlMapping
from controllers.router import Router
from controllers.signal import ControlSignal
from engine.core.errors import ControllerError, ParameterError
from engine.core.store import Change, Store
from tests.controllers.hands import HandClock, bend, cc, note, program

SCALE = "vace.context_scale"


def rig(*bindings: Binding) -> tuple[Store, Router]:
    store = Store()
    router = Router(store, clock=HandClock(0.0))
    router.set_mapping(ControlMapping("test", bindings))
    return store, router


def knob(**fields: object) -> Binding:
    given: dict[str, object] = {"key": SCALE, "type": "cc", "number": 21, "takeover": "none"} | fields
    return Binding(**given)  # type: ignore[arg-type]


# Values


def test_a_knob_moves_the_value_in_native_units() -> None:
    store, router = rig(knob())
    for raw, expected in ((0, 0.0), (127, 2.0), (64, 128 / 127)):
        router.handle(cc(raw))
        assert store.get(SCALE) == pytest.approx(expected)
    assert store.snapshot().source_of(SCALE) == "midi:pad ch 1 cc 21"


@pytest.mark.parametrize(
    ("fields", "at_0", "at_64", "at_127"),
    [
        ({"min": 0.5, "max": 1.5}, 0.5, 0.5 + 64 / 127, 1.5),
        ({"min": 1.5, "max": 0.5}, 1.5, 1.5 - 64 / 127, 0.5),
        ({"invert": True}, 2.0, 126 / 127, 0.0),
        ({"curve": "exp"}, 0.0, pytest.approx(0.37, abs=0.01), 2.0),
        ({"curve": "log"}, 0.0, pytest.approx(1.575, abs=0.01), 2.0),
        ({"curve": "s"}, 0.0, pytest.approx(1.01, abs=0.01), 2.0),
        ({"key": "engine.steps"}, 0, 2, 4),
        ({"key": "annotator.name"}, "none", "segmentation", "layout"),
        ({"key": "annotator.name", "min": "edges", "max": "none"}, "edges", "scribble", "none"),
    ],
)
def test_range_curve_and_direction(
    fields: dict[str, object], at_0: object, at_64: object, at_127: object
) -> None:
    binding = knob(**fields)
    store, router = rig(binding)
    for raw, expected in ((127, at_127), (0, at_0), (64, at_64)):
        router.handle(cc(raw))
        value = store.get(binding.key)
        if isinstance(expected, float):
            assert value == pytest.approx(expected)
        else:
            assert value == expected


def test_one_control_drives_many_and_many_drive_one() -> None:
    store, router = rig(
        knob(), knob(key="output.dim"), knob(number=22), knob(number=23, enabled=False), knob(key="no.such")
    )
    router.handle(cc(127))
    assert (store.get(SCALE), store.get("output.dim")) == (2.0, 1.0)
    router.handle(cc(0, 22))
    assert store.get(SCALE) == 0.0  # last touched wins
    router.handle(cc(127, 23))
    assert store.get(SCALE) == 0.0


def test_signals_nobody_wants_are_counted() -> None:
    _, router = rig(knob(channel=3, device="pad"))
    router.handle(cc(1, channel=1))
    router.handle(cc(1, channel=3, device="other"))
    router.handle(note(99))
    router.handle(ControlSignal("pad", "cc", 4000, 99, -7, 0, float("nan")))
    router.handle(cc(1, channel=3))
    counts = router.counts
    assert (counts.heard, counts.unbound) == (5, 4)
    assert router.last_signal == cc(1, channel=3)
    assert router.status == "1 binding; last: pad ch 3 CC 21 = 1"


def test_14_bit_ends_exact_in_both_orders() -> None:
    for order in ((5, 37), (37, 5)):
        store, router = rig(knob(type="cc14", number=5))
        for value in (0, 8191, 8192, 12345, 16383, 129):
            for number in order:
                router.handle(cc(value >> 7 if number == 5 else value & 127, number))
            assert store.get(SCALE) == pytest.approx(2 * value / 16383)


@pytest.mark.parametrize("takeover", ["relative", "scaling", "none"])
def test_what_acts_at_every_touch_has_no_ghost(takeover: str) -> None:
    store, router = rig(knob(takeover=takeover))
    for value in (20, 21):
        router.handle(cc(value))
    store.set(SCALE, 1.9, "gui")
    assert router.ghosts() == {}


@pytest.mark.parametrize("takeover", ["pickup", "relative", "scaling", "none"])
def test_the_fine_half_of_14_bits_says_nothing_before_the_coarse_one(takeover: str) -> None:
    """After a start or a replug a fader that sends its fine half first must not leap to where it is not."""
    store, router = rig(knob(type="cc14", number=5, takeover=takeover))
    before = store.get(SCALE)
    for value in (9, 40, 77):
        router.handle(cc(value, 37))
        assert store.get(SCALE) == before
    router.handle(cc(99, 5))
    if takeover == "pickup":
        assert store.get(SCALE) == before, "far from the value: not picked up"
    if takeover == "none":
        assert store.get(SCALE) == pytest.approx(2 * (99 << 7 | 77) / 16383)


def test_pitch_wheel_rests_in_the_middle() -> None:
    store, router = rig(knob(type="bend", number=0))
    router.handle(bend(16383))
    assert store.get(SCALE) == 2.0
    router.handle(bend(8192))
    assert store.get(SCALE) == 1.0


# Encoders


def test_an_encoder_steps_a_128th_and_is_faster_when_turned_fast() -> None:
    store, router = rig(knob(type="cc_relative"))
    router.handle(cc(1, at=0.0))
    assert store.get(SCALE) == pytest.approx(1.0 + 2 / 128)
    router.handle(cc(127, at=1.0))
    router.handle(cc(127, at=2.0))
    assert store.get(SCALE) == pytest.approx(1.0 - 2 / 128)
    store.set(SCALE, 0.0, "gui")
    router.handle(cc(1, at=2.001))
    assert store.get(SCALE) == pytest.approx(4 * 2 / 128)
    router.handle(cc(64, at=9.0))  # 64 steps up at once, and no further than the end
    router.handle(cc(64, at=9.1))
    assert store.get(SCALE) == 2.0


def test_slow_ticks_add_up_on_rows_of_few_values() -> None:
    store, router = rig(knob(key="engine.steps", type="cc_relative"))
    store.set("engine.steps", 4, "gui")
    seen = []
    for index in range(16):
        router.handle(cc(127, at=float(index)))
        seen.append(store.get("engine.steps"))
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {4, 3, 2, 1, 0} and all(3 <= seen.count(value) <= 5 for value in (3, 2, 1))


def test_an_inverted_encoder_turns_the_other_way() -> None:
    store, router = rig(knob(type="cc_relative", invert=True))
    router.handle(cc(1))
    assert store.get(SCALE) == pytest.approx(1.0 - 2 / 128)


# Takeover


def picked(**fields: object) -> tuple[Store, Router]:
    return rig(knob(takeover="pickup", **fields))


def test_pick_up_and_its_ghost() -> None:
    store, router = picked()
    assert router.ghosts() == {}
    router.handle(cc(0, at=0.0))
    router.handle(cc(20, at=0.5))
    assert store.get(SCALE) == 1.0
    ghost = router.ghosts()[SCALE]
    assert ghost.norm == pytest.approx(20 / 127) and not ghost.held
    assert ghost.source == "midi:pad ch 1 cc 21"
    router.handle(cc(63, at=0.9))
    assert store.get(SCALE) == pytest.approx(126 / 127)
    assert router.ghosts()[SCALE].held
    assert router.counts.held_back == 2


@pytest.mark.parametrize("source", ["gui", "osc:127.0.0.1:5000", "midi:pad ch 1 cc 22", "preset"])
def test_a_change_elsewhere_takes_the_hold_away(source: str) -> None:
    store, router = picked()
    for raw in (62, 64, 66):
        router.handle(cc(raw, at=raw / 1000))
    assert router.ghosts()[SCALE].held
    store.set(SCALE, 0.1, source)
    assert not router.ghosts()[SCALE].held
    router.handle(cc(67, at=0.068))
    assert store.get(SCALE) == 0.1


def test_another_knob_of_the_same_device_takes_the_hold_away() -> None:
    store, router = rig(knob(takeover="pickup"), knob(number=22))
    for raw in (62, 64, 66):
        router.handle(cc(raw, at=raw / 1000))
    router.handle(cc(0, 22, at=0.067))
    router.handle(cc(67, at=0.068))
    assert store.get(SCALE) == 0.0


def test_two_devices_on_one_binding_have_two_histories() -> None:
    store, router = picked()
    for raw in (62, 64):
        router.handle(cc(raw, at=raw / 1000, device="left"))
    router.handle(cc(100, at=0.065, device="right"))
    assert store.get(SCALE) == pytest.approx(2 * 64 / 127)


def test_replugging_forgets_where_the_controls_stood() -> None:
    store, router = picked()
    for raw in (62, 64, 66):
        router.handle(cc(raw, at=raw / 1000))
    router.reset_history("pad")
    assert router.ghosts() == {}
    router.handle(cc(90, at=0.067))
    assert store.get(SCALE) == pytest.approx(2 * 66 / 127)


def test_rows_of_few_values_are_picked_up_anywhere_in_their_stretch() -> None:
    store, router = picked(key="engine.steps")
    store.set("engine.steps", 1, "gui")
    router.handle(cc(0, at=0.0))
    router.handle(cc(30, at=1.0))  # 0.24 means 1, the row's own place for 1 is 0.25
    assert router.ghosts()["engine.steps"].held
    for index, raw in enumerate(range(31, 128, 2)):
        router.handle(cc(raw, at=1.0 + index / 100))
    assert store.get("engine.steps") == 4


def test_a_value_outside_the_bindings_range_is_met_at_its_end() -> None:
    store, router = picked(min=0.0, max=0.5)
    router.handle(cc(60, at=0.0))
    router.handle(cc(100, at=1.0))
    assert store.get(SCALE) == 1.0
    router.handle(cc(127, at=2.0))
    assert store.get(SCALE) == 0.5


def test_scaling_reaches_whole_numbers_with_small_moves() -> None:
    store, router = rig(knob(key="engine.steps", takeover="scaling"))
    store.set("engine.steps", 1, "gui")
    for raw in range(60, 128):
        router.handle(cc(raw, at=raw / 100))
    assert store.get("engine.steps") == 4


# Buttons


def test_toggle_fires_on_the_rising_edge_and_follows_the_store() -> None:
    store, router = rig(knob(key="output.blackout"))
    seen = []
    for raw in (127, 127, 0, 64, 63, 100):
        router.handle(cc(raw))
        seen.append(store.get("output.blackout"))
    assert seen == [True, True, True, False, False, True]
    store.set("output.blackout", False, "gui")
    router.handle(cc(0))
    router.handle(cc(127))
    assert store.get("output.blackout") is True


def test_threshold_and_invert() -> None:
    store, router = rig(knob(key="output.blackout", threshold=10, button="momentary", invert=True))
    for raw, expected in ((9, False), (10, False), (9, True), (127, False)):
        router.handle(cc(raw))
        assert store.get("output.blackout") is expected


def test_momentary_trigger_and_pads_without_note_off() -> None:
    store, router = rig(
        knob(key="output.freeze", type="note", number=36, button="momentary"),
        knob(key="output.record", type="note", number=37, button="trigger"),
        knob(key="output.clean_camera", type="note", number=38),
    )
    router.handle(note(36))
    assert store.get("output.freeze") is True
    router.handle(note(36, on=False))
    assert store.get("output.freeze") is False
    for _ in range(2):
        router.handle(note(37))
        assert store.get("output.record") is True
    seen = []
    for _ in range(3):
        router.handle(note(38))
        seen.append(store.get("output.clean_camera"))
    assert seen == [True, False, True]


def test_note_off_only_pads_and_programs() -> None:
    store, router = rig(
        knob(key="output.freeze", type="note_off", number=36),
        knob(key="annotator.name", type="program", number=4, button="trigger", max="pose"),
    )
    router.handle(note(36, on=False))
    assert store.get("output.freeze") is True
    router.handle(note(36, on=False))
    assert store.get("output.freeze") is False
    router.handle(program(4))
    assert store.get("annotator.name") == "pose"


def test_a_pad_on_a_slider_goes_to_its_ends() -> None:
    store, router = rig(knob(type="note", number=36, button="momentary", min=0.5, max=1.5))
    router.handle(note(36))
    assert store.get(SCALE) == 1.5
    router.handle(note(36, on=False))
    assert store.get(SCALE) == 0.5


def test_a_pad_cycles_through_choices() -> None:
    store, router = rig(
        knob(key="annotator.name", type="note", number=36, button="cycle"),
        knob(key="annotator.name", type="note", number=37, button="cycle", invert=True),
    )
    seen = []
    for number in (36, 36, 37, 36, 36, 36, 36):
        router.handle(note(number))
        router.handle(note(number, on=False))
        seen.append(store.get("annotator.name"))
    assert seen == ["edges", "gray", "edges", "gray", "pose", "segmentation", "depth"]


def test_a_pad_speaks_a_prompt() -> None:
    store, router = rig(knob(key="prompt.text", type="note", number=36, button="trigger", max="red figure"))
    router.handle(note(36))
    assert store.get("prompt.text") == "red figure"


def test_commands_fire_once_per_press_and_their_faults_stay_inside() -> None:
    fired: list[str] = []

    def command(name: str) -> None:
        fired.append(name)
        raise ControllerError("no disk", "free some")

    router = Router(Store(), on_command=command)
    router.add(knob(key="command.snapshot", type="note", number=36, button="trigger"))
    router.handle(note(36))
    router.handle(note(36, on=False))
    router.handle(note(36))
    assert fired == ["snapshot", "snapshot"]


def learned_command(*signals: ControlSignal) -> tuple[list[str], Router]:
    """A router that heard `signals` while it learned a snapshot, and what it asked for."""
    fired: list[str] = []
    router = Router(Store(), on_command=fired.append, clock=lambda: 0.0)
    router.start_learn("command.snapshot")
    for signal in signals:
        router.handle(signal)
    assert router.learn_state().phase == "learned"
    return fired, router


def test_a_knob_that_learned_a_command_fires_when_it_crosses_the_half() -> None:
    fired, router = learned_command(cc(10, 50), cc(20, 50), cc(30, 50))
    for raw in (40, 63, 64, 90, 127, 80, 63, 0, 63, 65):
        router.handle(cc(raw, 50))
    assert fired == ["snapshot", "snapshot"]


def test_the_press_that_is_learned_is_not_played_when_it_goes_on() -> None:
    fired, router = learned_command(cc(70, 50), cc(90, 50), cc(110, 50))
    for raw in (120, 127, 100, 0):
        router.handle(cc(raw, 50))
    assert fired == []
    router.handle(cc(127, 50))
    assert fired == ["snapshot"]


def test_a_pad_let_go_while_learning_is_no_pad_that_only_sends_releases() -> None:
    fired: list[str] = []
    router = Router(Store(), on_command=fired.append, clock=lambda: 0.0)
    router.handle(note(40))
    router.start_learn("command.reset")
    router.handle(note(40, on=False))
    assert router.learn_state().phase == "listening"
    router.handle(note(40))
    router.handle(note(40, on=False))
    assert [binding.type for binding in router.bindings] == ["note"]
    assert fired == []
    router.handle(note(40))
    router.handle(note(40, on=False))
    assert fired == ["reset"]


def test_a_pad_that_only_sends_releases_fires_on_them() -> None:
    fired, router = learned_command(note(40, on=False))
    router.handle(note(40, on=False))
    router.handle(note(40, on=False))
    assert fired == ["snapshot", "snapshot"]


# Learn


def wiggle(router: Router, number: int = 50, start: float = 0.0) -> None:
    for index, raw in enumerate((40, 42, 44)):
        router.handle(cc(raw, number, at=start + index / 100))


def test_learn_a_knob_and_play_it() -> None:
    store, router = rig()
    router.start_learn(SCALE)
    assert router.learn_state().phase == "listening"
    assert router.learn_state().remaining_s == 10.0
    router.handle(cc(40, 50, at=0.1))
    assert router.learn_state().text == "ch 1 CC 50 = 40"
    wiggle(router, start=0.2)
    state = router.learn_state()
    assert state.phase == "learned"
    assert state.text == "ch 1 CC 50 = 42, looks absolute"
    assert state.binding == Binding(key=SCALE, type="cc", number=50, channel=1, device="pad")
    assert router.bindings_of(SCALE) == (state.binding,)
    assert store.get(SCALE) == 1.0  # nothing moved while listening
    for raw in (60, 63, 66):
        router.handle(cc(raw, 50, at=1 + raw / 100))
    assert store.get(SCALE) == pytest.approx(2 * 66 / 127)


def test_learn_settles_while_the_window_asks() -> None:
    clock = HandClock(0.0)
    router = Router(Store(), clock=clock)
    router.start_learn("output.blackout")
    router.handle(cc(127, 50, at=0.0))
    assert router.learn_state().phase == "listening"
    clock.now = 0.3
    assert router.learn_state().phase == "learned"


def test_learn_ends_after_ten_seconds_even_when_nobody_asks() -> None:
    store, router = rig(knob(number=36, key="output.dim"))
    router.start_learn(SCALE)
    router.handle(note(36, at=10.5))
    assert router.learn_state().phase == "expired"
    assert router.bindings_of(SCALE) == ()
    router.handle(cc(0, 36, at=10.6))
    assert store.get("output.dim") == 0.0


def test_cancel_and_unknown_keys() -> None:
    _, router = rig()
    with pytest.raises(ParameterError, match=r"vace\.context_scal"):
        router.start_learn("vace.context_scal")
    with pytest.raises(ParameterError, match=r"command\.explode"):
        router.start_learn("command.explode")
    router.start_learn("command.reset")
    router.cancel_learn()
    assert router.learn_state().phase == "cancelled"
    wiggle(router)
    assert router.bindings == ()
    router.resolve_learn("move")
    assert router.learn_state().phase == "cancelled"


@pytest.mark.parametrize(
    ("answer", "keys"),
    [("move", [SCALE]), ("add", ["output.dim", SCALE]), ("cancel", ["output.dim"])],
)
def test_a_conflict_asks(answer: str, keys: list[str]) -> None:
    used = knob(key="output.dim", number=50)
    _, router = rig(used)
    router.start_learn(SCALE)
    wiggle(router)
    state = router.learn_state()
    assert state.phase == "conflict" and state.conflicts == (used,)
    assert [binding.key for binding in router.bindings] == ["output.dim"]
    router.resolve_learn(answer)  # type: ignore[arg-type]
    assert [binding.key for binding in router.bindings] == keys
    assert router.learn_state().phase == ("cancelled" if answer == "cancel" else "learned")


def test_a_question_that_nobody_answers_ends() -> None:
    clock = HandClock(0.0)
    router = Router(Store(), clock=clock)
    used = knob(key="output.mix", number=50)
    router.set_mapping(ControlMapping("test", (used,)))
    router.start_learn(SCALE)
    wiggle(router)
    assert router.learn_state().phase == "conflict"
    clock.now = ANSWER_S - 1.0
    assert router.learn_state().phase == "conflict"
    clock.now = ANSWER_S + 1.0
    state = router.learn_state()
    assert state.phase == "expired" and state.binding is not None
    assert router.bindings == (used,), "as it was"


def test_learning_the_same_control_again_replaces_it() -> None:
    _, router = rig(knob(number=50), knob(number=51))
    router.start_learn(SCALE)
    wiggle(router)
    assert router.learn_state().phase == "learned"
    assert [binding.number for binding in router.bindings] == [51, 50]


# Bindings and files


def test_add_replace_remove_keep_the_other_histories() -> None:
    store, router = picked()
    for raw in (62, 64, 66):
        router.handle(cc(raw, at=raw / 1000))
    extra = knob(number=30)
    router.add(extra)
    router.replace(extra, knob(number=31))
    assert router.ghosts()[SCALE].held
    router.handle(cc(68, at=0.068))
    assert store.get(SCALE) == pytest.approx(2 * 68 / 127)
    router.remove(knob(number=31))
    router.remove(knob(number=99))
    assert router.bindings == (knob(takeover="pickup"),)


def test_save_and_load(tmp_path: Path) -> None:
    _, router = rig(knob(), knob(key="lora.9.strength"))
    router.save(tmp_path / "mine.toml")
    _, other = rig()
    other.load(tmp_path / "mine.toml")
    assert other.mapping == router.mapping
    (tmp_path / "bad.toml").write_text("nonsense")
    with pytest.raises(ControllerError, match=r"bad\.toml"):
        other.load(tmp_path / "bad.toml")
    assert other.mapping == router.mapping


# Threads


def test_listeners_may_call_the_router_and_two_hands_may_play_at_once() -> None:
    store, router = rig(knob(), knob(number=22, key="output.dim"))
    seen: list[Change] = []

    def listener(change: Change) -> None:
        router.ghosts()
        seen.append(change)

    store.subscribe(listener)

    def play(number: int) -> Callable[[], None]:
        return lambda: [router.handle(cc(raw % 128, number)) for raw in range(1000)] and None

    hands = [threading.Thread(target=play(number)) for number in (21, 22)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join(20)
        assert not hand.is_alive()
    assert store.get(SCALE) == pytest.approx(2 * (999 % 128) / 127)
    assert store.get("output.dim") == pytest.approx((999 % 128) / 127)
    assert {change.source for change in seen} == {"midi:pad ch 1 cc 21", "midi:pad ch 1 cc 22"}


def test_a_storm_ends_on_its_last_value() -> None:
    store, router = picked()
    # Whatever the values are, once picked up: leaps, repeats, both ends.
    values = [64, 63] + [(index * 37) % 128 for index in range(5000)] + [99]
    for index, raw in enumerate(values):
        router.handle(cc(raw, at=index / 1000))
    assert store.get(SCALE) == pytest.approx(2 * 99 / 127)
    assert router.counts.heard == len(values)


def test_a_closed_router_lets_go_of_the_store() -> None:
    store, router = picked()
    for raw in (62, 64, 66):
        router.handle(cc(raw, at=raw / 1000))
    router.close()
    store.set(SCALE, 0.1, "gui")
    assert router.ghosts()[SCALE].held

"""Learn: which control, and how it speaks, from the messages a performer's wiggle makes."""

import pytest

from controllers.binding import Binding
from controllers.learn import LISTEN_S, SETTLE_S, Learned, Learner, binding_for, encoding_of
from controllers.signal import ControlSignal
from tests.controllers.hands import bend, cc, note, program

KEY = "vace.context_scale"


def heard(key: str, signals: list[ControlSignal], settle: bool = False) -> Learned | None:
    learner = Learner(key, 0.0)
    for signal in signals:
        assert learner.decide(signal.at) is None  # not before this message
        learner.offer(signal)
    last = signals[-1].at
    return learner.decide(last + (SETTLE_S if settle else 0.0))


def sweep(values: list[int], number: int = 21, gap: float = 0.005) -> list[ControlSignal]:
    return [cc(value, number, at=index * gap) for index, value in enumerate(values)]


def test_a_knob_is_known_after_three_messages_and_not_before() -> None:
    assert heard(KEY, sweep([40, 41])) is None
    assert heard(KEY, sweep([40, 41, 42])) == Learned("pad", 1, "cc", 21)


@pytest.mark.parametrize("value", [0, 1, 64, 127])
def test_one_message_is_absolute_after_300_ms(value: int) -> None:
    assert heard(KEY, sweep([value])) is None
    assert heard(KEY, sweep([value]), settle=True) == Learned("pad", 1, "cc", 21)


@pytest.mark.parametrize(
    ("values", "encoding"),
    [
        ([1, 1, 1], "twos"),
        ([127, 127, 127], "twos"),
        ([1, 2, 127], "twos"),  # leaps as no knob does
        ([2, 4, 4, 126], "twos"),
        ([65, 65, 65], "offset"),
        ([63, 63, 65], "offset"),
        ([1, 1, 65], "signed"),
        ([1, 1], None),
        ([1, 1, 60], None),  # one value in 5..122 makes it absolute
        ([127, 0, 127], None),  # a button
        ([127, 0, 127, 0], None),
        ([1, 2, 3], None),  # a knob that leaves its end
        ([127, 126, 124], None),
        ([63, 64, 65], None),
        ([62, 63, 65], None),
        ([20, 40, 60], None),
    ],
)
def test_what_an_encoder_looks_like(values: list[int], encoding: str | None) -> None:
    assert encoding_of(values) == encoding


def test_an_encoder_is_learned_with_its_encoding() -> None:
    assert heard(KEY, sweep([127, 127, 1])) == Learned("pad", 1, "cc_relative", 21, "twos")
    assert heard(KEY, sweep([63, 63, 65])) == Learned("pad", 1, "cc_relative", 21, "offset")


def test_a_slow_knob_near_its_end_waits_and_is_absolute() -> None:
    slow = sweep([0, 1, 2], gap=0.05)
    assert heard(KEY, [*slow[1:], cc(3, at=0.15)]) is None  # 1, 2, 3: could still be an encoder
    assert heard(KEY, [*slow[1:], cc(3, at=0.15)], settle=True) == Learned("pad", 1, "cc", 21)
    assert heard(KEY, [*slow[1:], cc(3, at=0.15), cc(9, at=0.2)]) == Learned("pad", 1, "cc", 21)
    # An encoder that speeds up shows itself by repeating.
    assert heard(KEY, [*slow[1:], cc(3, at=0.15), cc(3, at=0.2)]) == Learned("pad", 1, "cc_relative", 21)


@pytest.mark.parametrize("order", [(5, 37), (37, 5)])
def test_a_fine_fader_is_one_control_of_two_ccs(order: tuple[int, int]) -> None:
    signals = []
    for index in range(3):
        signals += [
            cc(60 + index if number == 5 else 13 * index, number, at=index * 0.01) for number in order
        ]
    learner = Learner(KEY, 0.0)
    for signal in signals:
        learner.offer(signal)
    assert learner.decide(0.02) == Learned("pad", 1, "cc14", 5)
    assert learner.text.endswith("looks 14-bit")


def test_two_knobs_32_apart_are_not_a_fine_fader() -> None:
    signals = [cc(50 + index, 5, at=index * 0.01) for index in range(3)] + [cc(70, 37, at=0.03)]
    learner = Learner(KEY, 0.0)
    for signal in signals:
        learner.offer(signal)
    assert learner.decide(0.03) == Learned("pad", 1, "cc", 5)


def test_pads_wheel_and_programs_need_one_message() -> None:
    assert heard(KEY, [note(36)]) == Learned("pad", 1, "note", 36)
    assert heard(KEY, [note(36, on=False)]) == Learned("pad", 1, "note_off", 36)
    assert heard(KEY, [bend(9000)]) == Learned("pad", 1, "bend", 0)
    assert heard(KEY, [program(4)]) == Learned("pad", 1, "program", 4)


def test_a_button_wants_no_encoder() -> None:
    assert heard("output.blackout", sweep([127, 127, 127])) == Learned("pad", 1, "cc", 21)
    assert heard("command.reset", sweep([1, 1, 1])) == Learned("pad", 1, "cc", 21)


def test_two_devices_do_not_add_up() -> None:
    mixed = [cc(40, device="a"), cc(41, device="b"), cc(42, device="a")]
    assert heard(KEY, mixed) is None


def test_ten_seconds() -> None:
    learner = Learner(KEY, 5.0)
    assert learner.remaining(5.0) == LISTEN_S
    assert learner.remaining(14.0) == pytest.approx(1.0)
    assert learner.remaining(99.0) == 0.0


@pytest.mark.parametrize(
    ("key", "learned", "expected"),
    [
        (KEY, Learned("pad", 2, "cc", 21), Binding(key=KEY, type="cc", number=21, channel=2, device="pad")),
        (
            KEY,
            Learned("pad", 1, "bend", 0),
            Binding(key=KEY, type="bend", channel=1, device="pad", takeover="none"),
        ),
        (
            KEY,
            Learned("pad", 1, "note", 36),
            Binding(key=KEY, type="note", number=36, channel=1, device="pad", button="momentary"),
        ),
        (
            "output.freeze",
            Learned("pad", 1, "note", 36),
            Binding(key="output.freeze", type="note", number=36, channel=1, device="pad"),
        ),
        (
            "output.freeze",
            Learned("pad", 1, "program", 3),
            Binding(
                key="output.freeze", type="program", number=3, channel=1, device="pad", button="trigger"
            ),
        ),
        (
            "command.snapshot",
            Learned("pad", 1, "note_off", 36),
            Binding(
                key="command.snapshot", type="note_off", number=36, channel=1, device="pad", button="trigger"
            ),
        ),
        (
            "annotator.name",
            Learned("pad", 1, "note", 36),
            Binding(key="annotator.name", type="note", number=36, channel=1, device="pad", button="cycle"),
        ),
        (
            "prompt.text",
            Learned("pad", 1, "note", 36),
            Binding(
                key="prompt.text", type="note", number=36, channel=1, device="pad", button="trigger",
                max="gold figure, night",
            ),
        ),
    ],
)  # fmt: skip
def test_the_binding_suits_parameter_and_control(key: str, learned: Learned, expected: Binding) -> None:
    assert binding_for(key, learned) == expected

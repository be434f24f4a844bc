"""Bindings: what their fields allow, what they listen to, who gets into whose way."""

import pytest

from controllers.binding import Binding
from engine.core.commands import COMMANDS
from engine.core.errors import ControllerError
from engine.core.parameters import TABLE
from tests.controllers.hands import cc


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"number": 128}, "number"),
        ({"number": -1}, "number"),
        ({"type": "cc14", "number": 32}, "number"),
        ({"channel": 17}, "channel"),
        ({"channel": -1}, "channel"),
        ({"threshold": 0}, "threshold"),
        ({"min": -0.1}, "min"),
        ({"max": 2.1}, "max"),
        ({"max": float("nan")}, "max"),
        ({"max": "high"}, "max"),
        ({"key": "annotator.name", "max": "pencil"}, "max"),
        ({"key": "annotator.name", "max": 11}, "max"),
        ({"key": "engine.steps", "max": 2.5}, "max"),
        ({"key": "prompt.text", "type": "note"}, "max"),
        ({"key": "output.blackout", "button": "cycle"}, "button"),
        ({"key": "output.blackout", "type": "cc_relative"}, "type"),
        ({"key": "output.blackout", "type": "program", "button": "momentary"}, "button"),
        ({"key": "output.blackout", "type": "note_off", "button": "momentary"}, "button"),
    ],
)
def test_bad_fields_are_named(fields: dict[str, object], named: str) -> None:
    values: dict[str, object] = {"key": "vace.context_scale", "type": "cc", "number": 21} | fields
    with pytest.raises(ControllerError) as refused:
        Binding(**values)  # type: ignore[arg-type]
    assert named in refused.value.what
    assert refused.value.fix


@pytest.mark.parametrize("key", [key for key, row in TABLE.items() if row.kind != "text"])
def test_every_parameter_but_texts_can_be_bound_with_its_own_ends(key: str) -> None:
    binding = Binding(key=key, type="cc", number=5)
    low, high = binding.ends()
    row = TABLE[key]
    assert (low, high) == (row.native(0.0), row.native(1.0))
    assert binding.is_button is (row.kind == "bool")


def test_ends_in_native_units() -> None:
    def ends(key: str, **fields: object) -> tuple[object, object]:
        return Binding(key=key, type="note", **fields).ends()  # type: ignore[arg-type]

    assert ends("vace.context_scale", min=1.5, max=0.5) == (1.5, 0.5)
    assert ends("annotator.name", min="none", max="pose") == ("none", "pose")
    assert ends("annotator.name", max=1) == ("none", "scribble")
    assert ends("output.blackout", min=1, max=0) == (True, False)
    assert ends("prompt.text", max="red figure") == (TABLE["prompt.text"].default, "red figure")


def test_wires_and_hearing() -> None:
    assert Binding(key="output.dim", type="cc14", number=3).wires == (("cc", 3), ("cc", 35))
    assert Binding(key="output.dim", type="note", number=3).wires == (("note", 3), ("note_off", 3))
    assert Binding(key="output.dim", type="bend").wires == (("bend", 0),)
    strict = Binding(key="output.dim", type="cc", number=21, channel=2, device="pad")
    assert strict.hears(cc(1, channel=2))
    assert not strict.hears(cc(1, channel=1))
    assert not strict.hears(cc(1, channel=2, device="other"))
    assert Binding(key="output.dim", type="cc", number=21).hears(cc(1, channel=9, device="other"))


def test_conflicts() -> None:
    knob = Binding(key="output.dim", type="cc", number=21)
    assert knob.same_control(Binding(key="output.mix", type="cc", number=21, channel=3, device="pad"))
    assert not knob.same_control(Binding(key="output.mix", type="cc", number=22))
    assert knob.same_control(Binding(key="output.mix", type="cc_relative", number=21))
    assert Binding(key="output.dim", type="cc14", number=1).same_control(
        Binding(key="output.mix", type="cc", number=33)
    )
    here = Binding(key="output.dim", type="cc", number=21, channel=1)
    assert not here.same_control(Binding(key="output.mix", type="cc", number=21, channel=2))


def test_commands_and_unknown_parameters() -> None:
    for name in COMMANDS:
        binding = Binding(key=f"command.{name}", type="note", number=1)
        assert binding.is_command and binding.known and binding.is_button
    assert not Binding(key="command.explode", type="note").known
    assert not Binding(key="lora.7.strength", type="cc", max=99.0).known


def test_control_in_words() -> None:
    assert Binding(key="output.dim", type="cc", number=21).control == "any ch CC 21"
    assert Binding(key="output.dim", type="note", number=36, channel=10).control == "ch 10 note 36"
    assert Binding(key="output.dim", type="bend", channel=1).control == "ch 1 pitch bend"

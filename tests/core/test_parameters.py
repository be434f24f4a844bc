"""Every row of the table: its value survives each way out and back, and refuses what it should."""

import math
import re

import numpy as np
import pytest

from engine.core.errors import ParameterError
from engine.core.parameters import TABLE, Parameter, Value, row, rows

ROWS = pytest.mark.parametrize("parameter", TABLE.values(), ids=lambda parameter: parameter.key)


def samples(parameter: Parameter) -> list[Value]:
    """Values across the whole range of a row, its ends and default included."""
    if parameter.kind == "bool":
        return [False, True]
    if parameter.kind == "choice":
        return list(parameter.choices)
    if parameter.kind == "text":
        return ["", "gold figure", 'quotes " and \\ back\nslash', "Zürich 東京 🎛", "x" * parameter.max_length]
    assert parameter.low is not None and parameter.high is not None
    spread = [parameter.low + (parameter.high - parameter.low) * k / 16 for k in range(17)]
    if parameter.kind == "int":
        return [round(number) for number in spread]
    return [*map(float, spread), parameter.default]


@ROWS
def test_default_is_allowed_and_row_is_complete(parameter: Parameter) -> None:
    assert parameter.check(parameter.default) == parameter.default
    assert parameter.label and parameter.help.endswith((".", "port."))
    assert parameter.group == parameter.key.split(".")[0]
    assert re.fullmatch(r"/cuelight(/[a-z0-9_]+)+", parameter.osc_address)
    assert (parameter.kind == "choice") == bool(parameter.choices)
    assert (parameter.kind == "text") == (parameter.max_length > 0)
    assert (parameter.kind in ("int", "float")) == (parameter.low is not None and parameter.high is not None)


@ROWS
def test_value_survives_the_knob(parameter: Parameter) -> None:
    for value in samples(parameter):
        assert parameter.check(value) == value
        if parameter.kind == "text":
            with pytest.raises(ParameterError, match="no position on a knob"):
                parameter.normalized(value)
            continue
        norm = parameter.normalized(value)
        assert 0.0 <= norm <= 1.0
        back = parameter.native(norm)
        assert type(back) is type(parameter.check(value))
        assert back == value if not isinstance(back, float) else math.isclose(back, value, abs_tol=1e-9)  # type: ignore[arg-type]


@ROWS
def test_value_survives_its_text(parameter: Parameter) -> None:
    for value in samples(parameter):
        assert parameter.parse(str(value)) == value


@ROWS
def test_value_in_range_is_not_clamped(parameter: Parameter) -> None:
    for value in samples(parameter):
        assert parameter.clamp(value) == (value, False)


@ROWS
def test_knob_is_monotonic_and_limited(parameter: Parameter) -> None:
    if parameter.kind == "text":
        return
    positions = [parameter.normalized(parameter.native(k / 50)) for k in range(51)]
    assert positions == sorted(positions)
    assert parameter.native(-3.0) == parameter.native(0.0)
    assert parameter.native(7.0) == parameter.native(1.0)
    with pytest.raises(ParameterError):
        parameter.native(math.nan)


@ROWS
@pytest.mark.parametrize(
    "bad", [None, math.nan, math.inf, -math.inf, 1e300, -1e300, [1], b"1", object, 1 + 2j]
)
def test_nonsense_is_refused_with_key_and_fix(parameter: Parameter, bad: object) -> None:
    with pytest.raises(ParameterError) as caught:
        parameter.check(bad)
    assert parameter.key in caught.value.what
    assert caught.value.fix


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("vace.context_scale", 2.001),
        ("vace.context_scale", "1.0"),
        ("vace.context_scale", True),
        ("engine.steps", 2.5),
        ("engine.steps", -1),
        ("engine.steps", True),
        ("engine.resolution", "128x225"),
        ("engine.resolution", 0),
        ("annotator.name", "depht"),
        ("output.blackout", 1),
        ("output.blackout", "on"),
        ("prompt.text", "x" * 2001),
        ("prompt.text", "nul\0"),
        ("prompt.text", "half \ud800"),
        ("prompt.text", 3),
    ],
)
def test_wrong_type_or_range_is_refused(key: str, bad: object) -> None:
    with pytest.raises(ParameterError, match=re.escape(key)):
        row(key).check(bad)


def test_messages_name_value_range_and_fix() -> None:
    with pytest.raises(ParameterError) as caught:
        row("vace.context_scale").check(3)
    assert str(caught.value) == "vace.context_scale cannot be 3  Fix: give it a number from 0 to 2"
    with pytest.raises(ParameterError) as caught:
        row("prompt.text").check("y" * 10_000)
    assert "10000 characters" in caught.value.what and "2000" in caught.value.what
    assert "8000" in caught.value.fix
    with pytest.raises(ParameterError) as caught:
        row("engine.seed").check(2**31)
    assert "2147483647" in caught.value.fix


def test_exact_numbers_are_coerced() -> None:
    scale, steps = row("vace.context_scale"), row("engine.steps")
    assert scale.check(1) == 1.0 and type(scale.check(1)) is float
    assert steps.check(3.0) == 3 and type(steps.check(3.0)) is int
    assert type(scale.check(np.float32(0.5))) is float
    assert type(steps.check(np.int64(2))) is int


def test_wires_are_tolerated() -> None:
    assert row("vace.context_scale").clamp(9) == (2.0, True)
    assert row("vace.context_scale").clamp(-math.inf) == (0.0, True)
    assert row("engine.steps").clamp(2.4) == (2, True)
    assert row("engine.steps").clamp(2.0) == (2, False)
    assert row("engine.steps").clamp(True) == (1, False)
    assert row("output.blackout").clamp(1) == (True, False)
    assert row("output.blackout").clamp(0.2) == (False, True)
    assert row("annotator.name").clamp(2) == ("edges", False)
    assert row("annotator.name").clamp(99) == ("layout", True)
    assert row("annotator.name").clamp("gray") == ("gray", False)
    assert row("prompt.text").clamp("z" * 2010) == ("z" * 2000, True)
    for key in ("vace.context_scale", "engine.steps", "output.blackout", "annotator.name", "prompt.text"):
        for bad in (math.nan, None, "depht\0", [1.0]):
            with pytest.raises(ParameterError, match=re.escape(key)):
                row(key).clamp(bad)


@pytest.mark.parametrize(("text", "value"), [("on", True), ("False", False), ("1", True), (" no ", False)])
def test_switches_are_read_from_words(text: str, value: bool) -> None:
    assert row("output.freeze").parse(text) is value


def test_a_zero_that_means_something_else_has_a_name() -> None:
    steps = row("engine.steps")
    assert steps.default == 0 == steps.parse("auto") == steps.parse(" Auto ") == steps.parse("0")
    assert steps.allowed == "a whole number from 0 to 4 (0: auto)"
    assert "(0:" not in row("annotator.hold").allowed
    with pytest.raises(ParameterError, match=r"annotator\.hold"):
        row("annotator.hold").parse("auto")


@pytest.mark.parametrize(
    ("key", "text"),
    [("output.freeze", "maybe"), ("engine.steps", "two"), ("engine.steps", "2.0"), ("output.dim", "")],
)
def test_unreadable_text_is_refused(key: str, text: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(key)):
        row(key).parse(text)


@pytest.mark.parametrize(
    ("curve", "low", "quarter"), [("linear", 0.0, 25.0), ("exp", 0.0, 6.25), ("log", 1.0, 100.0**0.25)]
)
def test_curves(curve: str, low: float, quarter: float) -> None:
    shaped = Parameter(
        key="test.curve", kind="float", default=50.0, low=low, high=100.0, curve=curve,  # type: ignore[arg-type]
        group="test", label="Curve", help="A curve.", stage="view", effect="frame",
    )  # fmt: skip
    assert shaped.native(0.25) == pytest.approx(quarter)
    assert shaped.normalized(quarter) == pytest.approx(0.25)
    assert shaped.native(0.0) == low and shaped.native(1.0) == 100.0


def test_unknown_key_names_the_closest() -> None:
    with pytest.raises(ParameterError) as caught:
        row("vace.context_scael")
    assert "vace.context_scael" in caught.value.what
    assert "vace.context_scale" in caught.value.fix
    with pytest.raises(ParameterError, match="did you mean"):
        row("")


def test_rows_keep_the_order_of_the_table() -> None:
    assert [parameter.key for parameter in rows()] == list(TABLE)
    masks = [parameter.key for parameter in rows(group="mask")]
    assert masks == [key for key in TABLE if key.startswith("mask.")] and "mask.invert" in masks
    assert {parameter.stage for parameter in rows(stage="engine")} == {"engine"}
    assert rows(group="vace", stage="output") == ()


def test_live_keys_are_frozen() -> None:
    """Presets, mappings and OSC rigs name these keys: adding is free, renaming needs a migration."""
    assert list(TABLE) == [
        "vace.context_scale", "vace.hints", "prompt.text", "prompt.transition", "prompt.blend", "noise.scale",
        "noise.motion", "lora.1.file", "lora.1.region", "lora.1.strength", "lora.2.file", "lora.2.region",
        "lora.2.strength", "lora.3.file", "lora.3.region", "lora.3.strength", "lora.4.file", "lora.4.region",
        "lora.4.strength",
        "reference.1.file", "reference.2.file", "reference.3.file", "reference.fit", "extension.first",
        "extension.last", "extension.chunks", "engine.steps", "engine.rate",
        "engine.seed", "engine.step_list", "engine.warp", "engine.pipeline", "engine.vae",
        "engine.text_encoder", "engine.fp8", "engine.resolution", "annotator.name",
        "annotator.detail", "annotator.gain", "annotator.second", "annotator.second_gain",
        "annotator.smoothing", "annotator.hold", "mask.source", "mask.grow",
        "mask.invert", "mask.file", "mask.inpaint", "mask.composite", "mask.feather", "mask.brush",
        "canvas.zoom", "canvas.x", "canvas.y", "canvas.fit", "canvas.keep",
        "layout.follow", "layout.x", "layout.y", "layout.width", "layout.height", "layout.shape",
        "source.uri", "source.loop", "source.mirror", "output.blackout", "output.freeze",
        "output.clean_camera", "output.dim", "output.mix", "output.record",
        "output.virtual_camera", "output.fps", "view.mirror",
    ]  # fmt: skip

"""OSC addresses: every row of the table, and everything they tolerate."""

import math

import pytest

from controllers.osc_addresses import COMMAND_ADDRESSES, osc_addresses, read, targets, write
from engine.core.errors import ParameterError
from engine.core.parameters import TABLE, Parameter

TARGETS = targets()
SCALE = "/cuelight/vace/context_scale"


@pytest.mark.parametrize("row", TABLE.values(), ids=list(TABLE))
def test_every_row_round_trips_in_both_units(row: Parameter) -> None:
    native = TARGETS[row.osc_address]
    assert write(native, (read(native, row.default),)) == (row.default, False)
    if row.kind == "text":
        assert row.osc_address + "/norm" not in TARGETS
        return
    norm = TARGETS[row.osc_address + "/norm"]
    value, clamped = write(norm, (read(norm, row.default),))
    assert value == (pytest.approx(row.default) if row.kind == "float" else row.default)
    assert not clamped
    assert write(norm, (0.0,)) == (row.native(0.0), False)
    assert write(norm, (1,)) == (row.native(1.0), False)


@pytest.mark.parametrize(
    ("address", "argument", "value", "clamped"),
    [
        (SCALE, 1.5, 1.5, False),
        (SCALE, 1, 1.0, False),
        (SCALE, True, 1.0, False),
        (SCALE, "0.5", 0.5, False),
        (SCALE, 7, 2.0, True),
        (SCALE, -math.inf, 0.0, True),
        (SCALE + "/norm", 0.5, 1.0, False),
        (SCALE + "/norm", "0.5", 1.0, False),
        (SCALE + "/norm", 3, 2.0, True),
        (SCALE + "/norm", math.inf, 2.0, True),
        ("/cuelight/engine/steps", 2.0, 2, False),
        ("/cuelight/engine/steps", 2.4, 2, True),
        ("/cuelight/engine/steps", 99, 4, True),
        ("/cuelight/engine/steps/norm", 0.5, 2, False),
        ("/cuelight/output/blackout", True, True, False),
        ("/cuelight/output/blackout", None, False, False),
        ("/cuelight/output/blackout", 1, True, False),
        ("/cuelight/output/blackout", 0.0, False, False),
        ("/cuelight/output/blackout", "on", True, False),
        ("/cuelight/output/blackout", "0", False, False),
        ("/cuelight/output/blackout/norm", 0.7, True, False),
        ("/cuelight/annotator/name", "pose", "pose", False),
        ("/cuelight/annotator/name", 4, "pose", False),
        ("/cuelight/annotator/name", 4.0, "pose", False),
        ("/cuelight/annotator/name", "4", "pose", False),
        ("/cuelight/annotator/name", 99, "layout", True),
        ("/cuelight/prompt/text", "1", "1", False),
        ("/cuelight/prompt/text", "x" * 2001, "x" * 2000, True),
    ],
)
def test_tolerance(address: str, argument: object, value: object, clamped: bool) -> None:
    got = write(TARGETS[address], (argument, "further arguments are ignored"))
    assert got == (value, clamped)
    assert type(got[0]) is type(value)


@pytest.mark.parametrize(
    ("address", "arguments"),
    [
        (SCALE, ()),
        (SCALE, (math.nan,)),
        (SCALE, ("nan",)),
        (SCALE, ("much",)),
        (SCALE, (None,)),
        (SCALE, (b"\1\2",)),
        (SCALE, ([1.0],)),
        (SCALE + "/norm", (math.nan,)),
        (SCALE + "/norm", (None,)),
        ("/cuelight/annotator/name", ("pencil",)),
        ("/cuelight/output/blackout", ("maybe",)),
        ("/cuelight/prompt/text", (3,)),
        ("/cuelight/prompt/text", (None,)),
    ],
)
def test_what_has_no_nearest_value_is_refused(address: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises(ParameterError) as refused:
        write(TARGETS[address], arguments)
    assert refused.value.fix


def test_the_documented_list_is_complete() -> None:
    listed = osc_addresses()
    assert {entry[0] for entry in listed} == set(TARGETS) | set(COMMAND_ADDRESSES)
    assert (SCALE, "f", "a number from 0 to 2", TABLE["vace.context_scale"].help) in listed
    assert all(all(column for column in entry) for entry in listed)

"""OSC datagrams with literal bytes: messages, bundles, and packets that want harm."""

import struct

import pytest

from controllers.osc_wire import (
    MAX_BYTES,
    MalformedPacket,
    OscCall,
    encode,
    parse,
    seconds_ahead,
    single_number,
)

NOW_TAG = b"\0\0\0\0\0\0\0\1"


def message(address: str, tags: str = "", data: bytes = b"") -> bytes:
    def padded(text: str) -> bytes:
        raw = text.encode() + b"\0"
        return raw + b"\0" * (-len(raw) % 4)

    return padded(address) + padded("," + tags) + data


def bundle(*elements: bytes, tag: bytes = NOW_TAG) -> bytes:
    return b"#bundle\0" + tag + b"".join(struct.pack(">i", len(e)) + e for e in elements)


def at(unix: float) -> bytes:
    return struct.pack(">II", int(unix) + 2_208_988_800, int((unix % 1) * 2**32))


@pytest.mark.parametrize(
    ("packet", "arguments"),
    [
        (b"/a\0\0,f\0\0\x3f\0\0\0", (0.5,)),
        (b"/a\0\0,i\0\0\xff\xff\xff\xff", (-1,)),
        (b"/a\0\0,s\0\0hi\0\0", ("hi",)),
        (b"/a\0\0,T\0\0", (True,)),
        (b"/a\0\0,F\0\0", (False,)),
        (b"/a\0\0,N\0\0", (None,)),
        (b"/a\0\0,I\0\0", (True,)),
        (b"/a\0\0,TIf\0\0\0\0\x3f\0\0\0", (True, True, 0.5)),
        (b"/a\0\0,\0\0\0", ()),
        (b"/a\0\0", ()),  # old senders leave the type tags out
        (message("/a", "d", struct.pack(">d", 0.25)), (0.25,)),
        (message("/a", "h", struct.pack(">q", 2**40)), (2**40,)),
        (message("/a", "[ii]", struct.pack(">ii", 1, 2)), ([1, 2],)),
    ],
)
def test_messages(packet: bytes, arguments: tuple[object, ...]) -> None:
    assert parse(packet) == [OscCall("/a", arguments, None)]


def test_bundles_are_flattened_in_order_with_their_own_times() -> None:
    inner = bundle(message("/2", "T"), message("/3", "T"), tag=at(1000.5))
    calls = parse(bundle(message("/1", "T"), inner, message("/4", "T")))
    assert [(call.address, call.due) for call in calls] == [
        ("/1", None), ("/2", 1000.5), ("/3", 1000.5), ("/4", None),
    ]  # fmt: skip
    assert parse(bundle()) == []


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"hello",
        b"#bundle\0",
        b"#bundle\0" + NOW_TAG + b"\0\0",
        b"#bundle\0" + NOW_TAG + struct.pack(">i", -4) + b"/a\0\0",  # walking back for ever
        b"#bundle\0" + NOW_TAG + struct.pack(">i", 0) * 100,
        b"#bundle\0" + NOW_TAG + struct.pack(">i", 2**30),
        b"#bundle\0" + NOW_TAG + struct.pack(">i", 5) + b"/a\0\0\0",
        bundle(b"text"),
        bundle(*[message("/a")] * 1100),
        b"/a",
        b"/a\0",
        b"/aaa",
        b"/\xff\xfe\0,T\0\0",
        b"/a\0\0,f\0\0",
        b"/a\0\0T\0\0\0",
        b"/a\0\0,fff",
        b"/a\0\0,i\0\0\0\0",
        b"/a\0\0,s\0\0abcd",
        b"/a\0\0,X\0\0",
        b"/a\0\0,[i\0\0\0\0\0",
        b"/a\0\0,b\0\0\0\0\xff\xff",
        b"/" + b"a" * MAX_BYTES,
    ],
)
def test_malformed_packets_are_refused_with_a_reason(packet: bytes) -> None:
    with pytest.raises(MalformedPacket) as refused:
        parse(packet)
    assert 5 < len(str(refused.value)) < 80


def test_nesting_has_a_bound() -> None:
    packet = message("/a", "T")
    for _ in range(8):
        packet = bundle(packet)
    assert len(parse(packet)) == 1
    for _ in range(500):
        packet = bundle(packet)
    with pytest.raises(MalformedPacket, match="nested"):
        parse(packet)


def test_every_cut_and_flipped_byte_is_read_or_refused() -> None:
    whole = bundle(message("/cuelight/output/dim", "fs[T]", b"\x3f\0\0\0hey\0"), tag=at(1000.0))
    for length in range(len(whole)):
        cut = whole[:length]
        flipped = cut + bytes([whole[length] ^ 0xFF]) + whole[length + 1 :]
        for packet in (cut, flipped):
            try:
                parse(packet)
            except MalformedPacket as error:
                assert str(error)


@pytest.mark.parametrize("value", [0.25, -3, True, False, "gold figure", "", 2**31 - 1])
def test_encode_and_back(value: float | str) -> None:
    (call,) = parse(encode("/cuelight/x", value))
    assert call == OscCall("/cuelight/x", (value,), None)
    assert type(call.arguments[0]) is type(value)


def test_single_numbers() -> None:
    assert single_number(encode("/cuelight/x", 0.5)) == b"/cuelight/x"
    assert single_number(encode("/abc", 3)) == b"/abc"
    for other in (
        encode("/abc", "?"),
        encode("/abc", True),
        message("/abc", "ff", b"\0" * 8),
        b"",
        b"/abc\0\0\0\0",
    ):
        assert single_number(other) == b""
    assert (
        single_number(encode("/abc", float("nan"))) == b""
    )  # it is refused, and must not replace a good one
    assert single_number(encode("/abc", 0.5)[:-2]) == b""
    assert single_number(bundle(encode("/abc", 0.5))) == b""


def test_time_ahead() -> None:
    assert seconds_ahead(None, 1000.0) == 0.0
    assert seconds_ahead(999.0, 1000.0) == 0.0
    assert seconds_ahead(1001.5, 1000.0) == 1.5

"""OSC datagrams: bytes to messages and back. Pure functions; no socket, no store.

The bundle structure is walked and checked here, because python-osc's own walk recurses without a bound
and never ends on a negative size; its message parser then reads one checked message at a time.
"""

import math
import struct
from typing import NamedTuple

from pythonosc.osc_message import OscMessage, ParseError
from pythonosc.osc_message_builder import OscMessageBuilder

from engine.core.parameters import Value

MAX_BYTES = 16 * 1024
MAX_DEPTH = 8
MAX_MESSAGES = 1024

_BUNDLE = b"#bundle\0"
_IMMEDIATELY = 1
_NTP_TO_UNIX = 2_208_988_800
# The least number of bytes each type of argument takes.
_SIZES = {**dict.fromkeys("ifrmsb", 4), **dict.fromkeys("hdt", 8), **dict.fromkeys("TFN[]", 0)}


class MalformedPacket(Exception):
    """A datagram that is not OSC; the text is the reason, one of a few fixed ones."""


class OscCall(NamedTuple):
    """One message. `due` is the Unix time its bundle asks for, None for at once."""

    address: str
    arguments: tuple[object, ...]
    due: float | None


def parse(datagram: bytes) -> list[OscCall]:
    """The messages of a datagram, bundles flattened, in order. Raises MalformedPacket with the reason."""
    if len(datagram) > MAX_BYTES:
        raise MalformedPacket(f"larger than {MAX_BYTES // 1024} KiB")
    calls: list[OscCall] = []
    waiting: list[tuple[bytes, float | None, int]] = [(datagram, None, 0)]
    while waiting:
        packet, due, depth = waiting.pop()
        if packet.startswith(b"/"):
            calls.append(_message(packet, due))
        elif packet.startswith(_BUNDLE):
            due, elements = _bundle(packet, depth)
            waiting.extend((element, due, depth + 1) for element in reversed(elements))
        else:
            raise MalformedPacket("neither a message nor a bundle")
        if len(calls) + len(waiting) > MAX_MESSAGES:
            raise MalformedPacket(f"more than {MAX_MESSAGES} messages in one packet")
    return calls


def encode(address: str, value: Value) -> bytes:
    """A message with one argument: f, i, s, or T and F."""
    builder = OscMessageBuilder(address)
    builder.add_arg(value)
    return builder.build().dgram


def single_number(datagram: bytes) -> bytes:
    """The address of a message that carries one number and nothing else; b"" for any other datagram."""
    end = datagram.find(b"\0")
    tags = end + 4 - end % 4
    kind, data = datagram[tags : tags + 4], datagram[tags + 4 :]
    if len(data) != 4 or kind not in (b",f\0\0", b",i\0\0"):
        return b""
    if kind == b",f\0\0" and math.isnan(struct.unpack(">f", data)[0]):
        return b""
    return datagram[:end]


def _bundle(packet: bytes, depth: int) -> tuple[float | None, list[bytes]]:
    if depth >= MAX_DEPTH:
        raise MalformedPacket(f"bundles nested more than {MAX_DEPTH} deep")
    if len(packet) < 16:
        raise MalformedPacket("bundle without a time tag")
    tag = int.from_bytes(packet[8:16], "big")
    due = None if tag == _IMMEDIATELY else (tag >> 32) - _NTP_TO_UNIX + (tag & 0xFFFFFFFF) / 2**32
    elements = []
    at = 16
    while at < len(packet):
        size = int.from_bytes(packet[at : at + 4], "big", signed=True)
        at += 4
        if size <= 0 or size % 4 or at + size > len(packet):
            raise MalformedPacket("bundle element of an impossible size")
        elements.append(packet[at : at + size])
        at += size
    return due, elements


def _message(packet: bytes, due: float | None) -> OscCall:
    if len(packet) % 4:
        raise MalformedPacket("length is not a multiple of four")
    try:
        message = OscMessage(_checked(packet))
    except (ParseError, ValueError, IndexError, TypeError, OverflowError) as error:
        raise MalformedPacket("message that cannot be read") from error
    return OscCall(str(message.address), tuple(message.params), due)


def _checked(packet: bytes) -> bytes:
    """`packet` when python-osc can be trusted with it, with "I" (what some buttons send) as "T".

    It skips types it does not know without their data, and reads a float that was cut off as zero.
    """
    start = packet.find(b"\0")
    start += 4 - start % 4
    if start >= len(packet):
        return packet
    end = packet.find(b"\0", start)
    tags = packet[start:end].decode("latin-1")
    if end < 0 or not tags.startswith(","):
        raise MalformedPacket("message without type tags")
    tags = tags.replace("I", "T")
    if not _SIZES.keys() >= set(tags[1:]):
        raise MalformedPacket("argument of an unknown type")
    if len(packet) - (end + 4 - end % 4) < sum(_SIZES[tag] for tag in tags[1:]):
        raise MalformedPacket("message shorter than its arguments")
    return packet[:start] + tags.encode("latin-1") + packet[end:]


def seconds_ahead(due: float | None, wall: float) -> float:
    """How far `due` lies after the Unix time `wall`; 0 for at once and for what is late."""
    if due is None or not math.isfinite(due):
        return 0.0
    return max(0.0, due - wall)

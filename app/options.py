"""The command line of the window. Knows no Qt, so `--help` works everywhere."""

import argparse
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from controllers.osc_feedback import MAX_PEERS

OSC_HOST, OSC_PORT = "127.0.0.1", 9000


@dataclass(frozen=True)
class Options:
    """What was asked for; None where the settings or the defaults decide."""

    source: str | None = None
    prompt: str | None = None
    osc_port: int = OSC_PORT
    jack: bool = False
    midi: bool = True
    osc_host: str = OSC_HOST
    osc_to: tuple[tuple[str, int], ...] = ()
    scale: float = 1.0


def parse(argv: Sequence[str]) -> Options:
    """The options in `argv`. Ends the program with a message for `--help` and for mistakes."""
    parser = argparse.ArgumentParser(
        prog="cuelight",
        description="A camera goes in, a video-diffusion model re-imagines it, you play it.",
        epilog="Without a window: cuelight render, models, doctor, parity, adherence, bench, parameters "
        "(each has --help).",
    )
    parser.add_argument(
        "--source", metavar="URI", help="demo, camera:ID, a file, or tcp://host:port (default: as last time)"
    )
    parser.add_argument(
        "--prompt", metavar="TEXT", help="what to make of the picture (default: as last time)"
    )
    parser.add_argument(
        "--osc-port",
        metavar="N",
        type=_port,
        default=OSC_PORT,
        help="UDP port for OSC (%(default)s); 0: no OSC",
    )
    parser.add_argument(
        "--osc-host",
        metavar="ADDRESS",
        type=_address,
        default=OSC_HOST,
        help="where to listen for OSC: %(default)s hears this computer alone, 0.0.0.0 the whole network, and "
        "whoever is in it can then play",
    )
    parser.add_argument(
        "--osc-to",
        metavar="HOST:PORT",
        type=_listener,
        action="append",
        default=[],
        help=f"tell every change to this address too, such as a tablet's; up to {MAX_PEERS} times",
    )
    parser.add_argument("--jack", action="store_true", help="MIDI over JACK instead of the system's own")
    parser.add_argument("--no-midi", dest="midi", action="store_false", help="leave MIDI alone")
    parser.add_argument(
        "--scale",
        metavar="X",
        type=_scale,
        default=1.0,
        help="size of the window's contents, 0.75 to 2: smaller for a low screen, larger for eyes far away",
    )
    given = parser.parse_args(argv)
    if len(given.osc_to) > MAX_PEERS:
        parser.error(f"--osc-to was given {len(given.osc_to)} times; at most {MAX_PEERS} can be told")
    return Options(
        given.source,
        given.prompt,
        given.osc_port,
        given.jack,
        given.midi,
        given.osc_host,
        tuple(given.osc_to),
        given.scale,
    )


def _scale(text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0.75 <= scale <= 2:
        raise argparse.ArgumentTypeError(f"{text!r} is no scale from 0.75 to 2")
    return scale


def _address(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no address such as 0.0.0.0 or 192.168.1.5") from None


def _listener(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no address with a port such as 192.168.1.5:9001")
    return _address(host), int(port)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a whole number from 0 to 65535")
    return int(text)

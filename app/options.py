"""The command line of the window. Knows no Qt, so `--help` works everywhere."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

OSC_PORT = 9000


@dataclass(frozen=True)
class Options:
    """What was asked for; None where the settings or the defaults decide."""

    source: str | None = None
    prompt: str | None = None
    osc_port: int = OSC_PORT
    jack: bool = False
    midi: bool = True


def parse(argv: Sequence[str]) -> Options:
    """The options in `argv`. Ends the program with a message for `--help` and for mistakes."""
    parser = argparse.ArgumentParser(
        prog="cuelight",
        description="A camera goes in, a video-diffusion model re-imagines it, you play it.",
        epilog="Without a window: cuelight render, adherence, doctor, parity, parameters (each has --help).",
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
    parser.add_argument("--jack", action="store_true", help="MIDI over JACK instead of the system's own")
    parser.add_argument("--no-midi", dest="midi", action="store_false", help="leave MIDI alone")
    given = parser.parse_args(argv)
    return Options(given.source, given.prompt, given.osc_port, given.jack, given.midi)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a whole number from 0 to 65535")
    return int(text)

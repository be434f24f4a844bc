"""The headless sub-commands of `cuelight`; also `python -m engine.cli`.

A row of `COMMANDS` for each. What a command needs is imported when it runs: `--help` stays quick, and the
commands that need no camera, no Qt or no mediapipe also run where those are not installed.
"""

import argparse
import importlib.metadata
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from engine.cli.adherence import ADHERENCE
from engine.cli.bench import BENCH
from engine.cli.checks import DOCTOR, PARAMETERS, PARITY
from engine.cli.command import MISUSED, OK, STOPPED, Command
from engine.cli.models import MODELS
from engine.cli.render import RENDER
from engine.core.errors import CuelightError

COMMANDS = (RENDER, MODELS, DOCTOR, PARITY, ADHERENCE, BENCH, PARAMETERS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; returns the exit status.

    0 fine, 1 a check found something wrong, 2 it could not be done (said on stderr, with a fix), 130
    stopped from outside.
    """
    parser = command_parser()
    options = parser.parse_args(sys.argv[1:] if argv is None else argv)
    if options.command is None:
        parser.print_help()
        return MISUSED
    try:
        command: Command = options.command
        with _polite_kill():
            return command.run(options)
    except CuelightError as error:
        print(f"cuelight: {error.what}", file=sys.stderr)
        if error.fix:
            print(f"     fix: {error.fix}", file=sys.stderr)
        return MISUSED
    except BrokenPipeError:  # whoever read the output has seen enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        print("cuelight: stopped; nothing half-made is left", file=sys.stderr)
        return STOPPED


def command_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; the sub-command chosen is `options.command`."""
    parser = argparse.ArgumentParser(
        prog="cuelight",
        description="A camera goes in, a video-diffusion model re-imagines it, you play it. "
        "Without a sub-command the window opens.",
    )
    parser.add_argument("--version", action="version", version=_version())
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="COMMAND")
    for command in COMMANDS:
        sub = commands.add_parser(command.name, help=command.help, description=command.help)
        command.arguments(sub)
        sub.set_defaults(command=command)
    return parser


@contextmanager
def _polite_kill() -> Iterator[None]:
    """While a command runs, a polite kill (SIGTERM) cleans up as Ctrl-C does."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _version() -> str:
    try:
        return f"cuelight {importlib.metadata.version('cuelight')}"
    except importlib.metadata.PackageNotFoundError:
        return "cuelight (not installed: run it with `make run`)"

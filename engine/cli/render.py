"""`cuelight render`: a clip, picture or camera becomes a video file."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from engine.cli.command import OK, Command
from engine.cli.files import check_json, models_folder, write_json
from engine.cli.values import generation_arguments, given_values
from engine.cli.words import seconds


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", metavar="INPUT", help="a video, a picture, `demo`, camera:ID or tcp://host:port"
    )
    parser.add_argument("-o", "--output", metavar="OUT.mp4", type=Path, required=True, help="file to make")
    generation_arguments(parser)
    parser.add_argument("--seconds", type=seconds, metavar="S", help="how much of it to render")
    parser.add_argument(
        "--at",
        action="append",
        default=[],
        nargs=2,
        metavar=("TIME", "KEY=VALUE"),
        dest="moves",
        help="change a value on the way: 2.5 prompt.text=lava, or over a span: 0-4 lora.1.strength=0..1",
    )
    parser.add_argument("--json", type=Path, metavar="STATS", help="write what was made and how fast")


def _render(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from engine.core.automation import parse_move
    from engine.render import render, settings

    if options.json is not None:
        check_json(options.json)
    with models_folder(options.models):
        stats = render(
            options.input,
            options.output,
            settings(given_values(options)),
            options.seconds,
            progress=_progress(),
            moves=[parse_move(when, what) for when, what in options.moves],
        )
    if options.json is not None:
        write_json(options.json, asdict(stats))
    print(
        f"{options.output}: {stats.frames} frames, {stats.seconds:.2f} s, {stats.width}x{stats.height}, "
        f"{stats.generated_fps:.1f} generated frames/s"
    )
    if stats.ignored_words:
        print(f"words the model does not know, ignored: {', '.join(stats.ignored_words)}")
    return OK


def _progress() -> Callable[[int, float], None]:
    if not sys.stderr.isatty():
        return lambda frames, fps: None

    def show(frames: int, fps: float) -> None:
        if frames % 12 == 0:
            print(f"\r{frames} frames, {fps:.1f} frames/s ", end="", file=sys.stderr, flush=True)

    return show


RENDER = Command("render", "turn a clip, picture or camera into a video file", _arguments, _render)

"""The headless sub-commands of `cuelight`; also `python -m engine.cli`.

One row per command. What a command needs is imported when it runs: `--help` stays quick, and the commands
that need no camera, no Qt or no mediapipe also run where those are not installed.
"""

import argparse
import importlib.metadata
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.core.errors import CuelightError, PresetError
from engine.core.parameters import TABLE, Value, row

OK, FAILED, MISUSED, STOPPED = 0, 1, 2, 130


@dataclass(frozen=True)
class Command:
    """A sub-command: `arguments` declares its options, `run` does it and returns the exit status."""

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; returns the exit status.

    0 fine, 1 a check found something wrong, 2 it could not be done (said on stderr, with a fix), 130
    stopped from outside.
    """
    parser = _parser()
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


def parse_settings(pairs: Sequence[str]) -> dict[str, Value]:
    """`key=value` words as checked values. Raises ParameterError naming the closest keys."""
    values: dict[str, Value] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise CuelightError(f"--set {pair} has no value", "write --set key=value")
        values[key.strip()] = row(key.strip()).parse(text)
    return values


def _render_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", metavar="INPUT", help="a video, a picture, `demo`, camera:ID or tcp://host:port"
    )
    parser.add_argument("-o", "--output", metavar="OUT.mp4", type=Path, required=True, help="file to make")
    _generation_arguments(parser)
    parser.add_argument("--seconds", type=_seconds, metavar="S", help="how much of it to render")
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
        _check_json(options.json)
    with _models_folder(options.models):
        stats = render(
            options.input,
            options.output,
            settings(_given(options)),
            options.seconds,
            progress=_progress(),
            moves=[parse_move(when, what) for when, what in options.moves],
        )
    if options.json is not None:
        _write_json(options.json, asdict(stats))
    print(
        f"{options.output}: {stats.frames} frames, {stats.seconds:.2f} s, {stats.width}x{stats.height}, "
        f"{stats.generated_fps:.1f} generated frames/s"
    )
    if stats.ignored_words:
        print(f"words the model does not know, ignored: {', '.join(stats.ignored_words)}")
    return OK


def _adherence_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clip", action="append", default=[], metavar="FILE", help="measure on a filmed clip as well"
    )
    parser.add_argument(
        "--clips",
        type=_count,
        metavar="N",
        help="clips a control and a mode, 0 for no drawn ones (default: one for each material, some for "
        "palettes; 4 a mode)",
    )
    parser.add_argument(
        "--scales",
        type=_scales,
        default=(0.0, 0.5, 1.0, 1.5),
        metavar="0,0.5,1",
        help="context scales to compare",
    )
    parser.add_argument(
        "--controls", type=_controls, default=(), metavar="scribble,pose",
        help="of scribble, edges, depth, gray, pose, inpaint, flow, layout (default: all but edges, or the "
        "annotator's)",
    )  # fmt: skip
    parser.add_argument(
        "--modes", type=_modes, metavar="kept,references",
        help="of kept, references, extension, compositions (default: all, or none where controls are named)",
    )  # fmt: skip
    _generation_arguments(parser)
    parser.add_argument(
        "--seconds", type=_seconds, default=2.0, metavar="S", help="of each clip (%(default)s)"
    )
    parser.add_argument(
        "--drift", type=_seconds, default=0.0, metavar="S", help="also one stream of so many seconds"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as markdown")
    parser.add_argument(
        "--jobs", type=_jobs, default=1, metavar="N",
        help="measure in so many processes, with the same numbers (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers, anew after every clip")


def _adherence(options: argparse.Namespace) -> int:
    from engine.adherence import Plan
    from engine.adherence import main as adherence
    from engine.adherence.measure import Row
    from engine.render import settings

    if options.json is not None:
        _check_json(options.json)
    clips = 0

    def keep(rows: list[Row], complete: bool = False) -> None:
        nonlocal clips
        clips += not complete
        if options.json is not None:
            _write_json(options.json, {"complete": complete, "rows": rows})

    plan = Plan(
        options.scales,
        options.controls,
        options.clips,
        options.seconds,
        options.drift,
        options.modes,
        options.markdown,
        options.jobs,
    )
    try:
        with _models_folder(options.models):
            rows = adherence(options.clip, settings(_given(options)), plan, keep)
    except KeyboardInterrupt:
        where = f"; {options.json} holds the numbers of these" if clips and options.json is not None else ""
        print(f"cuelight: stopped after {clips} clips{where}", file=sys.stderr)
        return STOPPED
    keep(rows, complete=True)
    return OK


def _parity_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", type=Path, help="recorded numbers (*.safetensors)")


def _parity(options: argparse.Namespace) -> int:
    if not options.folder.is_dir():
        raise CuelightError(f"{options.folder} is not a folder", "name the folder with the recorded numbers")
    from engine.parity import main as parity

    return parity(options.folder)


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pipeline", default="pocket", metavar="NAME", help="which one (%(default)s)")
    parser.add_argument("--size", type=_size, metavar="HxW", help="of the picture (default: the usual one)")
    parser.add_argument(
        "--steps", type=int, default=0, metavar="N", help="denoising steps (default: the model's own)"
    )
    parser.add_argument(
        "--mode", choices=("none", "depth", "inpaint", "layout", "extension", "references"), default="depth",
        help="text only, a control picture, one with a mask, plain shapes, key frames, or reference pictures "
        "alone (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--hints", choices=TABLE["vace.hints"].choices, default="auto", help="(%(default)s)")
    parser.add_argument(
        "--attention", default="auto", metavar="NAME",
        help="attention kernel: sdpa, cudnn, flash, flash2, flash3, sage or auto (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--graphs", action="store_true", help="record passes as CUDA graphs (warm up with 20 chunks or more)"
    )
    parser.add_argument("--vae", choices=TABLE["engine.vae"].choices, default="tae", help="(%(default)s)")
    parser.add_argument(
        "--precision", choices=("auto", "fp32", "bf16", "fp8"), default="auto", help="(%(default)s)"
    )
    parser.add_argument(
        "--warm-up", type=int, default=3, metavar="N", help="chunks before the clock starts (%(default)s)"
    )
    parser.add_argument("--chunks", type=int, default=15, metavar="N", help="chunks measured (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=0.0, metavar="S",
        help="measure at least so long, to see what lasts (default: as long as that takes)",
    )  # fmt: skip
    parser.add_argument(
        "--random", action="store_true", help="random weights even where the real ones are installed"
    )
    parser.add_argument(
        "--gpu", action="store_true", help="instead: the whole list for a machine with a GPU, ten minutes"
    )
    parser.add_argument(
        "--compare", choices=("eager",),
        help="instead: by turns with the same engine in which nothing that was computed is kept or joined",
    )  # fmt: skip
    parser.add_argument(
        "--gate", action="store_true",
        help="instead: ask whether hints may be made at fewer steps and the clean pass left out, for "
        "`vace.hints` auto to go by",
    )  # fmt: skip
    parser.add_argument(
        "--verdicts",
        type=Path,
        metavar="FILE",
        help="where --gate writes what passed (default: the user's own)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers")
    _models_folder_argument(parser)


def _bench(options: argparse.Namespace) -> int:
    from engine import bench

    if options.json is not None:
        _check_json(options.json)
    if options.gate:
        return _gate(options)
    with _models_folder(options.models):
        if options.gpu:
            return _bench_gpu(options.json)
        else:
            plan = bench.Plan(
                pipeline=options.pipeline,
                size=options.size,
                steps=options.steps,
                mode=options.mode,
                vae=options.vae,
                precision=options.precision,
                warm_up=options.warm_up,
                chunks=options.chunks,
                seconds=options.seconds,
                weights="random" if options.random else "installed",
                hints=options.hints,
                attention=options.attention,
                graphs=options.graphs,
                against=options.compare or "",
            )
            document = bench.main(plan)
    if options.json is not None:
        _write_json(options.json, document)
    return OK


def _bench_gpu(place: Path | None) -> int:
    """Measure the list for a GPU, written down after every row; FAILED when nothing could be measured."""
    from engine import bench

    document = bench.suite(told=lambda rows: None if place is None else _write_json(place, rows))
    measured = bench.measured_rows(document)
    print(f"{measured} of {len(bench.SUITE)} rows measured")
    return OK if measured else FAILED


def _gate(options: argparse.Namespace) -> int:
    """Ask the gate about a pipeline at a size of the table; FAILED when one did not pass."""
    from dataclasses import asdict

    from engine.gate import main as gate
    from engine.render import settings

    given: dict[str, Value] = {"engine.pipeline": options.pipeline, "engine.steps": options.steps}
    if options.size is not None:
        given["engine.resolution"] = "{}x{}".format(*options.size)
    with _models_folder(options.models):
        readings = gate(settings(given), options.verdicts)
    if options.json is not None:
        rows = [asdict(reading) | {"passed": reading.passed} for reading in readings]
        _write_json(options.json, {"policies": rows})
    return OK if all(reading.passed for reading in readings) else FAILED


def _models_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="which there are, their size, licence and VRAM")
    listing.add_argument("name", metavar="NAME", nargs="?", help="which file goes where, of one of them")
    get = actions.add_parser("get", help="show the licence, then download")
    get.add_argument("name", metavar="NAME", help="a pipeline or an extra of `cuelight models list`")
    get.add_argument("--vae", default="tae", help="tae, lighttae, wan or lightvae (%(default)s)")
    get.add_argument("--text", default="fp8", help="text encoder: fp8, bf16 or none (%(default)s)")
    get.add_argument("--mirror", action="store_true", help="fetch from the mirrors of the models file")
    verify = actions.add_parser("verify", help="check sizes, checksums and headers")
    verify.add_argument("name", metavar="NAME")
    verify.add_argument("--vae", help="as for get (default: the one that is here)")
    verify.add_argument("--text", help="as for get (default: the one that is here)")
    bring = actions.add_parser("import", help="take files out of a folder that someone copied")
    bring.add_argument("folder", metavar="DIR", type=Path)
    bring.add_argument("--link", action="store_true", help="link the files instead of copying them")
    for action in (get, bring):
        action.add_argument("--accept", action="store_true", help="accept the licences that are shown")
    for action in (listing, get, verify, bring):
        _models_folder_argument(action)


def _models(options: argparse.Namespace) -> int:
    from engine import models

    with _models_folder(options.models):
        if options.action == "list":
            return models.list_models(options.name)
        if options.action == "get":
            return models.get(
                options.name, vae=options.vae, text=options.text, agreed=options.accept, mirror=options.mirror
            )
        if options.action == "verify":
            return models.verify(options.name, vae=options.vae, text=options.text)
        return models.import_models(options.folder, link=options.link, agreed=options.accept)


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def _doctor(options: argparse.Namespace) -> int:
    from engine.doctor import main as doctor

    return doctor()


def _parameters(options: argparse.Namespace) -> int:
    from engine.parameter_page import parameter_page

    print(parameter_page(), end="")
    return OK


COMMANDS = (
    Command("render", "turn a clip, picture or camera into a video file", _render_arguments, _render),
    Command("models", "list, download, check and import model files", _models_arguments, _models),
    Command("doctor", "check this machine and say what to do", _no_arguments, _doctor),
    Command("parity", "compare the model's parts with recorded numbers", _parity_arguments, _parity),
    Command("adherence", "measure how well the picture follows its control picture", _adherence_arguments,
            _adherence),
    Command("bench", "measure how fast a pipeline runs, and where its time goes", _bench_arguments, _bench),
    Command("parameters", "print the page of all parameters", _no_arguments, _parameters),
)  # fmt: skip


def _parser() -> argparse.ArgumentParser:
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


def _generation_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that are short names of rows of the table; their defaults are the rows' own."""
    for option, key in _SHORT_NAMES.items():
        about = f"{TABLE[key].help} [{TABLE[key].allowed}]".replace("%", "%%")
        parser.add_argument(option, dest=key, metavar=option.strip("-").upper(), help=about)
    parser.add_argument("--look", metavar="NAME", help="a look of presets/looks, or a look file")
    parser.add_argument(
        "--set", action="append", default=[], dest="settings", metavar="KEY=VALUE",
        help="any other parameter; `cuelight parameters` lists them",
    )  # fmt: skip
    _models_folder_argument(parser)


def _models_folder_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        help="folder of the model files (else CUELIGHT_MODELS or the user's)",
    )


_SHORT_NAMES = {
    "--annotator": "annotator.name",
    "--prompt": "prompt.text",
    "--seed": "engine.seed",
    "--pipeline": "engine.pipeline",
}


def _given(options: argparse.Namespace) -> dict[str, Value]:
    """The values the command line gives: the look first, then the short names, then every --set."""
    given = vars(options)
    short = {key: TABLE[key].parse(given[key]) for key in _SHORT_NAMES.values() if given[key] is not None}
    return _look(options.look) | short | parse_settings(options.settings)


def _look(name: str | None) -> dict[str, Value]:
    """The values of the look `name` that a rendered file has a use for; {} without a name."""
    if name is None:
        return {}
    from engine.core.presets import list_looks, load_look
    from engine.render import USED_KEYS

    looks = {path.stem.lower(): path for path in list_looks()}
    path = looks.get(name.lower(), Path(name))
    if not path.is_file():
        known = ", ".join(path.stem for path in looks.values())
        raise PresetError(f"there is no look {name!r}", f"choose one of {known}, or name a look file")
    return {key: value for key, value in load_look(path).items() if key in USED_KEYS}


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 24 * 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of clips")
    return int(text)


def _jobs(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 64):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes from 1 to 64")
    return int(text)


def _scales(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(TABLE["vace.context_scale"].parse(part)) for part in text.split(","))
    except CuelightError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _controls(text: str) -> tuple[str, ...]:
    from engine.adherence.measure import FOLLOWED

    controls = tuple(part.strip() for part in text.split(","))
    unknown = [control for control in controls if control not in FOLLOWED]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(FOLLOWED)}")
    return controls


def _modes(text: str) -> tuple[str, ...]:
    from engine.adherence.modes import MODES

    modes = tuple(part.strip() for part in text.split(","))
    unknown = [mode for mode in modes if mode not in MODES]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(MODES)}")
    return modes


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 368x640 (height x width)")
    return int(height), int(width)


def _progress() -> Callable[[int, float], None]:
    if not sys.stderr.isatty():
        return lambda frames, fps: None

    def show(frames: int, fps: float) -> None:
        if frames % 12 == 0:
            print(f"\r{frames} frames, {fps:.1f} frames/s ", end="", file=sys.stderr, flush=True)

    return show


def _check_json(path: Path) -> None:
    """Refuse a place that cannot be written before the long work, not after it."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise CuelightError(f"cannot write {path}", "name a file in a folder that exists")


def _write_json(path: Path, document: object) -> None:
    import json

    from engine.core.paths import write_atomic

    try:
        write_atomic(path, (json.dumps(document, indent=2) + "\n").encode())
    except OSError as error:
        raise CuelightError(f"cannot write {path}: {error.strerror}", "check folder and disk") from error


@contextmanager
def _models_folder(folder: Path | None) -> Iterator[None]:
    """While a command runs, model files are looked for in `folder`, and nowhere else."""
    if folder is None:
        yield
        return
    before = os.environ.get("CUELIGHT_MODELS")
    os.environ["CUELIGHT_MODELS"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["CUELIGHT_MODELS"]
        else:
            os.environ["CUELIGHT_MODELS"] = before


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


if __name__ == "__main__":
    sys.exit(main())

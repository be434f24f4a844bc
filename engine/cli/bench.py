"""`cuelight bench`: how fast a pipeline runs, where its time goes, and what it may leave out."""

import argparse
from pathlib import Path

from engine.cli.command import FAILED, OK, Command
from engine.cli.files import check_json, models_folder, models_folder_argument, write_json
from engine.cli.words import size
from engine.core.errors import CuelightError
from engine.core.parameters import TABLE, Value

_WARM_UP, _CHUNKS = 3, 15


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pipeline", default="pocket", metavar="NAME", help="which one (%(default)s)")
    parser.add_argument("--size", type=size, metavar="HxW", help="of the picture (default: the usual one)")
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
        "--warm-up",
        type=int,
        default=_WARM_UP,
        metavar="N",
        help="chunks before the clock starts (%(default)s)",
    )
    parser.add_argument(
        "--chunks", type=int, default=_CHUNKS, metavar="N", help="chunks measured (%(default)s)"
    )
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
    models_folder_argument(parser)


def _bench(options: argparse.Namespace) -> int:
    from engine import bench

    if options.json is not None:
        check_json(options.json)
    if options.gate:
        return _gate(options)
    with models_folder(options.models):
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
        write_json(options.json, document)
    return OK


def _bench_gpu(place: Path | None) -> int:
    """Measure the list for a GPU, written down after every row; FAILED when nothing could be measured."""
    from engine import bench

    document = bench.suite(told=lambda rows: None if place is None else write_json(place, rows))
    measured = bench.measured_rows(document)
    print(f"{measured} of {len(bench.SUITE)} rows measured")
    return OK if measured else FAILED


def _gate(options: argparse.Namespace) -> int:
    """Ask the gate about a pipeline at a size of the table; FAILED when one did not pass."""
    from dataclasses import asdict

    from engine.gate import main as gate
    from engine.render import settings

    _check_gate(options)
    given: dict[str, Value] = {
        "engine.pipeline": options.pipeline,
        "engine.steps": options.steps,
        "engine.vae": options.vae,
        "engine.fp8": options.precision == "fp8",
    }
    if options.size is not None:
        given["engine.resolution"] = "{}x{}".format(*options.size)
    with models_folder(options.models):
        readings = gate(settings(given), options.verdicts)
    if options.json is not None:
        rows = [asdict(reading) | {"passed": reading.passed} for reading in readings]
        write_json(options.json, {"policies": rows})
    return OK if all(reading.passed for reading in readings) else FAILED


def _check_gate(options: argparse.Namespace) -> None:
    """Refuse what the gate would pass over without a word: a verdict is of very particular weights."""
    asked = {
        "--mode": options.mode != "depth",
        "--hints": options.hints != "auto",
        "--attention": options.attention != "auto",
        "--graphs": options.graphs,
        "--random": options.random,
        "--compare": bool(options.compare),
        "--gpu": options.gpu,
        "--warm-up": options.warm_up != _WARM_UP,
        "--chunks": options.chunks != _CHUNKS,
        "--seconds": options.seconds != 0,
        f"--precision {options.precision}": options.precision not in ("auto", "fp8"),
    }
    unused = [option for option, given in asked.items() if given]
    if unused:
        raise CuelightError(
            f"--gate does not go with {unused[0]}", "leave it out: the gate plays as a show does"
        )


BENCH = Command("bench", "measure how fast a pipeline runs, and where its time goes", _arguments, _bench)

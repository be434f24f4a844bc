"""`cuelight adherence`: how well the picture follows its control picture and its prompt."""

import argparse
import sys
from pathlib import Path

from engine.cli.command import OK, STOPPED, Command
from engine.cli.files import check_json, models_folder, write_json
from engine.cli.values import generation_arguments, given_values
from engine.cli.words import clip_count, controls, modes, processes, scales, seconds


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clip", action="append", default=[], metavar="FILE", help="measure on a filmed clip as well"
    )
    parser.add_argument(
        "--clips",
        type=clip_count,
        metavar="N",
        help="clips a control and a mode, 0 for no drawn ones (default: one for each material, some for "
        "palettes; 4 a mode)",
    )
    parser.add_argument(
        "--scales",
        type=scales,
        default=(0.0, 0.5, 1.0, 1.5),
        metavar="0,0.5,1",
        help="context scales to compare",
    )
    parser.add_argument(
        "--controls", type=controls, default=(), metavar="scribble,pose",
        help="of scribble, edges, depth, gray, pose, inpaint, flow, layout (default: all but edges, or the "
        "annotator's)",
    )  # fmt: skip
    parser.add_argument(
        "--modes", type=modes, metavar="kept,references",
        help="of kept, references, extension, compositions (default: all, or none where controls are named)",
    )  # fmt: skip
    generation_arguments(parser)
    parser.add_argument(
        "--seconds", type=seconds, default=2.0, metavar="S", help="of each clip (%(default)s)"
    )
    parser.add_argument(
        "--drift", type=seconds, default=0.0, metavar="S", help="also one stream of so many seconds"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as markdown")
    parser.add_argument(
        "--jobs", type=processes, metavar="N",
        help="measure in so many processes, with the same numbers (default: one a core, at most 4; 1 for a "
        "few clips, a large model or on a GPU)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers, anew after every clip")


def _adherence(options: argparse.Namespace) -> int:
    from engine.adherence import Plan
    from engine.adherence import main as adherence
    from engine.adherence.crew import usual_jobs
    from engine.adherence.measure import Row
    from engine.render import settings

    if options.json is not None:
        check_json(options.json)
    clips = 0

    def keep(rows: list[Row], complete: bool = False) -> None:
        nonlocal clips
        clips += not complete
        if options.json is not None:
            write_json(options.json, {"complete": complete, "rows": rows})

    values = settings(given_values(options))
    plan = Plan(
        options.scales,
        options.controls,
        options.clips,
        options.seconds,
        options.drift,
        options.modes,
        options.markdown,
        options.jobs or usual_jobs(values.text("engine.pipeline"), options.clips),
    )
    try:
        with models_folder(options.models):
            rows = adherence(options.clip, values, plan, keep)
    except KeyboardInterrupt:
        where = f"; {options.json} holds the numbers of these" if clips and options.json is not None else ""
        print(f"cuelight: stopped after {clips} clips{where}", file=sys.stderr)
        return STOPPED
    keep(rows, complete=True)
    return OK


ADHERENCE = Command(
    "adherence", "measure how well the picture follows its control picture", _arguments, _adherence
)

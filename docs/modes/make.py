"""Makes every contact sheet of docs/modes.md anew: `python docs/modes/make.py --face FILE [--only NAME ...]`.

Each sheet is made by `cuelight render`, with the very words that the page shows. From each clip four moments:
what the camera saw, what led the model (where anything did), and what came out; a row that stands above
already is left out. The page's blocks between
`<!-- sheet NAME -->` and `<!-- end -->` are written by this script: picture, commands, what the lamp said.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import tempfile
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from shutil import copyfile
from unittest.mock import patch

import cv2
import numpy as np

from engine.adherence.modes import reference_pictures, static_mask
from engine.chunk import ChunkInput, ChunkOutput, Pictures
from engine.cli import main as cuelight
from engine.core.paths import config_dir
from engine.pocket.styles import Look
from engine.render import render, settings
from engine.stages.pictures import FOLDER

HERE = Path(__file__).parent
PAGE = HERE.parent / "modes.md"
SECONDS = "1.6"
MOMENTS = (0.1, 0.4, 0.7, 1.0)
"""Where in a clip the pictures of a sheet are taken, in parts of it."""
LARGEST = 150_000
"""Bytes of a sheet."""
NIGHT = "gold figure, night"
DEMO, FACE = "demo", "face.mp4"

Shot = tuple[str, str]
"""A clip, and the options that `cuelight render` gets for it."""


def _both(options: str) -> tuple[Shot, Shot]:
    return (DEMO, options), (FACE, options)


def _led(annotator: str) -> tuple[Shot, Shot]:
    return _both(f'--annotator {annotator} --prompt "{NIGHT}"')


_DEPTH = '--annotator depth --prompt "figure, night"'
_GOLD = "--set reference.1.file=gold.png"
_ICE = "--set reference.1.file=ice.png"
_FIRST, _LAST = "--set extension.first=gold.png", "--set extension.last=ice.png"
_OVER = "--set extension.chunks=4"

SHEETS: dict[str, tuple[Shot, ...]] = {
    "depth": _led("depth"),
    "pose": _led("pose"),
    "scribble": _led("scribble"),
    "edges": _led("edges"),
    "gray": _led("gray"),
    "flow": _led("flow"),
    "layout": (
        (DEMO, f'--annotator layout --set layout.follow=body --prompt "{NIGHT}"'),
        (DEMO, f'--annotator layout --at 0-1.6 layout.x=0.2..0.8 --prompt "{NIGHT}"'),
    ),
    "inpaint": (
        (FACE, '--annotator none --set mask.source=person --prompt "ice figure"'),
        (FACE, '--annotator none --set mask.source=background --prompt "moss, forest"'),
        (FACE, '--annotator scribble --set mask.source=face --prompt "lava figure"'),
        (FACE, '--annotator none --set mask.file=oval.png --prompt "moss"'),
    ),
    "outpaint": ((FACE, '--annotator none --set canvas.zoom=1.6 --prompt "ice, ocean"'),),
    "extension": (
        (DEMO, f'--annotator none {_FIRST} {_OVER} --prompt "{NIGHT}"'),
        (DEMO, f'--annotator none {_LAST} {_OVER} --prompt "ice figure, night"'),
        (DEMO, f'--annotator none {_FIRST} {_LAST} {_OVER} --prompt "figure, night"'),
    ),
    "references": (
        (DEMO, _DEPTH),
        (DEMO, f"{_DEPTH} {_GOLD}"),
        (DEMO, f"{_DEPTH} {_ICE}"),
        (DEMO, f"{_DEPTH} {_ICE} --set reference.2.file=ice-2.png"),
        (DEMO, f'--annotator none {_ICE} --prompt "figure, night"'),
    ),
    "compositions": (
        (FACE, f"{_DEPTH} {_ICE}"),
        (FACE, f'--annotator none --set mask.source=person {_ICE} --prompt "figure"'),
        (DEMO, f'--annotator pose {_ICE} --prompt "figure, night"'),
        (DEMO, f'--annotator scribble {_FIRST} {_OVER} --prompt "{NIGHT}"'),
        (FACE, f'--annotator none --set canvas.zoom=1.6 {_FIRST} {_ICE} {_OVER} --prompt "figure, night"'),
    ),
}  # fmt: skip


@dataclass
class Watched:
    """What went into the engine."""

    seen: list[Pictures] = field(default_factory=list)
    led: list[Pictures] = field(default_factory=list)

    def look(self, chunk: ChunkInput, output: ChunkOutput) -> None:
        """One more chunk."""
        # Around a camera picture that is smaller than the canvas there is nothing that a camera saw.
        if chunk.video is not None and chunk.around == 0:
            self.seen.append(chunk.video)
        if chunk.control is not None:
            self.led.append(chunk.control)

    def rows(self, rendered: Pictures) -> list[Pictures]:
        """The rows of a sheet, u8 [H, 4 W, 3] each, for a rendered clip u8 [F, H, W, 3]."""
        at = [min(len(rendered) - 1, round(part * len(rendered))) for part in MOMENTS]
        clips = [*(np.concatenate(parts) for parts in (self.seen, self.led) if parts), rendered]
        return [np.concatenate([clip[min(i, len(clip) - 1)] for i in at], axis=1) for clip in clips]


def make(name: str, folder: Path) -> str:
    """Render a sheet's clips in `folder`, write the sheet beside this script; the page's block about it."""
    rows: list[Pictures] = []
    told: list[str] = []
    for number, (clip, options) in enumerate(SHEETS[name], 1):
        watched = Watched()
        words = ["render", clip, "-o", f"{name}-{number}.mp4", *shlex.split(options), "--seconds", SECONDS]
        lamp = _render(words, watched)
        made = watched.rows(_read(folder / f"{name}-{number}.mp4"))
        # Clips that differ in one thing are compared more easily without what they have in common.
        rows += [row for row in made if not any(np.array_equal(row, shown) for shown in rows)] + [_gap()]
        command = f"cuelight render {clip} -o {name}-{number}.mp4 {options} --seconds {SECONDS}"
        told.append(f"{number}. `{command}`  \n   lamp: {'; then '.join(f'*{said}*' for said in lamp)}")
    _write(HERE / f"{name}.jpg", np.concatenate(rows[:-1]))
    return "\n".join([f"![{name.capitalize()}](modes/{name}.jpg)", "", *told])


def _render(words: Sequence[str], watched: Watched) -> list[str]:
    """Run the command, watched; what the lamp said."""
    stats = Path("stats.json")
    with patch("engine.render.render", partial(render, watch=watched.look)):
        if cuelight([*words, "--json", str(stats)]) != 0:
            raise SystemExit(f"failed: cuelight {shlex.join(words)}")
    return told_apart(json.loads(stats.read_text())["modes"])


def told_apart(modes: Sequence[str]) -> list[str]:
    """What the lamp said, each thing once. A mask that moves keeps another part in every chunk: the first
    says it.
    """
    kinds: dict[str, str] = {}
    for said in modes:
        kinds.setdefault(re.sub(r"\d+ %", "", said), said)
    return list(kinds.values())


def _read(path: Path) -> Pictures:
    """A video's frames, u8 [F, H, W, 3]."""
    video, frames = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    video.release()
    return np.asarray(np.stack(frames), np.uint8)


def _gap() -> Pictures:
    return np.full((6, 4 * 224, 3), 255, np.uint8)


def _write(path: Path, sheet: Pictures) -> None:
    """A sheet as a JPEG that is as good as LARGEST allows."""
    for quality in range(92, 20, -6):
        done, data = cv2.imencode(
            ".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
        if done and len(data) <= LARGEST:
            path.write_bytes(data.tobytes())
            return
    raise SystemExit(f"{path.name} does not become small enough")


def _pictures(folder: Path) -> None:
    """The pictures that commands name, drawn: a golden scene, two of ice, and an oval mask.

    They come to lie beside this script, for the page, and in `folder`, for the commands.
    """
    values = settings({})
    gold, ice = (
        reference_pictures(Look(material, None, "night"), number, values)
        for number, material in enumerate(("gold", "ice"))
    )
    for name, picture in (("gold", gold[0]), ("ice", ice[0]), ("ice-2", ice[1])):
        cv2.imwrite(str(HERE / f"{name}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    cv2.imwrite(str(HERE / "oval.png"), static_mask(128, 224))
    folder.mkdir(parents=True)
    for path in HERE.glob("*.png"):
        copyfile(path, folder / path.name)


def _into_page(name: str, block: str) -> None:
    """Put a block between its marks."""
    text = PAGE.read_text()
    begin, end = f"<!-- {name} -->\n", "<!-- end -->"
    before, mark, rest = text.partition(begin)
    if not mark:
        raise SystemExit(f"{PAGE} has no place for {name}: write {begin.strip()} and {end} into it")
    PAGE.write_text(before + begin + block + "\n" + end + rest.partition(end)[2])


def main() -> None:
    """Make all sheets, or those that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--face", type=Path, help="a filmed clip of a person")
    parser.add_argument("--only", nargs="+", choices=list(SHEETS), default=list(SHEETS), metavar="NAME")
    parser.add_argument(
        "--put", nargs=2, metavar=("NAME", "FILE"), help="instead: a printed table into the page"
    )
    options = parser.parse_args()
    if options.put is not None:
        name, file = options.put
        _into_page(f"table {name}", Path(file).read_text().strip())
        return
    if options.face is None:
        parser.error("the sheets need --face FILE")
    with tempfile.TemporaryDirectory(prefix="cuelight-") as name:
        folder = Path(name)
        copyfile(options.face, folder / FACE)
        with chdir(folder), patch.dict(os.environ, CUELIGHT_HOME=name):
            _pictures(config_dir() / FOLDER)
            for sheet in options.only:
                _into_page(f"sheet {sheet}", make(sheet, folder))


if __name__ == "__main__":
    main()

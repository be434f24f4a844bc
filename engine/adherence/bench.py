"""Where clips are generated to be measured: a session, a judge, and a folder for the pictures that rows name.

Every process that measures has one bench. What it finds does not depend on what it measured before, nor on
how many cores there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import numpy as np

from engine.adherence.autoencoder import Remembering
from engine.adherence.cases import Case
from engine.adherence.judge import Judge
from engine.adherence.measure import pictures
from engine.chunk import ChunkInput, ChunkOutput
from engine.core.parameters import Value
from engine.core.store import Snapshot
from engine.core.types import Image
from engine.model.load import load_pipeline
from engine.model.threads import one_thread
from engine.session import Session
from engine.stages.asked import Wanted
from engine.video.opencv import cv2


@dataclass(frozen=True, eq=False)
class Shown:
    """What was generated: pictures u8 [F, H, W, 3] and the number of each one's chunk, from 1.

    `made` are the same pictures as the model made them, before anything that is kept was put over them.
    """

    pictures: Image
    chunks: tuple[int, ...]
    made: Image


@dataclass
class Bench:
    """The session to try, the judge, the values that somebody set, and a folder for pictures."""

    session: Session
    judge: Judge
    values: Snapshot
    folder: Path
    _numbers: count[int] = field(default_factory=count)

    def file(self, picture: Image) -> str:
        """A picture u8 [H, W, 3] as a file that a row can name."""
        path = self.folder / f"{next(self._numbers)}.png"
        cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        return str(path)

    def generate(self, case: Case, scale: float, also: Mapping[str, Value]) -> Shown:
        """A new stream with the noise that each begins with."""
        raw: list[Image] = []

        def watch(chunk: ChunkInput, output: ChunkOutput) -> None:
            raw.append(output.frames)

        self.session.reset(replay=True)
        shown = list(pictures(case, self.session, self.values, scale, also, watch))
        return Shown(
            np.stack([picture for picture, _ in shown]),
            tuple(chunk for _, chunk in shown),
            np.concatenate(raw)[: len(shown)],
        )


def open_session(values: Snapshot) -> Session:
    """The session of the values' pipeline and size, which encodes nothing twice that it has seen before."""
    wanted = Wanted.of(values)
    pipeline = load_pipeline(wanted.pipeline, wanted.choice)
    return Session(replace(pipeline, vae=Remembering(pipeline.vae)), wanted.height, wanted.width)


@contextmanager
def open_bench(values: Snapshot, folder: Path) -> Iterator[Bench]:
    """A bench for as long as it is needed, with a folder of its own. Raises EngineError or WeightsError.

    Torch is given one thread: with more, sums are added up in another order, and the last digits would say
    how many cores the machine has.
    """
    with one_thread(), closing(open_session(values)) as session:
        yield Bench(session, Judge.load(), values, folder)

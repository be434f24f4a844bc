"""What is tried: to follow a control, to keep a part, references, key frames, and these with a control.

A trial is one clip in one mode. It generates as often as it has something to compare and gives numbers by
(name, metric); the name takes the place of the control in a row. Everything goes the way of `cuelight
render`: pictures are files that the rows of the table name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.adherence.autoencoder import round_trip
from engine.adherence.bench import Bench, Shown
from engine.adherence.cases import Case
from engine.adherence.judge import Judge
from engine.adherence.measure import FOLLOWED, Found, pictures, score, true_score
from engine.adherence.metrics import BEST_PSNR, Inside, change, colour_distance, kept_ssim, overlap, psnr
from engine.core.types import ControlFrame, Image
from engine.video.masks import FRAMES_PER_LATENT

LEAST_PART = 0.02  # of a picture: a smaller mask, or a smaller rest of it, says nothing of what is kept


class Trial(Protocol):
    """One clip in one mode."""

    case: Case

    def ceiling(self, bench: Bench) -> Found:
        """What the best of all models could reach, where that is known."""
        ...

    def run(self, bench: Bench, scale: float) -> Found:
        """Generate at a context scale and measure."""
        ...


@dataclass
class ControlTrial:
    """A control picture is to be followed, and the prompt with it."""

    case: Case

    def ceiling(self, bench: Bench) -> Found:
        """What the clip's own true render scores, where there is one."""
        return self._named(true_score(self.case, bench.judge) if self.case.truth.rendered else {})

    def run(self, bench: Bench, scale: float) -> Found:
        """Once, scored as it comes."""
        bench.session.reset(replay=True)
        made = pictures(self.case, bench.session, bench.values, scale)
        return self._named(score(self.case, made, bench.judge))

    def _named(self, found: dict[str, float]) -> Found:
        return {(self.case.control, metric): value for metric, value in found.items()}


@dataclass
class KeptTrial:
    """The frames' masks keep a part: what the audience sees there, and beside it the model's own copy."""

    name: str
    case: Case

    def ceiling(self, bench: Bench) -> Found:
        """Equal pixels, and the copy that the autoencoder alone makes."""
        source = _sources(self.case.frames)
        copy = self._compared(round_trip(bench.session.pipeline, source), source, "copy")
        return {(self.name, "kept_ssim"): 1.0, (self.name, "kept_psnr"): BEST_PSNR} | copy

    def run(self, bench: Bench, scale: float) -> Found:
        """As it is shown, and as the model made it."""
        source = _sources(self.case.frames)
        shown = bench.generate(self.case, scale, {"mask.composite": True})
        return self._compared(shown.pictures, source, "kept") | self._compared(shown.made, source, "copy")

    def _compared(self, shown: Image, source: Image, what: str) -> Found:
        """Means over the frames of which a part is kept and a part is not."""
        kept = self._kept()
        told = [i for i, inside in enumerate(kept) if LEAST_PART <= inside.mean() <= 1 - LEAST_PART]
        if not told:
            return {}
        alike = [kept_ssim(shown[i], source[i], kept[i]) for i in told]
        decibels = [psnr(shown[i], source[i], kept[i]) for i in told]
        return {
            (self.name, f"{what}_ssim"): float(np.mean(alike)),
            (self.name, f"{what}_psnr"): float(np.mean(decibels)),
        }

    def _kept(self) -> list[Inside]:
        """Where each frame is kept, [H, W]: outside the masks of all frames that may share its latent."""
        masks = np.stack([_mask(frame) for frame in self.case.frames])
        return [
            masks[max(0, i - FRAMES_PER_LATENT) : i + FRAMES_PER_LATENT + 1].max(axis=0) <= 127
            for i in range(len(masks))
        ]


@dataclass
class ReferenceTrial:
    """References say what the prompt does not: how near the picture comes to them, and how it changes.

    `case`: its words name material and palette, its prompt is silent about them. `prefix`: of the names, such
    as "depth+". `counts`: with how many of `references` u8 [H, W, 3] to generate. `described`: a prompt that
    says in words what the references show, None to leave that out.
    """

    prefix: str
    case: Case
    references: Sequence[Image]
    counts: Sequence[int] = (1,)
    described: str | None = None

    def ceiling(self, bench: Bench) -> Found:
        """What a true render in the references' look scores, where there is one."""
        if not self.case.truth.rendered:
            return {}
        true = true_score(self.case, bench.judge) | self._likeness(self.case.truth.video, bench.judge)
        names = [self._name(number) for number in (0, *self.counts)]
        names += [] if self.described is None else [self._described]
        return {(name, metric): value for name in names for metric, value in true.items()}

    def run(self, bench: Bench, scale: float) -> Found:
        """Without references, with some, and without any under the prompt that describes them."""
        files = [bench.file(picture) for picture in self.references]
        without = bench.generate(self.case, scale, {})
        found = self._found(self._name(0), without, bench.judge)
        for number in self.counts:
            also = {f"reference.{i}.file": file for i, file in enumerate(files[:number], 1)}
            shown = bench.generate(self.case, scale, also)
            found |= self._found(self._name(number), shown, bench.judge, without)
        if self.described is not None:
            told = replace(self.case, words=replace(self.case.words, prompt=self.described))
            found |= self._found(self._described, bench.generate(told, scale, {}), bench.judge, without)
        return found

    @property
    def _described(self) -> str:
        return f"{self.prefix}replaced_prompt"

    def _name(self, number: int) -> str:
        names = {0: "no_reference", 1: "reference"}
        return self.prefix + names.get(number, f"references_{number}")

    def _found(self, name: str, shown: Shown, judge: Judge, without: Shown | None = None) -> Found:
        found = _scored(shown, self.case, judge) | self._likeness(shown.pictures, judge)
        if without is not None:
            found["change"] = change(shown.pictures, without.pictures)
        return {(name, metric): value for metric, value in found.items()}

    def _likeness(self, shown: Image, judge: Judge) -> dict[str, float]:
        """Colours and materials against those of the first reference: all of them have one look."""
        led = self.references[0]
        wanted = judge.read(led[None]).material[0]
        return {
            "reference_distance": float(np.mean([colour_distance(picture, led) for picture in shown])),
            "reference_likeness": float(
                np.mean([overlap(read, wanted) for read in judge.read(shown).material])
            ),
        }


@dataclass
class ExtensionTrial:
    """Key frames u8 [H, W, 3] at the start of the first chunk or at the end of the last one, or both.

    As many chunks as `extension.chunks` says. With a control, what that asks for is measured as well.
    """

    name: str
    case: Case
    first: Image | None = None
    last: Image | None = None

    def ceiling(self, bench: Bench) -> Found:
        """What the autoencoder alone leaves of the key frames."""
        still = 3 * FRAMES_PER_LATENT  # pictures, until a streaming autoencoder has settled
        errors = [
            psnr(round_trip(bench.session.pipeline, np.repeat(picture[None], still, 0))[-1], picture)
            for picture in (self.first, self.last)
            if picture is not None
        ]
        return {(self.name, "anchor_psnr"): float(np.mean(errors))}

    def run(self, bench: Bench, scale: float) -> Found:
        """The picture that is nearest in time to each key frame against that frame."""
        named = {"extension.first": self.first, "extension.last": self.last}
        also = {key: bench.file(picture) for key, picture in named.items() if picture is not None}
        shown = bench.generate(self.case, scale, also)
        over = bench.values.whole("extension.chunks")
        pairs = [
            (picture, shown.pictures[index])
            for picture, index in ((self.first, 0), (self.last, sum(n <= over for n in shown.chunks) - 1))
            if picture is not None
        ]
        found = _scored(shown, self.case, bench.judge) if self.case.control in FOLLOWED else {}
        found["anchor_psnr"] = float(np.mean([psnr(made, picture) for picture, made in pairs]))
        return {(self.name, metric): value for metric, value in found.items()}


def _scored(shown: Shown, case: Case, judge: Judge) -> dict[str, float]:
    """The metrics that every clip of its control has."""
    return score(case, zip(shown.pictures, shown.chunks, strict=True), judge)


def _sources(frames: Sequence[ControlFrame]) -> Image:
    """What the camera saw, u8 [F, H, W, 3]."""
    return np.stack([frame.frame.image for frame in frames])


def _mask(frame: ControlFrame) -> npt.NDArray[np.uint8]:
    """A frame's mask; without one all of it is generated."""
    whole = np.full(frame.frame.image.shape[:2], 255, np.uint8)
    return whole if frame.mask is None else frame.mask

"""Beyond single controls: kept pictures, references, key frames, on sessions whose answer is known."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.adherence.autoencoder import Remembering, round_trip
from engine.adherence.bench import Bench
from engine.adherence.cases import Case, Clip, Truth, Words
from engine.adherence.crew import one_by_one
from engine.adherence.judge import Judge
from engine.adherence.measure import BETTER, Scores
from engine.adherence.metrics import BEST_PSNR
from engine.adherence.modes import (
    MODES,
    UNSAID,
    Source,
    composed,
    reference_pictures,
    static_mask,
    without_control,
)
from engine.adherence.report import ABOUT, markdown
from engine.adherence.trials import ExtensionTrial, KeptTrial, ReferenceTrial
from engine.core.types import ControlFrame, Frame
from engine.pocket.styles import Look
from engine.render import settings
from engine.session import open_session
from tests.echo import EchoSession

SIZE = (128, 224)


class Echo(EchoSession):
    """Shows the control picture, or flat gray at scale 0; pictures come at once."""

    first_lacks = 0

    def reset(self, replay: bool = False) -> None:
        super().reset()


class Led(Echo):
    """Shows the newest reference where there is one, and key frames at both ends of a chunk."""

    def reference(self, picture, fit="white"):
        return picture

    def step(self, chunk, live, conditioning, settings, *, emit):
        control = (
            np.full((self.frames_in, *SIZE, 3), 128, np.uint8) if chunk.control is None else chunk.control
        )
        shown = control.copy()
        if chunk.references:
            shown[:] = chunk.references[-1]
        if chunk.first is not None:
            shown[0] = chunk.first
        if chunk.last is not None:
            shown[-1] = chunk.last
        super().step(replace(chunk, control=shown), live, conditioning, settings, emit=emit)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.load()


def bench(session: EchoSession, judge: Judge, folder: Path, **rows: object) -> Bench:
    values = settings({key.replace("__", "."): value for key, value in rows.items()})
    return Bench(session, judge, values, folder)  # type: ignore[arg-type]


def noise(seed: int, count: int = 1) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(20, 236, (count, 16, 28, 3)).astype(np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


def case(control: str = "none", count: int = 12, masks: Sequence[np.ndarray] | None = None) -> Case:
    """A clip of noise; with masks the control is gray under them, as for inpainting."""
    frames = []
    for index, picture in enumerate(noise(1, count)):
        mask = None if masks is None else masks[index]
        led = None if mask is None else np.where(mask[..., None] > 127, np.uint8(128), picture)
        frames.append(ControlFrame(Frame(picture, 0.0, index), led, mask, control, True, ""))
    return Case("real", control, "noise", frames, Words("figure", "gold"), Truth(noise(1, count), False))


def test_what_is_kept_is_equal_to_the_bit_and_the_copy_is_the_models_own(
    judge: Judge, tmp_path: Path
) -> None:
    trial = KeptTrial("kept_static", composed(case(), settings({}), {}, static_mask(*SIZE)))
    found = trial.run(bench(Echo("echo", *SIZE), judge, tmp_path), 0.0)
    assert found["kept_static", "kept_ssim"] == pytest.approx(1)
    assert found["kept_static", "kept_psnr"] == BEST_PSNR
    assert found["kept_static", "copy_ssim"] < 0.4 and found["kept_static", "copy_psnr"] < 15
    followed = trial.run(bench(Echo("echo", *SIZE), judge, tmp_path), 1.0)
    # This session shows its control, but for the pixel that holds the seed.
    assert followed["kept_static", "copy_ssim"] > 0.99


def test_a_mask_that_moves_keeps_what_no_frame_of_its_latent_generates(judge: Judge, tmp_path: Path) -> None:
    masks = np.zeros((12, *SIZE), np.uint8)
    for index, mask in enumerate(masks):
        mask[:, 8 * index : 8 * index + 60] = 255
    trial = KeptTrial("kept_person", case("inpaint", masks=masks))
    found = trial.run(bench(Echo("echo", *SIZE), judge, tmp_path), 1.0)
    assert found["kept_person", "kept_ssim"] == pytest.approx(1)
    assert found["kept_person", "copy_psnr"] > 60


def test_a_larger_canvas_keeps_the_cameras_picture_in_its_middle() -> None:
    wider = composed(case(), settings({}), {"canvas.zoom": 2.0})
    mask = wider.frames[0].mask
    assert mask is not None and (mask[40:88, 60:164] == 0).all() and (mask[:30] == 255).all()


@pytest.mark.parametrize("level", [0, 255])
def test_an_empty_or_a_whole_mask_says_nothing(judge: Judge, tmp_path: Path, level: int) -> None:
    trial = KeptTrial("kept_static", composed(case(), settings({}), {}, np.full(SIZE, level, np.uint8)))
    assert trial.run(bench(Echo("echo", *SIZE), judge, tmp_path), 1.0) == {}


def test_a_reference_that_is_shown_is_near_and_changes_the_picture(judge: Judge, tmp_path: Path) -> None:
    led = reference_pictures(Look("gold", None, "night"), 0, settings({}))
    trial = ReferenceTrial("", case(), led, (1, 2), "gold figure")
    found = trial.run(bench(Led("echo", *SIZE), judge, tmp_path, reference__fit="crop"), 1.0)
    assert found["reference", "reference_distance"] == pytest.approx(0, abs=0.5)  # one pixel holds the seed
    assert found["reference", "reference_likeness"] > 0.98
    assert found["reference", "change"] > 10 and found["references_2", "change"] > 10
    assert found["no_reference", "reference_distance"] > 10
    assert ("no_reference", "change") not in found
    assert found["replaced_prompt", "change"] == 0  # this session hears no prompt


def test_key_frames_are_looked_for_at_the_ends_of_their_chunks(judge: Judge, tmp_path: Path) -> None:
    first, last = noise(2)[0], noise(3)[0]
    trial = ExtensionTrial("extension_both", case(count=20), first, last)
    found = trial.run(bench(Led("echo", *SIZE), judge, tmp_path), 1.0)
    assert list(found) == [("extension_both", "anchor_psnr")]
    assert found["extension_both", "anchor_psnr"] > 40  # all but the pixel that holds the seed
    ignored = trial.run(bench(Echo("echo", *SIZE), judge, tmp_path), 1.0)
    assert ignored["extension_both", "anchor_psnr"] < 15


def test_a_last_frame_over_two_chunks_is_looked_for_at_the_end_of_the_second(
    judge: Judge, tmp_path: Path
) -> None:
    class Late(Led):
        def step(self, chunk, live, conditioning, settings, *, emit):
            shown = chunk if chunk.last_strength == 1 else replace(chunk, last=None)
            super().step(shown, live, conditioning, settings, emit=emit)

    trial = ExtensionTrial("extension_last", case(count=30), last=noise(3)[0])
    found = trial.run(bench(Late("echo", *SIZE), judge, tmp_path, extension__chunks=2), 1.0)
    assert found["extension_last", "anchor_psnr"] > 40


def test_references_show_other_scenes_in_one_look_and_differ_from_clip_to_clip() -> None:
    values = settings({})
    first, again = (reference_pictures(Look("ice"), 0, values) for _ in range(2))
    other = reference_pictures(Look("ice"), 1, values)
    assert [picture.shape for picture in first] == [(*SIZE, 3)] * 2
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first[0], other[0])


def test_the_prompt_of_a_referenced_clip_names_no_look_and_the_clip_has_one() -> None:
    source = Source(None, 2, 0.1, settings({}), ("clay", "gold", "ice"))
    trials = [trial for trial in MODES["references"](source) if isinstance(trial, ReferenceTrial)]
    assert [trial.case.words.material for trial in trials] == ["gold", "ice"]
    for trial in trials:
        assert trial.case.words.material not in trial.case.words.prompt.split()
        assert trial.described is not None and str(trial.case.words.material) in trial.described
        assert trial.case.frames[0].control is None and trial.case.words.material != UNSAID


def test_a_prompt_that_was_set_stays() -> None:
    source = Source(None, 1, 0.1, settings({"prompt.text": "blue figure"}), ("gold",))
    [trial] = MODES["references"](source)
    assert trial.case.words.prompt == "blue figure"


def test_a_clip_without_control_keeps_the_cameras_pictures() -> None:
    masks = np.full((12, *SIZE), 255, np.uint8)
    told = without_control(case("inpaint", masks=list(masks)))
    assert all(frame.control is None and frame.mask is None for frame in told.frames)
    assert np.array_equal(told.frames[3].frame.image, noise(1, 12)[3])
    assert told.control == "none" and not told.truth.rendered


def test_every_group_gives_trials_of_drawn_and_filmed_clips() -> None:
    def film(seconds: float):  # type: ignore[no-untyped-def]
        return iter(noise(5, 3))

    def plain(source: Source, group: str) -> set[str]:
        trials = MODES[group](source)
        return {trial.name if hasattr(trial, "name") else trial.prefix for trial in trials}

    drawn = Source(None, 1, 0.1, settings({}), ("gold",))
    assert plain(drawn, "kept") == {"kept_static", "kept_outpaint", "kept_person"}
    assert plain(drawn, "extension") == {"extension_first", "extension_last", "extension_both"}
    assert plain(drawn, "compositions") == {
        "depth+", "inpaint+", "pose+", "layout+", "depth+extension_first",
    }  # fmt: skip
    filmed = Source(Clip("film", "real", film, 30), 1, 0.1, settings({}), ("gold",))
    assert plain(filmed, "extension") == plain(drawn, "extension")


def test_what_the_autoencoder_gives_back_is_like_the_picture_and_as_long() -> None:
    session = open_session("pocket", *SIZE)
    look = Look("gold", None, "night")
    still = np.repeat(reference_pictures(look, 0, settings({}))[:1], 14, axis=0)
    back = round_trip(session.pipeline, still)
    assert back.shape == still.shape and back.dtype == np.uint8
    away = np.abs(back.astype(int) - still).mean()
    assert 0 < away < 12 < np.abs(128 - still.astype(int)).mean()


def test_pocket_goes_through_a_group_and_every_metric_is_explained(judge: Judge, tmp_path: Path) -> None:
    session = open_session("pocket", *SIZE)
    source = Source(None, 1, 0.75, settings({"engine.steps": 1}), judge.materials)
    scores = Scores()
    trials = MODES["extension"](source)
    for finding in one_by_one(trials, Bench(session, judge, source.values, tmp_path), (1.0,)):
        scores.add(finding)
    rows = scores.rows()
    assert {row["control"] for row in rows} == {"extension_first", "extension_last", "extension_both"}
    assert {row["metric"] for row in rows} == {"anchor_psnr"} and {row["cases"] for row in rows} == {1}
    assert all(10 < float(row["value"]) <= BEST_PSNR for row in rows)
    assert scores.ceiling["extension_first", "anchor_psnr"][0] > 20
    assert set(ABOUT) == set(BETTER)


def test_what_was_encoded_before_is_remembered_as_long_as_its_past_is_the_same() -> None:
    vae = open_session("pocket", 64, 64).pipeline.vae
    remembering = Remembering(vae)
    clips = torch.rand((3, 1, 4, 3, 64, 64), generator=torch.Generator().manual_seed(1)) * 2 - 1
    states = []
    for _ in range(2):
        state = None
        for clip in (clips[0], clips[1], clips[0]):
            latents, state = remembering.encode(clip, state)
            states.append(state)
    assert remembering.encoded == 3, "the first clip after itself has another past than at the beginning"
    assert states[0] is states[3] and states[2] is not states[0]
    wanted, _ = vae.encode(clips[0], vae.encode(clips[1], vae.encode(clips[0])[1])[1])
    assert torch.equal(latents, wanted)
    for _ in range(40):
        state = remembering.encode(clips[2], state)[1]
    remembering.encode(clips[0])
    assert remembering.encoded == 44, "what lies far back is forgotten"


def test_the_table_of_a_model_card_has_a_column_for_each_scale_and_what_is_possible() -> None:
    scores = Scores()
    scores.ceiling["extension_first", "anchor_psnr"] = [36.0]
    scores.of["procedural", "extension_first", "anchor_psnr", 0.0] = [10.0, 12.0]
    scores.of["procedural", "extension_first", "anchor_psnr", 1.0] = [34.0]
    scores.of["real", "kept_static", "kept_ssim", 1.0] = [1.0]
    lines = markdown(scores, (0.0, 1.0))
    assert "| drawn: control | metric | true | 0 | 1 |" in lines
    assert "| extension_first | anchor_psnr (up) | 36.000 | 11.000 | 34.000 |" in lines
    assert "| kept_static | kept_ssim (up) |  |  | 1.000 |" in lines

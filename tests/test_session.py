"""The chunk loop, with random weights of the embedded model's sizes and an autoencoder that can see."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

# Before engine.pocket, whose OpenCV would point two variables of Qt at itself.
import engine.video.opencv  # noqa: F401
from engine.chunk import (
    ChunkInput,
    ChunkOutput,
    Live,
    Pictures,
    Settings,
    nominal_steps,
    parse_step_list,
    present,
)
from engine.core.errors import EngineError, WeightsError
from engine.model.load import Pipeline, load_pipeline
from engine.model.pipelines import PIPELINES
from engine.model.regions import Region
from engine.model.schedule import Schedule
from engine.model.tae import TAE
from engine.model.text import VocabularyEncoder
from engine.model.wan import CausalWan
from engine.modes import Mode
from engine.modes import mode_of as mode_of_what_is_there
from engine.pocket.clips import draw_clip
from engine.pocket.latents import to_video
from engine.pocket.tae_start import start
from engine.session import Session, SessionClosed

SIZE = 64


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    """Random weights with nothing zero, so that control, text and past all reach the picture.

    A random autoencoder would show one gray for all latents; this one knows drawn pictures.
    """
    spec = PIPELINES["pocket"]
    torch.manual_seed(3)
    dit = CausalWan(spec.arch).requires_grad_(False)
    for parameter in dit.parameters():
        if not parameter.any():
            parameter.normal_(std=0.05)
    tae = TAE(spec.tae).requires_grad_(False)
    start(tae, torch.cat([to_video(draw_clip(seed, 4, SIZE, SIZE).target) for seed in range(6)]))
    text = VocabularyEncoder(("gold", "night"), spec.arch.text_dim, spec.arch.text_len)
    return Pipeline(spec, dit, tae, text, Schedule(spec.shift), torch.device("cpu"), torch.float32)


def control(level: int = 0) -> ChunkInput:
    picture = np.full((12, SIZE, SIZE, 3), 255, np.uint8)
    picture[:, 20 : 30 + level] = 0
    return ChunkInput(picture, None, "scribble")


def run(session: Session, chunks: list[ChunkInput], live: Callable[[], Live] | None = None, seed: int = 1,
        prompt: str = "gold", steps: int = 2) -> list[ChunkOutput]:  # fmt: skip
    made: list[ChunkOutput] = []
    words = session.conditioning(prompt)
    for chunk in chunks:
        session.step(chunk, live or (lambda: Live(1.0, 7)), words, Settings(steps, seed), emit=made.append)
    return made


def pictures(outputs: list[ChunkOutput]) -> Pictures:
    return np.concatenate([output.frames for output in outputs])


@pytest.mark.parametrize(("trim", "shown"), [(0, (12, 12, 12)), (3, (9, 12, 12))])
def test_every_chunk_shows_twelve_pictures_but_a_trimmed_stream_starts_with_nine(
    pipeline: Pipeline, trim: int, shown: tuple[int, ...]
) -> None:
    tae = TAE(replace(pipeline.spec.tae, trim=trim)).requires_grad_(False)
    tae.load_state_dict(pipeline.vae.state_dict())
    session = Session(replace(pipeline, vae=tae), SIZE, SIZE)
    made = run(session, [control()] * 3)
    assert [output.frames.shape for output in made] == [(n, SIZE, SIZE, 3) for n in shown]
    assert all(output.frames.dtype == np.uint8 and output.version == 7 for output in made)
    untrimmed = run(Session(pipeline, SIZE, SIZE), [control()] * 3)
    assert np.array_equal(pictures(made), pictures(untrimmed)[trim:])
    session.reset()
    assert len(run(session, [control()])[0].frames) == shown[0], "a stream's first chunk again"


def test_same_seed_same_bytes_other_seed_others(pipeline: Pipeline) -> None:
    first, again, other = (
        pictures(run(Session(pipeline, SIZE, SIZE), [control()] * 2, seed=s)) for s in (5, 5, 6)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_control_prompt_and_scale_reach_the_picture(pipeline: Pipeline) -> None:
    plain = pictures(run(Session(pipeline, SIZE, SIZE), [control()]))
    assert not np.array_equal(plain, pictures(run(Session(pipeline, SIZE, SIZE), [control(9)])))
    assert not np.array_equal(
        plain, pictures(run(Session(pipeline, SIZE, SIZE), [control()], prompt="night"))
    )
    assert not np.array_equal(
        plain, pictures(run(Session(pipeline, SIZE, SIZE), [control()], lambda: Live(0.3, 1)))
    )


def test_scale_zero_is_no_control(pipeline: Pipeline) -> None:
    off = pictures(run(Session(pipeline, SIZE, SIZE), [control()] * 2, lambda: Live(0.0, 1)))
    none = pictures(run(Session(pipeline, SIZE, SIZE), [ChunkInput(None, None, "none")] * 2))
    assert np.array_equal(off, none)


def test_live_values_are_read_at_every_denoising_step(pipeline: Pipeline) -> None:
    reads: list[Live] = []

    def live() -> Live:
        reads.append(Live(0.25 * len(reads), 10 + len(reads)))
        return reads[-1]

    (made,) = run(Session(pipeline, SIZE, SIZE), [control()], live, steps=4)
    assert len(reads) == 4
    assert made.version == 13
    assert made.mode.reason == "scribble 0.75"


def test_pictures_are_handed_over_before_the_clean_pass(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    forward = CausalWan.forward

    def spy(
        self: CausalWan, x: torch.Tensor, t: torch.Tensor, *args: object, **kwargs: object
    ) -> torch.Tensor:
        events.append(f"t={t.max().item():.0f}")
        return forward(self, x, t, *args, **kwargs)

    monkeypatch.setattr(CausalWan, "forward", spy)
    session = Session(pipeline, SIZE, SIZE)
    session.step(
        control(),
        lambda: Live(1.0, 0),
        session.conditioning(""),
        Settings(steps=2, seed=0),
        emit=lambda _: events.append("emit"),
    )
    assert events == ["t=1000", "t=833", "emit", "t=0"]


def test_a_reset_starts_anew_without_replaying_the_noise(pipeline: Pipeline) -> None:
    session = Session(pipeline, SIZE, SIZE)
    before = pictures(run(session, [control()]))
    session.reset()
    after = pictures(run(session, [control()]))
    assert after.shape == before.shape  # a stream's first chunk again
    assert not np.array_equal(before, after)
    session.reset(replay=True)
    assert np.array_equal(pictures(run(session, [control()])), before), "unless it is asked for"


def test_a_long_stream_has_no_end(pipeline: Pipeline) -> None:
    session = Session(pipeline, SIZE, SIZE)
    session._stream.start = 3 * 100_000  # days of latents later: positions are relative to the window
    (made,) = run(session, [control()])
    assert made.frames.std() > 0


def test_annotator_may_come_and_go_mid_stream(pipeline: Pipeline) -> None:
    made = run(
        Session(pipeline, SIZE, SIZE),
        [ChunkInput(None, None, "none"), control(), ChunkInput(None, None, "none")],
    )
    assert [output.mode.name for output in made] == ["T2V", "V2V", "T2V"]


def mode_of(chunk: ChunkInput, scale: float, noise_scale: float = 1.0) -> Mode:
    return mode_of_what_is_there(replace(present(chunk, 3, noise_scale), scale=scale))


def test_modes_name_their_reason() -> None:
    mask = np.full((12, SIZE, SIZE), 255, np.uint8)
    assert mode_of(ChunkInput(control().control, mask, "scribble"), 1.0).name == "V2V"
    mask[:, : SIZE // 4] = 0
    inpaint = mode_of(ChunkInput(control().control, mask, "segmentation"), 1.0)
    assert (inpaint.name, inpaint.reason) == ("INPAINT", "segmentation 1.00, 25 % kept")
    assert mode_of(control(), 0.0).reason == "text only: context scale is 0"
    camera = np.zeros((12, SIZE, SIZE, 3), np.uint8)
    over = mode_of(ChunkInput(None, None, "none", camera), 1.0, 0.7)
    assert (over.name, over.reason) == ("V2V", "noise 0.70 over the camera")
    both = mode_of(replace(control(), video=camera), 0.5, 0.7)
    assert both.reason == "scribble 0.50, noise 0.70 over the camera"
    assert mode_of(replace(control(), video=camera), 0.5).reason == "scribble 0.50"
    assert mode_of(ChunkInput(None, None, "none"), 1.0).reason == "text only: none gives no control picture"


@pytest.mark.parametrize("size", [(60, 64), (64, 72), (48, 64), (0, 0)])
def test_impossible_sizes_are_refused(pipeline: Pipeline, size: tuple[int, int]) -> None:
    with pytest.raises(EngineError, match="multiples of 16"):
        Session(pipeline, *size)


def test_a_control_of_another_size_is_refused(pipeline: Pipeline) -> None:
    wrong = ChunkInput(np.zeros((12, 32, SIZE, 3), np.uint8), None, "gray")
    with pytest.raises(EngineError, match="expected"):
        run(Session(pipeline, SIZE, SIZE), [wrong])


def test_step_lists() -> None:
    assert nominal_steps(4) == (1000, 750, 500, 250)
    assert nominal_steps(1) == (1000,)
    with pytest.raises(EngineError, match="1 to 4"):
        nominal_steps(0)
    assert parse_step_list("") == () and parse_step_list("1000, 750 500") == (1000, 750, 500)
    for bad in ("1000, 1000", "500, 750", "1001", "0", "a", "1.5", "9 8 7 6 5 4 3 2 1", "-5"):
        with pytest.raises(EngineError, match="cannot be followed"):
            parse_step_list(bad)


def test_a_step_list_by_hand_and_literal_timesteps(pipeline: Pipeline) -> None:
    def made(settings: Settings) -> Pictures:
        session = Session(pipeline, SIZE, SIZE)
        outputs: list[ChunkOutput] = []
        words = session.conditioning("gold")
        session.step(control(), lambda: Live(1.0, 0), words, settings, emit=outputs.append)
        return pictures(outputs)

    even = made(Settings(steps=2))
    assert np.array_equal(made(Settings()), even), "as many as the embedded model wants"
    assert not np.array_equal(made(Settings(steps=4)), even), "what somebody chose stays"
    assert np.array_equal(made(Settings(steps=4, step_list=(1000, 500))), even)
    assert not np.array_equal(made(Settings(step_list=(1000, 700, 300))), even)
    assert not np.array_equal(made(Settings(steps=2, warped=False)), even)


@pytest.fixture
def lora(pipeline: Pipeline, tmp_path: Path) -> Path:
    """A LoRA file for the main blocks' query and value projections."""
    draw = torch.Generator().manual_seed(1)
    dim, tensors = pipeline.spec.arch.dim, {}
    for block in range(pipeline.spec.arch.layers):
        for name in ("self_attn.q", "self_attn.v", "cross_attn.k"):
            base = f"diffusion_model.blocks.{block}.{name}"
            tensors[f"{base}.lora_A.weight"] = torch.randn(4, dim, generator=draw) / dim**0.5
            tensors[f"{base}.lora_B.weight"] = torch.randn(dim, 4, generator=draw)
    save_file(tensors, tmp_path / "ink.safetensors")
    return tmp_path / "ink.safetensors"


def test_a_lora_is_played_from_nothing_to_full_without_a_cut(pipeline: Pipeline, lora: Path) -> None:
    plain = run(Session(pipeline, SIZE, SIZE), [control()] * 4)
    session = Session(pipeline, SIZE, SIZE)
    made = run(session, [control()])
    session.set_lora(0, session.read_lora(lora), 0.0)
    starts = []
    for strength in (0.0, 0.5, 1.0):
        starts.append(session._stream.start)
        made += run(session, [control()], partial(Live, 1.0, 7, (strength,)))
    assert starts == [3, 6, 9], "the stream goes on"
    assert np.array_equal(made[0].frames, plain[0].frames)
    assert np.array_equal(made[1].frames, plain[1].frames), "at strength 0 a LoRA is not there"
    change = [np.abs(a.frames.astype(int) - b.frames).mean() for a, b in zip(made, plain, strict=True)]
    assert 0 < change[2] < change[3]
    session.close()
    session.close()  # does nothing
    again = run(Session(pipeline, SIZE, SIZE), [control()] * 4)
    assert np.array_equal(pictures(again), pictures(plain)), "nothing of it stays in the model"


def test_a_closed_session_holds_nothing_whoever_holds_it(pipeline: Pipeline) -> None:
    session = Session(replace(pipeline), SIZE, SIZE)
    run(session, [control()])
    networks, cache = weakref.ref(session.pipeline), weakref.ref(session._stream)
    session.close()
    gc.collect()
    assert networks() is None and cache() is None
    for use in (
        lambda: session.conditioning("gold"),
        lambda: session.reference(np.zeros((8, 8, 3), np.uint8)),
        lambda: session.pipeline,
    ):
        with pytest.raises(SessionClosed):
            use()


def test_a_picture_that_is_no_numbers_is_never_shown_and_a_reset_begins_anew(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    """Once in the past of a stream they would be in every picture after it: black, and nobody the wiser."""
    base = "diffusion_model.blocks.0.self_attn.v"
    dim = pipeline.spec.arch.dim
    huge = {"lora_A": torch.full((1, dim), 1e20), "lora_B": torch.full((dim, 1), 1e20)}
    save_file({f"{base}.{half}.weight": half_ for half, half_ in huge.items()}, tmp_path / "huge.safetensors")
    session = Session(pipeline, SIZE, SIZE)
    session.set_lora(0, session.read_lora(tmp_path / "huge.safetensors"))
    with pytest.raises(EngineError, match="no longer made of numbers"):
        run(session, [control()])
    session.set_lora(0, None)
    session.reset()
    assert pictures(run(session, [control()] * 2)).std() > 0
    session.close()


def test_a_loras_strength_is_heard_inside_the_chunk(pipeline: Pipeline, lora: Path) -> None:
    def made(strengths: list[float]) -> Pictures:
        session = Session(pipeline, SIZE, SIZE)
        session.set_lora(1, session.read_lora(lora), 0.0)
        coming = iter(strengths)
        outputs = run(session, [control()], lambda: Live(1.0, 7, (0.0, next(coming))), steps=2)
        session.close()
        return pictures(outputs)

    silent, late, full = made([0.0, 0.0]), made([0.0, 1.0]), made([1.0, 1.0])
    assert not np.array_equal(silent, late) and not np.array_equal(late, full)


def test_a_lora_in_a_part_of_the_picture(pipeline: Pipeline, lora: Path) -> None:
    """Inside a white mask it is the whole LoRA, inside a black one none, inside a half one that half most."""

    def made(chunk: ChunkInput, region: Region = "inside", slot: int = 0) -> list[ChunkOutput]:
        session = Session(pipeline, SIZE, SIZE)
        outputs: list[ChunkOutput] = []
        session.set_lora(slot, session.read_lora(lora), 1.0)
        settings = Settings(2, 1, regions=("everywhere",) * slot + (region,))
        for _ in range(2):
            live = partial(Live, 1.0, 7, (0.0,) * slot + (1.0,))
            session.step(chunk, live, session.conditioning("gold"), settings, emit=outputs.append)
        session.close()
        return outputs

    def parted(region: Pictures | None) -> ChunkInput:
        return replace(control(), region=region)

    none = pictures(run(Session(pipeline, SIZE, SIZE), [control()] * 2)).astype(int)
    whole = pictures(made(control(), "everywhere")).astype(int)
    white, half = np.full((12, SIZE, SIZE), 255, np.uint8), np.zeros((12, SIZE, SIZE), np.uint8)
    half[:, :, : SIZE // 2] = 255
    assert np.abs(whole - none).mean() > 4
    for chunk, region, like in (
        (parted(white), "inside", whole), (parted(white), "outside", none),
        (parted(white * 0), "inside", none),
        (parted(None), "inside", none), (parted(None), "outside", whole),
    ):  # fmt: skip
        outputs = made(chunk, region)
        assert np.abs(pictures(outputs) - like).max() <= 1, (region, "a rounding at most")
        assert "LoRA 1 " in outputs[0].mode.reason
    assert made(parted(half), slot=2)[0].mode.reason.endswith("; LoRA 3 inside the mask")
    with pytest.raises(EngineError, match="region"):
        made(parted(half[:, :32]))


def test_a_regional_lora_that_is_turned_up_inside_the_chunk_is_heard_there(
    pipeline: Pipeline, lora: Path
) -> None:
    def made(region: Region) -> Pictures:
        session, coming = Session(pipeline, SIZE, SIZE), iter((0.0, 1.0))
        session.set_lora(0, session.read_lora(lora), 0.0)
        outputs: list[ChunkOutput] = []
        white = replace(control(), region=np.full((12, SIZE, SIZE), 255, np.uint8))
        live, settings = lambda: Live(1.0, 7, (next(coming),)), Settings(2, 1, regions=(region,))
        session.step(white, live, session.conditioning("gold"), settings, emit=outputs.append)
        session.close()
        return pictures(outputs).astype(int)

    everywhere, inside, outside = made("everywhere"), made("inside"), made("outside")
    assert np.abs(inside - everywhere).max() <= 1 < np.abs(inside - outside).max()


def test_the_half_outside_a_loras_region_changes_little(tmp_path: Path) -> None:
    """With the trained network; what reaches the far half came through attention and the past."""
    pocket = load_pipeline("pocket")
    draw, tensors = torch.Generator().manual_seed(3), {}
    for block in range(pocket.spec.arch.layers):
        for name, channels in (("self_attn.v", pocket.spec.arch.dim), ("ffn.0", pocket.spec.arch.ffn_dim)):
            base = f"diffusion_model.blocks.{block}.{name}"
            tensors[f"{base}.lora_A.weight"] = torch.randn(4, pocket.spec.arch.dim, generator=draw) / 11
            tensors[f"{base}.lora_B.weight"] = torch.randn(channels, 4, generator=draw) / 3
    save_file(tensors, tmp_path / "ink.safetensors")
    half = np.zeros((12, SIZE, SIZE), np.uint8)
    half[:, :, : SIZE // 2] = 255

    def made(strength: float) -> Pictures:
        session, outputs = Session(pocket, SIZE, SIZE), []
        session.set_lora(0, session.read_lora(tmp_path / "ink.safetensors"), strength)
        chunk, live = replace(control(), region=half), partial(Live, 1.0, 7, (strength,))
        for _ in range(2):
            settings = Settings(2, 1, regions=("inside",))
            session.step(chunk, live, session.conditioning("gold"), settings, emit=outputs.append)
        session.close()
        return pictures(outputs).astype(int)

    change = np.abs(made(1.0) - made(0.0)).mean((0, 1, 3))
    near, far = change[: SIZE // 2].mean(), change[SIZE // 2 :].mean()
    assert near > 2 * far > 0, (near, far)


def test_strength_region_and_mask_of_a_lora_change_without_a_cut(pipeline: Pipeline, lora: Path) -> None:
    session, starts = Session(pipeline, SIZE, SIZE), []
    outputs: list[ChunkOutput] = []
    session.set_lora(0, session.read_lora(lora), 0.4)
    half = np.zeros((12, SIZE, SIZE), np.uint8)
    half[:, :, : SIZE // 2] = 255
    words = session.conditioning("gold")
    for region, mask, strength in (
        ("everywhere", half, 0.4), ("inside", half, 0.4), ("outside", half, 0.4),
        ("outside", 255 - half, 0.4), ("outside", 255 - half, 0.0), ("everywhere", None, 0.4),
    ):  # fmt: skip
        chunk, settings = replace(control(), region=mask), Settings(2, 1, regions=(region,))
        session.step(chunk, partial(Live, 1.0, 7, (strength,)), words, settings, emit=outputs.append)
        starts.append(session._stream.start)
    assert starts == [3, 6, 9, 12, 15, 18], "the stream goes on"
    said = [output.mode.reason.partition("; ")[2] for output in outputs]
    assert said == ["", "LoRA 1 inside the mask", *["LoRA 1 outside the mask"] * 2, "", ""]
    session.close()


def test_a_lora_of_another_model_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    name = "diffusion_model.blocks.0.self_attn.q.lora_"
    path = tmp_path / "large.safetensors"
    save_file({f"{name}A.weight": torch.zeros(4, 1536), f"{name}B.weight": torch.zeros(1536, 4)}, path)
    with pytest.raises(WeightsError, match=r"large\.safetensors"):
        Session(pipeline, SIZE, SIZE).read_lora(path)


def test_less_noise_lets_the_cameras_picture_through(pipeline: Pipeline) -> None:
    def made(scale: float, level: int, motion: float = 0.0) -> Pictures:
        session = Session(pipeline, SIZE, SIZE)
        outputs: list[ChunkOutput] = []
        words = session.conditioning("gold")
        video = np.full((12, SIZE, SIZE, 3), level, np.uint8)
        video[::2, :, 20:30] = 255
        for _ in range(2):
            chunk = ChunkInput(None, None, "none", video)
            settings = Settings(steps=2, noise_scale=scale, motion=motion)
            session.step(chunk, lambda: Live(1.0, 0), words, settings, emit=outputs.append)
        return pictures(outputs)

    assert np.array_equal(made(1.0, 20), made(1.0, 220)), "at 1 nothing of the camera is used"
    half = np.abs(made(0.5, 20).astype(int) - made(0.5, 220)).mean()
    low = np.abs(made(0.1, 20).astype(int) - made(0.1, 220)).mean()
    assert 0 < half < low
    assert not np.array_equal(made(0.5, 20), made(0.5, 20, motion=1.0))


def test_a_prompt_takes_over_within_the_chunks_asked_for(pipeline: Pipeline) -> None:
    def made(transition: int) -> list[ChunkOutput]:
        session = Session(pipeline, SIZE, SIZE)
        outputs: list[ChunkOutput] = []
        gold, night = session.conditioning("gold"), session.conditioning("night")
        for words in (gold, night, night, night):
            settings = Settings(steps=1, transition=transition)
            session.step(control(), lambda: Live(1.0, 0), words, settings, emit=outputs.append)
        return outputs

    at_once, slowly = made(0), made(3)
    assert np.array_equal(at_once[0].frames, slowly[0].frames)
    assert not np.array_equal(at_once[1].frames, slowly[1].frames)


def test_a_video_of_another_size_is_refused(pipeline: Pipeline) -> None:
    wrong = ChunkInput(None, None, "none", np.zeros((12, 32, SIZE, 3), np.uint8))
    with pytest.raises(EngineError, match="The video of a chunk"):
        run(Session(pipeline, SIZE, SIZE), [wrong])


# --- references, key frames ---------------------------------------------------------------------------------


def still(seed: int, height: int = 40, width: int = 90) -> Pictures:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("latent", [0, 1, 2])
def test_references_never_delay_the_control(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, count: int, latent: int
) -> None:
    """An impulse in the control of one latent is seen in that latent, whatever lies beside the chunk."""
    contexts: list[torch.Tensor] = []
    made: list[torch.Tensor] = []
    forward = CausalWan.forward

    def spy(self: CausalWan, *args: object, **kwargs: object) -> torch.Tensor:
        made.append(forward(self, *args, **kwargs))
        contexts.append(kwargs["context"])
        return made[-1]

    monkeypatch.setattr(CausalWan, "forward", spy)
    gray = np.full((12, SIZE, SIZE, 3), 128, np.uint8)
    struck = gray.copy()
    struck[4 * latent : 4 * latent + 4] = 0
    for picture in (gray, struck):
        session = Session(pipeline, SIZE, SIZE)
        references = tuple(session.reference(still(seed)) for seed in range(count))
        run(session, [ChunkInput(picture, None, "gray", references=references)], steps=1)
    # Of each run the denoising step; the clean pass has no context.
    plain, hit = contexts[0], contexts[2]
    assert plain.shape == (1, 96, 3, 8, 8)
    moved = (hit - plain).abs().amax(dim=(0, 1, 3, 4))
    assert moved.argmax() == latent and (moved[:latent] == 0).all()
    answer = (made[2] - made[0]).square().mean(dim=(0, 2, 3, 4))
    assert answer.argmax() == latent, "so is the model's answer to it"


def test_references_last_until_they_are_taken_away_and_leave_no_trace(pipeline: Pipeline) -> None:
    def made(given: list[int], seeds: tuple[int, ...] = (1, 2)) -> list[ChunkOutput]:
        session = Session(pipeline, SIZE, SIZE)
        chunks = [
            replace(control(), references=tuple(session.reference(still(seed)) for seed in seeds[:count]))
            for count in given
        ]
        return run(session, chunks)

    none, two, one = made([0, 0, 0]), made([0, 2, 2]), made([0, 1, 1])
    assert np.array_equal(none[0].frames, two[0].frames)
    for number in (1, 2):
        shown = {outputs[number].frames.tobytes() for outputs in (none, two, one)}
        assert len(shown) == 3, "each number of references is heard"
    assert [output.mode.name for output in two] == ["V2V", "V2V + R2V", "V2V + R2V"]
    assert two[1].mode.reason == "scribble 1.00, 2 references"
    swapped = made([0, 2, 2], (2, 1))
    assert not np.array_equal(swapped[1].frames, two[1].frames), "their order is heard"
    silent = Session(pipeline, SIZE, SIZE)
    chunk = replace(control(), references=(silent.reference(still(1)),))
    at_zero = run(silent, [chunk], lambda: Live(0.0, 1))
    plain = run(Session(pipeline, SIZE, SIZE), [control()], lambda: Live(0.0, 1))
    assert np.array_equal(at_zero[0].frames, plain[0].frames)
    assert at_zero[0].mode.name == "T2V"


def test_references_lead_alone(pipeline: Pipeline) -> None:
    session = Session(pipeline, SIZE, SIZE)
    chunk = ChunkInput(None, None, "none", references=(session.reference(still(1), "crop"),))
    made = run(session, [chunk] * 2)
    text = run(Session(pipeline, SIZE, SIZE), [ChunkInput(None, None, "none")] * 2)
    assert [output.mode.name for output in made] == ["R2V"] * 2
    assert not np.array_equal(made[1].frames, text[1].frames)
    white = replace(chunk, references=(session.reference(still(1), "white"),))
    assert not np.array_equal(pictures(run(Session(pipeline, SIZE, SIZE), [white])), made[0].frames)


def test_more_references_than_vace_was_trained_with_are_refused(pipeline: Pipeline) -> None:
    session = Session(pipeline, SIZE, SIZE)
    many = (session.reference(still(1)),) * 4
    with pytest.raises(EngineError, match="at most 3"):
        run(session, [replace(control(), references=many)])


@pytest.mark.parametrize(("first", "last"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("led", [False, True])
def test_key_frames_stand_at_the_ends_of_a_chunk(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, first: bool, last: bool, led: bool
) -> None:
    contexts: list[torch.Tensor] = []
    forward = CausalWan.forward

    def spy(self: CausalWan, *args: object, **kwargs: object) -> torch.Tensor:
        contexts.append(kwargs["context"])
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(CausalWan, "forward", spy)
    session = Session(pipeline, SIZE, SIZE)
    plain = control() if led else ChunkInput(None, None, "none")
    keyed = replace(plain, first=still(1) if first else None, last=still(2) if last else None)
    made = run(session, [plain, keyed, plain], steps=1)
    mask = contexts[2][0, 32:, :, 0, 0].amin(dim=0)
    assert mask.tolist() == [float(not first), 1.0, float(not last)]
    assert made[1].mode.layout[0] == ("given" if first else "control" if led else "free")
    assert made[1].mode.layout[-1] == ("given" if last else "control" if led else "free")
    assert made[1].mode.name == ("EXTEND + V2V" if led else "EXTEND")
    if led:
        assert contexts[4] is not None and (contexts[4][0, 32:] == 1).all(), "and are gone after it"
    unkeyed = run(Session(pipeline, SIZE, SIZE), [plain] * 3, steps=1)
    assert np.array_equal(unkeyed[0].frames, made[0].frames)
    assert not np.array_equal(unkeyed[1].frames, made[1].frames)


def test_a_key_frame_may_stand_less_than_fully(pipeline: Pipeline) -> None:
    def made(strength: float) -> Pictures:
        session = Session(pipeline, SIZE, SIZE)
        chunk = ChunkInput(None, None, "none", first=still(1), first_strength=strength)
        return pictures(run(session, [chunk], steps=1))

    assert not np.array_equal(made(1.0), made(0.5))
    assert not np.array_equal(made(0.5), made(0.25))


def test_a_chunk_of_one_latent_has_room_for_the_stronger_key_frame(pipeline: Pipeline) -> None:
    spec = replace(pipeline.spec, latents_per_chunk=1)
    session = Session(replace(pipeline, spec=spec), SIZE, SIZE)
    both = ChunkInput(None, None, "none", first=still(1), last=still(2), first_strength=0.5)
    (made,) = run(session, [both], steps=1)
    assert made.mode.layout == ("given",) and made.mode.reason == "last frame at 1.00"


def test_steps_give_way_for_a_deadline_only_where_they_are_left_to_the_program(pipeline: Pipeline) -> None:
    session = Session(pipeline, SIZE, SIZE)
    words, made = session.conditioning("gold"), list[ChunkOutput]()

    def play(settings: Settings, chunks: int) -> list[str]:
        before = len(made)
        for _ in range(chunks):
            session.step(control(), lambda: Live(1.0, 0), words, settings, emit=made.append)
        return [output.effort for output in made[before:]]

    assert play(Settings(deadline_s=1e-6), 3)[0] == "2 steps", "nothing was measured yet"
    assert session.expected_s is not None and session.expected_s > 0
    assert play(Settings(deadline_s=1e-6), 1) == ["1 step"]
    assert play(Settings(deadline_s=60.0), 1) == play(Settings(), 1) == ["2 steps"]
    assert play(Settings(steps=3, deadline_s=1e-6), 1) == ["3 steps"], "chosen by hand"
    assert play(Settings(step_list=(1000, 600), deadline_s=1e-6), 1) == ["2 steps"]


def test_the_clean_pass_is_left_out_where_that_passed_for_these_weights(pipeline: Pipeline) -> None:
    two = tuple(round(step.t, 1) for step in pipeline.schedule.steps(nominal_steps(2)))
    proven = replace(pipeline, passed=frozenset({("one", two), ("turbo one", two)}))
    runs: list[float] = []
    handle = pipeline.dit.register_forward_pre_hook(lambda module, given: runs.append(float(given[1].max())))

    def play(settings: Settings) -> tuple[list[str], int]:
        """Efforts of three chunks, and how many passes were over clean latents."""
        session, made = Session(proven, SIZE, SIZE), list[ChunkOutput]()
        runs.clear()
        for _ in range(3):
            session.step(
                control(), lambda: Live(1.0, 0), session.conditioning("gold"), settings, emit=made.append
            )
        return [output.effort for output in made], runs.count(0.0)

    first, later = "2 steps, hints at 1", "2 steps, hints at 1, no clean pass"
    assert play(Settings(steps=2)) == ([first, later, later], 1)
    assert play(Settings(steps=2, hints="one")) == ([first] * 3, 3), "asked for by hand"
    assert play(Settings(steps=1)) == (["1 step"] * 3, 3), "not proven at one step"
    handle.remove()


def test_hints_are_made_at_fewer_steps_where_that_passed_for_these_weights(pipeline: Pipeline) -> None:
    timesteps = tuple(round(step.t, 1) for step in pipeline.schedule.steps(nominal_steps(4)))
    proven = replace(pipeline, passed=frozenset({("one", timesteps)}))

    def efforts(model: Pipeline, settings: Settings) -> list[str]:
        session, made = Session(model, SIZE, SIZE), list[ChunkOutput]()
        session.step(
            control(), lambda: Live(1.0, 0), session.conditioning("gold"), settings, emit=made.append
        )
        return [output.effort for output in made]

    assert efforts(proven, Settings(steps=4)) == ["4 steps, hints at 1"]
    assert efforts(proven, Settings(steps=4, hints="two")) == ["4 steps, hints at 2"]
    assert efforts(proven, Settings(steps=4, hints="every")) == ["4 steps"]
    assert efforts(proven, Settings(steps=3)) == efforts(pipeline, Settings(steps=3)) == ["3 steps"]

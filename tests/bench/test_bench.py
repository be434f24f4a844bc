"""`cuelight bench`: plans, random pipelines, what is measured and how it is told. No number is a speed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import bench
from engine.bench import weights
from engine.bench.compare import Comparison, compare
from engine.bench.machine import UNKNOWN, commit, describe_machine
from engine.bench.measure import HOST, Result, chunk_input, measure
from engine.bench.plan import ROW_S, SUITE, Mode, Plan
from engine.bench.report import lines, outline
from engine.bench.roof import Roof, count_operations, measure_roof
from engine.bench.stages import HINTS, STAGES
from engine.bench.weights import RandomText, make_pipeline, random_pipeline
from engine.cli import main
from engine.core.errors import EngineError
from engine.model.graphs import Graphs
from engine.model.load import Pipeline
from engine.model.pipelines import PIPELINES
from engine.model.quantize import Float8Linear
from engine.model.spec import Arch
from engine.model.tae import TAE, TAEArch
from tests.model.tape import TapeRecorder

ARCH = Arch(dim=24, ffn_dim=40, heads=2, layers=2, vace_layers=(0,), text_len=8, text_dim=8, freq_dim=16)
SMALL_TAE = TAEArch(encoder=4, decoder=(6, 5, 4, 3), blocks=1, encoder_blocks=0, subpixel=True, trim=0)
PLAN = Plan(size=(64, 64), steps=2, warm_up=2, chunks=3)
CPU = torch.device("cpu")
QUICK = ("bench", "--size", "64x64", "--steps", "1", "--warm-up", "1", "--chunks", "2")
"""The command at its quickest."""


def tiny(name: str = "longlive") -> Pipeline:
    spec = replace(PIPELINES[name], arch=ARCH)
    return random_pipeline(spec, lambda: TAE(SMALL_TAE), device=CPU, dtype=torch.float32)


@pytest.fixture(autouse=True)
def small_roof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.bench.roof.SIDE_CPU", 64)
    monkeypatch.setattr("engine.bench.roof.COPIED_CPU", 2**16)


@pytest.mark.parametrize(
    ("name", "mode"), [("longlive", "depth"), ("krea", "none"), ("streamdiffusionv2", "inpaint")]
)
def test_a_measurement_says_all_that_was_asked_for(name: str, mode: Mode) -> None:
    result = measure(tiny(name), replace(PLAN, pipeline=name, mode=mode))
    told = json.loads(json.dumps(result.document()))
    assert told["pipeline"] == name and told["mode"] == mode and told["size"] == "64x64"
    assert told["fps"] > 0 and told["first_frame_ms"] > 0 and told["prompt_switch_ms"] > 0
    assert 0 < told["chunk_ms"]["min"] <= told["chunk_ms"]["p50"] <= told["chunk_ms"]["p99"]
    assert told["operations"] > 1e6 and told["roof_ms"] > 0 and told["fraction"] > 0
    assert set(told["stages_ms"]) == {*STAGES, HINTS, HOST}


def test_the_stages_are_those_that_ran() -> None:
    with_control = measure(tiny(), PLAN).stages_ms
    assert all(
        with_control[stage] > 0 for stage in ("context encode", "denoise", HINTS, "clean pass", "decode")
    )
    assert with_control[HINTS] < with_control["denoise"] and with_control["recache"] == 0
    text_only = measure(tiny(), replace(PLAN, mode="none")).stages_ms
    assert text_only["context encode"] == text_only[HINTS] == 0 < text_only["denoise"]
    recomputed = measure(tiny("krea"), PLAN).stages_ms
    assert recomputed["recache"] > 0 == recomputed["clean pass"]


def test_frames_a_second_and_milliseconds_agree() -> None:
    result = measure(tiny(), PLAN)
    assert result.fps == pytest.approx(12 / (result.chunk_ms["mean"] / 1000))
    assert result.fraction == pytest.approx(result.roof_ms / result.chunk_ms["p50"])


def test_listening_leaves_the_networks_as_they_were() -> None:
    pipeline = tiny()
    measure(pipeline, PLAN)
    for module in (pipeline.dit, *pipeline.dit.vace_blocks):
        assert not module._forward_hooks and not module._forward_pre_hooks


def test_random_weights_are_the_same_ones_and_keep_the_size_of_what_goes_through() -> None:
    one, two = tiny(), tiny()
    first, second = (dict(pipeline.dit.named_parameters()) for pipeline in (one, two))
    assert all(torch.equal(first[name], second[name]) for name in first)
    x = torch.randn(1, 3, 16, 8, 8)
    with torch.no_grad():
        flow = one.dit(x, torch.full((1, 3), 500.0), torch.randn(1, 8, 8))
    assert torch.isfinite(flow).all() and 0.01 < float(flow.std()) < 100


@pytest.mark.parametrize("vae", sorted(weights.VAES))
def test_every_autoencoder_can_be_random(vae: str) -> None:
    made = weights.VAES[vae]
    with torch.device("meta"):
        assert sum(p.numel() for p in made().parameters()) > 1e6


def test_fp8_quantises_the_blocks() -> None:
    spec = replace(PIPELINES["longlive"], arch=ARCH)
    pipeline = random_pipeline(spec, lambda: TAE(SMALL_TAE), device=CPU, dtype=torch.float32, precision="fp8")
    assert isinstance(pipeline.dit.blocks[0].ffn[0], Float8Linear)
    assert measure(pipeline, PLAN).fps > 0


def test_pocket_has_its_own_weights_whatever_is_asked_for() -> None:
    pipeline, origin = make_pipeline(Plan("pocket", weights="random"))
    assert origin == "installed"
    assert pipeline.text.encode("gold").known == ("gold",)


def test_pocket_in_another_precision_is_the_same_network_cast() -> None:
    pipeline, _ = make_pipeline(Plan("pocket", precision="bf16"))
    assert pipeline.dtype == pipeline.dit.patch_embedding.weight.dtype == torch.bfloat16
    with pytest.raises(EngineError, match="no FP8"):
        make_pipeline(Plan("pocket", precision="fp8"))


def test_a_pipeline_that_is_not_installed_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PIPELINES, "longlive", replace(PIPELINES["longlive"], arch=ARCH))
    monkeypatch.setitem(weights.VAES, "tae", lambda: TAE(SMALL_TAE))
    _, origin = make_pipeline(replace(PLAN, pipeline="longlive"))
    assert origin == "random"


def test_texts_are_told_apart_and_stay_the_same() -> None:
    text = RandomText(ARCH)
    gold, night = text.encode("gold").embeddings, text.encode("night").embeddings
    assert gold.shape == (1, 8, 8) and not torch.equal(gold, night)
    assert torch.equal(gold, RandomText(ARCH).encode("gold").embeddings)


def test_usual_sizes_and_impossible_plans() -> None:
    assert Plan("pocket").picture == (128, 224)
    assert Plan("longlive").picture == (368, 640)
    assert Plan("krea").picture == (320, 576)
    with pytest.raises(EngineError, match="too few"):
        Plan(chunks=1)
    with pytest.raises(EngineError, match="no pipeline"):
        _ = Plan("nothing").picture


def test_control_pictures_move_and_masks_keep_a_half() -> None:
    chunk = chunk_input("inpaint", 12, 64, 96)
    assert chunk.control is not None and chunk.mask is not None
    assert chunk.control.shape == (12, 64, 96, 3) and chunk.mask.shape == (12, 64, 96)
    assert (chunk.control[0] != chunk.control[1]).any()
    assert np.unique(chunk.mask).tolist() == [0, 255] and (chunk.mask > 127).mean() == 0.5
    assert chunk_input("none", 12, 64, 96).control is None


def test_the_roof_and_what_is_counted_below_it() -> None:
    roof = measure_roof(CPU, torch.float32)
    assert roof.flops > 1e6 and roof.bytes > 1e6
    assert Roof(10.0, 4.0).seconds(20, 4) == 2.0
    assert Roof(10.0, 4.0).seconds(20, 12) == 3.0
    a, b = torch.ones(8, 16), torch.ones(16, 4)
    assert count_operations(lambda: a @ b) == 2 * 8 * 16 * 4
    q, k = torch.ones(1, 2, 6, 8), torch.ones(1, 2, 10, 8)
    products = 2 * 2 * 6 * 10 * (8 + 8)  # of every query with every key, and of their shares with the values
    assert count_operations(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, k)) == products


def test_the_table_shows_every_stage() -> None:
    result = measure(tiny(), PLAN)
    text = "\n".join(lines(result))
    assert all(stage in text for stage in (*STAGES, HINTS, HOST, "frames/s", "realised"))
    assert "frames/s" in outline(result.document())


def test_without_a_gpu_the_list_says_that_nothing_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    document = bench.suite(on_gpu=False)
    assert [row["note"] for row in document["rows"]] == [bench.NO_GPU] * len(SUITE)
    assert capsys.readouterr().out.count(bench.NO_GPU) == len(SUITE)


class Clock:
    """Time that passes only when something is measured."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_list_ends_before_its_time_is_over_and_goes_on_after_an_error() -> None:
    clock, measured = Clock(), []
    result = measure(tiny(), PLAN)

    def run(plan: Plan, until: float) -> Result:
        measured.append(until)
        clock.now += 100
        if len(measured) == 2:
            raise EngineError("No memory.", "Take a smaller size.")
        if len(measured) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate much")
        return replace(result, plan=plan)

    told: list[int] = []
    document = bench.suite(
        [PLAN] * 6,
        seconds=350,
        on_gpu=True,
        run=run,
        clock=clock,
        told=lambda rows: told.append(len(rows["rows"])),
    )
    notes = [row.get("note") for row in document["rows"]]
    assert notes[:2] == [None, "not measured: No memory."]
    assert notes[2:] == ["not measured: OutOfMemoryError: CUDA out of memory.", *[bench.NO_TIME] * 3]
    assert measured == [ROW_S, 100 + ROW_S, 200 + ROW_S]  # each has its share
    assert told == [1, 2, 3, 4, 5, 6]  # what there is, after every row
    assert bench.measured_rows(document) == 1


def test_the_whole_list_can_be_walked_with_small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    result, compared = measure(tiny(), PLAN), compare(tiny(), PLAN, until=0.0)
    assert len(compared.ours_ms) == 2 < PLAN.chunks
    walked: list[Plan] = []

    def run(plan: Plan, until: float) -> Result | Comparison:
        walked.append(plan)
        return replace(compared if plan.against else result, plan=plan)

    document = bench.suite(on_gpu=True, run=run)
    assert walked == list(SUITE) and bench.measured_rows(document) == len(SUITE)
    asked = {(plan.pipeline, plan.picture, plan.mode) for plan in SUITE}
    assert {
        ("longlive", (368, 640), "depth"), ("longlive", (480, 832), "none"), ("krea", (320, 576), "none"),
    } <= asked  # fmt: skip
    assert any(plan.seconds >= 60 for plan in SUITE) and any(plan.precision == "fp8" for plan in SUITE)


def test_a_measurement_ends_at_its_instant_or_goes_on_for_its_seconds() -> None:
    assert measure(tiny(), replace(PLAN, chunks=9), until=0.0).measured == 2
    longer = measure(tiny(), replace(PLAN, chunks=2, seconds=0.5))
    assert longer.measured >= 2 and longer.chunk_ms["mean"] * longer.measured >= 500
    with pytest.raises(EngineError, match="too much"):
        Plan(seconds=1e9)


def test_recorded_passes_are_measured_and_counted() -> None:
    pipeline = replace(tiny(), graphs=Graphs(TapeRecorder()))
    result = measure(pipeline, replace(PLAN, graphs=True, warm_up=8))
    assert result.recorded >= 3 and result.refused == ""
    assert f"recordings        {result.recorded}" in "\n".join(lines(result))
    assert result.stages_ms["denoise"] > 0  # stages are listened to without them


def test_graphs_need_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "best_device", lambda: (CPU, torch.float32))
    with pytest.raises(EngineError, match="CUDA graphs cannot"):
        make_pipeline(Plan("pocket", graphs=True))


def test_without_a_gpu_the_command_says_so_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "best_device", lambda: (CPU, torch.float32))
    place = tmp_path / "gpu.json"
    assert main(["bench", "--gpu", "--json", str(place)]) == 1
    said = capsys.readouterr().out
    assert bench.NO_GPU in said and f"0 of {len(SUITE)} rows measured" in said
    assert len(json.loads(place.read_text("utf-8"))["rows"]) == len(SUITE)


def test_the_command_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "bench.json"
    told = [*QUICK, "--json", str(place)]
    assert main(told) == 0
    assert "pocket 64x64, 1 steps, mode depth" in capsys.readouterr().out
    document = json.loads(place.read_text("utf-8"))
    assert document["weights"] == "installed" and document["fps"] > 0
    assert document["threads"] == torch.get_num_threads() and document["commit"]


@pytest.mark.parametrize(
    "wrong", [["--size", "big"], ["--mode", "dance"], ["--vae", "none"], ["--precision", "fp4"]]
)
def test_options_that_mean_nothing_are_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", *wrong])


def test_a_size_that_does_not_fit_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--size", "60x64"]) == 2
    assert "60x64" in capsys.readouterr().err


def test_a_machine_is_described_also_outside_a_checkout(tmp_path: Path) -> None:
    assert commit(tmp_path) == UNKNOWN
    assert {"processor", "cores", "threads", "device", "torch", "commit"} <= describe_machine().keys()


@pytest.mark.parametrize("mode", ["layout", "extension", "references"])
def test_every_mode_is_measured(mode: Mode) -> None:
    result = measure(tiny(), replace(PLAN, mode=mode))
    assert result.stages_ms[HINTS] > 0
    assert result.kernel == "sdpa"


def test_a_chunk_of_key_frames_and_one_of_shapes() -> None:
    extension, layout = (chunk_input(mode, 12, 64, 96) for mode in ("extension", "layout"))
    assert extension.control is None and extension.first is not None and extension.first.shape == (64, 96, 3)
    assert layout.control is not None and set(np.unique(layout.control)) == {40, 128, 255}
    assert (layout.control[0] != layout.control[5]).any()

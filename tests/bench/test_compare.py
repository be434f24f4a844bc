"""The engine beside its straightforward form: what that leaves out, and that both make the same pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.bench.compare import MOST_DIFFERENCE, compare, comparison_lines
from engine.bench.measure import Stream
from engine.bench.plan import Plan
from engine.bench.report import outline
from engine.bench.weights import random_pipeline
from engine.cli import main
from engine.model.latent_space import State
from engine.model.load import Pipeline
from engine.model.pipelines import PIPELINES
from engine.model.savings import ALL, NONE
from engine.model.spec import Arch
from engine.model.tae import TAE, TAEArch
from engine.model.wan import CrossCache
from engine.session import Session
from tests.bench.test_bench import QUICK

ARCH = Arch(dim=24, ffn_dim=40, heads=2, layers=2, vace_layers=(0,), text_len=8, text_dim=8, freq_dim=16)
SMALL_TAE = TAEArch(encoder=4, decoder=(6, 5, 4, 3), blocks=1, encoder_blocks=0, subpixel=True, trim=0)
SIZE = (64, 64)
PLAN = Plan(size=SIZE, steps=2, warm_up=2, chunks=3)


def tiny() -> Pipeline:
    spec = replace(PIPELINES["longlive"], arch=ARCH)
    return random_pipeline(spec, lambda: TAE(SMALL_TAE), device=torch.device("cpu"), dtype=torch.float32)


def test_hints_at_fewer_steps_run_the_branch_less_often() -> None:
    pipeline = tiny()
    runs: list[int] = []
    handle = pipeline.dit.vace_blocks[0].register_forward_hook(lambda *given: runs.append(1))
    counted = []
    for hints in ("every", "one"):
        runs.clear()
        stream = Stream(Session(pipeline, *SIZE), replace(PLAN, steps=4, hints=hints))
        stream.chunk()
        counted.append(len(runs))
    handle.remove()
    assert counted == [4, 1]


def test_the_straightforward_form_makes_the_same_pictures() -> None:
    found = compare(tiny(), replace(PLAN, chunks=3))
    assert found.same is True and found.difference <= MOST_DIFFERENCE
    assert len(found.ours_ms) == len(found.eager_ms) == 3 and found.ratio > 0
    text = "\n".join(comparison_lines(found))
    assert "straightforward" in text and "the same" in text
    wrong = replace(found, difference=0.01)
    assert wrong.same is False and "NOT the same" in "\n".join(comparison_lines(wrong))
    assert replace(found, precision="bfloat16").same is None
    assert found.document()["ratio"] == found.ratio


def test_the_straightforward_form_does_what_it_says() -> None:
    pipeline = tiny()
    made = {"text": 0, "encode": 0}
    text, encode = pipeline.dit.cross_cache, pipeline.vae.encode

    def cross_cache(rows: Tensor) -> CrossCache:
        made["text"] += 1
        return text(rows)

    def encoding(video: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        made["encode"] += 1
        return encode(video, state)

    pipeline.dit.cross_cache, pipeline.vae.encode = cross_cache, encoding
    counts = []
    for savings in (ALL, NONE):
        stream = Stream(Session(pipeline, *SIZE, savings), PLAN)
        for _ in range(6):
            stream.chunk()
        made.update(text=0, encode=0)
        stream.chunk()
        counts.append(dict(made))
    assert counts[0] == {"text": 0, "encode": 1}
    assert counts[1] == {"text": PLAN.step_count + 1, "encode": 2}


def test_the_command_compares_in_one_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    place = tmp_path / "compared.json"
    assert main([*QUICK, "--compare", "eager", "--json", str(place)]) == 0
    said = capsys.readouterr().out
    assert "against eager" in said and "the same: differ by" in said
    document = json.loads(place.read_text("utf-8"))
    assert document["same"] is True and document["ratio"] > 0 and document["against"] == "eager"
    assert "times as fast as eager" in outline(document)

"""The gate for hints at fewer steps: its limits, both sides, and that what it writes is what auto goes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from engine import gate
from engine.adherence.cases import Case, Truth, Words
from engine.adherence.metrics import psnr
from engine.bench.weights import random_pipeline
from engine.cli import main
from engine.cli.command import MISUSED, OK
from engine.core.store import Snapshot
from engine.core.types import ControlFrame, Frame
from engine.gate import LEAST_PSNR, MOST_LATENT_ERROR, Reading, ask, cheaper, cheapest, lines, played
from engine.model.hints import passed_of
from engine.model.load import Pipeline
from engine.model.pipelines import PIPELINES
from engine.model.spec import Arch
from engine.model.tae import TAE, TAEArch
from engine.render import settings

ARCH = Arch(dim=24, ffn_dim=40, heads=2, layers=2, vace_layers=(0,), text_len=8, text_dim=8, freq_dim=16)
SMALL_TAE = TAEArch(encoder=4, decoder=(6, 5, 4, 3), blocks=1, encoder_blocks=0, subpixel=True, trim=0)
GOOD = Reading("one", 0.05, 40.0, {"edge_f": (0.5, 0.495), "depth_rmse": (0.1, 0.1)})
JUDGE = SimpleNamespace(read=lambda pictures: None, materials=())


@pytest.fixture
def pipeline() -> Pipeline:
    spec = replace(PIPELINES["longlive"], arch=ARCH)
    return random_pipeline(spec, lambda: TAE(SMALL_TAE), device=torch.device("cpu"), dtype=torch.float32)


def case(pictures: int = 14) -> Case:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[20:40, 30:34] = 255
    frames = [
        ControlFrame(Frame(picture, captured_at=0.0, index=index), picture, None, "scribble", True, "")
        for index in range(pictures)
    ]
    video = np.repeat(picture[None], pictures, axis=0)
    return Case("procedural", "scribble", "lines", frames, Words("gold"), Truth(video, False))


@pytest.mark.parametrize(
    ("reading", "passed"),
    [
        (GOOD, True),
        (replace(GOOD, latent_error=MOST_LATENT_ERROR * 1.01), False),
        (replace(GOOD, psnr=LEAST_PSNR - 0.1), False),
        (replace(GOOD, followed={"edge_f": (0.5, 0.489)}), False),
        (replace(GOOD, followed={"edge_f": (0.5, 0.7), "depth_rmse": (0.1, 0.05)}), True),
        (replace(GOOD, followed={"depth_rmse": (0.1, 0.1021)}), False),
        (replace(GOOD, followed={"edge_f": (0.0, 0.0)}), True),
    ],
)
def test_every_limit_counts(reading: Reading, passed: bool) -> None:
    assert reading.passed is passed


def test_both_sides_and_the_limits_are_printed() -> None:
    text = "\n".join(lines([GOOD, replace(GOOD, policy="two", psnr=20.0)], (1000.0, 833.3)))
    assert "one: passed" in text and "two: NOT passed" in text
    assert "0.4950  exact 0.5000 (1.0% worse, at most 2% worse)" in text
    assert "nothing to save" in "\n".join(lines([], (1000.0,)))


def test_pictures_are_compared_in_decibels() -> None:
    black = np.zeros((2, 4, 4, 3), np.uint8)
    assert psnr(black, black) == 100.0
    assert psnr(black, black + 255) == 0.0
    assert psnr(black, black + 8) == pytest.approx(30.07, abs=0.01)


@pytest.mark.parametrize(
    "words",
    [["--graphs"], ["--hints", "one"], ["--mode", "none"], ["--random"], ["--attention", "sdpa"],
     ["--precision", "bf16"], ["--compare", "eager"], ["--gpu"], ["--warm-up", "4"], ["--chunks", "9"],
     ["--seconds", "2"]],
)  # fmt: skip
def test_what_the_gate_does_not_play_with_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--gate", *words]) == MISUSED
    assert f"--gate does not go with {words[0]}" in capsys.readouterr().err


def test_the_gate_asks_about_the_weights_that_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Snapshot] = []
    monkeypatch.setattr("engine.gate.main", lambda values, verdicts: asked.append(values) or [])
    assert main(["bench", "--gate", "--pipeline", "longlive", "--precision", "fp8", "--vae", "wan"]) == OK
    assert asked[0].flag("engine.fp8") and asked[0].text("engine.vae") == "wan"


def test_only_cheaper_policies_are_asked() -> None:
    assert cheaper(1) == () and cheaper(2) == ("one",) and cheaper(4) == ("one", "two")


def test_turbo_is_asked_with_the_cheapest_hints_that_passed() -> None:
    failed = replace(GOOD, psnr=20.0)
    assert cheapest([]) == cheapest([failed]) == "every"
    assert cheapest([failed, replace(GOOD, policy="two")]) == "two"
    assert cheapest([GOOD, replace(GOOD, policy="two")]) == "one"


def test_the_steps_are_those_that_the_values_ask_for(pipeline: Pipeline) -> None:
    assert played(pipeline, settings({})) == pytest.approx((1000.0, 937.5, 833.3, 625.0), abs=0.1)
    assert played(pipeline, settings({"engine.steps": 1})) == (1000.0,)
    assert played(pipeline, settings({"engine.step_list": "900,100", "engine.warp": False})) == (900.0, 100.0)


def test_the_exact_engine_is_like_itself_and_unlike_a_cheaper_one(pipeline: Pipeline) -> None:
    same, other, turbo = ask(
        pipeline, (64, 64), [case(38)], JUDGE, settings({}), ("every", "one", "turbo every")
    )
    assert (same.latent_error, same.psnr) == (0.0, 100.0)
    assert all(exact == mine for exact, mine in same.followed.values()) and same.passed
    assert other.latent_error > 1e-5 and set(other.followed) == {"edge_f"}
    assert turbo.latent_error > 1e-5 and turbo.latent_error != other.latent_error


def test_what_passed_is_what_auto_goes_by(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gate, "load_pipeline", lambda name, choice: pipeline)
    monkeypatch.setattr(gate, "drawn_cases", lambda *given: [])
    monkeypatch.setattr(gate.Judge, "load", lambda: JUDGE)
    found = [GOOD, replace(GOOD, policy="two", psnr=20.0), replace(GOOD, policy="turbo one")]
    asked: list[str] = []

    def ask(*given: Sequence[str]) -> list[Reading]:
        asked.extend(given[-1])
        return [reading for reading in found if reading.policy in given[-1]]

    monkeypatch.setattr(gate, "ask", ask)
    file = tmp_path / "hints.json"
    assert gate.main(settings({}), file) == found
    assert asked == ["one", "two", "turbo one"]
    four = (1000.0, 937.5, 833.3, 625.0)
    assert passed_of(pipeline.dit, [file]) == {("one", four), ("turbo one", four)}
    assert str(file) in capsys.readouterr().out

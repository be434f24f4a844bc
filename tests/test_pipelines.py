"""Every pipeline from files in the public formats, at tiny sizes, through the command that users run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.chunk import ChunkInput, ChunkOutput, Live, Settings
from engine.cli import main
from engine.core.errors import EngineError, WeightsError
from engine.core.parameters import TABLE
from engine.model import registry
from engine.model.blend import Method
from engine.model.load import Choice, load_pipeline
from engine.model.pipelines import PIPELINES
from engine.model.umt5_encoder import Placement
from engine.model.vae import VAEKind
from engine.session import Session
from tests.checkpoint_factory import TINY, write_models

PUBLIC = [name for name, row in PIPELINES.items() if row.files is not None]
SIZE = 64


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CUELIGHT_HOME", str(tmp_path))
    monkeypatch.delenv("CUELIGHT_MODELS", raising=False)
    return tmp_path


def install(home: Path, name: str, vae: str = "tae") -> None:
    files = PIPELINES[name].files
    assert files is not None
    write_models(home, files, vae=vae)


def ink(home: Path, dim: int = TINY.dim, layers: int = TINY.layers) -> str:
    """A LoRA file where slots look for files by name."""
    draw = torch.Generator().manual_seed(1)
    tensors = {}
    for block in range(layers):
        base = f"diffusion_model.blocks.{block}.self_attn.v"
        tensors[f"{base}.lora_A.weight"] = torch.randn(2, dim, generator=draw)
        tensors[f"{base}.lora_B.weight"] = torch.randn(dim, 2, generator=draw)
    (home / "models" / "loras").mkdir(parents=True, exist_ok=True)
    save_file(tensors, home / "models" / "loras" / "ink.safetensors")
    return "ink.safetensors"


@pytest.mark.parametrize("name", PIPELINES)
def test_render_with_control_a_played_lora_and_a_prompt_switch(home: Path, name: str) -> None:
    if name in PUBLIC:
        install(home, name)
        file = ink(home)
    else:
        arch = PIPELINES[name].arch
        file = ink(home, arch.dim, arch.layers)

    def render(*more: str) -> dict[str, object]:
        out, stats = home / "out.mp4", home / "stats.json"
        arguments = [
            "render", "demo", "-o", str(out), "--json", str(stats), "--pipeline", name, "--prompt",
            "gold dancer", "--annotator", "edges", "--seconds", "0.9", "--set", "engine.steps=1",
        ]  # fmt: skip
        assert main([*arguments, *more]) == 0
        made: dict[str, object] = json.loads(stats.read_text())
        return made

    lora = ["--set", f"lora.1.file={file}"]
    played = [*lora, "--at", "0-0.8", "lora.1.strength=0..1"]
    silent = [*lora, "--set", "lora.1.strength=0"]
    switched = ["--at", "0.5", "prompt.text=silver fire"]
    whole, unswitched, unplayed = (
        render(*more) for more in ([*played, *switched], played, [*silent, *switched])
    )
    assert whole["frames"] == unswitched["frames"] == unplayed["frames"] == 27
    assert len({made["sha256"] for made in (whole, unswitched, unplayed)}) == 3, "each change is seen"


@pytest.mark.parametrize("vae", ["tae", "lighttae", "wan", "lightvae"])
def test_a_stream_is_the_same_every_time_with_every_autoencoder(home: Path, vae: VAEKind) -> None:
    install(home, "longlive", vae)

    def made() -> list[ChunkOutput]:
        session = Session(load_pipeline("longlive", Choice(vae)), SIZE, SIZE)
        outputs: list[ChunkOutput] = []
        for number in range(3):
            words = session.conditioning(("gold dancer", "silver fire")[number // 2])
            frames = session.frames_in
            control = np.full((frames, SIZE, SIZE, 3), 40 * number, np.uint8) if number else None
            chunk = ChunkInput(control, None, "edges", np.full((frames, SIZE, SIZE, 3), 90, np.uint8))
            settings = Settings(steps=2, noise_scale=0.7 if number == 2 else 1.0, motion=0.5)
            session.step(chunk, lambda: Live(1.0, 0), words, settings, emit=outputs.append)
        return outputs

    first, again = made(), made()
    assert [len(output.frames) for output in first] == [9, 12, 12], "control and video join in mid-show"
    for output, same in zip(first, again, strict=True):
        assert np.array_equal(output.frames, same.frames) and output.frames.std() > 0


@pytest.mark.parametrize("name", PUBLIC)
def test_a_stream_goes_on_past_the_old_limit(home: Path, name: str) -> None:
    """The reference cuts at 1,024 latents. Here a show of 3,000 goes on, the same each time."""
    install(home, name)

    def made() -> list[ChunkOutput]:
        session = Session(load_pipeline(name), SIZE, SIZE)
        outputs: list[ChunkOutput] = []
        words = session.conditioning("gold dancer")
        while len(outputs) < 7:
            if len(outputs) == 4:  # tests/model/test_latent_stream.py plays the latents between
                session._stream.start = 3000
            control = np.full((session.frames_in, SIZE, SIZE, 3), 200, np.uint8)
            chunk = ChunkInput(control, None, "edges")
            session.step(chunk, lambda: Live(1.0, 0), words, Settings(steps=1), emit=outputs.append)
        assert session._stream.start > 3000
        return outputs

    first, again = made(), made()
    for output, same in zip(first, again, strict=True):
        assert np.array_equal(output.frames, same.frames) and output.frames.std() > 0


def test_a_pickled_transformer_is_converted_once_and_loads_the_same(home: Path) -> None:
    install(home, "self_forcing")
    first = load_pipeline("self_forcing").dit.state_dict()
    (copy,) = (home / "models").rglob("*dmd.pt.cuelight.safetensors")
    made = copy.stat().st_mtime_ns
    again = load_pipeline("self_forcing").dit.state_dict()
    assert copy.stat().st_mtime_ns == made
    assert all(torch.equal(value, again[key]) for key, value in first.items())


def test_a_converted_copy_that_went_bad_is_made_anew_from_the_download(home: Path) -> None:
    install(home, "self_forcing")
    first = load_pipeline("self_forcing").dit.state_dict()
    (copy,) = (home / "models").rglob("*dmd.pt.cuelight.safetensors")
    rotten = bytearray(copy.read_bytes())
    rotten[-200:-100] = bytes(100)
    copy.write_bytes(rotten)
    again = load_pipeline("self_forcing").dit.state_dict()
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    third = load_pipeline("self_forcing").dit.state_dict()
    assert all(torch.equal(value, third[key]) for key, value in first.items())
    assert copy.read_bytes() != rotten, "a new one was made"


def test_a_fault_of_another_file_leaves_the_converted_copy_alone(home: Path) -> None:
    """Else a copy of some gigabytes would be written anew and deleted again with every try."""
    install(home, "self_forcing")
    load_pipeline("self_forcing")
    (copy,) = (home / "models").rglob("*dmd.pt.cuelight.safetensors")
    made = copy.stat().st_mtime_ns
    files = PIPELINES["self_forcing"].files
    assert files is not None
    branch = registry.load().files_of(files, vae="tae", text="fp8")["vace"].local(home / "models")
    branch.write_bytes(branch.read_bytes()[:-64])
    with pytest.raises(WeightsError):
        load_pipeline("self_forcing")
    assert copy.stat().st_mtime_ns == made


def test_eight_bits_are_near_the_model_and_exact_in_the_first_chunk(home: Path) -> None:
    install(home, "longlive")

    def made(choice: Choice) -> list[ChunkOutput]:
        session = Session(load_pipeline("longlive", choice), SIZE, SIZE)
        outputs: list[ChunkOutput] = []
        words = session.conditioning("gold dancer")
        for _ in range(2):
            control = np.full((session.frames_in, SIZE, SIZE, 3), 200, np.uint8)
            chunk = ChunkInput(control, None, "edges")
            session.step(chunk, lambda: Live(1.0, 0), words, Settings(steps=2), emit=outputs.append)
        return outputs

    plain, eight = made(Choice()), made(Choice(fp8=True))
    assert np.array_equal(plain[0].frames, eight[0].frames)
    difference = np.abs(plain[1].frames.astype(int) - eight[1].frames).mean()
    assert 0 < difference < 0.2 * plain[1].frames.std()


def test_a_file_of_another_size_or_in_its_mirrors_folder_is_found(home: Path) -> None:
    install(home, "reward_forcing")
    shutil.rmtree(home / "config")  # the bundled table, which knows the sizes of the real files
    file = registry.load().files_of("reward_forcing")["dit"]
    mirrored = home / "models" / file.mirror / file.path
    mirrored.parent.mkdir(parents=True)
    file.local(home / "models").rename(mirrored)
    pipeline = load_pipeline("reward_forcing")
    assert pipeline.dit.arch.dim == TINY.dim
    assert pipeline.text.encode("gold dancer").embeddings.shape[2] == TINY.text_dim
    mirrored.write_bytes(b"")
    with pytest.raises(WeightsError, match=r"Reward Forcing 1\.3B is not installed"):
        load_pipeline("reward_forcing")


def test_the_table_offers_what_the_engine_has() -> None:
    """The table of parameters may not import the engine, so its choices are compared here."""
    assert TABLE["engine.pipeline"].choices == tuple(PIPELINES)
    assert TABLE["engine.vae"].choices == get_args(VAEKind)
    assert TABLE["engine.text_encoder"].choices == get_args(Placement)
    assert TABLE["prompt.blend"].choices == get_args(Method)
    assert set(registry.load().pipelines) == set(PIPELINES)
    for row in PIPELINES.values():
        assert registry.load().pipeline(row.name).label == row.label


def test_what_is_not_installed_is_named_with_its_remedy(home: Path) -> None:
    missing = r"LongLive 1\.3B is not installed, missing: .*longlive_base\.pt and \d more"
    with pytest.raises(WeightsError, match=missing) as caught:
        load_pipeline("longlive")
    assert "`cuelight models get longlive`" in caught.value.fix
    with pytest.raises(WeightsError, match=missing) as caught:
        load_pipeline("longlive", Choice(vae="wan"))
    assert "`cuelight models get longlive --vae wan`" in caught.value.fix
    with pytest.raises(EngineError, match="There is no pipeline 'longdead'"):
        load_pipeline("longdead")

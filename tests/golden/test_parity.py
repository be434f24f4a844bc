"""Our numbers against the recorded ones, and what the command says when they differ or cannot be read."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.parity import JSON_KINDS, KINDS, kind_of, main, run_parity

HERE = Path(__file__).parent
RECORDINGS = sorted(path.name for path in HERE.iterdir() if path.suffix in (".safetensors", ".json"))


@pytest.mark.parametrize("name", RECORDINGS)
def test_recording_is_reproduced(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(HERE / name, tmp_path)
    companion = name.replace("_nopadkeys", "")
    shutil.copy(HERE / companion, tmp_path)
    for extension in HERE.glob(f"{Path(name).stem}_file_*"):
        shutil.copy(extension, tmp_path)
    rows = {row.file: row for row in run_parity(tmp_path)}
    row = rows[name]
    assert (row.verdict, row.note) == ("pass", "")
    assert row.error is not None and row.error <= 2e-4


def test_every_replayed_kind_has_a_recording_here() -> None:
    replayed = {kind for table in (KINDS, JSON_KINDS) for kind, replay in table.items() if replay}
    assert replayed == {kind_of(HERE / name) for name in RECORDINGS}


def altered(name: str, key: str, folder: Path, by: float = 0.01) -> None:
    """Copy a recording with one number changed."""
    tensors = load_file(HERE / name)
    with safe_open(HERE / name, "pt") as file:
        metadata = file.metadata()
    flat = tensors[key].view(-1)
    flat[len(flat) // 2] += by
    save_file(tensors, folder / name, metadata)


ALTERED = [
    ("rope.safetensors", "out.d64.start9"),
    ("rope.safetensors", "x.d128"),
    ("sampler.safetensors", "train_weights.shift8.0"),
    ("fill_selfcheck.safetensors", "norm1.weight|salt7"),
    ("timestep_embedding.safetensors", "t"),
    ("norms_unpatchify.safetensors", "rms_weight"),
    ("upstream_vace_dit_padded.safetensors", "vace_context"),
    ("dit_unit_hd64.safetensors", "kv.l3.k"),
    ("dit_unit_hd64.safetensors", "inter.block0.self_attn.norm_q"),
    ("vace_unit_hd128.safetensors", "crossattn.l0.v"),
    ("dit_stream_1frame_local4_sink1.safetensors", "kvdigest.c5"),
    ("dit_stream_1frame_local4_sink1.safetensors", "renoise.c3"),
    ("dit_stream_kvfull.safetensors", "kv.c2.l0.v"),
    ("vaceenc_mask_folding.safetensors", "mask3_u8"),
    ("t5_tiny.safetensors", "hidden_raw"),
    ("t5_tiny_long.safetensors", "prompt_embeds"),
    ("prompt_blend.safetensors", "slerp_zero_rows"),
    ("sampler_v2v_noise.safetensors", "noisy_latents.c2"),
    ("preprocess_resize_resample.safetensors", "masks"),
    ("e2e_v2v_motion_noise.safetensors", "mixnoise.c1"),
    ("e2e_v2v_motion_noise.safetensors", "out_video.c2"),
    ("e2e_vace_depth_hardcut.safetensors", "vace_context.c2"),
    ("e2e_vace_depth_hardcut.safetensors", "text.1"),
]


@pytest.mark.parametrize(("name", "key"), ALTERED)
def test_one_altered_number_fails(name: str, key: str, tmp_path: Path) -> None:
    altered(name, key, tmp_path, by=1 if key.endswith("_u8") else 0.01)
    assert main(tmp_path) == 1
    assert [row.verdict for row in run_parity(tmp_path)] == ["FAIL"]


def test_good_recordings_beside_a_bad_one_still_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(HERE / "rope.safetensors", tmp_path)
    (tmp_path / "sampler_damaged.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{}")
    assert main(tmp_path) == 1
    said = capsys.readouterr().out
    assert "1 passed (limit 0.0002), 1 failed, 0 not yet" in said
    assert "FAIL: unreadable" in said


def test_later_kinds_are_not_yet_and_never_passed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "krea", None)
    monkeypatch.setitem(JSON_KINDS, "text_cleaning", None)
    save_file({"a": torch.ones(1)}, tmp_path / "krea_stream_x.safetensors")
    (tmp_path / "text_cleaning.json").write_text("{}")
    assert main(tmp_path) == 0
    assert {row.verdict for row in run_parity(tmp_path)} == {"not yet"}
    assert "0 passed (limit 0.0002), 0 failed, 2 not yet" in capsys.readouterr().out


def test_a_damaged_recording_of_a_later_kind_fails(tmp_path: Path) -> None:
    (tmp_path / "krea_stream.safetensors").write_bytes(b"")
    assert main(tmp_path) == 1


def test_a_folder_without_recordings_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    (tmp_path / "INDEX.json").write_text("{}")
    assert main(tmp_path) == 1
    assert "No recordings" in capsys.readouterr().out


def test_missing_inputs_are_asked_for_by_name(tmp_path: Path) -> None:
    shutil.copy(HERE / "vace_stream_scales_nopadkeys.safetensors", tmp_path)
    (row,) = run_parity(tmp_path)
    assert row.verdict == "FAIL"
    assert "vace_stream_scales.safetensors, which must lie beside it" in row.note


def test_a_tensor_the_replay_does_not_know_fails(tmp_path: Path) -> None:
    tensors = load_file(HERE / "timestep_embedding.safetensors") | {"surprise": torch.ones(1)}
    save_file(tensors, tmp_path / "timestep_embedding.safetensors", {"freq_dim": "256"})
    (row,) = run_parity(tmp_path)
    assert (row.verdict, row.note) == ("FAIL", "not compared: surprise")


def test_nonsense_in_a_recording_is_a_row_not_a_crash(tmp_path: Path) -> None:
    metadata = {"config": '{"dim": "wide"}', "calls": "[]", "chunks": "{}"}
    save_file({"noise.c0": torch.ones(1)}, tmp_path / "dit_stream_x.safetensors", metadata)
    (row,) = run_parity(tmp_path)
    assert row.verdict == "FAIL" and row.note

"""The models file: complete, strict, and its mistakes are named."""

import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from engine.core.errors import WeightsError
from engine.core.paths import assets_dir, config_dir, models_dir
from engine.model import registry
from engine.model.registry import NO_TEXT, load

BUNDLED = (assets_dir() / "models.toml").read_text(encoding="utf-8")
PIPELINES = {
    "pocket",
    "longlive",
    "streamdiffusionv2",
    "memflow",
    "reward_forcing",
    "krea",
    "self_forcing",
    "causal_forcing",
}


def loaded(tmp_path: Path, text: str) -> registry.Registry:
    path = tmp_path / "models.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def test_every_pipeline_knows_all_its_files() -> None:
    rows = load()
    assert set(rows.pipelines) == PIPELINES
    assert rows.pipelines["pocket"].embedded and rows.files_of("pocket") == {}
    for name in PIPELINES - {"pocket"}:
        files = rows.files_of(name)
        assert {"dit", "vace", "config", "vae", "text", "tokenizer", "tokenizer_model"} <= set(files)
        assert rows.pipelines[name].vram_gb > 0 and rows.pipelines[name].label
    for name in ("longlive", "memflow"):  # their rank-256 adapter is part of the model
        assert rows.files_of(name)["adapter"].entry == "generator_lora"


def test_vae_and_text_encoder_are_choices() -> None:
    rows = load()
    assert rows.files_of("krea", vae="wan")["vae"].path == "Wan2.1_VAE.pth"
    assert rows.files_of("krea", text="bf16")["text"].path.endswith("bf16.pth")
    assert not {"text", "tokenizer"} & set(rows.files_of("krea", text=NO_TEXT))
    with pytest.raises(WeightsError, match="lightvae"):
        rows.files_of("krea", vae="big")
    with pytest.raises(WeightsError, match=r"no model 'dog'.*longlive.*depth"):
        rows.files_of("dog")


def test_each_file_says_where_it_comes_from_and_what_it_may_be_used_for() -> None:
    for file in load().files.values():
        assert file.size > 0 or file.id == "scribble_net"  # the one whose size nobody stated
        assert not (file.bytes and file.about), f"{file.id}: an exact size needs no estimate"
        assert file.licence.text and urlsplit(file.card).scheme == "https"
    rows = tomllib.loads(BUNDLED)["files"]
    assert all(f"[files.{name}]" in BUNDLED for name in rows)
    estimates = [line for line in BUNDLED.splitlines() if re.match(r"about = ", line)]
    assert estimates and all("# estimate" in line for line in estimates)


def test_the_sizes_agree_with_the_number_of_weights() -> None:
    # Parameters of the published modules; a file holds them at 4 or 2 bytes each, plus a header.
    files = load().files
    assert 0 <= files["longlive_dit"].bytes - 4 * 1_418_996_800 < 2**20
    assert 0 <= files["self_forcing_dit"].bytes - 4 * 1_418_996_800 < 2**20
    assert 0 <= files["longlive_adapter"].bytes - 8 * 349_962_240 < 2**20  # generator and critic in float32
    assert 0 <= files["vae_wan"].bytes - 4 * 126_892_531 < 2**20
    assert 0 <= files["umt5_bf16"].bytes - 2 * 5_680_910_336 < 2**20
    assert 0 <= files["vae_lightvae"].bytes - 4 * 8_035_003 < 2**20
    assert 0 <= files["vae_lighttae"].bytes - 4 * 11_315_539 < 2**20


def test_non_commercial_weights_say_so() -> None:
    assert "NON-COMMERCIAL" in load().files_of("longlive")["dit"].licence.text


def test_files_belong_below_their_repository(tmp_path: Path) -> None:
    file = load().files["longlive_dit"]
    place = tmp_path / "Efficient-Large-Model" / "LongLive-1.3B" / "models" / "longlive_base.pt"
    assert file.local(tmp_path) == place
    assert not file.is_present(tmp_path)
    place.parent.mkdir(parents=True)
    place.write_bytes(b"half")
    assert not file.is_present(tmp_path), "a file of another size is not there"


def test_what_is_here_is_chosen(tmp_path: Path) -> None:
    rows = load()
    assert rows.chosen(tmp_path) == ("tae", "fp8")
    place = rows.files["vae_lighttae"].local(tmp_path)
    place.parent.mkdir(parents=True)
    with place.open("wb") as sparse:
        sparse.truncate(rows.files["vae_lighttae"].bytes)
    assert rows.chosen(tmp_path) == ("lighttae", "fp8")
    assert "vae" not in rows.missing(rows.files_of("krea", "lighttae"), tmp_path)


def test_a_copy_in_the_settings_folder_is_used_instead() -> None:
    assert registry.models_file() == assets_dir() / "models.toml"
    own = config_dir() / "models.toml"
    own.parent.mkdir(parents=True)
    own.write_text(BUNDLED.replace("gdhe17/Self-Forcing", "me/Self-Forcing"), encoding="utf-8")
    assert registry.models_file() == own
    assert load().files["self_forcing_dit"].repository == "me/Self-Forcing"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('format = "cuelight-models"', 'format = "other"', "format must be"),
        ("format_version = 1", "format_version = 2", "format_version 1"),
        ("format_version = 1", "format_version = 1\nspeed = 3", "speed is not a known field"),
        ("bytes = 249", "bytes = -1", "files.wan_1_3b_config.bytes"),
        ("bytes = 249", "bytes = true", "files.wan_1_3b_config.bytes"),
        ("bytes = 249", "bytes = 2.5", "files.wan_1_3b_config.bytes must be a whole number"),
        ("bytes = 249", "size = 249", "files.wan_1_3b_config.bytes"),
        ("bytes = 249", "bytes = 249\nsha265 = ''", "files.wan_1_3b_config.sha265 is not a known field"),
        ('path = "config.json"', 'path = "../config.json"', "files.wan_1_3b_config.path"),
        ('path = "config.json"', 'path = "/etc/passwd"', "files.wan_1_3b_config.path"),
        ('path = "config.json"', r'path = "a\\b.json"', "files.wan_1_3b_config.path"),
        ('path = "config.json"', 'path = "C:/config.json"', "files.wan_1_3b_config.path"),
        ('path = "config.json"', r'path = "a\u0000b"', "files.wan_1_3b_config.path"),
        ('path = "config.json"', 'path = ".hidden"', "files.wan_1_3b_config.path"),
        ('path = "base.pt"', 'path = "lora.pt"', "same place as files.memflow_dit"),
        (
            'repository = "gdhe17/Self-Forcing"',
            'repository = "gdhe17/../x"',
            "files.self_forcing_dit.repository",
        ),
        ('mirror = "daydreamlive/MemFlow"', 'mirror = "elsewhere"', "files.memflow_dit.mirror"),
        ('licence = "krea"', 'licence = "free"', "files.krea_dit.licence names 'free'"),
        ('url = "https://download.pytorch', 'url = "file:///pytorch', "files.raft_small.url"),
        ('dit = "krea_dit"', 'dit = "krea"', "pipelines.krea.dit names 'krea'"),
        ('dit = "krea_dit"\n', "", "pipelines.krea.dit is missing"),
        ('files = ["raft_small"]', 'files = "raft_small"', "extras.flow.files"),
        ('files = ["raft_small"]', 'files = ["raft"]', "extras.flow.files names 'raft'"),
        ("[extras.flow]", "[extras.krea]", "extras.krea has the name of a pipeline"),
        ("[extras.flow]", '[extras."My flow"]', "short name"),
        ('tae = "vae_tae"', 'small = "vae_tae"', "shared.vae.tae"),
        ("vram_gb = 55", 'vram_gb = "much"', "pipelines.krea.vram_gb"),
        ("vram_gb = 55", "vram_gb = nan", "pipelines.krea.vram_gb"),
        ("[licences.mit]", "licences = 3\n[x.mit]", "models.toml"),
    ],
)
def test_a_wrong_field_is_named(old: str, new: str, named: str, tmp_path: Path) -> None:
    assert old in BUNDLED
    with pytest.raises(WeightsError) as error:
        loaded(tmp_path, BUNDLED.replace(old, new, 1))
    assert named in error.value.what and "models.toml" in error.value.what and error.value.fix


@pytest.mark.parametrize("text", ["", "files = [", "files = 3", "\x00"])
def test_what_is_no_models_file_is_told(text: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"models\.toml"):
        loaded(tmp_path, text)


def test_bytes_that_are_no_text_and_a_missing_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(WeightsError, match="not valid TOML"):
        load(tmp_path / "models.toml")
    with pytest.raises(WeightsError, match="cannot be read"):
        load(tmp_path / "none.toml")


def test_the_folder_of_models_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUELIGHT_HOME", str(tmp_path))
    assert models_dir() == tmp_path / "models"
    monkeypatch.setenv("CUELIGHT_MODELS", "~/disk")
    assert models_dir() == Path.home() / "disk"
    monkeypatch.delenv("CUELIGHT_MODELS")
    monkeypatch.delenv("CUELIGHT_HOME")
    assert models_dir().name.lower() == "models" and models_dir().is_absolute()

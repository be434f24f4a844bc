"""`cuelight models` lists, fetches when asked, checks and imports; also with the real client."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from engine import doctor, models
from engine.cli import main
from engine.cli.command import FAILED, MISUSED, OK
from engine.core.paths import config_dir, models_dir
from engine.core.store import Snapshot
from engine.model import registry
from engine.model.download import Remote
from engine.model.registry import ModelFile
from tests.tiny_hub import TinyHub

WEIGHTS = save({"weight": torch.arange(6.0)})
CONFIG = b'{"dim": 6}'

# A models file with one small pipeline, as a user might write one for a hub of their own.
ROWS = f"""
format = "cuelight-models"
format_version = 1
[licences.test]
name = "Test licence"
url = "https://example.org/licence"
text = "You may test."
[files.dit]
repository = "maker/small"
path = "model.safetensors"
bytes = {len(WEIGHTS)}
sha256 = "{hashlib.sha256(WEIGHTS).hexdigest()}"
licence = "test"
[files.config]
repository = "maker/small"
path = "config.json"
bytes = {len(CONFIG)}
licence = "test"
[files.vae]
repository = "maker/vae"
path = "vae.safetensors"
bytes = 0
about = {len(WEIGHTS)}
licence = "test"
[files.text]
repository = "maker/text"
path = "text.safetensors"
bytes = 0
licence = "test"
[files.tokenizer]
repository = "maker/text"
path = "tokenizer.json"
bytes = 2
licence = "test"
[shared]
tokenizer = "tokenizer"
tokenizer_model = "tokenizer"
tokenizer_config = "tokenizer"
tokenizer_special = "tokenizer"
[shared.text]
fp8 = "text"
[shared.vae]
tae = "vae"
[pipelines.pocket]
label = "Pocket"
vram_gb = 0
notes = ""
[pipelines.small]
label = "Small"
dit = "dit"
config = "config"
vram_gb = 1.5
notes = "for tests"
[extras.tool]
label = "A tool"
files = ["vae"]
vram_gb = 0
notes = "annotator"
"""
SERVED = {
    "maker/small/model.safetensors": WEIGHTS,
    "maker/small/config.json": CONFIG,
    "maker/vae/vae.safetensors": WEIGHTS,
    "maker/text/text.safetensors": WEIGHTS,
    "maker/text/tokenizer.json": b"{}",
}


@pytest.fixture
def rows() -> registry.Registry:
    """The small models file in the settings folder, in use."""
    config_dir().mkdir(parents=True)
    (config_dir() / "models.toml").write_text(ROWS, encoding="utf-8")
    return registry.load()


class Shelf:
    """A hub without a network: gives out `SERVED` and remembers what it was asked for."""

    def __init__(self) -> None:
        self.fetched: list[str] = []

    def facts(self, file: ModelFile) -> Remote:
        data = SERVED[f"{file.repository}/{file.path}"]
        return Remote(len(data), hashlib.sha256(data).hexdigest())

    def fetch(self, file: ModelFile, part: Path, size: int) -> None:
        self.fetched.append(file.path)
        part.write_bytes(SERVED[f"{file.repository}/{file.path}"])


def copied(folder: Path) -> Path:
    for name, data in SERVED.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def answers(*given: str) -> Callable[[str], str]:
    left = list(given)
    return lambda question: left.pop(0)


def test_the_list_names_every_pipeline_with_size_vram_and_licence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == OK
    lines = capsys.readouterr().out.splitlines()
    for name in registry.load().pipelines:
        line = next(line for line in lines if line.startswith(f"{name} "))
        assert ("embedded" if name == "pocket" else " no ") in line
    assert any("longlive" in line and "16.7 GB" in line and "non-commercial" in line for line in lines)
    assert any(str(models_dir()) in line for line in lines)
    assert "Nothing is downloaded without being asked" in "\n".join(lines)
    assert not models_dir().exists(), "listing makes nothing"


def test_the_list_of_one_says_which_file_goes_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "longlive"]) == OK
    out = capsys.readouterr().out
    place = models_dir() / "Efficient-Large-Model" / "LongLive-1.3B" / "models" / "lora.pt"
    assert str(place) in out and "--vae tae|lighttae|wan|lightvae" in out
    assert main(["models", "list", "pocket"]) == OK
    assert main(["models", "list", "scribble"]) == OK
    assert "unknown size" in capsys.readouterr().out


def test_get_asks_fetches_and_then_has_nothing_to_do(
    rows: registry.Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf = Shelf()
    assert models.get("small", hub=shelf, ask=answers("yes")) == OK
    out = capsys.readouterr().out
    assert "You may test." in out and "small: complete" in out
    assert sorted(shelf.fetched) == sorted(name.split("/", 2)[2] for name in SERVED)
    assert models.get("small", hub=shelf) == OK
    assert "nothing to fetch" in capsys.readouterr().out and len(shelf.fetched) == len(SERVED)
    assert models.get("pocket", hub=shelf) == OK
    assert main(["models", "list"]) == OK
    assert "small              yes" in capsys.readouterr().out


def test_a_no_fetches_nothing(rows: registry.Registry, capsys: pytest.CaptureFixture[str]) -> None:
    shelf = Shelf()
    with pytest.raises(registry.WeightsError, match="not accepted"):
        models.get("small", hub=shelf, ask=answers("no"))
    assert shelf.fetched == [] and not models_dir().exists()


def test_without_the_text_encoder(rows: registry.Registry) -> None:
    shelf = Shelf()
    assert models.get("small", text="none", hub=shelf, agreed=True) == OK
    assert not {"text.safetensors", "tokenizer.json"} & set(shelf.fetched)


def test_verify_names_what_is_wrong(rows: registry.Registry, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify", "small"]) == FAILED
    assert "missing" in capsys.readouterr().out
    models.get("small", hub=Shelf(), agreed=True)
    capsys.readouterr()
    assert main(["models", "verify", "small"]) == OK
    assert "bad" not in capsys.readouterr().out
    rows.files["dit"].local(models_dir()).write_bytes(WEIGHTS[:-1] + b"!")
    rows.files["config"].local(models_dir()).write_bytes(b"[" * len(CONFIG))
    rows.files["vae"].local(models_dir()).write_bytes(b"a text under this name")
    rows.files["text"].local(models_dir()).write_bytes(b"")
    assert main(["models", "verify", "small"]) == FAILED
    bad = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("bad", "   "))]
    assert "checksum differs" in bad[1] and "not valid JSON" in bad[3]
    assert "vae.safetensors" in bad[5] and "Traceback" not in bad[5] and bad[7].strip() == "empty"
    assert main(["models", "verify", "pocket"]) == OK


def test_an_import_takes_what_is_missing_and_asks_for_the_licence(
    rows: registry.Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(tmp_path / "stick")
    with pytest.raises(registry.WeightsError, match="not accepted"):
        models.import_models(folder, ask=answers("later"))
    assert not models_dir().exists()
    assert main(["models", "import", str(folder), "--accept"]) == OK
    assert capsys.readouterr().out.count("copied maker/") == len(SERVED)
    assert main(["models", "verify", "small"]) == OK
    assert main(["models", "import", str(folder)]) == FAILED
    assert "no model file that is still missing" in capsys.readouterr().out


def test_an_import_can_link(rows: registry.Registry, tmp_path: Path) -> None:
    folder = copied(tmp_path / "stick")
    assert main(["models", "import", str(folder), "--accept", "--link"]) == OK
    assert rows.files["dit"].local(models_dir()).samefile(folder / "maker/small/model.safetensors")


def test_another_folder_can_be_named(
    rows: registry.Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, disk = copied(tmp_path / "stick"), tmp_path / "disk"
    assert main(["models", "import", str(folder), "--accept", "--models", str(disk)]) == OK
    assert rows.files["dit"].is_present(disk) and not models_dir().exists()
    assert "CUELIGHT_MODELS" not in os.environ
    monkeypatch.setenv("CUELIGHT_MODELS", str(disk))
    assert main(["models", "verify", "small"]) == OK
    assert main(["models", "list", "--models", str(tmp_path / "empty")]) == OK
    assert os.environ["CUELIGHT_MODELS"] == str(disk)
    assert str(tmp_path / "empty") in capsys.readouterr().out


def test_the_real_client_fetches_from_the_hub_the_environment_names(
    rows: registry.Registry, tmp_path: Path
) -> None:
    with TinyHub(dict(SERVED)) as hub:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "engine.cli", "models", "get", "small", "--accept"],
            env=os.environ | {"HF_ENDPOINT": hub.address, "HF_TOKEN": ""},
            cwd=Path(models.__file__).parents[1],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == OK, done.stderr
    assert "Test licence" in done.stdout and "small: complete" in done.stdout
    assert not rows.missing(rows.files_of("small"), models_dir())
    assert json.loads((config_dir() / "accepted-licences.json").read_text())[0]["licence"] == "test"


def test_without_a_connection_two_plain_lines_say_what_to_do(rows: registry.Registry, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli", "models", "get", "small", "--accept"],
        env=os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": ""},
        cwd=Path(models.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == MISUSED
    said = done.stderr.splitlines()
    assert len(said) == 2 and "no connection" in said[0] and "cuelight models import" in said[1]
    assert str(rows.files["dit"].local(models_dir())) in said[1]


def test_an_unknown_model_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["list", "dog"], ["get", "dog"], ["verify", "dog"]):
        assert main(["models", *words]) == MISUSED
        assert "longlive" in capsys.readouterr().err
    assert main(["models", "get", "krea", "--vae", "big", "--accept"]) == MISUSED
    assert "lighttae" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["get"], ["verify"], ["import"], ["fetch", "krea"]], ids=" ".join)
def test_a_misused_action_is_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["models", *words])
    assert stop.value.code == MISUSED


def test_the_doctor_says_which_pipelines_are_here(rows: registry.Registry) -> None:
    finding = doctor.models()
    assert finding.status == "ok" and finding.text.startswith("pocket; files in ")
    models.get("small", hub=Shelf(), agreed=True)
    assert doctor.models().text == f"pocket, small; files in {models_dir()}"
    rows.files["vae"].local(models_dir()).unlink()
    finding = doctor.models()
    assert finding.status == "warn" and "small lacks vae" in finding.text and "models get" in finding.fix


def test_rendering_can_be_told_the_folder_and_the_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, object] = {}

    def render(source: str, output: Path, values: Snapshot, *rest: object, **more: object) -> None:
        seen.update(pipeline=values["engine.pipeline"], folder=models_dir())
        raise registry.WeightsError("stop here")

    monkeypatch.setattr("engine.render.render", render)
    words = ["render", "demo", "-o", str(tmp_path / "o.mp4"), "--models", str(tmp_path)]
    assert main([*words, "--pipeline", "pocket"]) == MISUSED
    assert seen == {"pipeline": "pocket", "folder": tmp_path}
    assert models_dir() != tmp_path

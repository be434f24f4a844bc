"""Fetching model files with the real client from a hub on this machine: whole, checked, or not at all."""

import dataclasses
import datetime
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.core.errors import WeightsError
from engine.model import registry
from engine.model.download import (
    SPARE,
    STAGING,
    HuggingFaceHub,
    Remote,
    digest,
    download,
    free_bytes,
    in_words,
)
from engine.model.licences import accept, record, record_file, text_id
from tests.tiny_hub import LICENCE, WEIGHTS, TinyHub, files_below, model_file

CONFIG = b'{"dim": 4}'


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[TinyHub]:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1024)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setenv("HF_TOKEN", "")
    with TinyHub({"maker/model/weights/model.pt": WEIGHTS, "maker/model/config.json": CONFIG}) as tiny:
        yield tiny


def test_a_file_arrives_whole_and_nothing_else_is_left(hub: TinyHub, tmp_path: Path) -> None:
    told: list[str] = []
    client = HuggingFaceHub(tmp_path, endpoint=hub.address)
    placed = download([model_file()], tmp_path, client, tell=told.append)
    assert placed == [tmp_path / "maker/model/weights/model.pt"]
    assert placed[0].read_bytes() == WEIGHTS
    assert files_below(tmp_path) == ["maker/model/weights/model.pt"]
    assert told == ["weights/model.pt (102 kB) from maker/model"]
    asked = len(hub.asked)
    assert download([model_file()], tmp_path, client) == [], "what is there is not fetched again"
    assert len(hub.asked) == asked


def test_an_interrupted_download_goes_on_where_it_stopped(hub: TinyHub, tmp_path: Path) -> None:
    hub.cut_after = 50_000
    client = HuggingFaceHub(tmp_path, endpoint=hub.address)
    with pytest.raises(WeightsError) as error:
        download([model_file()], tmp_path, client)
    assert "weights/model.pt" in error.value.what and "what has arrived is kept" in error.value.fix
    assert not model_file().is_present(tmp_path), "half a file is not there"
    kept = list((tmp_path / STAGING).rglob("*.part"))
    arrived = kept[0].stat().st_size
    assert len(kept) == 1 and 0 < arrived <= 50_000
    hub.heal()
    hub.asked.clear()
    placed = download([model_file()], tmp_path, client)
    ranges = [wanted for method, _, wanted in hub.asked if method == "GET"]
    assert ranges == [f"bytes={arrived}-"], "only the rest was fetched"
    assert placed[0].read_bytes() == WEIGHTS
    assert files_below(tmp_path) == ["maker/model/weights/model.pt"]


def test_large_files_come_from_another_host_which_gets_no_token(
    hub: TinyHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.elsewhere.add("maker/model/weights/model.pt")
    client = HuggingFaceHub(tmp_path, endpoint=hub.address)
    assert client.facts(model_file()) == Remote(len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
    assert download([model_file()], tmp_path, client)[0].read_bytes() == WEIGHTS
    tokens = {host.partition(":")[0]: token for host, token in hub.tokens}
    assert tokens == {"127.0.0.1": "Bearer hf_secret", "localhost": None}


@pytest.mark.parametrize(
    ("served", "etag"),
    [
        (WEIGHTS[:-1] + b"!", None),  # another file under the expected name
        (WEIGHTS[:-1] + b"!", hashlib.sha256(WEIGHTS).hexdigest()),  # and the server says it is the right one
    ],
    ids=["other file", "lying server"],
)
def test_a_wrong_checksum_is_refused_and_removed(
    served: bytes, etag: str | None, hub: TinyHub, tmp_path: Path
) -> None:
    hub.files["maker/model/weights/model.pt"] = served
    if etag:
        hub.etags["maker/model/weights/model.pt"] = etag
    with pytest.raises(WeightsError, match="checksum differs"):
        download([model_file()], tmp_path, HuggingFaceHub(tmp_path, endpoint=hub.address))
    assert files_below(tmp_path) == []


def test_without_a_published_checksum_the_hubs_own_is_used(hub: TinyHub, tmp_path: Path) -> None:
    client = HuggingFaceHub(tmp_path, endpoint=hub.address)
    unknown = model_file(bytes=0, about=100_000, sha256="")
    assert client.facts(unknown) == Remote(len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
    hub.etags["maker/model/weights/model.pt"] = "0" * 64
    with pytest.raises(WeightsError, match="checksum differs"):
        download([unknown], tmp_path, client)
    assert files_below(tmp_path) == []


def test_small_files_are_checked_by_gits_checksum(hub: TinyHub, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(CONFIG)
    blob = digest(tmp_path / "config.json", git=True)
    assert blob == hashlib.sha1(b"blob 10\0" + CONFIG).hexdigest()
    hub.etags["maker/model/config.json"] = blob
    file = model_file("config.json", CONFIG, path="config.json", bytes=0, sha256="")
    client = HuggingFaceHub(tmp_path, endpoint=hub.address)
    assert download([file], tmp_path, client)[0].read_bytes() == CONFIG
    hub.etags["maker/model/config.json"] = "1" * 40
    file.local(tmp_path).unlink()
    with pytest.raises(WeightsError, match="checksum differs"):
        download([file], tmp_path, client)


def test_a_server_with_another_size_is_not_even_asked_for_the_file(hub: TinyHub, tmp_path: Path) -> None:
    hub.files["maker/model/weights/model.pt"] = WEIGHTS + b"more"
    with pytest.raises(WeightsError, match="102404 bytes, and 102400 are expected"):
        download([model_file()], tmp_path, HuggingFaceHub(tmp_path, endpoint=hub.address))
    assert all(method == "HEAD" for method, _, _ in hub.asked)


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(hub: TinyHub, tmp_path: Path) -> None:
    client = HuggingFaceHub(tmp_path, endpoint=hub.address)
    with pytest.raises(WeightsError) as error:
        download([model_file()], tmp_path, client, free=lambda path: SPARE + len(WEIGHTS) - 1)
    assert "102 kB are needed" in error.value.what and "CUELIGHT_MODELS" in error.value.fix
    assert all(method == "HEAD" for method, _, _ in hub.asked) and files_below(tmp_path) == []
    download([model_file()], tmp_path, client, free=lambda path: SPARE + len(WEIGHTS))
    assert model_file().is_present(tmp_path)


def test_what_has_arrived_needs_no_room_again(hub: TinyHub, tmp_path: Path) -> None:
    hub.cut_after = 50_000
    client = HuggingFaceHub(tmp_path, endpoint=hub.address)
    with pytest.raises(WeightsError):
        download([model_file()], tmp_path, client)
    hub.heal()
    download([model_file()], tmp_path, client, free=lambda path: SPARE + len(WEIGHTS) - 45_000)
    assert model_file().is_present(tmp_path)


def test_without_a_connection_one_is_told_where_to_put_the_file(tmp_path: Path) -> None:
    client = HuggingFaceHub(tmp_path, endpoint="http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(WeightsError) as error:
        download([model_file()], tmp_path, client)
    assert "no connection" in error.value.what
    assert str(tmp_path / "maker/model/weights/model.pt") in error.value.fix
    assert "https://huggingface.co/maker/model/resolve/main/weights/model.pt" in error.value.fix
    assert "cuelight models import" in error.value.fix
    assert files_below(tmp_path) == []


def test_offline_mode_of_the_client_is_told_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: True)
    with pytest.raises(WeightsError, match="no connection"):
        download([model_file()], tmp_path, HuggingFaceHub(tmp_path, endpoint="http://127.0.0.1:9"))


def test_a_file_that_is_gone_or_gated_is_told(hub: TinyHub, tmp_path: Path) -> None:
    client = HuggingFaceHub(tmp_path, endpoint=hub.address)
    gone = model_file("gone.pt", mirror="other/copy")
    with pytest.raises(WeightsError) as error:
        download([gone], tmp_path, client)
    assert "not published" in error.value.what and "--mirror" in error.value.fix
    hub.files["other/copy/weights/gone.pt"] = WEIGHTS
    mirrored = HuggingFaceHub(tmp_path, endpoint=hub.address, mirror=True)
    assert download([gone], tmp_path, mirrored) == [tmp_path / "maker/model/weights/gone.pt"]
    hub.gated.add("maker/model/weights/model.pt")
    with pytest.raises(WeightsError, match="logged in") as error:
        download([model_file()], tmp_path, client)
    assert "HF_TOKEN" in error.value.fix


def test_a_file_that_is_not_on_the_hub_is_fetched_by_hand(tmp_path: Path) -> None:
    file = model_file(url="https://example.org/model.pt")
    with pytest.raises(WeightsError, match="not on the hub") as error:
        download([file], tmp_path, HuggingFaceHub(tmp_path))
    assert "https://example.org/model.pt" in error.value.fix and str(file.local(tmp_path)) in error.value.fix


def test_a_folder_that_cannot_be_written_is_told(hub: TinyHub, tmp_path: Path) -> None:
    (tmp_path / "maker").write_text("a file where a folder belongs")
    with pytest.raises(WeightsError, match="cannot be written"):
        download([model_file()], tmp_path, HuggingFaceHub(tmp_path, endpoint=hub.address))


def test_one_file_after_the_other_and_the_first_ones_stay(hub: TinyHub, tmp_path: Path) -> None:
    config = model_file("config.json", CONFIG, path="config.json")
    hub.files["maker/model/weights/model.pt"] = b"?" * len(WEIGHTS)
    with pytest.raises(WeightsError, match="checksum"):
        download([config, model_file()], tmp_path, HuggingFaceHub(tmp_path, endpoint=hub.address))
    assert files_below(tmp_path) == ["maker/model/config.json"]


def test_the_client_is_loaded_only_when_something_is_fetched() -> None:
    script = (
        "import sys; import engine.models; from engine.model import registry; registry.load()\n"
        "assert not {'huggingface_hub', 'httpx', 'torch'} & set(sys.modules), 'loaded too early'"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_sizes_in_words_and_free_bytes(tmp_path: Path) -> None:
    assert [in_words(n) for n in (0, 249, 6623, 45_301_802, 5_676_334_208)] == [
        "0 bytes",
        "249 bytes",
        "6.62 kB",
        "45.3 MB",
        "5.68 GB",
    ]
    assert free_bytes(tmp_path / "not" / "yet") > 0


def test_a_licence_is_shown_and_asked_for_once() -> None:
    asked: list[str] = []
    told: list[str] = []

    def yes(question: str) -> str:
        asked.append(question)
        return " Yes "

    day = datetime.date(2026, 11, 21)
    accept([model_file(), model_file("b.pt")], ask=yes, tell=told.append, today=day)
    assert len(asked) == 1 and "You may test." in "\n".join(told) and "maker/model" in told[0]
    assert [line.date for line in record()] == ["2026-11-21"]
    assert json.loads(record_file().read_text())[0]["text_id"] == text_id(LICENCE)
    accept([model_file()], ask=yes, tell=told.append)
    assert len(asked) == 1, "asked once"
    accept([model_file(repository="maker/other")], ask=yes, tell=told.append)
    changed = dataclasses.replace(LICENCE, text="You may test on Sundays.")
    accept([model_file(licence=changed)], ask=yes, tell=told.append)
    assert len(asked) == 3 and len(record()) == 3, "another maker, or another text, is asked for again"


@pytest.mark.parametrize("answer", ["no", "y", "", "yes please"])
def test_any_other_answer_is_no(answer: str) -> None:
    with pytest.raises(WeightsError, match="not accepted"):
        accept([model_file()], ask=lambda question: answer, tell=lambda line: None)
    assert record() == []


def test_nobody_to_ask_is_no_and_accept_stands_for_yes() -> None:
    def nobody(question: str) -> str:
        raise EOFError

    with pytest.raises(WeightsError) as error:
        accept([model_file()], ask=nobody, tell=lambda line: None)
    assert "--accept" in error.value.fix
    told: list[str] = []
    accept([model_file()], ask=nobody, tell=told.append, agreed=True)
    assert told and len(record()) == 1, "shown and recorded all the same"


def test_a_damaged_record_asks_again() -> None:
    record_file().parent.mkdir(parents=True)
    record_file().write_text("[{]")
    assert record() == []
    accept([model_file()], ask=lambda question: "yes", tell=lambda line: None)
    assert len(record()) == 1


def test_the_bundled_rows_can_all_be_asked_for(hub: TinyHub, tmp_path: Path) -> None:
    # Each row's address is one the hub understands: the tiny hub answers that it has no such file.
    client = HuggingFaceHub(tmp_path, endpoint=hub.address)
    for file in registry.load().files.values():
        if not file.url:
            with pytest.raises(WeightsError, match="not published"):
                client.facts(file)

"""The public models' text encoder as one face: files, placement, the store, and shows without the encoder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.core.errors import EngineError, WeightsError
from engine.model import umt5_encoder as module
from engine.model.embedding_store import EmbeddingStore
from engine.model.text import MAX_CHARACTERS, TextEncoder
from engine.model.tokenizer import PromptTokenizer
from engine.model.umt5 import Umt5
from engine.model.umt5_encoder import EncoderFiles, Placement, Umt5Encoder, encoder_files
from tests.checkpoint_factory import WRITERS, Tiny

CPU = torch.device("cpu")
WIDTH = Tiny().text_dim
PROMPT = "  the golden\tdancer "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    WRITERS["umt5_fp8"](tmp_path / "t5.safetensors", Tiny())
    WRITERS["umt5_bf16"](tmp_path / "t5.pth", Tiny())
    WRITERS["tokenizer"](tmp_path / "tokenizer.json", Tiny())
    return tmp_path


def files(folder: Path, name: str = "t5.safetensors") -> EncoderFiles:
    return encoder_files(folder / name, folder, WIDTH)


def encoder(
    folder: Path,
    name: str = "t5.safetensors",
    *,
    store: EmbeddingStore | None = None,
    placement: Placement = "gpu",
    text_len: int = 512,
) -> Umt5Encoder:
    return Umt5Encoder(
        files(folder, name), width=WIDTH, device=CPU, store=store, placement=placement, text_len=text_len
    )


@pytest.mark.parametrize("name", ["t5.safetensors", "t5.pth"])
def test_both_public_formats_encode(name: str, folder: Path) -> None:
    face: TextEncoder = encoder(folder, name)
    made = face.encode(PROMPT)
    assert made.text == PROMPT
    assert made.embeddings.dtype == torch.float32 and made.embeddings.isfinite().all()
    tokens = PromptTokenizer(folder).tokens("the golden dancer", 512)
    assert made.embeddings.shape == (1, len(tokens.ids), WIDTH)
    assert (made.known, made.ignored) == (("the", "golden", "dancer"), ())
    assert torch.equal(face.encode("the golden dancer").embeddings, made.embeddings)
    assert not torch.equal(face.encode("the silver dancer").embeddings[:, :1], made.embeddings[:, :1])


def test_an_empty_prompt_is_one_row_and_knows_nothing(folder: Path) -> None:
    made = encoder(folder).encode(" ")
    assert made.embeddings.shape == (1, 1, WIDTH)
    assert (made.known, made.ignored) == ((), ())


def test_what_is_cut_is_named(folder: Path) -> None:
    made = encoder(folder, text_len=4).encode("the gold of fire")
    assert made.embeddings.shape == (1, 4, WIDTH)
    assert made.known == ("the", "gold")
    assert made.ignored == ("(longer than 4 tokens, cut before: of fire)",)


def test_a_prompt_without_end_is_cut_and_says_so(folder: Path) -> None:
    made = encoder(folder).encode("gold " * MAX_CHARACTERS)
    assert made.embeddings.shape[1] == 512
    assert made.ignored[-1] == f"(everything after {MAX_CHARACTERS} characters)" and len(made.ignored) == 2


def test_placement_says_whether_the_network_stays(folder: Path) -> None:
    rows: tuple[tuple[Placement, bool], ...] = (("gpu", True), ("cpu", True), ("unload", False))
    for placement, stays in rows:
        made = encoder(folder, placement=placement)
        assert not made.loaded
        first = made.encode("fire").embeddings
        assert made.loaded is stays
        assert torch.equal(made.encode("fire").embeddings, first)
        made.release()
        assert not made.loaded
        assert torch.equal(made.encode("fire").embeddings, first)


def test_weights_stay_as_they_are_stored(folder: Path) -> None:
    network = module.load_umt5(folder / "t5.safetensors", CPU)
    stored = load_file(folder / "t5.safetensors")
    assert {key: value.dtype for key, value in network.state_dict().items()} == {
        key: value.dtype for key, value in stored.items()
    }
    assert not any(weight.requires_grad for weight in network.parameters())


def test_eight_bits_go_where_the_device_knows_them(folder: Path) -> None:
    mps, cuda = torch.device("mps"), torch.device("cuda")
    small, large = files(folder), files(folder, "t5.pth")
    assert Umt5Encoder(small, width=WIDTH, device=mps).device == CPU
    assert Umt5Encoder(large, width=WIDTH, device=mps).device == mps
    assert Umt5Encoder(small, width=WIDTH, device=cuda).device == cuda
    assert Umt5Encoder(small, width=WIDTH, device=cuda, placement="cpu").device == CPU


def test_a_prepared_show_needs_neither_network_nor_tokenizer(folder: Path, tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path / "prompts")
    prepared = encoder(folder, store=store, text_len=4).encode("the gold of fire")
    for name in ("t5.safetensors", "t5.pth", "tokenizer.json"):
        (folder / name).unlink()
    laptop = Umt5Encoder(
        None, width=WIDTH, device=CPU, store=EmbeddingStore(tmp_path / "prompts"), text_len=4
    )
    played = laptop.encode(" the  gold of fire")
    assert torch.equal(played.embeddings, prepared.embeddings)
    assert (played.known, played.ignored) == (prepared.known, prepared.ignored)
    assert not laptop.loaded


def test_a_prompt_that_is_not_prepared_is_named_with_the_fix(tmp_path: Path) -> None:
    laptop = Umt5Encoder(None, width=WIDTH, device=CPU, store=EmbeddingStore(tmp_path / "prompts"))
    with pytest.raises(EngineError, match="'a silver dancer' is not prepared") as caught:
        laptop.encode("a silver dancer")
    assert "cuelight models get" in caught.value.fix and str(tmp_path / "prompts") in caught.value.fix
    with pytest.raises(EngineError, match="x…' is not prepared"):
        Umt5Encoder(None, width=WIDTH, device=CPU).encode("x" * 5000)


def test_a_stored_prompt_does_not_load_the_network(folder: Path, tmp_path: Path) -> None:
    encoder(folder, store=EmbeddingStore(tmp_path / "prompts")).encode(PROMPT)
    again = encoder(folder, store=EmbeddingStore(tmp_path / "prompts"))
    again.encode(PROMPT)
    assert not again.loaded
    other = encoder(folder, "t5.pth", store=EmbeddingStore(tmp_path / "prompts"))
    other.encode(PROMPT)
    assert other.loaded  # another encoder's embeddings are not taken for its own


def test_the_digest_tells_encoders_and_tokenizers_apart(folder: Path) -> None:
    first = files(folder).digest
    assert files(folder).digest == first != files(folder, "t5.pth").digest
    tensors = load_file(folder / "t5.safetensors")
    tensors["norm.weight"] += 1
    save_file(tensors, folder / "t5.safetensors")
    second = files(folder).digest
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + " ")
    assert len({first, second, files(folder).digest}) == 3


def test_the_wrong_files_are_refused_before_anything_is_loaded(folder: Path) -> None:
    with pytest.raises(WeightsError, match="gives 16 channels per token, the pipeline reads 4096"):
        encoder_files(folder / "t5.pth", folder, 4096)
    with pytest.raises(WeightsError, match="does not exist"):
        encoder_files(folder / "none.safetensors", folder, WIDTH)
    with pytest.raises(WeightsError, match=r"Tokenizer file .*tokenizer\.json does not exist"):
        encoder_files(folder / "t5.pth", folder / "elsewhere", WIDTH)
    tensors = load_file(folder / "t5.safetensors")
    save_file(tensors | {"blocks.0.attn.q.scale_weight": torch.ones(1)}, folder / "scaled.safetensors")
    with pytest.raises(WeightsError, match=r"scaled\.safetensors: unexpected blocks\.0\.attn\.q\.scale"):
        files(folder, "scaled.safetensors")
    save_file({"shared.weight": torch.ones(2, 2)}, folder / "other.safetensors")
    with pytest.raises(WeightsError, match="no UMT5 encoder with the public names"):
        files(folder, "other.safetensors")


def test_a_vocabulary_that_does_not_fit_is_refused(folder: Path) -> None:
    tensors = load_file(folder / "t5.safetensors")
    tensors["token_embedding.weight"] = tensors["token_embedding.weight"][:5].contiguous()
    save_file(tensors, folder / "few.safetensors")
    with pytest.raises(WeightsError, match="knows more words than the 5 of the encoder"):
        encoder(folder, "few.safetensors").encode("gold")


def test_damaged_weights_say_so_at_the_prompt_and_leave_nothing_loaded(folder: Path) -> None:
    tensors = load_file(folder / "t5.safetensors")
    tensors["norm.weight"][0] = torch.nan
    save_file(tensors, folder / "nan.safetensors")
    broken = encoder(folder, "nan.safetensors")
    with pytest.raises(WeightsError, match=r"nan\.safetensors: norm\.weight"):
        broken.encode("gold")
    assert not broken.loaded


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the threads that loaded the network."""
    loads: list[str] = []
    load = module.load_umt5

    def recorded(weights: Path, device: torch.device) -> Umt5:
        loads.append(threading.current_thread().name)
        return load(weights, device)

    monkeypatch.setattr(module, "load_umt5", recorded)
    yield loads


def test_threads_share_one_network(folder: Path, counted: list[str]) -> None:
    made = encoder(folder, store=EmbeddingStore(folder / "prompts"))
    texts = ["gold", "silver", "fire", "the dancer"] * 4
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda text: made.encode(text).embeddings, texts))
    assert len(counted) == 1
    for index, text in enumerate(texts):
        assert torch.equal(rows[index], encoder(folder).encode(text).embeddings)

"""Every public file format, tiny, loads strictly into our networks: the first time, and only as a whole."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.core.errors import WeightsError
from engine.model import registry
from engine.model.checkpoint import ENTRIES, Checkpoint, open_checkpoint
from engine.model.lora import merge_builtin
from engine.model.lora_file import read_lora
from engine.model.registry import ModelFile, Registry
from engine.model.sizes import arch_of, read_config
from engine.model.spec import Arch
from engine.model.tokenizer import PromptTokenizer
from engine.model.umt5 import Umt5, umt5_arch
from engine.model.umt5_encoder import Umt5Encoder, encoder_files
from engine.model.vae import VAEKind, load_vae
from engine.model.wan import CausalWan
from engine.model.weights import load_strict, on_meta
from tests.checkpoint_factory import PIECES, TINY, WRITERS, write_file, write_full_vace, write_models

PIPELINES = (
    "longlive",
    "streamdiffusionv2",
    "memflow",
    "reward_forcing",
    "krea",
    "self_forcing",
    "causal_forcing",
)
VACE = ("vace_blocks.", "vace_patch_embedding.")
ARCH = Arch(
    dim=TINY.dim, ffn_dim=TINY.ffn_dim, heads=TINY.heads, layers=TINY.layers, vace_layers=(0, 2),
    text_len=TINY.text_len, text_dim=TINY.text_dim, freq_dim=TINY.freq_dim,
)  # fmt: skip


def opened(file: ModelFile, models: Path) -> Checkpoint:
    return open_checkpoint(file.local(models), entry=(file.entry, *ENTRIES))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    for pipeline in PIPELINES:
        write_models(folder, pipeline)
    yield folder


@pytest.fixture(scope="module")
def known(home: Path) -> Registry:
    return registry.load(home / "config" / registry.FILE_NAME)


def test_the_files_of_every_pipeline_are_in_place(home: Path, known: Registry) -> None:
    assert {*PIPELINES, "pocket"} == set(known.pipelines)
    for pipeline in PIPELINES:
        assert known.missing(known.files_of(pipeline), home / "models") == {}


def test_every_model_file_of_the_table_can_be_written() -> None:
    rows = registry.load().files
    annotators = {"depth_small", "scribble_net", "raft_small", "raft_large"}
    assert WRITERS.keys() == rows.keys() - annotators


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_transformer_and_vace_load_strictly(home: Path, known: Registry, pipeline: str) -> None:
    files, models = known.files_of(pipeline), home / "models"
    with opened(files["dit"], models) as dit, opened(files["vace"], models) as vace:
        arch = arch_of(dit.shapes, vace.shapes, read_config(files["config"].local(models)))
        assert arch == ARCH
        network = on_meta(lambda: CausalWan(arch))
        load_strict(network, dit, vace)
        for key, value in network.state_dict().items():
            source = vace if key.startswith(VACE) else dit
            assert torch.equal(value, source.tensor(key).float())
    with torch.no_grad():
        flow = network(torch.ones(1, 1, 16, 4, 4), torch.full((1, 1), 500.0), torch.ones(1, 3, TINY.text_dim))
    assert flow.isfinite().all() and flow.std() > 0.01


def test_each_pipeline_has_weights_of_its_own(home: Path, known: Registry) -> None:
    firsts = set()
    for pipeline in PIPELINES:
        with opened(known.files_of(pipeline)["dit"], home / "models") as dit:
            firsts.add(dit.tensor("patch_embedding.weight").flatten()[0].item())
    assert len(firsts) == len(PIPELINES)


def test_self_forcing_runs_the_averaged_weights(home: Path, known: Registry) -> None:
    file = known.files_of("self_forcing")["dit"]
    path = file.local(home / "models")
    with (
        opened(file, home / "models") as chosen,
        open_checkpoint(path, entry=("generator_ema",)) as averaged,
        open_checkpoint(path, entry=("generator",)) as plain,
    ):
        key = "blocks.1.ffn.0.weight"
        assert torch.equal(chosen.tensor(key), averaged.tensor(key))
        assert not torch.equal(chosen.tensor(key), plain.tensor(key))


@pytest.mark.parametrize("pipeline", ["longlive", "memflow"])
def test_adapters_are_merged_whole(home: Path, known: Registry, pipeline: str) -> None:
    files, models = known.files_of(pipeline), home / "models"
    network = on_meta(lambda: CausalWan(replace(ARCH, vace_layers=())))
    with opened(files["dit"], models) as dit, opened(files["adapter"], models) as adapter:
        load_strict(network, dit)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        lora = read_lora(adapter)
        assert lora.unknown == () and len(lora.low_rank) == 10 * TINY.layers
        merge_builtin(network, lora)
        down = adapter.tensor("base_model.model.blocks.3.ffn.2.lora_A.weight")
        up = adapter.tensor("base_model.model.blocks.3.ffn.2.lora_B.weight")
    key = "blocks.3.ffn.2.weight"
    torch.testing.assert_close(network.state_dict()[key], before[key] + up @ down)
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == set(lora.low_rank)


def test_the_branch_is_taken_out_of_a_full_vace_checkpoint(tmp_path: Path) -> None:
    write_file("krea_dit", tmp_path / "dit.safetensors")
    index = write_full_vace(tmp_path / "vace")
    with open_checkpoint(tmp_path / "dit.safetensors") as dit, open_checkpoint(index) as full:
        with pytest.raises(WeightsError, match="already in another file"):
            load_strict(on_meta(lambda: CausalWan(ARCH)), dit, full)
        network = on_meta(lambda: CausalWan(ARCH))
        load_strict(network, dit, full.only(*VACE))
        assert torch.equal(network.get_parameter("head.head.bias"), dit.tensor("head.head.bias").float())


def test_a_vace_file_of_another_size_is_refused(home: Path, known: Registry, tmp_path: Path) -> None:
    write_file("vace_1_3b", tmp_path / "vace.safetensors", replace(TINY, dim=32))
    with (
        opened(known.files_of("longlive")["dit"], home / "models") as dit,
        open_checkpoint(tmp_path / "vace.safetensors") as vace,
        pytest.raises(WeightsError, match="The VACE file is 32 channels wide, the transformer 48"),
    ):
        arch_of(dit.shapes, vace.shapes, {"num_heads": TINY.heads})


KINDS: dict[VAEKind, str] = {
    "tae": "vae_tae",
    "lighttae": "vae_lighttae",
    "wan": "vae_wan",
    "lightvae": "vae_lightvae",
}


@pytest.mark.parametrize("kind", KINDS)
def test_autoencoders_load_strictly(tmp_path: Path, kind: VAEKind) -> None:
    path = tmp_path / "vae.pth"
    write_file(KINDS[kind], path)
    vae = load_vae(kind, path)
    with torch.no_grad():
        latents, _ = vae.encode(torch.zeros(1, 5, 3, 16, 16))
        video, _ = vae.decode(latents)
    assert latents.shape == (1, 2, 16, 2, 2)
    assert video.shape == (1, 5, 3, 16, 16) and video.isfinite().all()


def test_a_tae_file_with_longer_growing_layers_is_cut_to_their_last_rows(tmp_path: Path) -> None:
    path = tmp_path / "tae.pth"
    write_file("vae_tae", path)
    state = torch.load(path, weights_only=True)
    key = "decoder.7.conv.weight"
    torch.save(state | {key: torch.cat([torch.full_like(state[key], 9.0), state[key]])}, path)
    assert torch.equal(load_vae("tae", path).state_dict()[key], state[key])


@pytest.mark.parametrize(("id", "name"), [("umt5_fp8", "t5.safetensors"), ("umt5_bf16", "t5.pth")])
def test_text_encoders_load_strictly_as_they_are_stored(tmp_path: Path, id: str, name: str) -> None:
    write_file(id, tmp_path / name)
    with open_checkpoint(tmp_path / name) as checkpoint:
        encoder = on_meta(lambda: Umt5(umt5_arch(checkpoint.shapes)))
        load_strict(encoder, checkpoint, dtype=None)
        assert {key: value.dtype for key, value in encoder.state_dict().items()} == dict(checkpoint.dtypes)
    eight_bit = encoder.get_parameter("blocks.0.attn.q.weight").dtype == torch.float8_e4m3fn
    assert eight_bit == (id == "umt5_fp8")
    assert encoder.get_parameter("token_embedding.weight").dtype == torch.bfloat16
    with torch.no_grad():
        embedded = encoder(torch.tensor([[5, 6, 1]]))
    assert embedded.shape == (1, 3, TINY.text_dim) and embedded.isfinite().all()


@pytest.mark.parametrize("text", ["fp8", "bf16"])
def test_a_prompt_is_encoded_by_the_installed_files(tmp_path: Path, text: str) -> None:
    models = write_models(tmp_path, "longlive", text=text)
    files = registry.load(tmp_path / "config" / registry.FILE_NAME).files_of("longlive", text=text)
    found = encoder_files(files["text"].local(models), files["tokenizer"].local(models).parent, TINY.text_dim)
    encoder = Umt5Encoder(found, width=TINY.text_dim, device=torch.device("cpu"))
    gold, silver = encoder.encode("the gold dancer"), encoder.encode("the silver dancer")
    assert gold.embeddings.shape == (1, 6, TINY.text_dim)  # ▁the ▁ gold ▁ dancer </s>
    assert not torch.equal(gold.embeddings, silver.embeddings)


def test_the_tokenizer_cuts_prompts_into_known_pieces(home: Path, known: Registry) -> None:
    folder = known.files_of("longlive")["tokenizer"].local(home / "models").parent
    tokens = PromptTokenizer(folder).tokens("the gold dancer", most=16)
    pieces = [PIECES[id][0] for id in tokens.ids]
    assert "".join(pieces) == "▁the▁gold▁dancer</s>" and pieces[0] == "▁the"
    assert max(tokens.ids) < len(PIECES)


def test_the_same_call_writes_the_same_files(tmp_path: Path) -> None:
    for id, name in (
        ("krea_dit", "x.safetensors"),
        ("tokenizer", "tokenizer.json"),
        ("tokenizer_model", "s.model"),
    ):
        write_file(id, tmp_path / "a" / name)
        write_file(id, tmp_path / "b" / name)
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()

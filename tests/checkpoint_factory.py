"""Writes a models folder such as a download leaves it, with every public file in its own format, only tiny.

Names, shapes and number types come from the manifests of the public files, made smaller by a table of their
sizes, never from our own networks: what loads here would load at the real size. Numbers are made from names,
so the same call always writes the same files.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor

from engine.core.paths import assets_dir
from engine.model import registry
from engine.parity.golden import fill

MANIFESTS = Path(__file__).parent / "golden" / "manifests"


@dataclass(frozen=True)
class Tiny:
    """Sizes of the small files. The public ratio of blocks to VACE blocks need not be kept."""

    dim: int = 48
    ffn_dim: int = 64
    heads: int = 2
    layers: int = 4
    vace_blocks: int = 2
    rank: int = 4
    freq_dim: int = 16
    text_dim: int = 16
    text_len: int = 64
    t5_ffn_dim: int = 24
    t5_heads: int = 4
    t5_layers: int = 2


TINY = Tiny()


def write_models(
    home: Path, pipeline: str, *, vae: str = "tae", text: str = "fp8", sizes: Tiny = TINY
) -> Path:
    """Write all files of a pipeline below `home`/models and the table that names them; returns that folder.

    `vae` and `text` as in `Registry.files_of`. With CUELIGHT_HOME=`home` the pipeline is installed.
    """
    table = home / "config" / registry.FILE_NAME
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(_unsized((assets_dir() / registry.FILE_NAME).read_text("utf-8")), "utf-8")
    known = registry.load(table)
    for file in known.files_of(pipeline, vae=vae, text=text).values():
        write_file(file.id, file.local(home / "models"), sizes)
    return home / "models"


def write_file(id: str, path: Path, sizes: Tiny = TINY) -> None:
    """Write one public file, by its id in assets/models.toml."""
    path.parent.mkdir(parents=True, exist_ok=True)
    WRITERS[id](path, sizes)


def _unsized(table: str) -> str:
    """The table of public files without their sizes and checksums, which tiny files do not have."""
    return re.sub(r'(?m)^sha256 = ".*"\n', "", re.sub(r"(?m)^bytes = \d+", "bytes = 0", table))


def public_state(
    manifest: str, smaller: Mapping[int, int], blocks: Mapping[str, int], salt: int
) -> dict[str, Tensor]:
    """A public file's tensors with `smaller` sizes and fewer `blocks` (by prefix), in its own number type."""
    entries: dict[str, tuple[list[int], str]] = json.loads((MANIFESTS / f"{manifest}.json").read_text())
    state = {}
    for key, (shape, dtype) in entries.items():
        if not any(_beyond(key, prefix, count) for prefix, count in blocks.items()):
            size = tuple(smaller.get(length, length) for length in shape)
            state[key] = fill(key.removeprefix("model."), size, salt).to(getattr(torch, dtype))
    return state


def _beyond(key: str, prefix: str, count: int) -> bool:
    found = re.search(rf"(?:^|\.){re.escape(prefix)}(\d+)\.", key)
    return found is not None and int(found[1]) >= count


# ---------------------------------------------------------------------------------- transformers, VACE, LoRA


def _dit(sizes: Tiny, manifest: str = "longlive_1.3B_base_generator", salt: int = 1) -> dict[str, Tensor]:
    smaller = {
        **dict.fromkeys((1536, 5120), sizes.dim),
        **dict.fromkeys((8960, 13824), sizes.ffn_dim),
        **dict.fromkeys((9216, 30720), 6 * sizes.dim),
        4096: sizes.text_dim,
        256: sizes.freq_dim,
    }
    return public_state(manifest, smaller, {"blocks.": sizes.layers}, salt)


def _vace(sizes: Tiny, manifest: str) -> dict[str, Tensor]:
    smaller = {
        **dict.fromkeys((1536, 5120), sizes.dim),
        **dict.fromkeys((8960, 13824), sizes.ffn_dim),
    }
    return public_state(manifest, smaller, {"vace_blocks.": sizes.vace_blocks}, salt=2)


def _adapter(sizes: Tiny, salt: int = 3) -> dict[str, Tensor]:
    smaller = {1536: sizes.dim, 8960: sizes.ffn_dim, 256: sizes.rank}
    state = public_state("longlive_1.3B_lora_generator_lora", smaller, {"blocks.": sizes.layers}, salt)
    return {key: value.float() for key, value in state.items()}


def _fsdp(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names as sharded training leaves them."""
    pattern = re.compile(r"^model\.(blocks\.\d+\.)?")
    return {
        pattern.sub(
            lambda m: f"model._fsdp_wrapped_module.{m[1] or ''}" + "_fsdp_wrapped_module." * bool(m[1]), key
        ): value
        for key, value in state.items()
    }


def _longlive(path: Path, sizes: Tiny) -> None:
    torch.save({"generator": _dit(sizes)}, path)


def _longlive_adapter(path: Path, sizes: Tiny) -> None:
    torch.save(
        {"generator_lora": _adapter(sizes), "critic_lora": _adapter(sizes, salt=4), "step": 3000}, path
    )


def _streamdiffusionv2(path: Path, sizes: Tiny) -> None:
    torch.save({"generator": _dit(sizes, salt=5), "critic": {}}, path)


def _memflow(path: Path, sizes: Tiny) -> None:
    torch.save({"generator": _dit(sizes, salt=6), "step": 1}, path)


def _memflow_adapter(path: Path, sizes: Tiny) -> None:
    """Flat: the other of the two forms in which such adapters are found."""
    torch.save(_adapter(sizes, salt=7), path)


def _reward_forcing(path: Path, sizes: Tiny) -> None:
    torch.save(_dit(sizes, salt=8), path)


def _krea(path: Path, sizes: Tiny) -> None:
    state = _dit(sizes, "krea_realtime_video_14B", salt=9)
    save_file({key: value.bfloat16() for key, value in state.items()}, path, {"format": "pt"})


def _self_forcing(path: Path, sizes: Tiny) -> None:
    plain, averaged = _dit(sizes, salt=10), _dit(sizes, salt=11)
    torch.save({"generator": _fsdp(plain), "generator_ema": _fsdp(averaged), "step": 600}, path)


def _framewise(path: Path, sizes: Tiny) -> None:
    torch.save({"generator_ema": _fsdp(_dit(sizes, salt=12))}, path)


def _vace_module_1_3b(path: Path, sizes: Tiny) -> None:
    save_file(_vace(sizes, "wan2.1_vace_1.3B_context_blocks"), path, {"format": "pt"})


def _vace_module_14b(path: Path, sizes: Tiny) -> None:
    save_file(_vace(sizes, "wan2.1_vace_14B_context_blocks"), path, {"format": "pt"})


def write_full_vace(folder: Path, sizes: Tiny = TINY) -> Path:
    """A complete VACE checkpoint as its authors publish it: transformer and branch, in indexed shards."""
    folder.mkdir(parents=True, exist_ok=True)
    state = _dit(sizes, "wan2.1_t2v_14B_dit", salt=13) | _vace(sizes, "wan2.1_vace_14B_context_blocks")
    keys = sorted(state)
    half = len(keys) // 2
    where: dict[str, str] = {}
    for number, part in enumerate((keys[:half], keys[half:]), 1):
        name = f"diffusion_pytorch_model-{number:05}-of-00002.safetensors"
        save_file({key: state[key] for key in part}, folder / name, {"format": "pt"})
        where |= dict.fromkeys(part, name)
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": where}))
    return index


def _config(path: Path, sizes: Tiny) -> None:
    config = {
        "_class_name": "WanModel", "_diffusers_version": "0.30.0", "dim": sizes.dim, "eps": 1e-06,
        "ffn_dim": sizes.ffn_dim, "freq_dim": sizes.freq_dim, "in_dim": 16, "model_type": "t2v",
        "num_heads": sizes.heads, "num_layers": sizes.layers, "out_dim": 16, "text_len": sizes.text_len,
    }  # fmt: skip
    path.write_text(json.dumps(config, indent=2))


# --------------------------------------------------------------------------------------------------- VAEs


def _vae(manifest: str, smaller: Mapping[int, int], salt: int) -> Callable[[Path, Tiny], None]:
    def write(path: Path, sizes: Tiny) -> None:
        torch.save(public_state(manifest, smaller, {}, salt), path)

    return write


_WAN_VAE = {96: 8, 192: 16, 384: 32, 768: 64, 1152: 96}
_LIGHT_VAE = {24: 4, 48: 8, 96: 16, 192: 32, 288: 48}
_TAE = {64: 8, 128: 16, 256: 32, 512: 64}


# --------------------------------------------------------------------------------------------------- text


def _t5(sizes: Tiny) -> dict[str, Tensor]:
    smaller = {
        256384: len(PIECES), 4096: sizes.text_dim, 10240: sizes.t5_ffn_dim, 64: sizes.t5_heads,
    }  # fmt: skip
    return public_state("umt5_xxl_encoder", smaller, {"blocks.": sizes.t5_layers}, salt=20)


def _umt5_bf16(path: Path, sizes: Tiny) -> None:
    torch.save(_t5(sizes), path)


def _umt5_fp8(path: Path, sizes: Tiny) -> None:
    """Linear layers in eight bits without scales, all else in bf16."""
    linear = re.compile(r"blocks\.\d+\.(attn|ffn)\.")
    state = {
        key: value.to(torch.float8_e4m3fn) if linear.match(key) else value
        for key, value in _t5(sizes).items()
    }
    save_file(state, path, {"format": "pt"})


SPECIAL = ("<pad>", "</s>", "<unk>")
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'-"
PIECES: tuple[tuple[str, float], ...] = (
    *((piece, 0.0) for piece in SPECIAL),
    ("▁", -2.0),
    *((piece, -4.0) for piece in ("▁a", "▁the", "▁of", "gold", "silver", "dancer", "fire", "ing")),
    *((letter, -6.0) for letter in _LETTERS),
)
"""The tokenizer's pieces with their scores: the special ones, a few words, every letter."""


def _tokenizer(path: Path, sizes: Tiny) -> None:
    tokenizer = Tokenizer(models.Unigram(list(PIECES), unk_id=2, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.add_special_tokens([AddedToken(piece, special=True) for piece in SPECIAL])
    tokenizer.save(str(path))


def _spiece(path: Path, sizes: Tiny) -> None:
    """The same pieces as SentencePiece's protobuf: repeated field 1 of (text, score, type)."""
    kinds = {"<pad>": 3, "</s>": 3, "<unk>": 2}  # control, control, unknown; 1 is normal
    rows = bytearray()
    for piece, score in PIECES:
        text = piece.encode()
        row = b"\x0a" + bytes([len(text)]) + text + b"\x15" + struct.pack("<f", score)
        row += b"\x18" + bytes([kinds.get(piece, 1)])
        rows += b"\x0a" + bytes([len(row)]) + row
    path.write_bytes(rows)


def _tokenizer_config(path: Path, sizes: Tiny) -> None:
    config = {
        "tokenizer_class": "T5Tokenizer", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>",
        "model_max_length": 1000000000000000019884624838656, "sp_model_kwargs": {},
    }  # fmt: skip
    path.write_text(json.dumps(config))


def _special_tokens(path: Path, sizes: Tiny) -> None:
    path.write_text(json.dumps({"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}))


WRITERS: dict[str, Callable[[Path, Tiny], None]] = {
    "longlive_dit": _longlive,
    "longlive_adapter": _longlive_adapter,
    "streamdiffusionv2_dit": _streamdiffusionv2,
    "memflow_dit": _memflow,
    "memflow_adapter": _memflow_adapter,
    "reward_forcing_dit": _reward_forcing,
    "krea_dit": _krea,
    "self_forcing_dit": _self_forcing,
    "causal_forcing_framewise": _framewise,
    "vace_1_3b": _vace_module_1_3b,
    "vace_14b": _vace_module_14b,
    "wan_1_3b_config": _config,
    "wan_14b_config": _config,
    "vae_wan": _vae("wan2.1_vae", _WAN_VAE, 30),
    "vae_lightvae": _vae("lightvaew2_1", _LIGHT_VAE, 31),
    "vae_tae": _vae("taew2_1", _TAE, 32),
    "vae_lighttae": _vae("lighttaew2_1", _TAE, 33),
    "umt5_fp8": _umt5_fp8,
    "umt5_bf16": _umt5_bf16,
    "tokenizer": _tokenizer,
    "tokenizer_model": _spiece,
    "tokenizer_config": _tokenizer_config,
    "tokenizer_special": _special_tokens,
}
"""Writers by the ids of assets/models.toml."""

"""From a pipeline's row to networks ready for a session: files found, sizes read, weights loaded strictly."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from engine.core.errors import WeightsError
from engine.core.paths import assets_dir, cache_dir, models_dir
from engine.model import registry
from engine.model.checkpoint import ENTRIES, open_checkpoint
from engine.model.embedding_store import EmbeddingStore
from engine.model.graphs import Graphs
from engine.model.hints import Passed, passed_of
from engine.model.kernels import USUAL, Chosen, choose
from engine.model.lora import merge_builtin
from engine.model.lora_file import read_lora
from engine.model.pipelines import PipelineSpec, pipeline_spec
from engine.model.quantize import quantize_blocks
from engine.model.saving import converted
from engine.model.schedule import Schedule
from engine.model.sizes import arch_of, read_config
from engine.model.tae import TAE
from engine.model.text import TextEncoder, VocabularyEncoder
from engine.model.umt5_encoder import EncoderFiles, Placement, Umt5Encoder, encoder_files
from engine.model.vae import VAE, VAEKind, load_vae
from engine.model.wan import CausalWan
from engine.model.weights import load_strict, on_meta

_log = logging.getLogger(__name__)

VACE = ("vace_blocks.", "vace_patch_embedding.")
VERDICTS = "hints.json"
KEPT_BYTES = 8 * 2**30
"""Up to this size the weights before quantisation stay in main memory, for chunks that must be exact."""
TEXT_ROLES = {"text", *registry.TOKENIZER_ROLES}


@dataclass(frozen=True)
class Choice:
    """What can be chosen when a public pipeline is loaded; a bundled one has it all decided.

    `fp8`: keep the blocks' large weights in 8 bits. `text_encoder`: where the encoder is between prompts.
    """

    vae: VAEKind = "tae"
    fp8: bool = False
    text_encoder: Placement = "gpu"


@dataclass(frozen=True)
class Installed:
    """A file in its place, and which dicts of a pickled one may hold the weights."""

    path: Path
    entry: tuple[str, ...]


@dataclass(frozen=True)
class Pipeline:
    """A loaded pipeline: its row and its networks, on one device in one precision.

    `passed`: which hint policies the gate let pass for these weights. `attention`: the kernel of its
    self-attention, and what was tried. `graphs`: where its sessions record their passes; None: nowhere.
    """

    spec: PipelineSpec
    dit: CausalWan
    vae: VAE
    text: TextEncoder
    schedule: Schedule
    device: torch.device
    dtype: torch.dtype
    passed: Passed = frozenset()
    attention: Chosen = USUAL
    graphs: Graphs | None = None


def best_device() -> tuple[torch.device, torch.dtype]:
    """The fastest device of this machine and the precision to use on it."""
    if torch.cuda.is_available():
        return torch.device("cuda"), torch.bfloat16
    if torch.backends.mps.is_available():
        return torch.device("mps"), torch.float32
    return torch.device("cpu"), torch.float32


def load_pipeline(name: str, choice: Choice | None = None) -> Pipeline:
    """Load a pipeline's weights, strictly: bundled ones, or those below `models_dir()`.

    Nothing is downloaded. Raises EngineError (unknown name) or WeightsError (missing or bad files, naming
    them).
    """
    spec = pipeline_spec(name)
    made = _bundled(spec) if spec.files is None else _public(spec, spec.files, choice or Choice())
    attention = choose(made.spec.arch.head_dim, made.device, made.dtype)
    for notice in attention.notices:
        _log.warning("%s", notice)
    return replace(made, passed=passed_of(made.dit, verdict_files(spec)), attention=attention)


def verdict_files(spec: PipelineSpec) -> tuple[Path, ...]:
    """Where it may be written what the gate said: beside bundled weights, and in the user's own file."""
    bundled = (assets_dir() / spec.bundled / VERDICTS,) if spec.bundled else ()
    return (*bundled, cache_dir() / VERDICTS)


def _bundled(spec: PipelineSpec) -> Pipeline:
    """A pipeline whose weights come with the program."""
    device, dtype = best_device()
    folder = assets_dir() / spec.bundled
    text = VocabularyEncoder.load(folder / "text.safetensors", spec.arch.text_dim, spec.arch.text_len)
    dit = on_meta(lambda: CausalWan(spec.arch))
    load_strict(dit, folder / "dit.safetensors", device=device, dtype=dtype)
    tae = on_meta(lambda: TAE(spec.tae))
    load_strict(tae, folder / "tae.safetensors", device=device, dtype=dtype)
    for network in (dit, tae):
        network.requires_grad_(False).eval()
    return Pipeline(spec, dit, tae, text, Schedule(spec.shift), device, dtype)


def _public(spec: PipelineSpec, files_name: str, choice: Choice) -> Pipeline:
    """A pipeline of downloaded files; its sizes are those of the files, which must agree with each other."""
    device, dtype = best_device()
    files = _installed(spec, files_name, choice.vae)
    dit = _transformer(files, device, dtype, choice.fp8)
    vae = load_vae(choice.vae, files["vae"].path, device=device, dtype=dtype, cache=True)
    text = Umt5Encoder(
        _encoder(files, dit.arch.text_dim),
        width=dit.arch.text_dim,
        device=device,
        text_len=dit.arch.text_len,
        placement=choice.text_encoder,
        store=EmbeddingStore(cache_dir() / "embeddings"),
    )
    spec = replace(spec, arch=dit.arch)
    return Pipeline(spec, dit, vae, text, Schedule(spec.shift), device, dtype)


def _installed(spec: PipelineSpec, name: str, vae: str) -> dict[str, Installed]:
    """The files of a pipeline by role. WeightsError naming those that are missing; text files may be.

    Any file in its place will do, of whatever size: publishers replace theirs, and what is in it is checked
    when it is loaded. `cuelight models verify` compares sizes and checksums.
    """
    models = models_dir()
    table = registry.load()
    encoders = [kind for kind, id in table.text.items() if table.files[id].found(models) is not None]
    files = table.files_of(name, vae=vae, text=[*encoders, *table.text][0])
    found = {role: place for role, file in files.items() if (place := file.found(models)) is not None}
    missing = [file.local(models) for role, file in files.items() if role not in {*found, *TEXT_ROLES}]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        get = f"cuelight models get {name}" + ("" if vae == "tae" else f" --vae {vae}")
        raise WeightsError(
            f"{spec.label} is not installed, missing: {missing[0]}{more}.",
            f"Get it with `{get}`, or import a copy with `cuelight models import`.",
        )
    return {
        role: Installed(place, (files[role].entry, *ENTRIES) if files[role].entry else ENTRIES)
        for role, place in found.items()
    }


def _transformer(
    files: Mapping[str, Installed], device: torch.device, dtype: torch.dtype, fp8: bool
) -> CausalWan:
    """The transformer with its VACE branch, its own adapter merged, quantised where asked for.

    To be quantised it is loaded on the host first: then it never lies on the device in full.
    """
    place = torch.device("cpu") if fp8 else device
    # In the number type that is used, and mapped into memory: from its second load on a pickled file need
    # not be looked through and cast again.
    main_file = converted(files["dit"].path, entry=files["dit"].entry, dtype=dtype)
    try:
        dit = _networks(main_file, files, place, dtype)
    except WeightsError:
        if main_file == files["dit"].path:
            raise
        dit = _networks(files["dit"].path, files, place, dtype)  # raises where the fault is another file's
        with suppress(OSError):  # the copy was damaged since: a new one is made the next time
            main_file.unlink()
    if "adapter" in files:
        with open_checkpoint(files["adapter"].path, entry=files["adapter"].entry) as adapter:
            merge_builtin(dit, read_lora(adapter, dit))
    if fp8:
        large = sum(weight.nbytes for weight in dit.parameters()) > KEPT_BYTES
        quantize_blocks(dit, originals="none" if large else "host", device=device)
        dit.to(device)
    return dit.requires_grad_(False).eval()


def _networks(
    main_file: Path, files: Mapping[str, Installed], place: torch.device, dtype: torch.dtype
) -> CausalWan:
    """The transformer in `main_file` and its branch."""
    with ExitStack() as opened:
        main = opened.enter_context(open_checkpoint(main_file, entry=files["dit"].entry))
        branch = opened.enter_context(open_checkpoint(files["vace"].path)).only(*VACE)
        arch = arch_of(main.shapes, branch.shapes, read_config(files["config"].path))
        dit = on_meta(lambda: CausalWan(arch))
        load_strict(dit, main, branch, device=place, dtype=dtype)
    return dit


def _encoder(files: Mapping[str, Installed], width: int) -> EncoderFiles | None:
    """The text encoder's files; None where they are not all there: prepared prompts play without them."""
    if not files.keys() >= TEXT_ROLES:
        return None
    return encoder_files(files["text"].path, files["tokenizer"].path.parent, width)

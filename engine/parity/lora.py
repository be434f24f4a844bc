"""Replays of LoRAs: files of every naming, played live and merged, and LongLive's own adapter.

The reference matches no key that begins with `base_model.model.` or `transformer.`, and forgets the alpha
of `diffusion_model.` files with lora_A and lora_B. The product plays all of them, each with its alpha; here
its files are cut down to what the reference made of them.
"""

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from engine.model.lora import LoraSlots, merge_builtin
from engine.model.lora_file import Lora, read_lora
from engine.model.lora_keys import wan_module
from engine.model.spec import Arch
from engine.model.wan import CausalWan
from engine.parity.dit import attend_with_padding
from engine.parity.documents import JsonGolden
from engine.parity.golden import Golden, Mismatch, filled

NOT_MATCHED = ("base_model.model.", "transformer.")
ALPHA_FORGOTTEN = ("diffusion_model.", ".lora_A.")

UNDERSCORED = "lora_unet_"
KEPT_TOGETHER = ("self_attn", "cross_attn")

FREQ_DIM = 256
"""The one size that the recordings take for granted."""


def replay_lora(golden: Golden) -> None:
    """Each file at each strength, live and merged; files without effect on the reference are named."""
    model = _model(golden, vace_layers=[])
    live, merged = LoraSlots(model), LoraSlots(model)
    golden.compare("flow.base", _flow(golden, model))
    for key in golden.keys("flow."):
        naming, _, strength = key.removeprefix("flow.").partition(".")
        if naming == "base":
            continue
        lora = _as_the_reference_reads(_file(golden, naming))
        for slots, is_live in ((live, True), (merged, False)):
            slots.set(1, lora, float(strength), is_live)
            slots.apply()
            golden.compare(key, _flow(golden, model))
            slots.strength(1, 0)
            slots.apply()
            golden.compare("flow.base", _flow(golden, model))
            slots.set(1, None)
            slots.apply()
    for what, effect in golden.meta("results").items():
        naming = what.partition("|")[0]
        if not golden.keys(f"flow.{naming}."):
            pairs = _as_the_reference_reads(_file(golden, naming)).low_rank
            golden.expect(f"the effect of {naming}", (effect, len(pairs)), (0.0, 0))


def replay_builtin(golden: Golden) -> None:
    """LongLive's own adapter merged into a model with and without the VACE branch."""
    adapter = read_lora(_file(golden, "generator_lora"))
    for key in golden.keys("flow."):
        _, kind, which = key.split(".")
        vace = kind == "vace"
        model = _model(golden, golden.meta("config")["vace_layers"] if vace else [])
        if which == "lora":
            merge_builtin(model, adapter)
        golden.compare(key, _flow(golden, model, vace))


def replay_file(golden: Golden) -> None:
    """Every tensor of a LoRA file is understood, and read as it stands."""
    lora = read_lora(golden.path)
    golden.expect("the keys without effect", list(lora.unknown), [])
    for parameter, keys in lora.layout.pairs.items():
        pair = lora.low_rank[parameter]
        golden.compare(keys.down, pair.down)
        golden.compare(keys.up, pair.up)
        if keys.alpha is not None:
            golden.compare(keys.alpha, pair.down.new_tensor(pair.scale * keys.rank))


def replay_names(golden: JsonGolden) -> None:
    """The reference's names of layers, by its rule; where it finds a layer that exists, ours agrees."""
    for written in golden.keys(""):
        theirs = _as_the_reference_names(written)
        golden.compare(written, theirs)
        if wan_module(theirs) == theirs and wan_module(written) != theirs:
            raise Mismatch(f"{written} is {theirs}, ours is {wan_module(written)}")


def _as_the_reference_names(written: str) -> str:
    """Its rule: all underscores of kohya's names become dots, except within the names of attentions."""
    if not written.startswith(UNDERSCORED):
        return written.removeprefix("diffusion_model.")
    name = written.removeprefix(UNDERSCORED).replace("_", ".")
    for whole in KEPT_TOGETHER:
        name = name.replace(whole.replace("_", "."), whole)
    return name


def _as_the_reference_reads(path: Path) -> Lora:
    """A file without the pairs that the reference skips, and with the factors it uses."""
    lora = read_lora(path)
    prefix, naming = ALPHA_FORGOTTEN
    low_rank = {}
    for parameter, keys in lora.layout.pairs.items():
        if not keys.down.startswith(NOT_MATCHED):
            forgotten = keys.down.startswith(prefix) and naming in keys.down
            pair = lora.low_rank[parameter]
            low_rank[parameter] = replace(pair, scale=1.0) if forgotten else pair
    return replace(lora, low_rank=low_rank)


def _file(golden: Golden, naming: str) -> Path:
    """The LoRA that a recording was made with."""
    path = golden.path.with_name(f"{golden.path.stem}_file_{naming}.safetensors")
    if not path.is_file():
        raise Mismatch(f"its LoRA is recorded in {path.name}, which must lie beside it")
    return path


def _model(golden: Golden, vace_layers: list[int]) -> CausalWan:
    sizes = golden.meta("config")
    arch = Arch(
        dim=sizes["dim"],
        ffn_dim=sizes["ffn_dim"],
        heads=sizes["num_heads"],
        layers=sizes["num_layers"],
        vace_layers=tuple(vace_layers),
        text_len=sizes["text_len"],
        text_dim=sizes["text_dim"],
        freq_dim=FREQ_DIM,
    )
    return filled(lambda: CausalWan(arch), sizes["salt"])


def _flow(golden: Golden, model: CausalWan, vace: bool = False) -> Tensor:
    """One forward of the recorded inputs, without a past."""
    noisy, text = golden.take("noisy"), golden.take("text")
    t = noisy.new_full(noisy.shape[:2], float(golden.meta("timestep")))
    context = golden.take("vace_context")[None] if vace else None
    scale = golden.meta("config")["vace_context_scale"] if vace else 0.0
    flow: Tensor = model(
        noisy, t, text, context=context, context_scale=scale, vace_attend=attend_with_padding
    )
    return flow

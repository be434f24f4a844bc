"""A LoRA file: what it changes, checked against the model before its numbers are read, and the numbers.

Shape letters: R rank, C channels in, D channels out.
"""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.core.errors import WeightsError
from engine.model.checkpoint import Checkpoint, open_checkpoint
from engine.model.lora_alpha import Settings, settings_of
from engine.model.lora_keys import WHOLE, Name, foreign, understood, unsupported
from engine.model.pickled import FETCH_AGAIN, shown

ENTRIES = ("generator_lora", "state_dict", "model")
"""Dicts within a pickled file that may hold a LoRA."""

OTHER_LORA = "Choose a LoRA made for this model, or the pipeline that goes with it."
PLAIN_LORA = "Ask its maker for a plain LoRA, or extract one from it."

_WIDTHS = {1536: "Wan 1.3B", 3072: "Wan 2.2 5B", 5120: "Wan 14B"}
_BLOCK = re.compile(r"blocks\.(\d+)\.")
_AS_WIDE_AS_THE_MODEL = re.compile(r"blocks\.\d+\.(?:(?:self|cross)_attn\.\w+|norm3|ffn\.2)\.(?:weight|bias)")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Pair:
    """Keys of one low-rank pair in the file; `alpha` is None where the file holds none."""

    down: str
    up: str
    alpha: str | None
    rank: int


@dataclass(frozen=True)
class Layout:
    """What a LoRA file changes, known from keys and shapes alone.

    `pairs` and `diffs`: our parameter -> the file's keys. `sizes`: our parameter -> shape of its change.
    `unknown`: keys that name nothing a Wan model of ours has; they are not applied.
    """

    name: str
    pairs: Mapping[str, Pair]
    diffs: Mapping[str, str]
    sizes: Mapping[str, Shape]
    unknown: tuple[str, ...]

    def check(self, shapes: Mapping[str, Shape]) -> tuple[str, ...]:
        """Refuse a LoRA of another arch; `shapes` are those of all the model's parameters.

        Returns the parameters that this model does without: the VACE branch, where it is not loaded.
        Raises WeightsError with the reason.
        """
        absent = [key for key in self.sizes if key not in shapes]
        unused = tuple(key for key in absent if key.startswith("vace_") and not _has_vace(shapes))
        wrong = [key for key in absent if key not in unused]
        wrong += [key for key, size in self.sizes.items() if key in shapes and not _fits(size, shapes[key])]
        if wrong:
            raise WeightsError(f"{self.name} {self._reason(wrong[0], shapes)}.", OTHER_LORA)
        if len(unused) == len(self.sizes):
            raise WeightsError(f"{self.name} changes only the VACE branch, which is not loaded.", OTHER_LORA)
        return unused

    def _reason(self, key: str, shapes: Mapping[str, Shape]) -> str:
        """Why a LoRA does not go with the model, in the words of its maker where they can be known."""
        width = next((s[0] for k, s in self.sizes.items() if _AS_WIDE_AS_THE_MODEL.fullmatch(k)), None)
        models = shapes["patch_embedding.weight"][0]
        if width not in (None, models):
            return f"is for {_called(width)}; the model in use is {_called(models)}"
        blocks, models = _blocks(self.sizes), _blocks(shapes)
        if blocks > models:
            return f"is for a model of at least {blocks} blocks; the model in use has {models}"
        if key not in shapes:
            return f"changes {key}, which the model in use does not have"
        sizes = list(self.sizes[key]), list(shapes[key])
        return f"changes {key} by a tensor of shape {sizes[0]}, the model's is {sizes[1]}"


@dataclass(frozen=True)
class LowRank:
    """A change of one weight: `scale * up @ down`; down [R, C, ...], up [D, R, ...], stored dtype."""

    down: Tensor
    up: Tensor
    scale: float

    def delta(self) -> Tensor:
        """The change itself, fp32 [D, C] (a convolution's kernel flattened into C)."""
        return (self.up.flatten(1).float() @ self.down.flatten(1).float()).mul_(self.scale)


@dataclass(frozen=True)
class Lora:
    """A LoRA read into memory: changes of our parameters at strength 1.

    `low_rank`: of weights. `diffs`: whole changes of weights, biases, norms and modulations.
    """

    layout: Layout
    low_rank: Mapping[str, LowRank]
    diffs: Mapping[str, Tensor]

    @property
    def name(self) -> str:
        """File name, for messages."""
        return self.layout.name

    @property
    def unknown(self) -> tuple[str, ...]:
        """Keys of the file that are not applied, because no model of ours has what they name."""
        return self.layout.unknown

    def check(self, dit: nn.Module) -> tuple[str, ...]:
        """Refuse the LoRA if it is for another arch than `dit`. See `Layout.check`."""
        return self.layout.check(shapes_of(dit))

    def to(self, device: torch.device | str) -> "Lora":
        """The same on another device. Worth doing before it is given to a running stream."""
        low_rank = {
            key: LowRank(pair.down.to(device), pair.up.to(device), pair.scale)
            for key, pair in self.low_rank.items()
        }
        return Lora(self.layout, low_rank, {key: value.to(device) for key, value in self.diffs.items()})


def shapes_of(model: nn.Module) -> dict[str, Shape]:
    """Shapes of a model's parameters by their public keys."""
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def read_lora(source: Checkpoint | Path, dit: nn.Module | None = None) -> Lora:
    """Read a LoRA file of any common naming (.safetensors, .pt, .bin) onto the CPU, in its stored dtype.

    Namings: Wan's own keys bare, after `diffusion_model.`, `transformer.` or `base_model.model.`; diffusers'
    layer names; kohya's underscores; lora_A/lora_B or lora_down/lora_up; diff, diff_b and diff_m.
    `dit`: with a model, a LoRA of another arch is refused before its numbers are read.
    Raises WeightsError when the file is damaged, of another kind of adapter (DoRA, LoKr, LoHa, ...), of
    another family of models, or of another arch.
    """
    if isinstance(source, Path):
        with open_checkpoint(source, entry=ENTRIES) as checkpoint:
            return read_lora(checkpoint, dit)
    layout = layout_of(source.path.name, source.shapes)
    if dit is not None:
        layout.check(shapes_of(dit))
    settings = settings_of(source)
    if settings.dora:
        raise WeightsError(f"{layout.name} is a DoRA, which cannot be played.", PLAIN_LORA)
    low_rank = {key: _low_rank(source, key, pair, settings) for key, pair in layout.pairs.items()}
    return Lora(layout, low_rank, {key: _tensor(source, name) for key, name in layout.diffs.items()})


def layout_of(name: str, shapes: Mapping[str, Shape]) -> Layout:
    """Understand a file's keys; `name` is for messages. Raises WeightsError, as `read_lora` does."""
    keys = list(shapes)
    kind = unsupported(keys)
    if kind is not None:
        raise WeightsError(f"{name} is a {kind}, which cannot be played.", PLAIN_LORA)
    found, unknown = _understood(name, keys)
    ups, downs = _parts(found, "up"), _parts(found, "down")
    diffs = {which.parameter: key for which, key in found.items() if which.part in WHOLE}
    _check_family(name, ups.keys() | downs.keys() | diffs.keys(), unknown)
    alone = ups.keys() ^ downs.keys()
    if alone:
        what = f"{name} holds only one half of the change of {min(alone)}."
        raise WeightsError(what, FETCH_AGAIN)
    twice = ups.keys() & diffs.keys()
    if twice:
        raise WeightsError(f"{name} changes {min(twice)} in two ways.", FETCH_AGAIN)
    alphas = _parts(found, "alpha")
    unknown += [key for parameter, key in alphas.items() if parameter not in ups]
    pairs = {
        parameter: Pair(downs[parameter], ups[parameter], alphas.get(parameter), shapes[downs[parameter]][0])
        for parameter in ups
        if _check_pair(name, parameter, shapes[downs[parameter]], shapes[ups[parameter]])
    }
    sizes = {parameter: shapes[pair.up][:1] + shapes[pair.down][1:] for parameter, pair in pairs.items()}
    sizes |= {parameter: shapes[key] for parameter, key in diffs.items()}
    return Layout(name, pairs, diffs, sizes, tuple(unknown))


def _check_family(name: str, changed: Set[str], unknown: list[str]) -> None:
    """Refuse a LoRA of another family of models, even if a layer outside its blocks is called like ours."""
    family = None if any(_BLOCK.search(key) for key in changed) else foreign(unknown)
    if family:
        raise WeightsError(f"{name} is for {family}.", OTHER_LORA)
    if not changed:
        raise WeightsError(f"{name} names no layer of a Wan model.", OTHER_LORA)


def _understood(name: str, keys: list[str]) -> tuple[dict[Name, str], list[str]]:
    """What each key is about, and the keys that are about nothing we have."""
    found: dict[Name, str] = {}
    unknown = []
    for key in keys:
        which = understood(key)
        if which is None:
            unknown.append(key)
        elif which in found:
            raise WeightsError(f"{name} holds {shown(key)} and {shown(found[which])}: the same.", FETCH_AGAIN)
        else:
            found[which] = key
    return found, unknown


def _parts(found: Mapping[Name, str], part: str) -> dict[str, str]:
    return {which.parameter: key for which, key in found.items() if which.part == part}


def _check_pair(name: str, parameter: str, down: Shape, up: Shape) -> bool:
    """Refuse halves that cannot be multiplied, or a rank that no training gives."""
    halves = f"{name}: {parameter} has the halves {list(down)} and {list(up)}, which"
    if len(down) < 2 or len(up) < 2 or 0 in down + up or down[0] != up[1] or prod(up[2:]) != 1:
        raise WeightsError(f"{halves} do not fit together.", FETCH_AGAIN)
    if down[0] > max(up[0], prod(down[1:])):
        raise WeightsError(f"{halves} have a rank above their size.", FETCH_AGAIN)
    return True


def _low_rank(source: Checkpoint, parameter: str, pair: Pair, settings: Settings) -> LowRank:
    stored = pair.down.partition(".lora_")[0]
    scale = settings.scale((parameter.removesuffix(".weight"), stored), pair.rank)
    if pair.alpha is not None:
        alpha = _tensor(source, pair.alpha)
        if alpha.numel() != 1:
            raise WeightsError(f"{source.path.name}: {shown(pair.alpha)} is no number.", FETCH_AGAIN)
        scale = alpha.item() / pair.rank
    return LowRank(_tensor(source, pair.down), _tensor(source, pair.up), scale)


def _tensor(source: Checkpoint, key: str) -> Tensor:
    """One tensor in memory of its own: a LoRA outlives its file."""
    if not source.dtypes[key].is_floating_point:
        # Alphas are the one thing that some programs store as integers.
        if prod(source.shapes[key]) == 1:
            return source.own(key, dtype=torch.float32)
        what = f"{source.path.name}: {shown(key)} holds {source.dtypes[key]}, expected floating-point."
        raise WeightsError(what, FETCH_AGAIN)
    value = source.own(key)
    if not value.float().isfinite().all():
        what = f"{source.path.name}: {shown(key)} holds NaN or infinite numbers."
        raise WeightsError(what, FETCH_AGAIN)
    return value


def _fits(size: Shape, wanted: Shape) -> bool:
    """Equal, but for the axes of length 1 that some programs append to a linear layer's weight."""
    return size[: len(wanted)] == wanted and prod(size[len(wanted) :]) == 1


def _has_vace(shapes: Mapping[str, Shape]) -> bool:
    return any(key.startswith("vace_") for key in shapes)


def _blocks(keys: Mapping[str, Shape]) -> int:
    """Number of main blocks, as far as the keys tell."""
    return max((int(found[1]) + 1 for found in map(_BLOCK.match, keys) if found), default=0)


def _called(width: int | None) -> str:
    """A model by its width."""
    return f"{_WIDTHS[width]} (width {width})" if width in _WIDTHS else f"a model of width {width}"

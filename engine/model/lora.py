"""Playing LoRAs: merged into the weights when a model is loaded, and in slots while it runs.

A LoRA in a slot acts in one of two ways. Live: a low-rank side path beside each linear layer reads the
strength from a device tensor, so that a moved knob is heard at the next denoising step; it costs some speed.
Merged: the weights themselves are changed between chunks, always anew from a pristine copy, so that nothing
drifts; it costs nothing while it plays. What is no linear layer (norms, biases, modulations, convolutions)
is small and is written anew from its pristine copy in both cases.

The layers keep their class and their keys: a side path is a forward hook. So it lies on top of any layer
that maps [..., C] to [..., D], quantised or not. A LoRA may act in a part of the picture alone; then it
always plays live (`engine.model.regions` says how). Shape letters: R rank, C channels in, D channels out,
N rows.
"""

import math
import re
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from engine.core.errors import EngineError, WeightsError
from engine.model.lora_file import Lora, shapes_of
from engine.model.regions import REGIONS, Region, share_within
from engine.model.side_path import SidePath
from engine.model.wan import CausalWan

Kept = Literal["device", "host"]
"""Where pristine weights lie: beside the model, or in the computer's memory when the GPU's is short."""

_Paths = tuple[tuple[int, int, float], ...]
"""Low-rank paths beside one layer: slot, rank and scale of each."""

_Kind = tuple[bool, _Paths]
"""Paths, and whether one of them acts in a part of the picture: layers of the same kind share a gain."""

_REGION_ROWS: dict[Region, int] = {region: row for row, region in enumerate(REGIONS)}
"""In which row of a gain [3, R] the strength of a region stands."""

OTHER_ADAPTER = "Use the adapter that goes with the model."

_MERGEABLE = (torch.float32, torch.bfloat16, torch.float16)
_MAIN_LINEAR = re.compile(r"blocks\.\d+\.(?:(?:self_attn|cross_attn)\.[qkvo]|ffn\.[02])\.weight")
_TEXT = re.compile(r"text_embedding\.|(?:vace_)?blocks\.\d+\.cross_attn\.(?:k|v|norm_k)\.")
_TIMED = re.compile(r"time_")


def merge_builtin(dit: nn.Module, lora: Lora) -> None:
    """Merge the adapter that a pipeline was trained with into every linear layer of its main blocks.

    In fp32, then cast once. Strict, as for any part of the model: raises WeightsError, and changes nothing,
    when the adapter misses a layer, holds anything else, or is of another arch.
    """
    lora.check(dit)
    wanted = {key: weight for key, weight in dit.named_parameters() if _MAIN_LINEAR.fullmatch(key)}
    other = [*lora.unknown, *lora.diffs, *(lora.low_rank.keys() - wanted.keys())]
    if other:
        raise WeightsError(f"{lora.name}: unexpected {min(other)}.", OTHER_ADAPTER)
    missing = wanted.keys() - lora.low_rank.keys()
    if missing:
        raise WeightsError(f"{lora.name}: nothing for {min(missing)}.", OTHER_ADAPTER)
    with torch.no_grad():
        for key, weight in wanted.items():
            value = weight.to(torch.float32, copy=True)
            _add(value, lora, key, strength=1)
            weight.copy_(value)


def makes_text_stale(lora: Lora) -> bool:
    """Whether keys and values of a text depend on this LoRA: then a `CrossCache` is of one strength only."""
    return any(_TEXT.match(key) for key in (*lora.low_rank, *lora.diffs))


@dataclass
class _Slot:
    """A LoRA in a slot. `strength`, `region`: as asked for; `heard`, `acts`: as it acts now."""

    lora: Lora
    strength: float
    live: bool
    region: Region = "everywhere"
    heard: float = 0.0
    acts: Region = "everywhere"


class LoraSlots:
    """LoRAs that play at once on one model. All methods are called by the thread that runs the model.

    Make it when the model is loaded, its own adapter merged and its layers quantised; never replace layers
    or parameters afterwards. `set` and the strength of merged slots take effect at `apply`, which is called
    between chunks; the strength of live slots at the next denoising step. Nothing here resets a stream.
    """

    def __init__(self, dit: CausalWan, kept: Kept = "device") -> None:
        """`kept`: where pristine copies of changed weights lie (merged slots need one of each)."""
        self._places, self._kept = dit.places, kept
        self._dtype = dit.patch_embedding.weight.dtype
        self._device = dit.patch_embedding.weight.device
        self._inference = dit.patch_embedding.weight.is_inference()
        self._layers = dict(dit.named_modules())
        self._shapes = shapes_of(dit)
        self._parameters = {k: p for k, p in dit.named_parameters() if p.dtype in _MERGEABLE}
        self._asked: dict[int, _Slot] = {}
        self._playing: dict[int, _Slot] = {}
        self._stale: set[str] = set()
        self._pristine: dict[str, Tensor] = {}
        self._hooks: dict[str, tuple[RemovableHandle, list[_Kind]]] = {}
        self._gains: dict[_Kind, Tensor] = {}
        self._inside = 0.0
        self._turned = False
        self.text_changes = 0
        """Counts the changes after which keys and values of texts (`CrossCache`) must be made again."""

    def set(self, slot: int, lora: Lora | None, strength: float = 1.0, live: bool = True) -> None:
        """Put a LoRA into a slot, or None to empty it; takes effect at `apply`.

        `live`: the strength will be played; else the LoRA is merged (into quantised layers nothing can be
        merged: there it plays live). Raises WeightsError when it is for another arch; the slot then keeps
        what it had.
        """
        if lora is not None:
            lora.layout.check(self._shapes)
            _check_strength(strength)
        self._stale |= self._keys(self._asked.pop(slot, None))
        if lora is not None:
            self._asked[slot] = _Slot(lora, strength, live)
            self._stale |= self._keys(self._asked[slot])

    @property
    def parted(self) -> bool:
        """Whether any LoRA acts in a part of the picture only: silent ones too, for they may be turned up."""
        return any(slot.region != "everywhere" for slot in self._asked.values())

    @property
    def regions(self) -> dict[int, Region]:
        """The region of every LoRA that is to be heard in a part of the picture only, by its slot."""
        return {
            number: slot.region
            for number, slot in self._asked.items()
            if slot.region != "everywhere" and slot.strength != 0
        }

    def region(self, slot: int, value: Region) -> None:
        """Let the LoRA of a slot act in a part of the picture alone; takes effect at `apply`.

        Between inside and outside it costs nothing, from or to everywhere as much as another LoRA does.
        """
        asked = self._asked.get(slot)
        if asked is None or asked.region == value:
            return
        self._stale |= self._keys(asked) if "everywhere" in (asked.region, value) else self._placeless(asked)
        asked.region, self._turned = value, True

    def cover(self, inside: float) -> None:
        """How much of the picture the mask covers from `apply` on, 0..1."""
        if inside == self._inside:
            return
        self._inside = inside
        for slot in self._asked.values():
            if slot.region != "everywhere":
                changed = self._placeless(slot)
                self._stale |= changed
                self.text_changes += any(_TEXT.match(key) for key in changed)

    def strength(self, slot: int, value: float) -> None:
        """Set the strength of a slot; free when it has not changed. An empty slot stays silent."""
        _check_strength(value)
        asked = self._asked.get(slot)
        if asked is None or asked.strength == value:
            return
        asked.strength = value
        if not asked.live:
            self._stale |= self._keys(asked)
        elif self._playing.get(slot) is asked:
            self._hear(asked)
            with self._writing():
                self._write_gains()
                self._write_parameters(self._placeless(asked))

    def apply(self) -> None:
        """Make what was asked for since the last call effective: call it before every chunk."""
        if self._stale or self._turned:
            with self._writing():
                self._renew()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """For changes of the model and of what lies beside it, whichever mode the caller is in.

        A tensor made in inference mode may not be written to outside it: ours are made as the model's were.
        """
        with torch.inference_mode(self._inference), torch.no_grad():
            yield

    def _renew(self) -> None:
        """Take over all that was asked for, and write anew what depends on it."""
        stale, self._stale = self._stale, set()
        gone = [slot for number, slot in self._playing.items() if self._asked.get(number) is not slot]
        self.text_changes += any(makes_text_stale(slot.lora) for slot in gone)
        self._playing = dict(sorted(self._asked.items()))
        self._turned = False
        for slot in self._playing.values():
            self._hear(slot)
            self.text_changes += slot.acts != slot.region and makes_text_stale(slot.lora)
            slot.acts = slot.region
        regional = [slot.lora for slot in self._playing.values() if slot.acts != "everywhere"]
        self._places.apart = any(makes_text_stale(lora) for lora in regional)
        for key in stale & self._shapes.keys():
            self._stand_beside(key)
        used = {kind for _, kinds in self._hooks.values() for kind in kinds}
        self._gains = {kind: gain for kind, gain in self._gains.items() if kind in used}
        self._write_gains()
        self._write_parameters(stale)

    def _keys(self, slot: _Slot | None) -> Set[str]:
        """The model's parameters that a slot changes."""
        return set() if slot is None else {*slot.lora.low_rank, *slot.lora.diffs} & self._shapes.keys()

    def _placeless(self, slot: _Slot) -> Set[str]:
        """What of a LoRA has no place in the picture: it acts by the share that the region has of that."""
        return {key for key in self._keys(slot) if not self._plays_beside(key, slot)}

    def _hear(self, slot: _Slot) -> None:
        """A slot's strength as asked for acts from now on."""
        if slot.heard != slot.strength:
            slot.heard = slot.strength
            self.text_changes += makes_text_stale(slot.lora)

    def _plays_beside(self, key: str, slot: _Slot) -> bool:
        """Whether a change of this parameter is a side path now: of linear layers, where it is not merged."""
        matrix = key.endswith(".weight") and len(self._shapes[key]) == 2
        return matrix and (slot.live or slot.acts != "everywhere" or key not in self._parameters)

    def _stand_beside(self, key: str) -> None:
        """Make the side path of one linear layer anew, from all slots that play beside it."""
        if key in self._hooks:
            self._hooks.pop(key)[0].remove()
        beside = {n: slot.lora for n, slot in self._playing.items() if self._plays_beside(key, slot)}
        pairs = {n: lora.low_rank[key] for n, lora in beside.items() if key in lora.low_rank}
        matrices = {n: lora.diffs[key] for n, lora in beside.items() if key in lora.diffs}
        if not pairs and not matrices:
            return
        apart = any(self._playing[n].acts != "everywhere" for n in beside)
        paths = tuple((n, len(pair.down), pair.scale) for n, pair in pairs.items())
        kinds = [(apart, paths), *((apart, ((n, 1, 1.0),)) for n in matrices)]
        halves = None
        if pairs:
            down_RC = torch.cat([self._moved(pair.down.flatten(1)) for pair in pairs.values()])
            up_DR = torch.cat([self._moved(pair.up.flatten(1)) for pair in pairs.values()], dim=1)
            halves = down_RC, up_DR, self._gain(kinds[0])
        whole = [
            (self._moved(matrix).view(self._shapes[key]), self._gain(kind))
            for matrix, kind in zip(matrices.values(), kinds[1:], strict=True)
        ]
        layer = self._layers[key.removesuffix(".weight")]
        path = SidePath(halves, whole, self._places, timed=_TIMED.match(key) is not None)
        self._hooks[key] = layer.register_forward_hook(path), kinds

    def _moved(self, value: Tensor) -> Tensor:
        """On the model's device, in the dtype it computes in."""
        return value.to(self._device, self._dtype)

    def _gain(self, kind: _Kind) -> Tensor:
        """The strengths of side paths that lie together, one per rank: [R], or [3, R] by region."""
        if kind not in self._gains:
            apart, paths = kind
            ranks = sum(rank for _, rank, _ in paths)
            self._gains[kind] = torch.zeros((3, ranks) if apart else (ranks,), device=self._device)
        return self._gains[kind]

    def _write_gains(self) -> None:
        """Write all strengths where the side paths read them."""
        for (apart, paths), gain in self._gains.items():
            start = 0
            for number, rank, scale in paths:
                slot = self._playing[number]
                part = gain[..., start : start + rank]
                if apart:
                    part.zero_()
                    part = part[_REGION_ROWS[slot.acts]]
                part.fill_(slot.heard * scale)
                start += rank

    def _write_parameters(self, keys: Set[str]) -> None:
        """Write parameters anew: pristine, plus every change that no side path makes."""
        for key in keys & self._parameters.keys():
            parameter = self._parameters[key]
            changes = [
                slot
                for slot in self._playing.values()
                if key in slot.lora.layout.sizes and not self._plays_beside(key, slot)
            ]
            if changes and key not in self._pristine:
                self._pristine[key] = self._copy(parameter)
            if key in self._pristine:
                value = self._pristine[key].to(self._device, torch.float32, copy=True)
                for slot in changes:
                    _add(value, slot.lora, key, slot.heard * share_within(slot.acts, self._inside))
                parameter.copy_(value)
            if not changes:
                self._pristine.pop(key, None)

    def _copy(self, parameter: Tensor) -> Tensor:
        """A pristine copy, in memory that is fast to read from where it is kept."""
        if self._kept == "device":
            return parameter.clone()
        host = torch.empty_like(parameter, device="cpu", pin_memory=parameter.is_cuda)
        return host.copy_(parameter)


def _add(value: Tensor, lora: Lora, key: str, strength: float) -> None:
    """Add a LoRA's change of one parameter to its fp32 value, in place."""
    if strength == 0:
        return
    if key in lora.low_rank:
        pair = lora.low_rank[key]
        down_RC, up_DR = pair.down.flatten(1).to(value), pair.up.flatten(1).to(value)
        value.view(len(value), -1).addmm_(up_DR, down_RC, alpha=pair.scale * strength)
    else:
        value.add_(lora.diffs[key].to(value).view(value.shape), alpha=strength)


def _check_strength(value: float) -> None:
    if not math.isfinite(value):
        raise EngineError(f"A LoRA's strength cannot be {value}.", "Use a number, such as 1.")

"""FP8: linear layers of the DiT's blocks in eight bits, computed as such where the GPU can.

Weights are e4m3 with one scale per output channel, activations e4m3 with one scale per token, found anew at
every call. So one loud token or channel costs its neighbours nothing. Sums are fp32.

Only the linear layers of the main blocks' and VACE blocks' attention and feed-forward become FP8; they hold
nearly all weights. Embeddings, time and text MLPs, norms, head, `before_proj` and `after_proj` stay: they are
small, and an error there reaches every token (or, for a hint, is multiplied by the context scale).

What is written into the KV cache for long should be exact: the first chunk, which becomes the sink, and a
recache. Errors there stay in sight until the window has passed. `exact` computes with the original weights
meanwhile. The keys and values of a text are made once per prompt, so exactness is nearly free there as well.

Quantised weights are not saved: weights files hold what was trained, and a model is quantised after loading
and after merging its own adapter. Side paths of LoRAs lie on top of quantised layers and stay exact.
Shape letters: N tokens, C channels in, D channels out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.core.errors import EngineError
from engine.model.wan import CausalWan

FP8 = torch.float8_e4m3fn
LARGEST = 448.0
"""The largest number of e4m3."""

MULTIPLE = 16
"""The eight-bit matrix product of GPUs wants channels in multiples of this."""

_QUIETEST = 1e-12
"""A row whose largest number is below this is scaled as if it were this large: zeros stay zeros."""

Originals = Literal["device", "host", "none"]
"""Where the original weights lie for `exact`: beside the FP8 ones (1.5 times the memory of a model that is
not quantised), in the computer's memory (0.5 times the GPU's; they are sent layer by layer while they are
needed, and a model on the CPU simply keeps them), or nowhere (0.5 times; then `exact` leaves the activations
as they are, but computes with the rounded weights). They are not read again from their file: waiting for a
disk in the middle of a show is a stutter."""

_QUANTISED = re.compile(r"(?:vace_)?blocks\.\d+\.(?:(?:self_attn|cross_attn)\.[qkvo]|ffn\.[02])")

_UNABLE = (RuntimeError, TypeError, ValueError)
"""What torch raises for a precision or a product that a device does not have."""


def rounded(x_NC: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers in e4m3 and their scale per row, fp32 [N, 1]: the largest of a row becomes 448.

    A number moves by at most 1/16 of itself, or by 1/1024 of the row's scale where it is tiny.
    """
    largest_N1 = torch.linalg.vector_norm(x_NC, torch.inf, dim=-1, keepdim=True)
    scale_N1 = largest_N1.float().clamp_(min=_QUIETEST) / LARGEST
    # Division may end a hair above 448, which some versions of torch make NaN.
    return (x_NC / scale_N1).clamp_(-LARGEST, LARGEST).to(FP8), scale_N1


class Float8Linear(nn.Module):
    """A linear layer with e4m3 weights: [..., C] -> [..., D] in the dtype of its input.

    Its state dict has the keys and shapes of `nn.Linear`; weights cannot be loaded into it.
    """

    weight_scale: Tensor

    def __init__(
        self,
        weight_DC: Tensor,
        bias_D: Tensor | None = None,
        *,
        originals: Originals = "host",
        device: torch.device | None = None,
        scaled_mm: bool = False,
    ) -> None:
        """Quantise a weight. `device`: where the layer goes. `scaled_mm`: what `has_scaled_mm` says of it."""
        super().__init__()
        device = device or weight_DC.device
        self.out_features, self.in_features = weight_DC.shape
        moved_DC = weight_DC.detach().to(device)
        eight_bit_DC, scale_D1 = rounded(moved_DC)
        self.weight = nn.Parameter(eight_bit_DC, requires_grad=False)
        self.bias = None if bias_D is None else nn.Parameter(bias_D.detach().to(device), requires_grad=False)
        self.register_buffer("weight_scale", scale_D1, persistent=False)
        self.exact = False
        """Compute with the original weight, as before quantisation."""
        self._original = _kept(weight_DC.detach(), moved_DC, originals)
        fits = self.in_features % MULTIPLE == 0 and self.out_features % MULTIPLE == 0
        self._scaled_mm = scaled_mm and fits

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output; `x` may have any number of leading dimensions."""
        if self.exact:
            return functional.linear(x, self._exact_weight(x), self.bias)
        x_NC = x.reshape(-1, self.in_features)
        if self._scaled_mm and x.dtype == torch.bfloat16:
            y_ND = _scaled_product(x_NC, self.weight, self.weight_scale)
        else:
            y_ND = _plain_product(x_NC, self.weight, self.weight_scale)
        if self.bias is not None:
            y_ND += self.bias
        return y_ND.view(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """Sizes, as torch prints a layer."""
        return f"in_features={self.in_features}, out_features={self.out_features}, e4m3"

    def _exact_weight(self, x: Tensor) -> Tensor:
        if self._original is None:
            return (self.weight.float() * self.weight_scale).to(x.dtype)
        return self._original.to(x.device, x.dtype, non_blocking=True)

    def _apply(self, fn: Any, recurse: bool = True) -> Float8Linear:
        """Moves to another device; another precision changes only the bias."""
        weight, scale = self.weight.data, self.weight_scale
        applied: Callable[..., object] = super()._apply
        applied(fn, recurse)
        if self.weight.dtype != FP8 or self.weight_scale.dtype != torch.float32:
            device = self.weight.device
            self.weight = nn.Parameter(weight.to(device), requires_grad=False)
            self.weight_scale = scale.to(device)
        return self

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        del state_dict, rest
        raise EngineError(
            f"{prefix.removesuffix('.') or 'The layer'} is quantised: weights cannot be loaded into it.",
            "Load the weights first, then quantise.",
        )


def quantize_blocks(
    dit: CausalWan, *, originals: Originals = "host", device: torch.device | None = None
) -> list[str]:
    """Make the linear layers of a loaded model's blocks FP8, in place; give the names of those changed.

    `originals`: where the unquantised weights stay, see `Originals`. `device`: where the layers go (the rest
    of the model stays where it is), so that a model that fits into the GPU's memory only in FP8 is loaded on
    the host and never lies there in full. Layers are changed one by one: beyond what stays, a few times the
    memory of one layer is needed. A quantised model is left as it is. Raises EngineError where the device has
    no FP8.
    """
    device = device or dit.patch_embedding.weight.device
    check_has_fp8(device)
    fast = has_scaled_mm(device)
    changed = []
    for name in [name for name, _ in dit.named_modules() if _QUANTISED.fullmatch(name)]:
        layer = dit.get_submodule(name)
        if isinstance(layer, nn.Linear):
            place, _, last = name.rpartition(".")
            eight_bit = Float8Linear(
                layer.weight, layer.bias, originals=originals, device=device, scaled_mm=fast
            )
            setattr(dit.get_submodule(place), last, eight_bit.train(layer.training))
            changed.append(name)
    return changed


@contextmanager
def exact(dit: nn.Module) -> Iterator[None]:
    """Compute without FP8 meanwhile: for the first chunk, a recache, and the keys and values of a text.

    Bit for bit what the model gave before it was quantised, where the original weights were kept. Does
    nothing to a model that is not quantised; may be nested. LoRAs go on playing.
    """
    layers = [layer for layer in dit.modules() if isinstance(layer, Float8Linear)]
    before = [layer.exact for layer in layers]
    for layer in layers:
        layer.exact = True
    try:
        yield
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer.exact = value


def check_has_fp8(device: torch.device) -> None:
    """Raise EngineError where numbers of eight bits cannot even be kept (Apple's GPUs)."""
    try:
        torch.zeros(1, device=device).to(FP8)
    except _UNABLE as error:
        raise EngineError(f"FP8 does not work on this device ({device.type}).", "Turn FP8 off.") from error


def has_scaled_mm(device: torch.device) -> bool:
    """Whether the device multiplies eight-bit matrices with scales per row, and rightly so.

    Tried out, since it depends on GPU, driver and version of torch, and since a product that runs may still
    be wrong. Waits for the device: not for the middle of a show.
    """
    draw = torch.Generator().manual_seed(0)
    loud = torch.logspace(-2, 2, 48)[:, None]
    x_NC, w_DC = (torch.randn(48, 64, generator=draw) * rows for rows in (loud, loud.flip(0)))
    eight_bit_DC, scale_D1 = rounded(w_DC.to(device))
    x_NC = x_NC.to(device, torch.bfloat16)
    try:
        theirs = _scaled_product(x_NC, eight_bit_DC, scale_D1).float()
    except _UNABLE:
        return False
    ours = _plain_product(x_NC.float(), eight_bit_DC, scale_D1)
    # bf16 rounds by 1/256, and sums that nearly cancel are as exact as the terms they are made of.
    terms = x_NC.float().norm(dim=1, keepdim=True) * (eight_bit_DC.float() * scale_D1).norm(dim=1)
    return bool(((theirs - ours).abs() <= terms / 128).all())


def _scaled_product(x_NC: Tensor, weight_DC: Tensor, scale_D1: Tensor) -> Tensor:
    """Eight-bit product on the device, bf16 out. Exact sums: the fast ones keep too few bits on Hopper."""
    eight_bit_NC, scale_N1 = rounded(x_NC)
    return torch._scaled_mm(
        eight_bit_NC, weight_DC.t(), scale_N1, scale_D1.t(), out_dtype=torch.bfloat16, use_fast_accum=False
    )


def _plain_product(x_NC: Tensor, weight_DC: Tensor, scale_D1: Tensor) -> Tensor:
    """The same product of the same rounded numbers, for devices that cannot multiply them.

    e4m3 numbers are exact in bf16, fp16 and fp32 alike; fp16 would overflow in the sums.
    """
    eight_bit_NC, scale_N1 = rounded(x_NC)
    wide = torch.bfloat16 if x_NC.is_cuda and x_NC.dtype == torch.bfloat16 else torch.float32
    product_ND = functional.linear(eight_bit_NC.to(wide), weight_DC.to(wide)).float()
    return (product_ND * scale_N1 * scale_D1.t()).to(x_NC.dtype)


def _kept(weight_DC: Tensor, moved_DC: Tensor, originals: Originals) -> Tensor | None:
    """The original weight where it is to lie; no buffer, so that it does not follow the layer."""
    if originals == "none":
        return None
    if originals == "device":
        return moved_DC
    host_DC = weight_DC.to("cpu")
    # Pinned memory is sent at the full speed of the bus, without the host waiting for it.
    return host_DC.pin_memory() if moved_DC.is_cuda else host_DC

"""One transformer block of Wan2.1, shared by the main stack and the VACE branch.

Shape letters: B batch, F latents of the chunk, T tokens per latent, N = F*T, C channels, L text rows.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.model.attention import CrossAttention, Parted, SelfAttention, TextKV, View
from engine.model.spec import Arch


def per_latent(x_BNC: Tensor, latents: int) -> Tensor:
    """[B, F*T, C] -> [B, F, T, C]."""
    batch, _, channels = x_BNC.shape
    return x_BNC.reshape(batch, latents, -1, channels)


def modulate(x_BNC: Tensor, scale_BF1C: Tensor, shift_BF1C: Tensor) -> Tensor:
    """x * (1 + scale) + shift, with one scale and shift per latent."""
    x_BFTC = per_latent(x_BNC, scale_BF1C.shape[1])
    return torch.addcmul(shift_BF1C, x_BFTC, 1 + scale_BF1C).flatten(1, 2)


def add_gated(x_BNC: Tensor, y_BNC: Tensor, gate_BF1C: Tensor) -> Tensor:
    """x + y * gate, with one gate per latent."""
    latents = gate_BF1C.shape[1]
    return torch.addcmul(per_latent(x_BNC, latents), per_latent(y_BNC, latents), gate_BF1C).flatten(1, 2)


class Gelu(nn.Module):
    """GELU in its tanh form, `x * (1 + tanh(u)) / 2` with `u = sqrt(2 / pi) * (x + 0.044715 x^3)`."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape.

        On a processor as `x * sigmoid(2u)`, which is the same number: its tanh takes three times as long.
        """
        if x.device.type != "cpu" or x.requires_grad:
            return functional.gelu(x, approximate="tanh")
        cubed = torch.addcmul(x, x.square(), x, value=0.044715)
        return cubed.mul_(2 * (2 / math.pi) ** 0.5).sigmoid_().mul_(x)


class Block(nn.Module):
    """Self-attention, text cross-attention and feed-forward, modulated by the timestep per latent."""

    def __init__(self, arch: Arch) -> None:
        """Names follow the public checkpoints' keys."""
        super().__init__()
        self.modulation = nn.Parameter(torch.randn(1, 6, arch.dim) / arch.dim**0.5)
        self.norm1 = nn.LayerNorm(arch.dim, arch.eps, elementwise_affine=False)
        self.self_attn = SelfAttention(arch)
        self.norm3 = nn.LayerNorm(arch.dim, arch.eps)
        self.cross_attn = CrossAttention(arch)
        self.norm2 = nn.LayerNorm(arch.dim, arch.eps, elementwise_affine=False)
        self.ffn = nn.Sequential(nn.Linear(arch.dim, arch.ffn_dim), Gelu(), nn.Linear(arch.ffn_dim, arch.dim))

    def forward(
        self,
        x_BNC: Tensor,
        time_BF6C: Tensor,
        text: TextKV | Parted,
        layer: int,
        view: View,
        hint_BNC: Tensor | None = None,
    ) -> Tensor:
        """One block; a hint (already scaled) is added at its very end."""
        parts = (self.modulation.unsqueeze(0) + time_BF6C).unsqueeze(3).unbind(2)
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = parts
        attended = self.self_attn(modulate(self.norm1(x_BNC), scale_a, shift_a), layer, view)
        x_BNC = add_gated(x_BNC, attended, gate_a)
        x_BNC = x_BNC + self.cross_attn(self.norm3(x_BNC), text)
        fed = self.ffn(modulate(self.norm2(x_BNC), scale_f, shift_f))
        x_BNC = add_gated(x_BNC, fed, gate_f)
        return x_BNC if hint_BNC is None else x_BNC + hint_BNC

    def leave(self, x_BNC: Tensor, time_BF6C: Tensor, layer: int, view: View) -> None:
        """What this block leaves in the cache, and nothing else of it."""
        shift_a, scale_a = (self.modulation.unsqueeze(0) + time_BF6C)[:, :, :2].unsqueeze(3).unbind(2)
        self.self_attn.leave(modulate(self.norm1(x_BNC), scale_a, shift_a), layer, view)

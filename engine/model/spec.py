"""Sizes of the networks, one row per architecture.

A row is all that distinguishes a 1.3B from a 14B or from our own Pocket model: there is one DiT class.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Arch:
    """Sizes of one causal Wan2.1 DiT; `vace_layers[n]` is the main block that receives hint n."""

    dim: int
    ffn_dim: int
    heads: int
    layers: int
    vace_layers: tuple[int, ...]
    text_len: int = 512
    text_dim: int = 4096
    freq_dim: int = 256
    in_dim: int = 16
    out_dim: int = 16
    vace_in_dim: int = 96
    eps: float = 1e-6
    patch: tuple[int, int, int] = (1, 2, 2)

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.dim // self.heads

    @property
    def patch_features(self) -> int:
        """Numbers the head emits per token: patch volume times output channels."""
        time, height, width = self.patch
        return time * height * width * self.out_dim

    def tokens_per_latent(self, latent_height: int, latent_width: int) -> int:
        """Tokens of one latent frame of the given size (latent pixels)."""
        _, height, width = self.patch
        return (latent_height // height) * (latent_width // width)


WAN_1_3B = Arch(dim=1536, ffn_dim=8960, heads=12, layers=30, vace_layers=tuple(range(0, 30, 2)))
WAN_14B = Arch(dim=5120, ffn_dim=13824, heads=40, layers=40, vace_layers=tuple(range(0, 40, 5)))
POCKET = Arch(dim=128, ffn_dim=384, heads=4, layers=8, vace_layers=(0, 2, 4, 6), text_len=16, text_dim=64)

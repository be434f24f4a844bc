"""The causal Wan2.1 diffusion transformer with its optional VACE branch. One class for every size.

Knows nothing of sampling, prompts or threads: (noisy latents, timesteps, text, past) -> flow.
Shape letters: B batch, F latents of the chunk, h w latent size, N = F*T tokens (T per latent),
C channels, L text rows, D text channels, K latents of the context.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from engine.core.errors import EngineError
from engine.model.attention import Attend, Parted, TextKV, View, attend
from engine.model.block import Block, modulate, per_latent
from engine.model.cache import Cache
from engine.model.policies import CachePlan
from engine.model.regions import Places
from engine.model.spec import Arch
from engine.model.tables import Tables, make_tables
from engine.model.vace import References, VaceBlock, fit_context, scaled

Hints = Mapping[int, Tensor]
"""What the branch gives to main blocks, by their number, each [B, N, C] and not yet scaled."""


@dataclass(frozen=True)
class CrossCache:
    """Keys and values of one text for every block: made once per prompt, good for every step.

    `rows`: the embedded text [B, text_len, D] that they were made of. `outside`: the same text as it is said
    outside the mask, where a LoRA makes a difference there; these then count inside.
    """

    main: tuple[TextKV, ...]
    vace: tuple[TextKV, ...]
    rows: Tensor
    outside: "CrossCache | None" = None


_Said = tuple[Sequence[TextKV | Parted], Sequence[TextKV | Parted]]
"""The text as the layers of the main stack and of the branch are to hear it."""


def sinusoid(t: Tensor, freq_dim: int) -> Tensor:
    """Timestep features [..., freq_dim]: cosines first, then sines; t in 0..1000.

    Float64, because near t = 1000 fp32 angles are off by 5e-5; Apple's GPUs have no float64.
    """
    half = freq_dim // 2
    wide = torch.float32 if t.device.type == "mps" else torch.float64
    frequency = 10000.0 ** (-torch.arange(half, dtype=wide, device=t.device) / half)
    angle = t.to(wide)[..., None] * frequency
    return torch.cat((angle.cos(), angle.sin()), dim=-1)


class Head(nn.Module):
    """Last norm, modulation by the un-projected timestep embedding, and projection to patches."""

    def __init__(self, arch: Arch) -> None:
        """Names follow the public checkpoints' keys."""
        super().__init__()
        self.modulation = nn.Parameter(torch.randn(1, 2, arch.dim) / arch.dim**0.5)
        self.norm = nn.LayerNorm(arch.dim, arch.eps, elementwise_affine=False)
        self.head = nn.Linear(arch.dim, arch.patch_features)

    def forward(self, x_BNC: Tensor, time_BFC: Tensor) -> Tensor:
        """Patches [B, F, T, patch_features]."""
        shift, scale = (self.modulation.unsqueeze(0) + time_BFC.unsqueeze(2)).unsqueeze(3).unbind(2)
        return per_latent(self.head(modulate(self.norm(x_BNC), scale, shift)), time_BFC.shape[1])


def unpatchify(patches_BFTQ: Tensor, rows: int, columns: int, arch: Arch) -> Tensor:
    """[B, F, T, (row, column, channel)] -> [B, F, channels, h, w]."""
    batch, latents = patches_BFTQ.shape[:2]
    _, height, width = arch.patch
    grid = patches_BFTQ.reshape(batch, latents, rows, columns, height, width, arch.out_dim)
    return grid.permute(0, 1, 6, 2, 4, 3, 5).reshape(
        batch, latents, arch.out_dim, rows * height, columns * width
    )


class PatchEmbedding(nn.Conv3d):
    """The convolution that its weights are stored for. Patches do not overlap: it is one matrix product."""

    def __init__(self, channels: int, arch: Arch) -> None:
        """From `channels` to the model's own."""
        super().__init__(channels, arch.dim, arch.patch, arch.patch)

    def forward(self, x_BCFhw: Tensor) -> Tensor:
        """[B, channels, F, h, w] -> [B, C, F, rows, columns], channels innermost."""
        _, channels, latents, height, width = x_BCFhw.shape
        time, rows, columns = self.kernel_size
        parts = (latents // time, time, height // rows, rows, width // columns, columns)
        patches = x_BCFhw.reshape(-1, channels, *parts).permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)
        return nn.functional.linear(patches, self.weight.flatten(1), self.bias).permute(0, 4, 1, 2, 3)


class CausalWan(nn.Module):
    """Causal Wan2.1 DiT; parameter names are the public checkpoints' own."""

    def __init__(self, arch: Arch, vace: bool = True) -> None:
        """Build the network, initialised for training from scratch; `vace` adds the branch."""
        super().__init__()
        self.arch = arch
        self.places = Places()
        dim = arch.dim
        self.patch_embedding = PatchEmbedding(arch.in_dim, arch)
        self.text_embedding = nn.Sequential(
            nn.Linear(arch.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(nn.Linear(arch.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.blocks = cast(Sequence[Block], nn.ModuleList(Block(arch) for _ in range(arch.layers)))
        self.head = Head(arch)
        self.vace_layers = arch.vace_layers if vace else ()
        if self.vace_layers:
            self.vace_patch_embedding = PatchEmbedding(arch.vace_in_dim, arch)
            branch = nn.ModuleList(VaceBlock(arch, first=n == 0) for n in range(len(self.vace_layers)))
            self.vace_blocks = cast(Sequence[VaceBlock], branch)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv3d):
                nn.init.xavier_uniform_(module.weight.detach().flatten(1))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in (*self.text_embedding, *self.time_embedding):
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(self.head.head.weight)
        if self.vace_layers:
            nn.init.zeros_(self.vace_blocks[0].before_proj.weight)
            for block in self.vace_blocks:
                nn.init.zeros_(block.after_proj.weight)

    def cross_cache(self, text_BLD: Tensor) -> CrossCache:
        """Text keys and values of every block; rows beyond the text are zero-padded to `text_len`."""
        missing = self.arch.text_len - text_BLD.shape[1]
        if missing < 0:
            what = f"A text of {text_BLD.shape[1]} rows is longer than the model's {self.arch.text_len}."
            raise EngineError(what, "Shorten the prompt.")
        rows_BLD = nn.functional.pad(text_BLD, (0, 0, 0, missing)).to(self._dtype)
        if not self.places.apart:
            return self._spoken(rows_BLD)
        with self.places.wholly("outside"):
            outside = self._spoken(rows_BLD)
        with self.places.wholly("inside"):
            return replace(self._spoken(rows_BLD), outside=outside)

    def _spoken(self, rows_BLD: Tensor) -> CrossCache:
        """Keys and values of a text, said in one way."""
        text_BLC = self.text_embedding(rows_BLD)
        vace = self.vace_blocks if self.vace_layers else ()
        return CrossCache(
            tuple(block.cross_attn.text_kv(text_BLC) for block in self.blocks),
            tuple(block.cross_attn.text_kv(text_BLC) for block in vace),
            rows_BLD,
        )

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        text: Tensor | CrossCache,
        *,
        cache: Cache | None = None,
        plan: CachePlan | None = None,
        context: Tensor | None = None,
        context_scale: float | Tensor = 1.0,
        attend: Attend = attend,
        vace_attend: Attend = attend,
        tables: Tables | None = None,
        references: References | None = None,
        hints: Hints | None = None,
        inside: Tensor | None = None,
        leaving: bool = False,
    ) -> Tensor:
        """Flow (noise minus clean) of one chunk, same shape and dtype as `x`.

        x: [B, F, 16, h, w] noisy latents, h and w even. t: [B, F] timesteps 0..1000, one per latent.
        text: [B, L, text_dim] embedded rows (L <= text_len), or a `CrossCache` made from them.
        plan: positions and slots of this chunk; None means positions 0..F-1. cache: None means that
        the chunk sees only itself. context: [B, 96, K, h, w] VACE context; None or a float scale of
        0 skips the branch. context_scale: float, or a tensor that broadcasts to [B, F].
        attend / vace_attend: attention kernels of the self-attention of the main stack and of the branch.
        tables: what `make_tables` made of this plan, size and number of references, where a caller has it
        already. references: pictures that the branch sees besides the context; they need one.
        hints: what `hints` made earlier in the chunk; then the branch is not run again.
        inside: [N] how far each token lies inside the mask that parts the picture for LoRAs; None: no mask.
        leaving: only what the pass leaves in the cache is wanted. Then nothing is computed that does not lead
        to it, and `x` itself comes back.
        """
        arch = self.arch
        rows, columns = x.shape[3] // arch.patch[1], x.shape[4] // arch.patch[2]
        if not isinstance(text, CrossCache):
            text = self.cross_cache(text)
        main, vace = self._heard(text, inside, references)
        time_BFC, time_BF6C = self._embed_time(t)
        x_BNC = _tokens(self.patch_embedding(x.transpose(1, 2).to(self._dtype)))

        latents, height, width = x.shape[1], *x.shape[3:]
        past = _past(cache, plan)
        beside = 0 if references is None else references.count
        tables = tables or make_tables(plan, latents, arch, height, width, x.device, beside)
        bias_M = None if tables.bias_M is None else tables.bias_M.to(x_BNC.dtype)
        view = View(tables.queries, tables.keys if past else tables.queries, attend, past, bias_M)

        wanted: Hints = {}
        if context is not None and self.vace_layers and not _is_zero(context_scale):
            branch = View(tables.alone, tables.alone, vace_attend)
            wanted = hints or self._hints(x_BNC, context, time_BF6C, vace, branch, references)

        for layer, block in enumerate(self.blocks):
            if leaving and layer == arch.layers - 1:
                block.leave(x_BNC, time_BF6C, layer, view)
                return x
            hint = scaled(wanted[layer], context_scale, latents) if layer in wanted else None
            x_BNC = block(x_BNC, time_BF6C, main[layer], layer, view, hint)
        return unpatchify(self.head(x_BNC, time_BFC), rows, columns, arch).to(x.dtype)

    def hints(
        self,
        x: Tensor,
        t: Tensor,
        text: CrossCache,
        context: Tensor,
        tables: Tables,
        *,
        attend: Attend = attend,
        references: References | None = None,
        inside: Tensor | None = None,
    ) -> Hints:
        """The branch alone: what `forward` with the same arguments would add, before the context scale."""
        vace = self._heard(text, inside, references)[1]
        x_BNC = _tokens(self.patch_embedding(x.transpose(1, 2).to(self._dtype)))
        view = View(tables.alone, tables.alone, attend)
        return self._hints(x_BNC, context, self._embed_time(t)[1], vace, view, references)

    @property
    def _dtype(self) -> torch.dtype:
        return self.patch_embedding.weight.dtype

    def _heard(self, text: CrossCache, inside_N: Tensor | None, references: References | None) -> _Said:
        """The text as it is to be heard in each place; tells the layers where their rows lie, too."""
        each = 0 if references is None else self.arch.tokens_per_latent(*references.noisy.shape[3:])
        before = 0 if references is None else references.count * each
        inside_M = self.places.lie(inside_N, before)
        if text.outside is None:
            return text.main, text.vace
        if inside_M is None:
            return text.outside.main, text.outside.vace
        return (
            [Parted(*both, inside_M[before:]) for both in zip(text.main, text.outside.main, strict=True)],
            [Parted(*both, inside_M) for both in zip(text.vace, text.outside.vace, strict=True)],
        )

    def _embed_time(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Timestep embedding [B, F, C], and its projection to six modulations [B, F, 6, C]."""
        features = sinusoid(t.flatten(), self.arch.freq_dim).to(self._dtype)
        time_TC = self.time_embedding(features)
        return time_TC.view(*t.shape, -1), self.time_projection(time_TC).view(*t.shape, 6, -1)

    def _hints(
        self,
        x_BNC: Tensor,
        context: Tensor,
        time_BF6C: Tensor,
        text: Sequence[TextKV | Parted],
        view: View,
        references: References | None,
    ) -> Hints:
        """Hint per main block; the branch sees its own chunk, at positions from 0, and references before it.

        The references' own hints are dropped: they have no place in the chunk, so nothing of it moves.
        """
        tokens = x_BNC.shape[1]
        context_BKC = fit_context(_tokens(self.vace_patch_embedding(context.to(self._dtype))), tokens)
        if references is not None:
            led_BKC = _tokens(self.vace_patch_embedding(references.context.to(self._dtype)))
            noisy_BCRhw = references.noisy.transpose(1, 2).to(self._dtype)
            context_BKC = torch.cat((led_BKC, context_BKC), dim=1)
            x_BNC = torch.cat((_tokens(self.patch_embedding(noisy_BCRhw)), x_BNC), dim=1)
            # They are at the noise level of the chunk's first latent.
            time_BR6C = time_BF6C[:, :1].expand(-1, references.count, -1, -1)
            time_BF6C = torch.cat((time_BR6C, time_BF6C), dim=1)
        c_BNC = self.vace_blocks[0].before_proj(context_BKC) + x_BNC
        hints: dict[int, Tensor] = {}
        for n, block in enumerate(self.vace_blocks):
            c_BNC = block(c_BNC, time_BF6C, text[n], n, view)
            hints[self.vace_layers[n]] = block.after_proj(c_BNC[:, -tokens:])
        return hints


def _tokens(embedded_BCFhw: Tensor) -> Tensor:
    """[B, C, F, h, w] -> [B, F*h*w, C]."""
    return embedded_BCFhw.flatten(2).transpose(1, 2).contiguous()


def _is_zero(scale: float | Tensor) -> bool:
    """True only for a host number: a device tensor is never read back."""
    return not isinstance(scale, Tensor) and scale == 0


def _past(cache: Cache | None, plan: CachePlan | None) -> tuple[Cache, CachePlan] | None:
    if cache is None:
        return None
    if plan is None:
        raise EngineError("A KV cache was given without a plan.", "Pass the policy's plan for this chunk.")
    return cache, plan

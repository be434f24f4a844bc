"""Replays of single forwards of the transformer: one chunk on an empty cache, and upstream VACE.

The product's own policy, cache and RoPE run here; only what the reference does differently on purpose
is injected: with VACE, fp32 timestep features and zero keys that pad the branch's self-attention to a
multiple of 128.
"""

import math
import re
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from engine.model.attention import attend
from engine.model.cache import KVCache
from engine.model.policies import SinkWindow
from engine.model.schedule import Schedule, denoised
from engine.model.spec import Arch
from engine.model.wan import CausalWan
from engine.parity.golden import Golden, filled
from engine.parity.kv import layers_in, rows_of

PAD_TO = 128

_SIZES = ("dim", "ffn_dim", "num_heads", "num_layers", "vace_layers", "text_len", "text_dim", "freq_dim")


def attend_with_padding(
    q_BNHD: Tensor, k_BMHD: Tensor, v_BMHD: Tensor, bias_M: Tensor | None = None, /
) -> Tensor:
    """The reference's unmasked zero keys: as many as fill up the longer of q and k to a multiple of 128."""
    longest = max(q_BNHD.shape[1], k_BMHD.shape[1])
    missing = longest + -longest % PAD_TO - k_BMHD.shape[1]
    k_BMHD, v_BMHD = (pad(x, (0, 0, 0, 0, 0, missing)) for x in (k_BMHD, v_BMHD))
    return attend(q_BNHD, k_BMHD, v_BMHD, None if bias_M is None else pad(bias_M, (0, missing)))


class Fp32Timesteps:
    """Gives the timestep MLP what the reference's VACE model computes: the sinusoid in fp32."""

    def __init__(self, model: CausalWan) -> None:
        """Listen to a network for good."""
        self.half = model.arch.freq_dim // 2
        model.register_forward_pre_hook(self._remember)
        model.time_embedding.register_forward_pre_hook(self._replace)

    def _remember(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        del model
        self.t = inputs[1]

    def _replace(self, module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        del module, inputs
        frequency = torch.exp(-math.log(10000.0) * torch.arange(self.half) / self.half)
        angle = self.t.flatten()[:, None] * frequency
        return torch.cat((angle.cos(), angle.sin()), dim=-1)


def filled_model(sizes: dict[str, Any], salt: int) -> CausalWan:
    """A network of recorded sizes with the weights of the recordings."""
    dim, ffn_dim, heads, layers, vace_layers, text_len, text_dim, freq_dim = (sizes[key] for key in _SIZES)
    arch = Arch(dim, ffn_dim, heads, layers, tuple(vace_layers or ()), text_len, text_dim, freq_dim)
    return filled(lambda: CausalWan(arch), salt)


def causal_model(config: dict[str, Any]) -> CausalWan:
    """The causal network of a recording, timesteps as its reference feeds them."""
    model = filled_model(config, config["salt"])
    if config["vace_layers"]:
        Fp32Timesteps(model)
    return model


def grid_of(model: CausalWan, latents: Tensor) -> tuple[int, int]:
    """Rows and columns of tokens of latents [..., h, w]."""
    _, height, width = model.arch.patch
    return latents.shape[-2] // height, latents.shape[-1] // width


def replay_unit(golden: Golden) -> None:
    """One forward on an empty cache, with the outputs of the layers on the way."""
    config = golden.meta("config")
    model = causal_model(config)
    noisy, timestep, text = (golden.take(key) for key in ("noisy", "timestep", "text"))
    context = golden.take("vace_context")[None] if "vace_context" in golden else None
    policy = SinkWindow(config["local_attn_size"], config["sink_size"], relative=False)
    arch, grid = model.arch, grid_of(model, noisy)
    tokens, latents = math.prod(grid), noisy.shape[1]
    first = config["current_start"] // tokens
    cache = KVCache(
        layers=arch.layers,
        slots=policy.slots,
        tokens_per_latent=tokens,
        heads=arch.heads,
        head_dim=arch.head_dim,
    )
    _listen(golden, model)
    flow = model(
        noisy,
        timestep,
        text,
        cache=cache,
        plan=policy.plan(first, latents),
        context=context,
        context_scale=config["vace_context_scale"] or 0.0,
        vace_attend=attend_with_padding,
    )
    golden.compare("flow", flow)
    sigma = Schedule(config["timestep_shift"]).sigma(timestep)[:, :, None, None, None]
    golden.compare("x0", denoised(noisy, flow, sigma))
    own = range(first, first + latents)
    rows = rows_of(cache, [policy.slot(latent) for latent in own], own, grid, latents * tokens)
    for key, layer, part in layers_in(golden, r"kv\."):
        golden.compare(key, rows(layer)[part])
    cross = model.cross_cache(text)
    for key, layer, part in layers_in(golden, r"crossattn\."):
        golden.compare(key, cross.main[layer][part])


def replay_upstream(golden: Golden) -> None:
    """The bidirectional upstream model: our causal one when it sees a single chunk."""
    model = filled_model({key: golden.meta(key) for key in _SIZES}, golden.meta("salt"))
    x = golden.take("x").transpose(0, 1)[None]
    t = torch.full(x.shape[:2], golden.meta("t"))
    forward = partial(model, x, t, golden.take("text")[None])
    context = golden.take("vace_context")[None]
    golden.compare("flow.no_vace", forward()[0].transpose(0, 1))
    for scale in golden.meta("scales"):
        flow = forward(context=context, context_scale=scale)
        golden.compare(f"flow.scale{scale}", flow[0].transpose(0, 1))


def _listen(golden: Golden, model: CausalWan) -> None:
    """Compare the recorded outputs of layers as the forward passes through them."""
    for key in golden.keys("inter."):
        name = re.sub(r"^inter\.block(\d+)", r"blocks.\1", key)
        name = re.sub(r"^inter\.hint(\d+)$", r"vace_blocks.\1.after_proj", name).removeprefix("inter.")
        model.get_submodule(name).register_forward_hook(partial(_compare_output, golden, key))


def _compare_output(golden: Golden, key: str, module: nn.Module, inputs: object, output: Tensor) -> None:
    del module, inputs
    golden.compare(key, output)

"""Replays of the transformer's recordings: single forwards, streams of chunks, and upstream VACE.

The product's own policy, cache and RoPE run here; only what the reference does differently on purpose
is injected: literal timesteps and, with VACE, fp32 timestep features and zero keys that pad the
branch's self-attention to a multiple of 128.
"""

import math
import re
from collections.abc import Callable
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from engine.model.attention import attend
from engine.model.cache import KVCache
from engine.model.policies import CachePlan, SinkWindow
from engine.model.rope import rope_table, rotate
from engine.model.schedule import Schedule, denoised, noised
from engine.model.spec import Arch
from engine.model.wan import CausalWan
from engine.parity.golden import LIMIT, Golden, Mismatch, filled

PAD_TO = 128
WITHOUT_PADDING = "_nopadkeys"

Rows = Callable[[int], tuple[Tensor, Tensor]]
"""Layer -> its cached keys and values, as the reference stores them."""


def attend_with_padding(q_BNHD: Tensor, k_BMHD: Tensor, v_BMHD: Tensor) -> Tensor:
    """The reference's VACE attention: unmasked zero keys up to a multiple of 128 take part."""
    missing = -k_BMHD.shape[1] % PAD_TO
    return attend(q_BNHD, *(pad(x, (0, 0, 0, 0, 0, missing)) for x in (k_BMHD, v_BMHD)))


class _Fp32Timesteps:
    """Gives the timestep MLP what the reference's VACE model computes: the sinusoid in fp32."""

    def __init__(self, model: CausalWan) -> None:
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


def replay_unit(golden: Golden) -> None:
    """One forward on an empty cache, with the outputs of the layers on the way."""
    config = golden.meta("config")
    model = _causal_model(config)
    noisy, timestep, text = (golden.take(key) for key in ("noisy", "timestep", "text"))
    context = golden.take("vace_context")[None] if "vace_context" in golden else None
    policy = SinkWindow(config["local_attn_size"], config["sink_size"], relative=False)
    cache = _cache(model, policy, noisy)
    first, latents = config["current_start"] // cache.tokens_per_latent, noisy.shape[1]
    plan = policy.plan(first, latents)
    _listen(golden, model)
    flow = model(
        noisy,
        timestep,
        text,
        cache=cache,
        plan=plan,
        context=context,
        context_scale=config["vace_context_scale"] or 0.0,
        vace_attend=attend_with_padding,
    )
    golden.compare("flow", flow)
    sigma = Schedule(config["timestep_shift"]).sigma(timestep)[:, :, None, None, None]
    golden.compare("x0", denoised(noisy, flow, sigma))
    rows = _rows_by_age(model, cache, policy, noisy, first + latents)
    own = latents * cache.tokens_per_latent
    for key, layer, part in _layers_in(golden, r"kv\."):
        golden.compare(key, rows(layer)[part].narrow(1, config["current_start"], own))
    cross = model.cross_cache(text)
    for key, layer, part in _layers_in(golden, r"crossattn\."):
        golden.compare(key, cross.main[layer][part])


def replay_stream(golden: Golden) -> None:
    """Chunk after chunk through the cache, every model call compared."""
    source = _inputs_of(golden)
    stream = _Stream(golden, source)
    calls = golden.meta("calls")
    for chunk, of_chunk in groupby(calls, key=itemgetter("chunk")):
        stream.chunk(chunk, list(of_chunk))


class _Stream:
    """State of one replayed stream: the cache and the index of the next latent."""

    def __init__(self, golden: Golden, source: Golden) -> None:
        self.golden, self.source = golden, source
        self.config = golden.meta("config")
        self.model = _causal_model(self.config)
        self.policy = SinkWindow(self.config["local_attn_size"], self.config["sink_size"], relative=False)
        self.schedule = Schedule(self.config["timestep_shift"])
        padded = not golden.path.stem.endswith(WITHOUT_PADDING)
        self.vace_attend = attend_with_padding if padded else attend
        self.cache = _cache(self.model, self.policy, source.take("noise.c0"))
        self.start = 0
        self.fitted: set[str] = set()

    def chunk(self, chunk: int, calls: list[dict[str, Any]]) -> None:
        """All denoising steps of a chunk and its clean pass."""
        golden, listed = self.golden, self.config["denoising_steps"]
        x = self.source.take(f"noise.c{chunk}")
        latents = x.shape[1]
        plan = self.policy.plan(self.start, latents)
        steps = self.schedule.steps(listed, warped=False)
        golden.expect("phases", [call["phase"] for call in calls], ["denoise"] * len(steps) + ["clean"])
        golden.expect("timesteps", [call["timestep"][0] for call in calls[:-1]], [step.t for step in steps])
        for number, (call, step) in enumerate(zip(calls, steps, strict=False)):
            flow = self._call(call, x, plan)
            x = denoised(x, flow, step.sigma)
            golden.compare_if_recorded(f"call{call['call']:02d}.x0", x)
            if number + 1 < len(steps):
                fresh = self.source.take(f"renoise.c{chunk}")[number][None]
                x = noised(x, fresh, steps[number + 1].sigma)
        golden.compare(f"latents.c{chunk}", x)
        flow = self._call(calls[-1], x, plan)
        sigma = self.schedule.sigma(torch.tensor(calls[-1]["timestep"])).view(1, -1, 1, 1, 1)
        golden.compare_if_recorded(f"call{calls[-1]['call']:02d}.x0", denoised(x, flow, sigma))
        self._finish(chunk, latents, x)

    def _call(self, call: dict[str, Any], x: Tensor, plan: CachePlan) -> Tensor:
        """One recorded model call."""
        golden, name = self.golden, f"call{call['call']:02d}"
        golden.expect("current_start", call["current_start"], self.start * self.cache.tokens_per_latent)
        golden.compare_if_recorded(f"{name}.noisy", x)
        flow: Tensor = self.model(
            x,
            torch.tensor([call["timestep"]]),
            self.source.take(f"text.{call['text']}"),
            cache=self.cache,
            plan=plan,
            context=self.source.take(f"vace.c{call['chunk']}")[None] if call["vace"] else None,
            context_scale=call["scale"] if call["vace"] else 0.0,
            vace_attend=self.vace_attend,
        )
        golden.compare(f"{name}.flow", flow)
        return flow

    def _finish(self, chunk: int, latents: int, x: Tensor) -> None:
        """What the cache and the counters hold after a chunk."""
        golden, tokens = self.golden, self.cache.tokens_per_latent
        recorded = golden.meta("chunks")[chunk]
        golden.expect("start_frame", recorded["start_frame"], self.start)
        self.start += latents
        golden.expect("next_start_frame", recorded["next_start_frame"], self.start)
        counters = [self.start * tokens, len(self.policy.held(self.start)) * tokens]
        golden.expect("cache counters", recorded["kv_index_layer0"], counters)
        rows = _rows_by_age(self.model, self.cache, self.policy, x, self.start)
        self._compare_cache(chunk, rows)
        digests = [_digest(*rows(layer)) for layer in (0, len(self.model.blocks) - 1)]
        golden.compare_if_recorded(f"kvdigest.c{chunk}", torch.stack(digests))

    def _compare_cache(self, chunk: int, rows: Rows) -> None:
        """The recorded contents of the cache.

        A recording may hold references instead of copies: kv.c2 of `dit_stream_kvfull` has the contents
        of its last chunk (its own digests say so). What does not fit now must fit at the end.
        """
        golden, last = self.golden, chunk + 1 == len(self.golden.meta("chunks"))
        for key, layer, part in _layers_in(golden, r"kv\.c\d+\." if last else rf"kv\.c{chunk}\."):
            if last and key in self.fitted:
                continue
            ours = rows(layer)[part]
            if last or golden.difference(key, ours) <= LIMIT:
                golden.compare(key, ours)
                self.fitted.add(key)


def replay_upstream(golden: Golden) -> None:
    """The bidirectional upstream model: our causal one when it sees a single chunk."""
    model = _model({key: golden.meta(key) for key in _SIZES}, golden.meta("salt"))
    x = golden.take("x").transpose(0, 1)[None]
    t = torch.full(x.shape[:2], golden.meta("t"))
    forward = partial(model, x, t, golden.take("text")[None])
    context = golden.take("vace_context")[None]
    golden.compare("flow.no_vace", forward()[0].transpose(0, 1))
    for scale in golden.meta("scales"):
        flow = forward(context=context, context_scale=scale)
        golden.compare(f"flow.scale{scale}", flow[0].transpose(0, 1))


_SIZES = ("dim", "ffn_dim", "num_heads", "num_layers", "vace_layers", "text_len", "text_dim", "freq_dim")


def _model(sizes: dict[str, Any], salt: int) -> CausalWan:
    dim, ffn_dim, heads, layers, vace_layers, text_len, text_dim, freq_dim = (sizes[key] for key in _SIZES)
    arch = Arch(dim, ffn_dim, heads, layers, tuple(vace_layers or ()), text_len, text_dim, freq_dim)
    return filled(lambda: CausalWan(arch), salt)


def _causal_model(config: dict[str, Any]) -> CausalWan:
    model = _model(config, config["salt"])
    if config["vace_layers"]:
        _Fp32Timesteps(model)
    return model


def _cache(model: CausalWan, policy: SinkWindow, latents: Tensor) -> KVCache:
    arch = model.arch
    return KVCache(
        layers=arch.layers,
        slots=policy.window,
        tokens_per_latent=arch.tokens_per_latent(*latents.shape[-2:]),
        heads=arch.heads,
        head_dim=arch.head_dim,
    )


def _inputs_of(golden: Golden) -> Golden:
    """Where the inputs of a stream lie: in its own file, or in the one whose name it extends."""
    if "noise.c0" in golden:
        return golden
    companion = golden.path.with_name(golden.path.stem.removesuffix(WITHOUT_PADDING) + golden.path.suffix)
    if companion == golden.path or not companion.is_file():
        raise Mismatch(f"its inputs are recorded in {companion.name}, which must lie beside it")
    return Golden(companion)


def _rows_by_age(model: CausalWan, cache: KVCache, policy: SinkWindow, latents: Tensor, stop: int) -> Rows:
    """Our un-roped ring as the reference stores it: roped at absolute positions, oldest latent first."""
    held, tokens, arch = policy.held(stop), cache.tokens_per_latent, model.arch
    _, height, width = arch.patch
    grid = latents.shape[-2] // height, latents.shape[-1] // width
    table = rope_table(held, *grid, arch.head_dim, latents.device)
    slots = torch.tensor([policy.slot(latent) for latent in held])
    order = (slots[:, None] * tokens + torch.arange(tokens)).flatten()

    def rows(layer: int) -> tuple[Tensor, Tensor]:
        k_1MHD, v_1MHD = cache.k_LBMHD[layer], cache.v_LBMHD[layer]
        empty = k_1MHD.shape[1] - len(order)
        stored = rotate(k_1MHD[:, order], table), v_1MHD[:, order]
        return pad(stored[0], (0, 0, 0, 0, 0, empty)), pad(stored[1], (0, 0, 0, 0, 0, empty))

    return rows


def _layers_in(golden: Golden, prefix: str) -> list[tuple[str, int, int]]:
    """Tensors named <prefix>l<layer>.k or .v: their names, layers, and 0 for k or 1 for v."""
    found = [re.fullmatch(prefix + r"l(\d+)\.([kv])", key) for key in golden.keys("")]
    return [(match[0], int(match[1]), "kv".index(match[2])) for match in found if match]


def _digest(k_1MHD: Tensor, v_1MHD: Tensor) -> Tensor:
    """Three sums per cached row: plain, absolute, and weighted by the cosine of the channel index."""
    rows = torch.stack((k_1MHD[0].flatten(1), v_1MHD[0].flatten(1)))
    wave = torch.arange(rows.shape[-1]).cos()
    return torch.stack((rows.sum(-1), rows.abs().sum(-1), (rows * wave).sum(-1)), dim=-1)


def _listen(golden: Golden, model: CausalWan) -> None:
    """Compare the recorded outputs of layers as the forward passes through them."""
    for key in golden.keys("inter."):
        name = re.sub(r"^inter\.block(\d+)", r"blocks.\1", key)
        name = re.sub(r"^inter\.hint(\d+)$", r"vace_blocks.\1.after_proj", name).removeprefix("inter.")
        model.get_submodule(name).register_forward_hook(partial(_compare_output, golden, key))


def _compare_output(golden: Golden, key: str, module: nn.Module, inputs: object, output: Tensor) -> None:
    del module, inputs
    golden.compare(key, output)

"""Replays of streams: chunk after chunk through the product's `LatentStream`, every model call compared.

The calls are overheard at the network, so that what is compared is what the stream really runs. Literal
timesteps, absolute positions and the reference's oddities are injected.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, permutations
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn

from engine.model.attention import attend
from engine.model.latent_space import FRAMES_PER_LATENT, State
from engine.model.policies import (
    CachePlan,
    ContextRecompute,
    EmaSink,
    MemoryBank,
    Policy,
    Rewrite,
    SinkWindow,
)
from engine.model.savings import WHOLE
from engine.model.schedule import Schedule, denoised, noised
from engine.model.stream import LatentStream
from engine.model.wan import CausalWan, CrossCache
from engine.parity.codec import filled_wan_vae
from engine.parity.dit import attend_with_padding, causal_model, grid_of
from engine.parity.golden import LIMIT, Golden, Mismatch
from engine.parity.kv import Rows, digest, layers_in, rows_of
from engine.parity.oddities import EmptyBank, MovedSink, PhantomKeys, RepeatingBank

WITHOUT_PADDING = "_nopadkeys"
VAE_WIDTH = 16
"""Channels of the recorded autoencoder."""


@dataclass(frozen=True)
class Heard:
    """One call of the network."""

    x: Tensor
    t: Tensor
    flow: Tensor


def overhear(model: CausalWan) -> list[Heard]:
    """Everything that the network is asked and answers from now on; clear the list to begin anew."""
    heard: list[Heard] = []

    def hear(module: nn.Module, inputs: tuple[Tensor, ...], flow: Tensor) -> None:
        del module
        heard.append(Heard(inputs[0], inputs[1], flow))

    model.register_forward_hook(hear)
    return heard


def compare_calls(golden: Golden, calls: Sequence[dict[str, Any]], heard: Sequence[Heard]) -> None:
    """Recorded calls of the network against those that were heard."""
    golden.expect("the number of calls", len(calls), len(heard))
    for call, own in zip(calls, heard, strict=True):
        name = f"call{call['call']:02d}"
        golden.expect("timesteps", call["timestep"], own.t[0].tolist())
        golden.compare_if_recorded(f"{name}.noisy", own.x)
        golden.compare(f"{name}.flow", own.flow)


class StreamReplay:
    """One recorded stream, played through ours."""

    def __init__(self, golden: Golden, policy: Policy) -> None:
        """Prepare the network and an empty stream."""
        self.golden, self.source = golden, _inputs_of(golden)
        self.config = golden.meta("config")
        self.model = causal_model(self.config)
        self.heard = overhear(self.model)
        self.schedule = Schedule(self.config["timestep_shift"])
        self.phantoms = PhantomKeys()
        padded = not golden.path.stem.endswith(WITHOUT_PADDING)
        noise = self.source.take("noise.c0")
        self.grid = grid_of(self.model, noise)
        self.stream = LatentStream(
            self.model,
            policy,
            latent_size=(noise.shape[3], noise.shape[4]),
            latents_per_chunk=noise.shape[1],
            device="cpu",
            dtype=torch.float32,
            savings=WHOLE,
            attend=self.phantoms,
            vace_attend=attend_with_padding if padded else attend,
        )
        self.texts: dict[int, CrossCache] = {}
        self.finished: list[Tensor] = []
        self.fitted: set[str] = set()

    def run(self) -> None:
        """All chunks."""
        last = None
        for number, of_chunk in groupby(self.golden.meta("calls"), key=itemgetter("chunk")):
            calls = list(of_chunk)
            text = calls[-1]["text"]
            self.chunk(number, calls, switched=last is not None and text != last)
            last = text

    def chunk(self, number: int, calls: list[dict[str, Any]], switched: bool) -> None:
        """A prompt switch if there is one, all denoising steps, and what follows them."""
        stream, start = self.stream, self.stream.start
        self.heard.clear()
        text = self._text(calls[-1]["text"])
        phases = self._recache(text) if switched else []
        x = self.source.take(f"noise.c{number}")
        self.phantoms.on = False
        stream.begin(x.shape[1], text, lambda: self.anchor(number))
        phases += ["recompute"] * (stream.policy.context(start) is not None)
        steps = self.schedule.steps(self.config["denoising_steps"], warped=False)
        denoising = calls[len(phases) : len(phases) + len(steps)]
        phases += ["denoise"] * len(steps)
        self.phantoms.on = self.config.get("kv_cache_attention_bias", 1.0) != 1.0
        for index, (call, step) in enumerate(zip(denoising, steps, strict=True)):
            context = self.source.take(f"vace.c{number}")[None] if call["vace"] else None
            x = denoised(
                x, stream.predict(x, step.t, context=context, context_scale=call["scale"]), step.sigma
            )
            if index + 1 < len(steps):
                fresh = self.source.take(f"renoise.c{number}")[index][None]
                x = noised(x, fresh, steps[index + 1].sigma)
        self.golden.compare(f"latents.c{number}", x)
        self._compare_bank(number)
        phases += ["clean"] * stream.policy.plan(start, x.shape[1]).clean
        stream.finish(x)
        self.finished += x.unbind(1)
        self.golden.expect("phases", [call["phase"] for call in calls], phases)
        self._compare_calls(calls, start)
        self._compare_counters(number, start)
        self._compare_rows(number)
        self.after(number, x)

    def after(self, number: int, latents: Tensor) -> None:
        """What else a recording holds of a finished chunk."""

    def anchor(self, number: int) -> Tensor:
        """The latent that stands for the oldest picture before a chunk."""
        raise Mismatch(f"chunk {number} asks for an anchor")

    def layout(self, stop: int) -> tuple[Sequence[int], Sequence[int] | None]:
        """Slots in the order of the reference's rows, and the positions its keys are stored at (or None)."""
        policy = self.stream.policy
        if not isinstance(policy, SinkWindow | MemoryBank | MovedSink):
            raise Mismatch("no order of rows is known")
        held = policy.held(stop)
        return [policy.slot(latent) for latent in held], held

    def _text(self, number: int) -> CrossCache:
        if number not in self.texts:
            self.texts[number] = self.model.cross_cache(self.source.take(f"text.{number}"))
        return self.texts[number]

    def _recache(self, text: CrossCache) -> list[str]:
        """A prompt switch; and what the reference computes besides for latents whose keys it throws away."""
        policy, start = self.stream.policy, self.stream.start
        self.stream.recache(text)
        rewrite = policy.recache(start)
        if rewrite is None:
            return []
        wasted = range(max(0, start - self.config["local_attn_size"]), rewrite.latents[0])
        if wasted:
            self._run_wasted(wasted, rewrite, text)
        return ["recache"]

    def _run_wasted(self, latents: range, rewrite: Rewrite, text: CrossCache) -> None:
        x = torch.stack([self.finished[latent] for latent in latents], dim=1)
        plan = CachePlan((), rewrite.plan.read, tuple(latents), rewrite.plan.key_positions)
        self.model(x, torch.zeros(x.shape[:2]), text, cache=self.stream.cache, plan=plan)
        used, unused = self.heard[-2:]
        pairs = ((unused.x, used.x), (unused.t, used.t), (unused.flow, used.flow))
        self.heard[-2:] = [Heard(*(torch.cat(pair, dim=1) for pair in pairs))]

    def _compare_calls(self, calls: list[dict[str, Any]], start: int) -> None:
        """Every recorded call of a chunk against the one that was heard."""
        golden = self.golden
        compare_calls(golden, calls, self.heard)
        for call, heard in zip(calls, self.heard, strict=True):
            sigma = self.schedule.sigma(heard.t)[:, :, None, None, None]
            clean = denoised(heard.x, heard.flow, sigma)
            golden.compare_if_recorded(f"call{call['call']:02d}.x0", clean)
            first = start - heard.x.shape[1] if call["phase"] == "recache" else self.first(start)
            golden.expect("current_start", call["current_start"], first * self.stream.cache.tokens_per_latent)

    def first(self, start: int) -> int:
        """The latent index that the reference gives the network for a chunk that begins at `start`."""
        return start

    def _compare_counters(self, number: int, start: int) -> None:
        golden, tokens = self.golden, self.stream.cache.tokens_per_latent
        recorded, stop = golden.meta("chunks")[number], self.stream.start
        golden.expect("start_frame", recorded["start_frame"], start)
        golden.expect("next_start_frame", recorded["next_start_frame"], stop)
        rows = len(self.layout(stop)[0])
        counters = [(self.first(start) + stop - start) * tokens, rows * tokens]
        golden.expect("cache counters", recorded["kv_index_layer0"], counters)

    def _compare_rows(self, number: int) -> None:
        """The recorded contents of the cache after a chunk, whole or digested."""
        slots, positions = self.layout(self.stream.start)
        length = self.config["local_attn_size"] * self.stream.cache.tokens_per_latent
        rows = rows_of(self.stream.cache, slots, positions, self.grid, length)
        self._compare_contents(number, rows)
        self.golden.compare_if_recorded(f"kvdigest.c{number}", digest(rows, self._ends()))

    def _compare_contents(self, number: int, rows: Rows) -> None:
        """Recorded keys and values.

        A recording may hold references instead of copies: kv.c2 of `dit_stream_kvfull` has the contents
        of its last chunk (its own digests say so). What does not fit now must fit at the end.
        """
        golden, last = self.golden, number + 1 == len(self.golden.meta("chunks"))
        for key, layer, part in layers_in(golden, r"kv\.c\d+\." if last else rf"kv\.c{number}\."):
            if last and key in self.fitted:
                continue
            ours = rows(layer)[part]
            if last or golden.difference(key, ours) <= LIMIT:
                golden.compare(key, ours)
                self.fitted.add(key)

    def _compare_bank(self, number: int) -> None:
        """The recorded memory bank: its keys are stored roped, ours lack only rows and columns.

        The reference's bank is in order of scores, ours in order of age; attention does not care.
        """
        key, policy = f"bankdigest.c{number}", self.stream.policy
        if key in self.golden and isinstance(policy, MemoryBank):
            slots = range(policy.sink, policy.sink + policy.bank)
            length = policy.bank * self.stream.cache.tokens_per_latent
            orders = (
                digest(rows_of(self.stream.cache, order, [0] * policy.bank, self.grid, length), self._ends())
                for order in permutations(slots)
            )
            self.golden.compare(key, min(orders, key=lambda ours: self.golden.difference(key, ours)))

    def _ends(self) -> tuple[int, int]:
        return 0, len(self.model.blocks) - 1


class RelativeReplay(StreamReplay):
    """Reward Forcing: keys stored without RoPE, by age."""

    def layout(self, stop: int) -> tuple[Sequence[int], Sequence[int] | None]:
        """As the window underneath."""
        ring = SinkWindow(self.config["local_attn_size"], self.config["sink_size"])
        return [ring.slot(latent) for latent in ring.held(stop)], None


class ContextReplay(StreamReplay):
    """Krea: keys at the window's positions, and anchors that go through the autoencoder and back."""

    def __init__(self, golden: Golden, policy: ContextRecompute) -> None:
        """Prepare the recorded autoencoder as well."""
        super().__init__(golden, policy)
        self.context = policy.context_latents
        self.vae = filled_wan_vae(self.config["vae_salt"], VAE_WIDTH)
        self.decoder: State | None = None
        self.pictures = torch.empty(0)

    def anchor(self, number: int) -> Tensor:
        """The oldest of the pictures that lie over the context's latents, encoded alone."""
        del number
        oldest = 1 + (self.context - 1) * FRAMES_PER_LATENT
        return self.vae.encode(self.pictures[:, -oldest][:, None])[0]

    def layout(self, stop: int) -> tuple[Sequence[int], Sequence[int] | None]:
        """The context, where there was one, and the chunk."""
        held = range(min(stop, self.context + self.config["num_frame_per_block"]))
        return held, held

    def first(self, start: int) -> int:
        """As if every chunk were the stream's second one."""
        return min(start, self.context)

    def after(self, number: int, latents: Tensor) -> None:
        """Decoded pictures, and the latents of the next context."""
        self.pictures, self.decoder = self.vae.decode(latents, self.decoder)
        self.golden.compare_if_recorded(f"video.c{number}", self.pictures)
        newest = torch.stack(self.finished[1 - self.context :], dim=1)
        self.golden.compare_if_recorded(f"context_frame_buffer.c{number}", newest)


def replay_window(golden: Golden) -> None:
    """LongLive and StreamDiffusionV2, with or without a prompt switch."""
    config = golden.meta("config")
    ring = SinkWindow(config["local_attn_size"], config["sink_size"], relative=False, recaches=True)
    StreamReplay(golden, ring if config.get("global_sink", True) else MovedSink(ring)).run()


def replay_ema(golden: Golden) -> None:
    """Reward Forcing."""
    config = golden.meta("config")
    RelativeReplay(golden, EmaSink(config["local_attn_size"], config["sink_size"])).run()


def replay_bank(golden: Golden) -> None:
    """MemFlow; what its reference does with the bank depends on whether VACE is there."""
    config = golden.meta("config")
    odd = EmptyBank if config["vace_layers"] else RepeatingBank
    every = config["record_interval"] * config["num_frame_per_block"]
    sizes = config["local_attn_size"], config["sink_size"], config["bank_size"], every
    StreamReplay(golden, odd(*sizes, relative=False)).run()


def replay_context_recompute(golden: Golden) -> None:
    """Krea Realtime."""
    config = golden.meta("config")
    bias = config["kv_cache_attention_bias"]
    policy = ContextRecompute(config["local_attn_size"], config["kv_cache_num_frames"], bias)
    ContextReplay(golden, policy).run()


def _inputs_of(golden: Golden) -> Golden:
    """Where the inputs of a stream lie: in its own file, or in the one whose name it extends."""
    if "noise.c0" in golden:
        return golden
    companion = golden.path.with_name(golden.path.stem.removesuffix(WITHOUT_PADDING) + golden.path.suffix)
    if companion == golden.path or not companion.is_file():
        raise Mismatch(f"its inputs are recorded in {companion.name}, which must lie beside it")
    return Golden(companion)

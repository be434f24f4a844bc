"""Streams of every policy against naive attention over the whole sequence, and what must not matter."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from engine.core.errors import EngineError
from engine.model.attention import Attend, attend
from engine.model.bank import fit
from engine.model.policies import (
    CachePlan,
    ContextRecompute,
    EmaSink,
    MemoryBank,
    Policy,
    SinkWindow,
)
from engine.model.rope import rope_table, rotate
from engine.model.savings import ALL, Savings
from engine.model.spec import Arch
from engine.model.stream import LatentStream
from engine.model.wan import CausalWan, CrossCache
from engine.parity.golden import filled

SMALL = Arch(dim=24, ffn_dim=24, heads=2, layers=2, vace_layers=(0,), text_len=3, text_dim=4, freq_dim=8)
HEIGHT, WIDTH = 2, 4
TOKENS = 2

POLICIES: dict[str, Policy] = {
    "LongLive": SinkWindow(12, 3, recaches=True),
    "no sink": SinkWindow(6, 0),
    "absolute": SinkWindow(9, 3, relative=False),
    "Reward Forcing": EmaSink(9, 3, keep=0.9),
    "MemFlow": MemoryBank(12, 3),
    "Krea": ContextRecompute(6),
}


@pytest.fixture
def small() -> CausalWan:
    return filled(lambda: CausalWan(SMALL), salt=5)


def stream_of(
    dit: CausalWan, policy: Policy, latents: int = 3, attend: Attend = attend, savings: Savings = ALL
) -> LatentStream:
    return LatentStream(
        dit,
        policy,
        latent_size=(HEIGHT, WIDTH),
        latents_per_chunk=latents,
        device="cpu",
        dtype=torch.float32,
        attend=attend,
        savings=savings,
    )


def text_of(dit: CausalWan, seed: int = 1) -> CrossCache:
    draw = torch.Generator().manual_seed(seed)
    return dit.cross_cache(torch.randn(1, 3, SMALL.text_dim, generator=draw))


def draws(latents: int, seed: int = 0) -> Iterator[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randn(1, latents, 16, HEIGHT, WIDTH, generator=draw)


def play(stream: LatentStream, text: CrossCache, latents: int, chunks: int, seed: int = 0) -> list[Tensor]:
    """Outputs of a stream whose finished latents are drawn, not made: faults cannot hide each other."""
    noise, outputs = draws(latents, seed), []
    for _ in range(chunks):
        stream.begin(latents, text)
        outputs.append(stream.predict(next(noise), 700.0))
        stream.finish(next(noise))
    return outputs


@dataclass
class Everything:
    """A cache that forgets nothing: keys and values of every latent ever made, per layer."""

    k: dict[int, list[Tensor]]
    v: dict[int, list[Tensor]]
    extra: dict[int, tuple[Tensor, Tensor]]
    start: int = 0

    def write(self, layer: int, k_BNHD: Tensor, v_BNHD: Tensor, plan: CachePlan) -> tuple[Tensor, Tensor]:
        """All of the sequence, the chunk's own at its end, and before it what was made of the sequence."""
        del plan
        seen = []
        for kept, new, extra in zip(
            (self.k, self.v), (k_BNHD, v_BNHD), self.extra.get(layer, (k_BNHD[:, :0],) * 2), strict=True
        ):
            kept[layer] = [*kept.get(layer, [])[: self.start], *new.split(TOKENS, dim=1)]
            seen.append(torch.cat((extra, *kept[layer]), dim=1))
        return seen[0], seen[1]


class Naive:
    """Full-sequence attention, masked with minus infinity; knows the policies from their descriptions."""

    def __init__(self, dit: CausalWan, sink: int, recent: int, relative: bool) -> None:
        self.dit, self.sink, self.recent, self.relative = dit, sink, recent, relative
        self.past = Everything({}, {}, {})

    def extras(self, stop: int) -> int:
        """How many latents' worth of keys are made of the sequence, and seen right after the sink."""
        del stop
        return 0

    def sees(self, latent: int, stop: int) -> bool:
        return latent < self.sink or latent >= stop - self.recent

    def plan(self, start: int, latents: int) -> CachePlan:
        stop = start + latents
        extras = self.extras(stop)
        seen = [latent for latent in range(stop) if self.sees(latent, stop)]
        order: dict[int, int] = {}
        for at, latent in enumerate(seen):
            order[latent] = at + extras * (latent >= self.sink) if self.relative else latent
        positions = [order.get(latent, 0) for latent in range(stop)]
        hidden = [0.0 if latent in order else -math.inf for latent in range(stop)]
        return CachePlan(
            (),
            (),
            tuple(order[latent] for latent in range(start, stop)),
            (*range(self.first_extra, self.first_extra + extras), *positions),
            (*[0.0] * extras, *hidden),
        )

    @property
    def first_extra(self) -> int:
        return self.sink

    def call(self, x: Tensor, t: float, text: CrossCache) -> Tensor:
        times = torch.full(x.shape[:2], t)
        plan = self.plan(self.past.start, x.shape[1])
        flow: Tensor = self.dit(x, times, text, cache=self.past, plan=plan)
        return flow

    def finish(self, x: Tensor, text: CrossCache) -> None:
        self.call(x, 0.0, text)
        self.past.start += x.shape[1]


class NaiveEma(Naive):
    """The sink's keys are averages over everything evicted so far, from the sequence itself."""

    keep = 0.9

    def extras(self, stop: int) -> int:
        self.past.extra = {
            layer: (self._average(self.past.k[layer], stop), self._average(self.past.v[layer], stop))
            for layer in self.past.k
        }
        return self.sink if self.past.start else 0

    def sees(self, latent: int, stop: int) -> bool:
        return latent >= max(0 if self.past.start == 0 else self.sink, stop - self.recent)

    @property
    def first_extra(self) -> int:
        return 0

    def plan(self, start: int, latents: int) -> CachePlan:
        plan = super().plan(start, latents)
        if not self.past.start:
            self.past.extra = {}
        return plan

    def _average(self, kept: list[Tensor], stop: int) -> Tensor:
        slots = [latent.clone() for latent in kept[: self.sink]]
        for old in range(self.sink, stop - self.recent):
            slots[old % self.sink] = self.keep * slots[old % self.sink] + (1 - self.keep) * kept[old]
        return torch.cat(slots, dim=1)


class NaiveBank(Naive):
    """Every ninth latent joins; of more than three, the one that fits the text least leaves."""

    def __init__(self, dit: CausalWan, text: CrossCache) -> None:
        super().__init__(dit, 3, 9, relative=True)
        self.text = text
        self.members: dict[int, list[int]] = {layer: [] for layer in range(SMALL.layers)}

    def extras(self, stop: int) -> int:
        for layer, members in self.members.items():
            if members:
                kept = [
                    torch.cat([held[layer][m] for m in members], 1) for held in (self.past.k, self.past.v)
                ]
                self.past.extra[layer] = kept[0], kept[1]
        return len(self.members[0])

    def finish(self, x: Tensor, text: CrossCache) -> None:
        first = self.past.start
        super().finish(x, text)
        for latent in range(first, first + x.shape[1]):
            if latent % 9 == 0:
                for layer, members in self.members.items():
                    if len(members) == 3:
                        members.remove(min(members, key=lambda m: self._score(layer, m)))
                    members.append(latent)

    def _score(self, layer: int, member: int) -> float:
        place = rope_table((0,), HEIGHT // 2, WIDTH // 2, SMALL.head_dim, torch.device("cpu"))
        k_BTHD = rotate(self.past.k[layer][member], place)
        products = torch.einsum("blhd,bthd->blth", self.text.main[layer][0], k_BTHD)
        return (products / SMALL.head_dim**0.5).mean().item()


def naive_of(name: str, dit: CausalWan, text: CrossCache) -> Naive:
    if name == "Reward Forcing":
        return NaiveEma(dit, 3, 6, relative=True)
    if name == "MemFlow":
        return NaiveBank(dit, text)
    sink, recent, relative = {"LongLive": (3, 9, True), "no sink": (0, 6, True), "absolute": (3, 6, False)}[
        name
    ]
    return Naive(dit, sink, recent, relative)


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "Krea"])
def test_thirty_chunks_equal_masked_attention_over_the_whole_sequence(name: str, small: CausalWan) -> None:
    text = text_of(small)
    stream, naive = stream_of(small, POLICIES[name]), naive_of(name, small, text)
    noise = draws(3)
    with torch.inference_mode():
        for _ in range(30):
            x, clean = next(noise), next(noise)
            stream.begin(3, text)
            torch.testing.assert_close(
                stream.predict(x, 700.0), naive.call(x, 700.0, text), atol=2e-5, rtol=0
            )
            stream.finish(clean)
            naive.finish(clean, text)


@pytest.mark.parametrize("bias", [1.0, 0.3])
def test_krea_equals_one_masked_sequence_of_context_and_chunk(small: CausalWan, bias: float) -> None:
    """No key but those of the six latents takes part: the reference's biased path adds phantom zero keys."""
    text, stream, noise = text_of(small), stream_of(small, ContextRecompute(6, bias=bias)), draws(3)
    made: list[Tensor] = []
    anchor = torch.full((1, 1, 16, HEIGHT, WIDTH), 0.3)
    own, seen = 3 * TOKENS, 6 * TOKENS
    mask = torch.zeros(seen, seen)
    mask[:own, own:] = -math.inf
    mask[own:, TOKENS:own] = math.log(bias)

    def masked(q: Tensor, k: Tensor, v: Tensor, bias_M: Tensor | None = None, /) -> Tensor:
        del bias_M
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2)

    with torch.inference_mode():
        for chunk in range(30):
            x, clean = next(noise), next(noise)
            stream.begin(3, text, lambda: anchor)
            ours = stream.predict(x, 700.0)
            if chunk == 0:
                expected = small(x, torch.full((1, 3), 700.0), text)
            else:
                oldest = made[0] if chunk == 1 else anchor
                both = torch.cat((oldest, *made[-2:], x), dim=1)
                times = torch.tensor([[0.0] * 3 + [700.0] * 3])
                expected = small(both, times, text, attend=masked)[:, 3:]
            torch.testing.assert_close(ours, expected, atol=2e-5, rtol=0)
            stream.finish(clean)
            made += clean.split(1, dim=1)


def test_krea_without_an_anchor_goes_on_with_the_latent_it_remembers(small: CausalWan) -> None:
    text, noise = text_of(small), draws(3)
    with_anchor, without = (stream_of(small, ContextRecompute(6)) for _ in range(2))
    made = [torch.empty(0)]
    for _ in range(3):
        x, clean = next(noise), next(noise)
        with_anchor.begin(3, text, lambda: made[-1][:, :1])
        without.begin(3, text)
        assert torch.equal(with_anchor.predict(x, 500.0), without.predict(x, 500.0))
        with_anchor.finish(clean)
        without.finish(clean)
        made.append(clean)


def test_one_latent_per_chunk_after_two(small: CausalWan) -> None:
    """StreamDiffusionV2's rhythm, where single latents complete the sink."""
    text = text_of(small)
    stream, naive = stream_of(small, SinkWindow(6, 3), 2), Naive(small, 3, 3, relative=True)
    noise = draws(2)
    with torch.inference_mode():
        for chunk in range(30):
            latents = 2 if chunk == 0 else 1
            x, clean = (next(noise)[:, :latents] for _ in range(2))
            stream.begin(latents, text)
            torch.testing.assert_close(
                stream.predict(x, 700.0), naive.call(x, 700.0, text), atol=2e-5, rtol=0
            )
            stream.finish(clean)
            naive.finish(clean, text)


def test_relative_positions_are_absolute_ones_until_something_is_evicted(small: CausalWan) -> None:
    text = text_of(small)
    for relative, absolute in (
        (SinkWindow(9, 3), SinkWindow(9, 3, relative=False)),
        (SinkWindow(6, 0), SinkWindow(6, 0, relative=False)),
    ):
        ours, theirs = (play(stream_of(small, p), text, 3, 5) for p in (relative, absolute))
        fits = relative.window // 3
        for one, other in zip(ours[:fits], theirs[:fits], strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_only_differences_of_positions_matter(small: CausalWan) -> None:
    """A window at positions 0.. and the same one a million latents later give the same chunk."""

    @dataclass(frozen=True)
    class Late(SinkWindow):
        def plan(self, start: int, latents: int) -> CachePlan:
            plan = super().plan(start, latents)
            later = [tuple(p + 1_000_000 for p in ps) for ps in (plan.query_positions, plan.key_positions)]
            return replace(plan, query_positions=later[0], key_positions=later[1])

    text = text_of(small)
    for now, late in zip(
        play(stream_of(small, SinkWindow(9, 3)), text, 3, 6),
        play(stream_of(small, Late(9, 3)), text, 3, 6),
        strict=True,
    ):
        torch.testing.assert_close(now, late, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["LongLive", "Reward Forcing", "MemFlow", "Krea"])
def test_three_thousand_latents_stay_finite_in_the_tensors_of_the_first(name: str) -> None:
    arch = Arch(dim=12, ffn_dim=8, heads=1, layers=1, vace_layers=(), text_len=2, text_dim=4, freq_dim=4)
    dit = filled(lambda: CausalWan(arch), salt=2)
    text = dit.cross_cache(torch.ones(1, 2, 4))
    stream = LatentStream(
        dit, POLICIES[name], latent_size=(2, 2), latents_per_chunk=3, device="cpu", dtype=torch.float32
    )
    place = stream.cache.k_LBMHD.data_ptr()
    x = torch.randn(1, 3, 16, 2, 2, generator=torch.Generator().manual_seed(0))
    for chunk in range(1000):
        stream.begin(3, text)
        if chunk % 20 == 0:
            x = stream.predict(x, 500.0).clamp(-3, 3)
        stream.finish(x)
    assert stream.start == 3000
    assert x.isfinite().all() and x.count_nonzero() > 0
    assert stream.cache.k_LBMHD.data_ptr() == place and stream.cache.k_LBMHD.isfinite().all()


@pytest.mark.parametrize("name", POLICIES)
def test_a_reset_stream_is_a_new_one(name: str, small: CausalWan) -> None:
    text, stream = text_of(small), stream_of(small, POLICIES[name])
    first = play(stream, text, 3, 8)
    stream.reset()
    assert stream.start == 0
    for one, other in zip(first, play(stream, text, 3, 8), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", POLICIES)
def test_neither_the_step_list_nor_a_given_up_chunk_touches_the_past(name: str, small: CausalWan) -> None:
    text, noise = text_of(small), draws(3)
    plain, stepping = (stream_of(small, POLICIES[name]) for _ in range(2))
    for chunk in range(6):
        x, clean, other = next(noise), next(noise), next(noise)
        stepping.begin(3, text)
        for t in (1000.0, 800.0, 300.0)[: 1 + chunk % 3]:
            stepping.predict(other, t)
        stepping.begin(3, text)  # as after a chunk that was given up
        plain.begin(3, text)
        assert torch.equal(plain.predict(x, 700.0), stepping.predict(x, 700.0))
        plain.finish(clean)
        stepping.finish(clean)
    assert torch.equal(plain.cache.k_LBMHD, stepping.cache.k_LBMHD)


def test_scale_zero_and_a_fresh_branch_are_no_vace(small: CausalWan) -> None:
    text, noise = text_of(small), draws(3)
    context = torch.randn(1, 96, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(4))
    without, at_zero = (stream_of(small, SinkWindow(6, 3)) for _ in range(2))
    fresh_dit = filled(lambda: CausalWan(SMALL), salt=5)
    for module in (fresh_dit.vace_blocks[0].before_proj, fresh_dit.vace_blocks[0].after_proj):
        module.load_state_dict({key: torch.zeros_like(value) for key, value in module.state_dict().items()})
    fresh = stream_of(fresh_dit, SinkWindow(6, 3))
    for _ in range(4):
        x, clean = next(noise), next(noise)
        for stream in (without, at_zero, fresh):
            stream.begin(3, text)
        expected = without.predict(x, 700.0)
        assert torch.equal(at_zero.predict(x, 700.0, context=context, context_scale=0.0), expected)
        assert torch.equal(fresh.predict(x, 700.0, context=context), expected)
        assert not torch.allclose(at_zero.predict(x, 700.0, context=context), expected, atol=1e-3)
        for stream in (without, at_zero, fresh):
            stream.finish(clean)


@pytest.mark.parametrize("name", ["LongLive", "Reward Forcing", "MemFlow"])
def test_passes_over_finished_latents_end_with_the_last_keys_they_leave(name: str, small: CausalWan) -> None:
    text, other = text_of(small), text_of(small, seed=2)
    fed: list[int] = []
    handle = small.blocks[-1].ffn.register_forward_hook(lambda *given: fed.append(1))
    left, counted = [], []
    for savings in (ALL, replace(ALL, leaving=False)):
        fed.clear()
        stream = stream_of(small, POLICIES[name], savings=savings)
        play(stream, text, 3, 5)
        stream.recache(other)
        left.append((stream.cache.k_LBMHD, stream.cache.v_LBMHD))
        counted.append(len(fed))
    handle.remove()
    assert counted[0] == 5 < counted[1]  # the denoising calls alone
    assert all(torch.equal(ours, whole) for ours, whole in zip(*left, strict=True))


def test_chunks_out_of_turn_or_of_another_length_are_refused(small: CausalWan) -> None:
    stream, x = stream_of(small, SinkWindow(6, 3)), next(draws(3))
    with pytest.raises(EngineError, match="never began"):
        stream.predict(x, 700.0)
    stream.begin(3, text_of(small))
    with pytest.raises(EngineError, match="has 2 latents, but was begun with 3"):
        stream.finish(x[:, :2])
    with pytest.raises(EngineError, match="does not fit a window of 6"):
        stream_of(small, SinkWindow(6, 3), latents=7)


def test_the_best_fit_is_the_mean_over_all_pairs_of_rows(small: CausalWan) -> None:
    draw = torch.Generator().manual_seed(3)
    k, text = torch.randn(2, 6, 2, 12, generator=draw), torch.randn(2, 3, 2, 12, generator=draw)
    place = rope_table((0,), 1, 2, 12, torch.device("cpu"))
    for number, scores in enumerate(fit(k, text, place, 3).unbind(1)):
        turned = rotate(k[:, 2 * number : 2 * number + 2], place)
        pairs = torch.einsum("blhd,bthd->blth", text, turned) / 12**0.5
        torch.testing.assert_close(scores, pairs.mean((1, 2, 3)))

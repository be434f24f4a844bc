"""What a chunk in the middle of a stream does not do: read numbers back, copy weights, leave the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine.bench.weights import random_pipeline
from engine.chunk import ChunkInput, ChunkOutput, Live, Settings
from engine.model.block import Gelu
from engine.model.load import Pipeline
from engine.model.pipelines import PIPELINES
from engine.model.spec import Arch
from engine.model.stream import LatentStream
from engine.model.tae import TAE, TAEArch
from engine.model.wan import CausalWan, CrossCache, PatchEmbedding
from engine.session import Session

ARCH = Arch(dim=24, ffn_dim=40, heads=2, layers=3, vace_layers=(0, 2), text_len=8, text_dim=8, freq_dim=16)
FLAT = replace(ARCH, layers=1, vace_layers=(0,))
SMALL_TAE = TAEArch(encoder=4, decoder=(6, 5, 4, 3), blocks=1, encoder_blocks=0, subpixel=True, trim=0)
SIZE = 64
READ_BACK = ("_local_scalar_dense", "item", "is_nonzero", "nonzero", "equal", "masked_select", "_unique2",
             "allclose", "bincount")  # fmt: skip
"""Operations for which the host waits for numbers of the device."""

POLICIES = ("longlive", "memflow", "reward_forcing", "krea")
"""One pipeline of each kind of cache."""

MOST_CHUNKS = 12
"""After so many, a control without a mask has settled and every ring has gone round."""


def tiny(name: str, arch: Arch = ARCH) -> Pipeline:
    spec = replace(PIPELINES[name], arch=arch)
    return random_pipeline(spec, lambda: TAE(SMALL_TAE), device=torch.device("cpu"), dtype=torch.float32)


class Watch(TorchDispatchMode):
    """Counts what should not happen: reading numbers back, and making copies of weights."""

    def __init__(self, weights: list[Tensor]) -> None:
        super().__init__()
        self.read_back: list[str] = []
        self.copies: list[str] = []
        self.operations = 0
        self._weights = {weight.untyped_storage().data_ptr(): weight.numel() for weight in weights}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.operations += 1
        if func.overloadpacket.__name__ in READ_BACK:
            self.read_back.append(str(func))
        out = func(*args, **(kwargs or {}))
        given = [self._size(leaf) for leaf in tree_leaves(args)]
        for made in tree_leaves(out):
            if isinstance(made, Tensor) and not self._size(made) and made.numel() in filter(None, given):
                self.copies.append(str(func))
        return out

    def _size(self, leaf: object) -> int:
        """How many numbers the weight has that this tensor shares its memory with; 0 for others."""
        return self._weights.get(leaf.untyped_storage().data_ptr(), 0) if isinstance(leaf, Tensor) else 0


def weights_of(pipeline: Pipeline) -> list[Tensor]:
    """Matrices and kernels; gains and modulations are as small as what they are added to."""
    networks = (pipeline.dit, pipeline.vae)
    return [weight for network in networks for weight in network.parameters() if weight.dim() in (2, 4, 5)]


def chunk(session: Session, masked: bool = False) -> ChunkInput:
    frames = session.frames_in
    control = np.full((frames, SIZE, SIZE, 3), 200, np.uint8)
    mask = np.zeros((frames, SIZE, SIZE), np.uint8) if masked else None
    return ChunkInput(control, mask, "scribble")


@contextmanager
def steady(pipeline: Pipeline, masked: bool) -> Iterator[Callable[[], None]]:
    """A session that has played for a while; calling what comes makes one more chunk."""
    session = Session(pipeline, SIZE, SIZE)
    words = session.conditioning("gold")
    made: list[ChunkOutput] = []

    def step() -> None:
        session.step(chunk(session, masked), lambda: Live(1.0, 0), words, Settings(steps=2), emit=made.append)

    for _ in range(MOST_CHUNKS):
        step()
    yield step
    assert len(made) > MOST_CHUNKS


@pytest.mark.parametrize("masked", [False, True], ids=["control", "mask"])
@pytest.mark.parametrize("name", PIPELINES)
def test_a_chunk_reads_nothing_back_and_copies_no_weight(name: str, masked: bool) -> None:
    pipeline = tiny(name)
    with steady(pipeline, masked) as step, Watch(weights_of(pipeline)) as seen:
        step()
    assert seen.operations > 100
    assert seen.read_back == []
    assert seen.copies == []


def test_the_watch_sees_what_it_looks_for() -> None:
    weight = torch.randn(6, 4)
    with torch.inference_mode(), Watch([weight]) as seen:
        _ = weight.t()  # a view is no copy
        weight.t().contiguous()
        weight.to(torch.bfloat16)
        _ = bool((weight > 0).any())
    assert len(seen.copies) >= 2
    assert seen.read_back


@pytest.mark.parametrize("name", POLICIES)
def test_a_stream_runs_where_there_are_no_numbers_to_read(name: str) -> None:
    """On the meta device any look at a number raises: so no plan and no step depends on one."""
    policy = PIPELINES[name].policy
    latents = PIPELINES[name].latents_per_chunk
    with torch.device("meta"):
        dit = CausalWan(FLAT).requires_grad_(False)
        text = torch.empty(1, ARCH.text_len, ARCH.text_dim)
        x, context = torch.empty(1, latents, 16, 8, 8), torch.empty(1, 96, latents, 8, 8)
        scale = torch.empty(())
    stream = LatentStream(
        dit, policy, latent_size=(8, 8), latents_per_chunk=latents, device="meta", dtype=torch.float32
    )
    cache = dit.cross_cache(text)
    for _ in range(MOST_CHUNKS):
        stream.begin(latents, cache)
        made = stream.predict(x, 500.0, context=context, context_scale=scale)
        stream.finish(made)
    stream.recache(cache)
    assert stream.start == MOST_CHUNKS * latents


@pytest.mark.parametrize("name", ["longlive", "memflow", "krea"])
def test_the_cache_stays_where_it_was_allocated(name: str) -> None:
    pipeline = tiny(name)
    stream = LatentStream(
        pipeline.dit, pipeline.spec.policy, latent_size=(8, 8), latents_per_chunk=3, device="cpu",
        dtype=torch.float32,
    )  # fmt: skip
    held = stream.cache.k_LBMHD, stream.cache.v_LBMHD
    places = [part.data_ptr() for part in held]
    text = words(pipeline.dit)
    for index in range(6):
        stream.begin(3, text)
        stream.finish(stream.predict(noise(index), 500.0))
    assert [part.data_ptr() for part in (stream.cache.k_LBMHD, stream.cache.v_LBMHD)] == places
    assert stream.cache.k_LBMHD is held[0]


def test_tables_are_made_once_for_every_plan_that_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.model import stream as module

    pipeline, made = tiny("longlive"), []
    whole = module.make_tables
    monkeypatch.setattr(module, "make_tables", lambda *given: made.append(given) or whole(*given))
    stream = LatentStream(
        pipeline.dit, pipeline.spec.policy, latent_size=(8, 8), latents_per_chunk=3, device="cpu",
        dtype=torch.float32,
    )  # fmt: skip
    text = words(pipeline.dit)
    for index in range(20):
        stream.begin(3, text)
        stream.finish(noise(index))
    # Three while the window of twelve fills, one when it is full, and two more of a ring of nine.
    assert len(made) == 6


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_step_compiles_as_one_graph(backend: str) -> None:
    pipeline = tiny("longlive", FLAT)
    stream = LatentStream(
        pipeline.dit, pipeline.spec.policy, latent_size=(4, 4), latents_per_chunk=3, device="cpu",
        dtype=torch.float32,
    )  # fmt: skip
    text, context = words(pipeline.dit), torch.randn(1, 96, 3, 4, 4)
    x = noise(3, 4)
    torch.compiler.reset()
    compiled = torch.compile(pipeline.dit, fullgraph=True, backend=backend, dynamic=False)
    plan = pipeline.spec.policy.plan(0, 3)
    given = {"cache": stream.cache, "plan": plan, "context": context, "context_scale": torch.tensor(0.7)}
    t = torch.full((1, 3), 500.0)
    with torch.no_grad():
        assert (compiled(x, t, text, **given) - pipeline.dit(x, t, text, **given)).abs().max() < 2e-4
    torch.compiler.reset()


def test_a_processors_gelu_is_the_usual_one() -> None:
    x = torch.linspace(-8, 8, 4001)
    usual = torch.nn.functional.gelu(x, approximate="tanh")
    assert (Gelu()(x) - usual).abs().max() < 2e-6
    assert torch.equal(Gelu()(x.requires_grad_()), torch.nn.functional.gelu(x, approximate="tanh"))


def test_patches_are_embedded_as_by_the_convolution() -> None:
    torch.manual_seed(1)
    embedding = PatchEmbedding(16, ARCH)
    x = torch.randn(2, 16, 3, 6, 8)
    theirs = torch.nn.functional.conv3d(x, embedding.weight, embedding.bias, stride=ARCH.patch)
    ours = embedding(x)
    assert ours.shape == theirs.shape == (2, ARCH.dim, 3, 3, 4)
    assert (ours - theirs).abs().max() < 1e-5


def noise(seed: int, side: int = 8) -> Tensor:
    return torch.randn(1, 3, 16, side, side, generator=torch.Generator().manual_seed(seed))


def words(dit: CausalWan) -> CrossCache:
    with torch.no_grad():
        return dit.cross_cache(torch.randn(1, ARCH.text_len, ARCH.text_dim))

"""Recorded passes give what the passes themselves would, whatever changes from one to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from engine.model.graphs import KEPT, Graphs, changed, outline, tensors
from engine.model.pipelines import PIPELINES
from engine.model.stream import LatentStream
from engine.model.vace import References
from engine.model.wan import CausalWan
from engine.parity.golden import filled
from tests.bench.test_steady_state import ARCH, noise
from tests.model.tape import TapeRecorder, place

CHUNKS = 14
"""After seven the window of twelve is full, and the ring of nine behind the sink goes round."""


@dataclass(frozen=True)
class Sum:
    a: Tensor
    b: Tensor | None
    times: int


def added(given: Sum) -> Tensor:
    return (given.a if given.b is None else given.a + given.b) * given.times


@pytest.fixture(scope="module")
def network() -> CausalWan:
    return filled(lambda: CausalWan(ARCH), salt=7).requires_grad_(False)


def stream_of(dit: CausalWan, name: str, graphs: Graphs | None) -> LatentStream:
    return LatentStream(
        dit, PIPELINES[name].policy, latent_size=(8, 8), latents_per_chunk=3, device="cpu",
        dtype=torch.float32, graphs=graphs,
    )  # fmt: skip


def words(dit: CausalWan, seed: int) -> Tensor:
    return torch.randn(1, ARCH.text_len, ARCH.text_dim, generator=torch.Generator().manual_seed(seed))


def play(
    stream: LatentStream, dit: CausalWan, each: Callable[[int], None] = lambda chunk: None
) -> list[Tensor]:
    """A stream in which as much as possible changes: noise, context, its scale, timesteps, text, hints."""
    made = []
    for chunk in range(CHUNKS):
        each(chunk)
        text = dit.cross_cache(words(dit, chunk // 4))
        context = None if chunk % 7 == 6 else torch.full((1, 96, 3, 8, 8), 0.1 * chunk)
        stream.begin(3, text)
        for step, t in enumerate((900.0 - chunk, 400.0 + chunk)):
            made.append(
                stream.predict(
                    noise(chunk + 50 * step),
                    t,
                    context=context,
                    context_scale=0.5 + 0.05 * chunk + step / 4,
                    keep=True,
                    again=step > 0,
                )
            )
        stream.finish(made[-1])
    return made


def test_a_recording_reads_what_is_given_now_and_leaves_what_came_out_before() -> None:
    recorder = TapeRecorder()
    graphs = Graphs(recorder)
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0])
    given = [Sum(a * n, b, 2) for n in range(1, 5)]
    made = [graphs.run("sum", added, each) for each in given]
    assert all(torch.equal(one, added(each)) for one, each in zip(made, given, strict=True))
    assert (graphs.recorded, recorder.played) == (1, 3)  # the first ran as it is
    graphs.run("sum", added, Sum(a, b, 3))  # a host number is part of the kind
    graphs.run("sum", added, Sum(a, None, 2))
    graphs.run("sum", added, Sum(torch.ones(3), torch.ones(3), 2))
    graphs.run("other", added, Sum(a, b, 2))
    assert (graphs.recorded, recorder.played) == (1, 3)


def test_what_cannot_be_recorded_runs_as_it_is_and_says_why() -> None:
    def waits(given: Sum) -> Tensor:
        return given.a * given.a.sum().item()

    graphs, given = Graphs(TapeRecorder()), Sum(torch.ones(2), None, 1)
    assert [float(graphs.run("waits", waits, given)[0]) for _ in range(3)] == [2.0, 2.0, 2.0]
    assert "not permitted" in graphs.refused and graphs.recorded == 0


def test_recordings_do_not_pile_up() -> None:
    graphs, given = Graphs(TapeRecorder()), Sum(torch.ones(2), None, 1)
    for kind in range(KEPT + 9):
        graphs.run(kind, added, given)
        graphs.run(kind, added, given)
    assert graphs.recorded == KEPT


def test_an_outline_holds_all_but_the_numbers() -> None:
    one = {"x": (Sum(torch.zeros(2), None, 4), 1.5)}
    assert outline(one) == outline({"x": (Sum(torch.ones(2), None, 4), 1.5)})
    assert outline(one) != outline({"x": (Sum(torch.ones(2), None, 5), 1.5)})
    assert outline(one) != outline({"x": (Sum(torch.ones(2), torch.ones(2), 4), 1.5)})
    moved = changed(one, lambda tensor: tensor + 1)
    assert torch.equal(tensors(moved)[0], torch.ones(2)) and moved["x"][1] == 1.5
    with pytest.raises(TypeError, match="list cannot be part"):
        outline([1])


@pytest.mark.parametrize("name", ["longlive", "memflow", "reward_forcing", "krea"])
def test_a_stream_of_recorded_passes_makes_the_same_numbers(name: str, network: CausalWan) -> None:
    recorder = TapeRecorder()
    graphs = Graphs(recorder)
    usual = play(stream_of(network, name, None), network)
    recorded = play(stream_of(network, name, graphs), network)
    assert not graphs.refused and recorder.played > len(recorder.tapes) > 3
    assert max(float((a - b).abs().max()) for a, b in zip(usual, recorded, strict=True)) < 2e-4
    assert torch.stack(usual).std() > 1e-3


def test_a_recorded_pass_runs_no_python_and_reads_where_it_always_reads(network: CausalWan) -> None:
    ran: list[int] = []
    handle = network.blocks[0].self_attn.register_forward_hook(lambda *given: ran.append(1))
    recorder = TapeRecorder()
    stream = stream_of(network, "longlive", Graphs(recorder))
    text, context = network.cross_cache(words(network, 1)), torch.randn(1, 96, 3, 8, 8)
    counted = []
    for chunk in range(24):
        ran.clear()
        stream.begin(3, text)
        stream.finish(stream.predict(noise(chunk), 500.0, context=context, context_scale=0.1 * chunk))
        counted.append(len(ran))
    handle.remove()
    assert counted[0] == 2 and counted[-6:] == [0] * 6
    cache = place(stream.cache.k_LBMHD)
    assert all(
        any(place(leaf) == cache for op in tape.taken for leaf in tensors(op[1])) for tape in recorder.tapes
    )


def test_weights_and_gains_that_are_written_in_place_are_heard_in_a_recording() -> None:
    dit = filled(lambda: CausalWan(ARCH), salt=9).requires_grad_(False)
    weight = dit.blocks[1].ffn[0].weight
    pristine, made = weight.clone(), []
    for graphs in (None, Graphs(TapeRecorder())):
        made.append(
            play(
                stream_of(dit, "longlive", graphs),
                dit,
                lambda chunk: weight.copy_(pristine * (1 + chunk / 9)),
            )
        )
    assert max(float((a - b).abs().max()) for a, b in zip(*made, strict=True)) < 2e-4


def test_another_hook_on_a_layer_is_another_recording(network: CausalWan) -> None:
    """What a LoRA beside a layer adds: put on, changed by its gain alone, taken off."""
    gain = torch.zeros(())

    def beside(layer: torch.nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        output.add_(inputs[0] * gain)

    made = []
    for graphs in (None, Graphs(TapeRecorder())):
        handles: list[torch.utils.hooks.RemovableHandle] = []

        def worn(chunk: int, handles: list[torch.utils.hooks.RemovableHandle] = handles) -> None:
            gain.fill_(chunk / 10)
            if chunk == 3:
                handles.append(network.blocks[0].self_attn.q.register_forward_hook(beside))
            if chunk == 10:
                handles.pop().remove()

        made.append(play(stream_of(network, "longlive", graphs), network, worn))
    assert max(float((a - b).abs().max()) for a, b in zip(*made, strict=True)) < 2e-4


def test_references_and_scales_for_each_latent_are_given_too(network: CausalWan) -> None:
    made = []
    for graphs in (None, Graphs(TapeRecorder())):
        stream, out = stream_of(network, "longlive", graphs), []
        text = network.cross_cache(words(network, 2))
        for chunk in range(4):
            beside = References(torch.full((1, 96, 2, 8, 8), 0.2 * chunk), noise(chunk)[:, :2])
            stream.begin(3, text, references=2)
            scale = torch.tensor([[1.0, 0.5, 0.1 * chunk]])
            context = torch.ones(1, 96, 3, 8, 8)
            for t in (800.0, 300.0):
                out.append(
                    stream.predict(noise(chunk), t, context=context, context_scale=scale, references=beside)
                )
            stream.reset()
        made.append(out)
    assert max(float((a - b).abs().max()) for a, b in zip(*made, strict=True)) < 2e-4


def test_the_straightforward_form_is_never_recorded(network: CausalWan) -> None:
    from engine.model.savings import ALL

    recorder = TapeRecorder()
    stream = LatentStream(
        network, PIPELINES["longlive"].policy, latent_size=(8, 8), latents_per_chunk=3, device="cpu",
        dtype=torch.float32, savings=replace(ALL, tables=False), graphs=Graphs(recorder),
    )  # fmt: skip
    play(stream, network)
    assert recorder.tapes == []

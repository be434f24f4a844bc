"""Training of the transformer: the past is the live cache's, control can be left out, everything learns."""

import copy
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from engine.chunk import nominal_steps
from engine.model.cache import KVCache
from engine.model.load import load_pipeline
from engine.model.pipelines import PIPELINES
from engine.model.schedule import Schedule
from engine.model.spec import POCKET
from engine.model.tae import TAE
from engine.pocket import train_tae
from engine.pocket.batches import REFERRED_SHARE, Batch, Past, sample
from engine.pocket.latents import CHUNK, REFERENCES, Shard
from engine.pocket.network import Pocket, remember
from engine.pocket.publish import publish
from engine.pocket.train_dit import (
    BROAD,
    FADE,
    HEARD,
    OWN_PAST_SHARE,
    PURE_SHARE,
    SCALES,
    SHIFT,
    VISITED,
    beside,
    channel_weights,
    context_scales,
    errors_of,
    export,
    fading,
    loss_of,
    noise_levels,
    past_of,
    softened,
)
from engine.pocket.training import Stage

H, W = 4, 8
ALIKE = torch.ones(16)


def batch(size: int = 4, seed: int = 0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    prompts = ["gold figure, night", "", "blue lava", "fog"]
    return Batch(
        clean=torch.randn(size, CHUNK, 16, H, W, generator=draw),
        context=torch.randn(size, 96, CHUNK, H, W, generator=draw),
        prompts=[prompts[i % 4] for i in range(size)],
        past=Past(
            torch.randn(size, CHUNK, 16, H, W, generator=draw),
            torch.randn(size, 96, CHUNK, H, W, generator=draw),
        ),
    )


def loss(model: Pocket, data: Batch, seed: int = 5) -> Tensor:
    """The loss with the noise, noise levels and dropped controls of a seed."""
    torch.manual_seed(seed)
    return loss_of(model, data, ALIKE)[0]


def test_the_loss_reads_past_control_and_words(pocket: Pocket) -> None:
    data = batch()
    base = loss(pocket, data)
    assert torch.equal(base, loss(pocket, data)), "the same draw, the same loss"
    assert data.past is not None
    changed = [
        replace(data, past=replace(data.past, clean=data.past.clean + 1, context=data.past.context + 1)),
        replace(data, context=data.context + 1),
        replace(data, prompts=["ice", *data.prompts[1:]]),
    ]
    for other in changed:
        assert abs((loss(pocket, other) - base).item()) > 1e-4
    alone = loss(pocket, replace(data, past=None))
    assert alone.isfinite() and not torch.equal(alone, base)


def test_parts_for_the_log_are_numbers(pocket: Pocket) -> None:
    torch.manual_seed(0)
    whole, parts = loss_of(pocket, batch(24), ALIKE)
    assert parts.keys() == {"controlled", "pure"}
    assert all(0 < part < 10 * whole.item() for part in parts.values())


@pytest.mark.parametrize("past", [True, False])
def test_controls_are_dropped_sample_by_sample_and_exactly(pocket: Pocket, past: bool) -> None:
    """A dropped control has no gradient at all; a kept one has, in every channel's neighbourhood."""
    dropped = 0
    for seed in range(4):
        data = batch(8)
        data.context.requires_grad_()
        loss(pocket, data if past else replace(data, past=None), seed).backward()
        assert data.context.grad is not None
        reach = data.context.grad.abs().sum((1, 2, 3, 4))
        assert ((reach == 0) | (reach > 1e-5)).all()
        dropped += int((reach == 0).sum())
    pocket.zero_grad()
    assert 1 <= dropped <= 12  # 12 % of 32


def test_what_is_seen_more_counts_more(pocket: Pocket) -> None:
    vae = load_pipeline("pocket").vae
    assert isinstance(vae, TAE)
    latents = 0.5 * torch.randn(2, 2, 16, 4, 6, generator=torch.Generator().manual_seed(0))
    weights = channel_weights(vae, latents)
    assert weights.mean().item() == pytest.approx(1, abs=1e-5) and weights.min() >= 0.5
    assert weights.argmax() == 0 and weights[0] > 1.5 * weights[1:].max()


def test_a_seam_costs_more_than_the_same_error_everywhere() -> None:
    target = torch.zeros(1, 1, 16, 4, 4)
    even, seam = torch.full_like(target, 0.1), torch.full_like(target, 0.1)
    seam[..., 2:] = -0.1
    assert errors_of(even, target, ALIKE).item() == pytest.approx(0.01 * (1 + BROAD))
    assert errors_of(seam, target, ALIKE).item() > 0.015, "though its mean is nothing"
    dear = torch.ones(16)
    dear[3] = 9
    bright = torch.zeros_like(target)
    bright[:, :, 3] = 0.1
    alike = errors_of(bright, target, ALIKE).item()
    assert errors_of(bright, target, dear).item() == pytest.approx(9 * alike)


def test_context_scales_come_in_their_shares() -> None:
    torch.manual_seed(0)
    scales = context_scales(4000)[:, 0]
    shares = {
        "none": scales == 0,
        "weak": (scales > 0) & (scales < 1),
        "full": scales == 1,
        "more": (scales > 1) & (scales <= 1.5),
    }
    for name, chosen in shares.items():
        assert chosen.float().mean().item() == pytest.approx(SCALES[name], abs=0.03)
    assert sum(int(chosen.sum()) for chosen in shares.values()) == 4000


def test_a_weak_control_asks_for_less_detail_and_a_full_one_for_all() -> None:
    latents = torch.randn(1, CHUNK, 16, 8, 14, generator=torch.Generator().manual_seed(0))
    many = latents.expand(4, -1, -1, -1, -1)
    asked = softened(many, torch.tensor([[0.0], [0.5], [1.0], [1.5]]))
    detail = (asked - asked[:1]).pow(2).mean((1, 2, 3, 4)).sqrt()
    assert detail[0] == 0 and torch.equal(asked[2], latents[0]) and torch.equal(asked[3], latents[0])
    assert detail[1] / detail[2] == pytest.approx(0.125, abs=1e-4)
    flat = torch.full((1, CHUNK, 16, 8, 14), 1.7)
    assert torch.allclose(softened(flat, torch.zeros(1, 1)), flat), "what has no detail stays as it is"


def test_a_dropped_control_is_no_control(pocket: Pocket) -> None:
    data = batch(2)
    t, text = torch.full((2, CHUNK), 500.0), pocket.embed(data.prompts)
    with torch.no_grad():
        mixed = pocket.dit(
            data.clean, t, text, context=data.context, context_scale=torch.tensor([[0.0], [1.0]])
        )
        none = pocket.dit(data.clean, t, text)
        full = pocket.dit(data.clean, t, text, context=data.context)
    assert torch.equal(mixed[0], none[0]) and not torch.allclose(mixed[1], none[1])
    assert torch.equal(mixed[1], full[1]) and not torch.allclose(mixed[0], full[0])


def test_the_past_of_training_is_the_past_of_the_live_cache(pocket: Pocket) -> None:
    """Keys, values and positions in front of a chunk are those which a session would have there."""
    data = batch(1)
    assert data.past is not None
    text = pocket.embed(["gold"])
    policy = PIPELINES["pocket"].policy
    t = torch.full((1, CHUNK), 700.0)
    cache = KVCache(
        layers=POCKET.layers,
        slots=policy.slots,
        tokens_per_latent=POCKET.tokens_per_latent(H, W),
        heads=POCKET.heads,
        head_dim=POCKET.head_dim,
    )
    torch.manual_seed(0)
    shown = data.past.clean
    trained, plan = remember(pocket, shown, text)
    with torch.no_grad():
        pocket.dit(shown, torch.zeros(1, CHUNK), text, cache=cache, plan=policy.plan(0, CHUNK))
        live = pocket.dit(
            data.clean, t, text, cache=cache, plan=policy.plan(CHUNK, CHUNK), context=data.context
        )
        ours = pocket.dit(data.clean, t, text, cache=trained, plan=plan, context=data.context)
    torch.testing.assert_close(ours, live, atol=2e-5, rtol=1e-4)


def test_the_error_of_the_past_fades_within_a_chunk() -> None:
    error = torch.randn(2, 1, 16, H, W, generator=torch.Generator().manual_seed(4))
    left = fading(error)
    sizes = [float((left[:, i] / error[:, 0]).mean()) for i in range(CHUNK)]
    assert left.shape == (2, CHUNK, 16, H, W) and sizes == pytest.approx(FADE)
    assert FADE[0] < 1 and list(FADE) == sorted(FADE, reverse=True) and FADE[-1] < 0.1, "nothing builds up"


def test_most_pasts_are_the_models_own_and_the_others_nearly_true(pocket: Pocket) -> None:
    past, text = batch(2).past, pocket.embed(["gold", "ice"])
    assert past is not None
    true = 0
    for seed in range(40):
        torch.manual_seed(seed)
        shown = past_of(pocket, past, text, torch.ones(2, 1))
        off = (shown - past.clean).abs().mean((1, 2, 3, 4))
        assert shown.shape == past.clean.shape
        true += int((off < 0.3).all())
    assert true / 40 == pytest.approx(1 - OWN_PAST_SHARE, abs=0.2)


def test_gradient_reaches_the_words_and_the_control_branch(pocket: Pocket) -> None:
    pocket.zero_grad()
    loss(pocket, batch()).backward()
    rows = pocket.text.embedding.weight.grad
    assert rows is not None
    heard = {word for word, row in zip(pocket.text.words, rows, strict=True) if row.any()}
    assert heard == {"gold", "figure", "night", "blue", "lava", "fog"}
    for name, parameter in pocket.dit.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
    pocket.zero_grad()


def test_control_is_heard_from_the_first_step_on() -> None:
    """Only the head starts at zero: one step after it, gradient reaches the branch."""
    torch.manual_seed(0)
    model = Pocket()
    for block in model.dit.vace_blocks:
        assert block.after_proj.weight.any()
    assert torch.equal(model.dit.vace_blocks[0].before_proj.weight, torch.eye(POCKET.dim))
    loss(model, batch()).backward()
    assert model.dit.head.head.weight.grad is not None and model.dit.head.head.weight.grad.any()


def test_words_keep_their_meaning_in_any_order(pocket: Pocket) -> None:
    torch.manual_seed(0)
    rows = [pocket.embed(["gold figure, night"]) for _ in range(8)]
    assert any(not torch.equal(rows[0], other) for other in rows)
    words = {tuple(row.tolist()) for row in pocket.text.rows(("gold", "figure", "night"))}
    assert all({tuple(row.tolist()) for row in other[0, :3]} == words for other in rows)
    assert all(not other[0, 3:].any() for other in rows)


def test_a_few_steps_on_one_batch_lower_the_loss(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, data = Pocket(), batch(2)
    stage = Stage(model, tmp_path, steps=400, rate=3e-3)
    stage.begin()
    before = loss(model, data).item()
    for _ in range(12):
        stage.advance(loss(model, data))
    assert loss(model, data).item() < 0.9 * before  # 0.75 of it


def shard(height: int = 16, width: int = 28) -> Shard:
    """Every number says where it stands: latent, row and column, in the target as in the context."""
    place = torch.arange(6 * height * width, dtype=torch.float32).reshape(6, height, width)
    clips = torch.stack([place, -place])
    return Shard(
        target=clips[:, :, None].expand(-1, -1, 16, -1, -1),
        context=clips[:, None].expand(-1, 96, -1, -1, -1),
        prompts=["red gold figure, night", ""],
        references=clips[:, :REFERENCES, None].expand(-1, -1, 16, -1, -1),
        plain=["figure", "lines"],
        extended=clips[:, None, :CHUNK].expand(-1, 96, -1, -1, -1),
    )


def test_samples_are_cut_alike_from_target_past_and_context() -> None:
    rng = np.random.default_rng(0)
    sizes, pasts = set(), set()
    for _ in range(20):
        made = sample([shard()], rng, 600)
        count = len(made.prompts)
        height, width = made.clean.shape[-2:]
        assert made.clean.shape == (count, CHUNK, 16, height, width)
        assert made.context.shape == (count, 96, CHUNK, height, width)
        assert torch.equal(made.clean[:, :, 0], made.context[:, 0])
        assert [row[0, 0, 0, 1].item() < 0 for row in made.clean] == [
            prompt in ("", "lines") for prompt in made.prompts
        ]
        if made.past is not None:
            later = 3 * 16 * 28
            assert torch.equal((made.clean - made.past.clean).abs(), torch.full_like(made.clean, later))
            assert torch.equal(made.past.clean[:, :, 0], made.past.context[:, 0])
        sizes.add((height, width, count))
        pasts.add(made.past is None)
    assert sizes == {(16, 28, 1), (8, 14, 7)} and pasts == {True, False}


def test_some_batches_have_references_and_half_of_those_prompts_leave_the_material_to_them() -> None:
    rng = np.random.default_rng(1)
    made = [sample([shard()], rng, 600) for _ in range(400)]
    shown = [batch for batch in made if batch.references is not None]
    assert len(shown) / len(made) == pytest.approx(REFERRED_SHARE, abs=0.05)
    assert {batch.references.shape[1] for batch in shown if batch.references is not None} == {1, 2}
    for batch in made:
        silent = [prompt in ("figure", "figure, night", "lines") for prompt in batch.prompts]
        assert batch.references is not None or not any(silent)
        if batch.references is not None:
            assert batch.references.shape[0] == len(batch.prompts)
            assert batch.references.shape[2:] == batch.clean.shape[2:]
    told = Counter(prompt for batch in shown for prompt in batch.prompts if "figure" in prompt)
    assert told.keys() == {"red gold figure, night", "figure, night", "figure"}
    assert told["red gold figure, night"] == pytest.approx(told.total() / 2, rel=0.25)


def test_references_are_heard_whatever_scale_is_drawn(pocket: Pocket) -> None:
    data = batch(8)
    pictures = torch.randn(8, 2, 16, H, W, generator=torch.Generator().manual_seed(2), requires_grad=True)
    loss(pocket, replace(data, past=None, references=pictures)).backward()
    assert pictures.grad is not None
    assert (pictures.grad.abs().sum((2, 3, 4)) > 0).all() and HEARD > 0
    pocket.zero_grad()


def test_references_of_training_are_those_of_a_session() -> None:
    pictures = torch.randn(1, 2, 16, H, W, generator=torch.Generator().manual_seed(3))
    made = beside(pictures, torch.zeros(1, 1, 1, 1, 1))
    assert made is not None and torch.equal(made.noisy, pictures) and made.context.shape == (1, 96, 2, H, W)
    assert torch.equal(made.context[:, :16].transpose(1, 2), pictures) and not made.context[:, 16:].any()
    assert beside(None, torch.zeros(1)) is None


def test_noise_levels_of_training_are_those_of_sampling() -> None:
    schedule = Schedule(SHIFT)
    assert PIPELINES["pocket"].shift == SHIFT
    visited = {step.sigma for count in (1, 2, 3, 4) for step in schedule.steps(nominal_steps(count))}
    assert {min(VISITED, key=lambda level: abs(level - sigma)) for sigma in visited} == set(VISITED)
    assert all(min(abs(level - sigma) for level in VISITED) < 2e-3 for sigma in visited)
    torch.manual_seed(0)
    drawn = noise_levels(4000)
    at_visited = torch.isin(drawn, torch.tensor(VISITED)).float().mean()
    assert abs(at_visited.item() - (PURE_SHARE + (1 - PURE_SHARE) * 0.75)) < 0.03
    assert (
        abs((drawn == 1).float().mean().item() - (PURE_SHARE + (1 - PURE_SHARE) * 0.75 / len(VISITED))) < 0.03
    )
    assert drawn.min().item() > 0.0199 and drawn.max().item() <= 1


def test_what_training_writes_the_program_loads(
    pocket: Pocket, tae: TAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(copy.deepcopy(pocket), tmp_path / "dit", steps=1, rate=1e-3)
    export(stage, pocket, tmp_path / "out")
    train_tae.export(tae.state_dict(), tmp_path / "out" / "tae.safetensors")
    publish(tmp_path, tmp_path / "pocket")
    monkeypatch.setattr("engine.model.load.assets_dir", lambda: tmp_path)
    loaded = load_pipeline("pocket")
    assert loaded.text.encode("golden zeppelin, night").known == ("gold", "night")
    rough = {"atol": 1e-3, "rtol": 1e-2}  # half precision on disk
    for ours, theirs in ((loaded.dit, pocket.dit), (loaded.vae, tae), (loaded.text, pocket.text)):
        wanted = theirs.state_dict()
        for key, value in ours.state_dict().items():
            torch.testing.assert_close(value.cpu().float(), wanted[key], **rough)
    written = load_file(tmp_path / "out" / "dit.safetensors")
    assert all(torch.equal(written[key], value) for key, value in pocket.dit.state_dict().items())

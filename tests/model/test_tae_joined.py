"""The autoencoder as it plays gives the numbers of its layout, whichever way a stream comes."""

import pytest
import torch
from torch import Tensor

from engine.model.latent_space import State
from engine.model.tae import LIGHTTAEW2_1, POCKET_TAE, TAE, TAEArch
from engine.model.tae_joined import Apart, Conv, Pairs, Stream, joined
from engine.parity.golden import filled

PUBLIC = TAEArch(encoder=6, decoder=(8, 6, 4, 4), blocks=2, encoder_blocks=1)
SUBPIXEL = TAEArch(encoder=4, decoder=(6, 5, 4, 3), blocks=1, encoder_blocks=0, subpixel=True, trim=0)
ARCHS = [pytest.param(PUBLIC, id="public"), pytest.param(SUBPIXEL, id="subpixel")]
SAME = 2e-5
CHUNKS = (1, 3, 2)


def network(arch: TAEArch) -> TAE:
    """Its weights want gradients, so that outside `no_grad` it runs layer by layer."""
    return filled(lambda: TAE(arch), salt=5)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).clamp(-1, 1)


def chunks(vae: TAE, side: str, whole: Tensor, sizes: tuple[int, ...]) -> tuple[Tensor, list[State]]:
    run, per_latent = (vae.encode, 4) if side == "encode" else (vae.decode_unclamped, 1)
    made, states = [], []
    state: State | None = None
    for part in whole.split([per_latent * size for size in sizes], dim=1):
        out, state = run(part, state)
        made.append(out)
        states.append(state)
    return torch.cat(made, 1), states


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("side", ["encode", "decode"])
def test_joined_steps_give_the_numbers_of_the_layout(arch: TAEArch, side: str) -> None:
    vae = network(arch)
    latents = sum(CHUNKS)
    given = (
        draw(2, 4 * latents, 3, 16, 24, seed=1) if side == "encode" else draw(2, latents, 16, 3, 5, seed=1)
    )
    plain, plain_states = chunks(vae, side, given, CHUNKS)
    with torch.no_grad():
        fast, fast_states = chunks(vae, side, given, CHUNKS)
    assert plain.requires_grad and not fast.requires_grad  # the two ways were taken
    assert fast.shape == plain.shape and plain.std() > 1e-3
    assert (fast - plain).abs().max() < SAME
    for ours, theirs in zip(fast_states, plain_states, strict=True):
        assert len(ours) == len(theirs)
        assert all((a - b).abs().max() < SAME for a, b in zip(ours, theirs, strict=True))


def test_a_stream_that_begins_in_the_middle_of_a_show_starts_from_the_same_state() -> None:
    vae, picture = network(PUBLIC), draw(2, 3, 16, 24, seed=2)
    plain = vae.resume(picture)
    with torch.no_grad():
        fast = vae.resume(picture)
    assert len(plain) == len(fast) == 3
    assert all((a - b).abs().max() < SAME for a, b in zip(fast, plain, strict=True))


@pytest.mark.parametrize(
    ("arch", "share"), [(POCKET_TAE, 0.7), (LIGHTTAEW2_1, 0.85)], ids=["pocket", "public"]
)
def test_a_decoder_plays_with_fewer_products(arch: TAEArch, share: float) -> None:
    def products(steps: list[tuple[Tensor, int]]) -> int:
        """Multiplications per latent pixel; each weight is used once per pixel of the size it works at."""
        return sum(weight.numel() * pixels for weight, pixels in steps)

    vae = TAE(arch)
    size, times, plain, fast = 1, 1, [], []
    for layer in vae.decoder:
        if hasattr(layer, "stride") and hasattr(layer, "subpixel"):
            plain.append((layer.conv.weight, size * times))
            times, size = times * layer.stride, size * 4
        else:
            plain += [(p, size * times) for p in layer.parameters() if p.dim() == 4]
    size = times = 1
    for step in joined(vae.decoder):
        if isinstance(step, Pairs):
            fast.append((step.weight, size * times // 2))
        for conv in [step] if isinstance(step, Conv) else getattr(step, "convs", []):
            fast.append((conv.weight, size * times))
            times, size = times * conv.grows, size * (4 if conv.doubles else 1)
    assert products(fast) < share * products(plain)


@pytest.mark.parametrize("arch", ARCHS)
def test_large_feature_maps_are_not_moved_about(arch: TAEArch) -> None:
    vae = network(arch).requires_grad_(False)
    encoder, decoder = joined(vae.encoder), joined(vae.decoder)
    assert isinstance(encoder[0], Apart) and isinstance(decoder[-1], Pairs)
    x = draw(4, 3, 16, 24, seed=6)
    first, pool = vae.encoder[0], vae.encoder[2]
    usual = vae.encoder[3](pool(torch.relu(first(x))))
    nothing = Stream(1, None, still=False)
    assert (encoder[0](x, nothing) - usual).abs().max() < SAME
    y = draw(2, decoder[-1].weight.shape[1], 6, 8, seed=7)
    assert (decoder[-1](y, nothing) - vae.decoder[-1](y)).abs().max() < SAME


def test_weights_that_change_are_joined_anew() -> None:
    vae, latents = network(SUBPIXEL).requires_grad_(False), draw(1, 2, 16, 3, 5, seed=3)
    before, _ = vae.decode(latents)
    with torch.no_grad():
        vae.decoder[-1].weight.mul_(0.5)
    after, _ = vae.decode(latents)
    assert (after - before).abs().max() > 1e-3
    vae.load_state_dict(network(SUBPIXEL).state_dict(), assign=True)
    again, _ = vae.decode(latents)
    assert torch.equal(again, before)


def test_steps_are_joined_once_for_as_long_as_the_weights_stay() -> None:
    vae, latents = network(SUBPIXEL).requires_grad_(False), draw(1, 2, 16, 3, 5, seed=3)
    vae.decode(latents)
    made = vae._joined["decoder"][1]
    vae.decode(latents)
    assert vae._joined["decoder"][1] is made


def test_pictures_keep_their_channels_innermost() -> None:
    vae = network(SUBPIXEL).requires_grad_(False)
    pictures, _ = vae.decode(draw(1, 2, 16, 3, 5, seed=3))
    assert pictures[0].permute(0, 2, 3, 1).is_contiguous()

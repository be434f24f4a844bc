"""Reference pictures: fitted as VACE was trained, encoded one by one, beside the control."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.core.errors import EngineError
from engine.model.context import ContextEncoder
from engine.model.references import crop_to_fill, encode_references, fit_on_white
from engine.model.tae import TAE, TAEArch
from engine.model.vae import VAE
from engine.model.wan_vae import WanVAE, WanVAEArch
from engine.parity.golden import filled

SIZE = 16
MakeVAE = Callable[[], VAE]


def tae() -> TAE:
    arch = TAEArch(encoder=6, decoder=(4, 4, 4, 4), encoder_blocks=1)
    return filled(lambda: TAE(arch), salt=1).requires_grad_(False)


def wan() -> WanVAE:
    return filled(lambda: WanVAE(WanVAEArch(width=4)), salt=1).requires_grad_(False)


BOTH = pytest.mark.parametrize("make", [tae, wan])


def reference(seed: int) -> Tensor:
    return torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@BOTH
def test_each_reference_is_one_latent_that_knows_nothing_of_the_others(make: MakeVAE) -> None:
    """The reference stacks them into one clip: with a Wan VAE all but the first are lost, with a TAE they
    blend into one latent."""
    vae = make()
    pictures = [reference(seed) for seed in range(3)]
    together = encode_references(vae, pictures)
    assert together.shape == (1, 96, 3, 2, 2)
    for index, picture in enumerate(pictures):
        alone, _ = vae.encode(picture[None, None])
        torch.testing.assert_close(together[:, :16, index], alone[:, 0], atol=1e-5, rtol=0)
        shuffled = encode_references(vae, [picture, *pictures])
        torch.testing.assert_close(shuffled[:, :, 0], together[:, :, index], atol=1e-5, rtol=0)
    assert (together[:, 16:] == 0).all(), "nothing reactive, mask 0"


@BOTH
def test_references_never_move_the_control(make: MakeVAE) -> None:
    """The reference puts one in front of the control, which then lags a latent and loses its last one; two
    of them beside control are an error there."""
    vae = make()
    frames = vae.frames_for(3, first=True)
    control = np.random.default_rng(0).integers(0, 256, (frames, SIZE, SIZE, 3), dtype=np.uint8)
    plain, beside = ContextEncoder(vae), ContextEncoder(vae)
    before = beside.encode(control, None)
    references = encode_references(vae, [reference(1), reference(2)])
    assert references.shape[2] == 2 and before.shape[2] == 3
    assert torch.equal(before, plain.encode(control, None))
    later = control[:4]
    assert torch.equal(beside.encode(later, None), plain.encode(later, None)), "its streams go on untouched"


def test_references_of_several_sizes_or_none_are_refused() -> None:
    for pictures in ([], [reference(0), reference(1)[:, :8]]):
        with pytest.raises(EngineError, match="References must be pictures of one size"):
            encode_references(tae(), pictures)


def test_fitting_on_white_keeps_the_whole_picture() -> None:
    """As VACE was trained; the reference crops instead, and heads and feet are lost."""
    tall = np.zeros((40, 10, 3), np.uint8)
    tall[0] = tall[-1] = (255, 0, 0)
    fitted = fit_on_white(tall, 20, 30)
    assert fitted.shape == (3, 20, 30)
    assert (fitted[:, :, :12] == 1).all() and (fitted[:, :, 17:] == 1).all(), "white at both sides"
    assert (fitted[1:, 1:19, 12:17] == -1).all(), "half the size, in the middle"
    assert (fitted[0, [0, 19], 12:17] > -0.5).all(), "the top and bottom rows are there"


def test_cropping_fills_everything_with_the_middle() -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 9:31] = 255
    assert (crop_to_fill(wide, 20, 40) == 1).all()
    assert crop_to_fill(wide, 8, 32).shape == (3, 8, 32)


@pytest.mark.parametrize("height", range(5, 60, 6))
@pytest.mark.parametrize("width", [7, 29, 49])
def test_both_ways_give_the_size_that_is_asked_for(height: int, width: int) -> None:
    """Rounding must leave no gap: 49 * (21 / 49) is a little less than 21."""
    picture = np.full((height, width, 3), 200, np.uint8)
    for fitted in (crop_to_fill(picture, 21, 21), fit_on_white(picture, 21, 21)):
        assert fitted.shape == (3, 21, 21)
    assert crop_to_fill(picture, 21, 21).flatten().tolist() == pytest.approx([200 / 127.5 - 1] * 3 * 441)


def test_fine_patterns_shrink_to_their_mean() -> None:
    """The reference samples single pixels: a fine pattern becomes whatever it happens to hit."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::4] = stripes[1::4] = 255
    assert crop_to_fill(stripes, 16, 16)[:, 2:-2].abs().max() < 0.1
    assert fit_on_white(stripes, 16, 16)[:, 2:-2].abs().max() < 0.1
    aliased = crop_to_fill(stripes + np.roll(stripes, 1, 0) // 4, 18, 18, antialias=False)
    assert aliased[:, 2:-2].abs().max() > 0.5


def test_a_picture_of_the_right_size_is_left_as_it_is() -> None:
    picture = np.random.default_rng(3).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    exact = torch.from_numpy(picture).permute(2, 0, 1).float() / 255 * 2 - 1
    assert torch.equal(crop_to_fill(picture, 16, 24), exact)
    assert torch.equal(fit_on_white(picture, 16, 24), exact)

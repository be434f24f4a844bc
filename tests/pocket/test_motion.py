"""The autoencoder is taught motion: its error, the clips it sees, and the channels that carry it."""

import numpy as np
import pytest
import torch

from engine.model.tae import POCKET_TAE, TAE
from engine.pocket.picture_error import MOTION, picture_error
from engine.pocket.train_dit import channel_weights
from engine.pocket.train_tae import CROP, SIZE, chances, sample


def moving_edge() -> torch.Tensor:
    """A bright bar that goes two pixels right in every picture `[1, 8, 3, 16, 32]`."""
    video = torch.full((1, 8, 3, 16, 32), -1.0)
    for frame in range(8):
        video[:, frame, :, :, 4 + 2 * frame : 10 + 2 * frame] = 1
    return video


def test_pictures_that_stand_still_cost_more_than_their_own_error() -> None:
    video = moving_edge()
    still = video.unflatten(1, (2, 4)).mean(2, keepdim=True).expand(-1, -1, 4, -1, -1, -1).flatten(1, 2)
    total, parts = picture_error(still, video)
    assert total.item() == pytest.approx(sum(parts.values()) + (MOTION - 1) * parts["motion"])
    assert parts["motion"] > parts["mse"] / 2
    exact, parts = picture_error(video, video)
    assert exact.item() == 0 and set(parts.values()) == {0.0}


def test_an_even_error_is_no_motion() -> None:
    video = moving_edge()
    assert picture_error(video + 0.1, video)[1]["motion"] == pytest.approx(0, abs=1e-9)


def test_clips_that_move_are_seen_more_often_and_noise_less() -> None:
    rng = np.random.default_rng(0)
    still = np.full((4, *SIZE, 3), 90, np.uint8)
    moves = still + (10 * np.arange(4, dtype=np.uint8))[:, None, None, None]
    noise = rng.integers(0, 256, still.shape, dtype=np.uint8)
    pool = np.stack([still, moves, noise])
    share = chances(pool)
    assert share.sum() == pytest.approx(1) and (share > 0).all()
    assert share[1] > 5 * share[0]
    assert share[2] < share[1]
    seen = sample(pool, 60, rng, share)
    assert seen.shape == (60, 4, 3, CROP, CROP)
    moved = (seen[:, 1:] - seen[:, :-1]).abs().mean((1, 2, 3, 4))
    assert 25 < int(((moved > 0.05) & (moved < 0.1)).sum()) < 55  # 9 of 13
    assert np.array_equal(chances(pool[:2]) > 0, [True, True]), "a pool need not end with a whole clip"


def test_a_channel_that_moves_pictures_counts_though_it_is_hardly_seen() -> None:
    torch.manual_seed(0)
    tae = TAE(POCKET_TAE).requires_grad_(False).eval()
    latents = 0.3 * torch.randn(1, 2, 16, 4, 6)
    weights = channel_weights(tae, latents)
    assert weights.shape == (16,) and weights.mean().item() == pytest.approx(1, abs=1e-5)

    class Blinking(TAE):
        """The second picture of each latent shows channel 5 twice as bright, the third one half as bright."""

        def decode(self, latents_BFCHW, state=None):  # type: ignore[no-untyped-def]
            video = latents_BFCHW[:, :, :1].repeat_interleave(4, 1)
            ripple = latents_BFCHW[:, :, 5:6].repeat_interleave(4, 1)
            sign = torch.tensor([0.0, 0.3, -0.3, 0.0]).repeat(latents_BFCHW.shape[1])
            return video + ripple * sign.view(1, -1, 1, 1, 1), ()

    blinking = channel_weights(Blinking(POCKET_TAE), latents)
    others = [channel for channel in range(16) if channel not in (0, 5)]
    assert blinking[5] > 5 * blinking[others].max()
    assert blinking[0] > blinking[5]

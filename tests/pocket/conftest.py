"""Drawn clips and networks that several tests look at; drawn and started once."""

import pytest
import torch

from engine.model.tae import POCKET_TAE, TAE
from engine.pocket.clips import Clip, draw_clip
from engine.pocket.latents import to_video
from engine.pocket.network import Pocket
from engine.pocket.tae_start import start

HEIGHT, WIDTH = 64, 112


@pytest.fixture(scope="session")
def clips() -> list[Clip]:
    """Eight short clips, never trained on."""
    return [draw_clip(seed, 8, HEIGHT, WIDTH) for seed in range(8)]


@pytest.fixture(scope="session")
def tae(clips: list[Clip]) -> TAE:
    """The autoencoder before training, from six of the clips and their controls."""
    torch.manual_seed(0)
    made = TAE(POCKET_TAE).requires_grad_(False).eval()
    start(
        made,
        torch.cat([to_video(pictures) for clip in clips[:6] for pictures in (clip.target, clip.control)]),
    )
    return made


@pytest.fixture(scope="session")
def pocket() -> Pocket:
    """What training trains, with nothing zero, so that everything reaches the loss. Not to be changed."""
    torch.manual_seed(1)
    model = Pocket()
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    return model

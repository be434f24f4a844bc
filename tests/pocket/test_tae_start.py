"""The autoencoder from linear algebra alone: pictures come back, stream by chunk or as a whole."""

import pytest
import torch

from engine.model.tae import POCKET_TAE, TAE
from engine.pocket.clips import Clip
from engine.pocket.latents import to_video
from engine.pocket.tae_start import start


def lost(tae: TAE, video: torch.Tensor) -> float:
    """The part of a video's variance that does not come back."""
    decoded, _ = tae.decode(tae.encode(video)[0])
    return float((decoded - video).pow(2).mean() / video.var())


def test_drawn_clips_come_back(tae: TAE, clips: list[Clip]) -> None:
    seen = [lost(tae, to_video(pictures)) for clip in clips[:6] for pictures in (clip.target, clip.control)]
    unseen = [lost(tae, to_video(clip.target)) for clip in clips[6:]]
    assert sum(seen) / len(seen) < 0.4  # 0.22 here; a network that knows nothing: more than 1
    assert max(unseen) < 0.4  # 0.22


def test_latents_have_the_size_that_diffusion_and_the_decoders_clamp_expect(
    tae: TAE, clips: list[Clip]
) -> None:
    latents = torch.cat([tae.encode(to_video(clip.target))[0] for clip in clips])
    assert 0.5 < float(latents.std()) < 1.1
    per_channel = latents.transpose(1, 2).transpose(0, 1).flatten(1).std(1)
    assert per_channel.min() > 0.15, "no channel is lost"
    assert float((latents.abs() > 3).float().mean()) < 0.02, "few are squeezed"


def test_a_stream_by_chunks_is_the_whole_clip(tae: TAE, clips: list[Clip]) -> None:
    video = to_video(clips[0].target)
    whole, _ = tae.encode(video)
    first, state = tae.encode(video[:, :4])
    second, _ = tae.encode(video[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    pictures, _ = tae.decode(whole)
    first, state = tae.decode(whole[:, :1])
    second, _ = tae.decode(whole[:, 1:], state)
    assert pictures.shape == video.shape, "no picture is trimmed"
    torch.testing.assert_close(torch.cat([first, second], 1), pictures)


def test_the_first_rectifier_lets_all_of_the_sample_through(tae: TAE, clips: list[Clip]) -> None:
    """The offsets: no feature of a seen picture is negative where the decoder begins."""
    x = tae.encode(to_video(clips[0].target))[0].flatten(0, 1)
    width = POCKET_TAE.encoder
    for layer in list(tae.decoder)[:3]:
        x = layer(x)
    assert (x[:, : width + 1] > 0).float().mean() > 0.99
    torch.testing.assert_close(x[:, width], torch.ones_like(x[:, width]))  # the constant


def test_the_same_pictures_give_the_same_network(clips: list[Clip]) -> None:
    video = to_video(clips[1].target)
    made = []
    for _ in range(2):
        torch.manual_seed(4)
        tae = TAE(POCKET_TAE)
        start(tae, video)
        made.append(tae.state_dict())
    assert all(torch.equal(made[0][key], made[1][key]) for key in made[0])
    assert all(torch.isfinite(value).all() for value in made[0].values())


def test_another_layout_is_refused(clips: list[Clip]) -> None:
    with pytest.raises(AssertionError, match="layer"):
        start(TAE(), to_video(clips[0].target))

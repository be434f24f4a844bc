"""Replays of the streaming autoencoders."""

import torch
from torch import Tensor

from engine.model.latent_space import FRAMES_PER_LATENT, State
from engine.model.tae import LIGHTTAEW2_1, TAE, TAEW2_1
from engine.model.wan_vae import WanVAE, WanVAEArch
from engine.parity.golden import Golden, filled

BRIGHTER = 0.4
"""Added to the decoder's last bias of a TAE after filling, so that few recorded pixels are clamped."""


def replay_tae(golden: Golden) -> None:
    """Streams in and out of the tiny autoencoder; two of them interleaved; whole clips."""
    tae = filled_tae(golden.meta("salt"), light=golden.meta("light"))
    video = pictures(golden.take("video_u8"))
    chunks = torch.split(video, golden.meta("enc_chunk_frames"), dim=1)
    states: dict[str, State | None] = dict.fromkeys(("enc_stream", "enc_cacheA", "enc_cacheB"))
    for number, chunk in enumerate(chunks):
        for name, state in states.items():
            sign = -1 if name == "enc_cacheB" else 1
            latents, states[name] = tae.encode(sign * chunk, state)
            golden.compare_if_recorded(f"{name}.{number}", latents)
        golden.compare_if_recorded(f"enc_nocache.{number}", tae.encode(chunk)[0])
    golden.compare("enc_full", tae.encode(video)[0])
    _replay_decoding(golden, tae)


def replay_wan_vae(golden: Golden) -> None:
    """Sequences of chunk lengths in, single clips in, a stream out of the Wan autoencoder.

    Some sequences begin with pictures that fill no latent. The product refuses them; the recordings let them
    shift the rest of the stream.
    """
    width = int(golden.meta("dim") * (1 - golden.meta("pruning_rate")))
    vae = filled_wan_vae(golden.meta("salt"), width)
    video = pictures(golden.take("video_u8"))
    for sequence, lengths in enumerate(golden.meta("enc_seqs")):
        state = None
        for number, chunk in enumerate(torch.split(video[:, : sum(lengths)], lengths, dim=1)):
            latents, state = vae.encode_unaligned(chunk, state)
            golden.compare(f"enc{sequence}.{number}", latents)
    for key in golden.keys("enc_batch_"):
        golden.compare(key, encode_clip(vae, video[:, : int(key.removeprefix("enc_batch_"))]))
    _replay_decoding(golden, vae)


def encode_clip(vae: TAE | WanVAE, video_BFCHW: Tensor) -> Tensor:
    """Latents of pictures on their own, as the reference makes them: it leaves out what fills no latent."""
    frames = video_BFCHW.shape[1]
    if isinstance(vae, WanVAE):
        frames -= (frames - 1) % FRAMES_PER_LATENT
    return vae.encode(video_BFCHW[:, :frames])[0]


def _replay_decoding(golden: Golden, vae: TAE | WanVAE) -> None:
    state = None
    chunks = torch.split(golden.take("latents"), golden.meta("dec_chunk_latents"), dim=1)
    for number, chunk in enumerate(chunks):
        decoded, state = vae.decode(chunk, state)
        golden.expect("pictures", vae.pictures_of(chunk.shape[1], number == 0), decoded.shape[1])
        golden.compare(f"dec_stream.{number}", decoded)


def filled_tae(salt: int, *, light: bool = False) -> TAE:
    """A tiny autoencoder with the weights of the recordings."""
    tae = filled(lambda: TAE(LIGHTTAEW2_1 if light else TAEW2_1), salt)
    with torch.no_grad():
        tae.get_parameter("decoder.22.bias").add_(BRIGHTER)
    return tae


def filled_wan_vae(salt: int, width: int) -> WanVAE:
    """A Wan autoencoder with the weights of the recordings."""
    return filled(lambda: WanVAE(WanVAEArch(width)), salt)


def pictures(frames_u8: Tensor) -> Tensor:
    """u8 [F, 1 or 3, H, W] -> [1, F, 3, H, W] in [-1, 1]."""
    frames, _, height, width = frames_u8.shape
    return (frames_u8.float() / 255 * 2 - 1).expand(frames, 3, height, width)[None]

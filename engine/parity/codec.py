"""Replays of the streaming autoencoder and of the VACE context made with it."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from engine.model.context import ContextEncoder, fold_mask
from engine.model.tae import TAE, TAEW2_1, State
from engine.parity.golden import Golden, NotYet, filled

BRIGHTER = 0.4
"""Added to the decoder's last bias after filling, so that few recorded pixels are clamped."""

REACTIVE = slice(16, 32)
"""Channels of a context that hold the reactive latents."""


def replay_tae(golden: Golden) -> None:
    """Streams in and out of the autoencoder; two of them interleaved; whole clips."""
    if golden.meta("light"):
        raise NotYet("another autoencoder")
    tae = _filled_tae(golden.meta("salt"))
    video = _pictures(golden.take("video_u8"))
    chunks = torch.split(video, golden.meta("enc_chunk_frames"), dim=1)
    states: dict[str, State | None] = dict.fromkeys(("enc_stream", "enc_cacheA", "enc_cacheB"))
    for number, chunk in enumerate(chunks):
        for name, state in states.items():
            sign = -1 if name == "enc_cacheB" else 1
            latents, states[name] = tae.encode(sign * chunk, state)
            golden.compare_if_recorded(f"{name}.{number}", latents)
        golden.compare_if_recorded(f"enc_nocache.{number}", tae.encode(chunk)[0])
    golden.compare("enc_full", tae.encode(video)[0])
    state = None
    for number, chunk in enumerate(
        torch.split(golden.take("latents"), golden.meta("dec_chunk_latents"), dim=1)
    ):
        pictures, state = tae.decode(chunk, state)
        golden.compare(f"dec_stream.{number}", pictures)


def replay_context(golden: Golden) -> None:
    """Contexts of a stream of control pictures, with or without masks.

    The reference encodes the reactive pictures from a fresh state in every chunk that keeps any pixel;
    the product never breaks its two streams. Here the reference's rule picks whose reactive latents count.
    """
    if golden.meta("n_refs") or golden.meta("first") or golden.meta("last") or golden.meta("control") is None:
        raise NotYet("references and key frames")
    tae = _filled_tae(golden.meta("vae_salt"))
    running, uncut = ContextEncoder(tae), ContextEncoder(tae)
    for chunk in golden.meta("chunks"):
        number = chunk["chunk"]
        video = _pictures(golden.take(f"control_u8.c{number}"))
        mask = torch.ones(1, video.shape[1], *video.shape[3:])
        if golden.meta("masks") is not None:
            mask = golden.take(f"mask_u8x10.c{number}")[None] / 10
        context = running.encode_tensors(video, mask)
        reactive = uncut if bool((mask > 0.5).all()) else ContextEncoder(tae)
        context[:, REACTIVE] = reactive.encode_tensors(video, mask)[:, REACTIVE]
        golden.expect("context_shape", chunk["context_shape"], list(context.shape[1:]))
        golden.compare(f"context.c{number}", context[0])


def replay_folding(golden: Golden) -> None:
    """Masks folded to latent size; with references, empty latents lie in front."""
    for key in golden.keys("mask"):
        folded = fold_mask(golden.take(key))[0]
        name = key.replace("mask", "folded").removesuffix("_u8")
        golden.compare(name, folded)
        for with_references in golden.keys(f"{name}_"):
            count = int(with_references.removeprefix(f"{name}_").removesuffix("refs"))
            golden.compare(with_references, pad(folded, (0, 0, 0, 0, count, 0)))


def _filled_tae(salt: int) -> TAE:
    tae = filled(lambda: TAE(TAEW2_1), salt)
    with torch.no_grad():
        tae.get_parameter("decoder.22.bias").add_(BRIGHTER)
    return tae


def _pictures(frames_u8: Tensor) -> Tensor:
    """u8 [F, 1 or 3, H, W] -> [1, F, 3, H, W] in [-1, 1]."""
    frames, _, height, width = frames_u8.shape
    return (frames_u8.float() / 255 * 2 - 1).expand(frames, 3, height, width)[None]

"""Extension: given pictures stand at the start or the end of a chunk, and the model fills what lies between.

A key frame is control that is kept (mask 0) for the pictures of one whole latent. It goes through the same
two streams as all control (`ContextEncoder`), so neither is interrupted by it.
"""

from __future__ import annotations

from torch import Tensor

from engine.core.errors import EngineError
from engine.model.vae import VAE


def gray_control(vae: VAE, latents: int, height: int, width: int, *, first: bool) -> tuple[Tensor, Tensor]:
    """Control that asks for nothing: mid gray pictures `[1, F, 3, H, W]` and a mask `[1, F, H, W]` of ones.

    What key frames are placed in where there is no other control. `first`: the chunk begins a stream.
    """
    like = next(vae.parameters())
    frames = vae.frames_for(latents, first)
    return like.new_zeros(1, frames, 3, height, width), like.new_ones(1, frames, height, width)


def place_key_frames(
    vae: VAE,
    video_BFCHW: Tensor,
    mask_BFHW: Tensor,
    *,
    first: bool,
    at_start: Tensor | None = None,
    at_end: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Pictures and mask of a chunk with key frames `[3, H, W]` in [-1, 1] at its start, its end or both.

    Each fills the pictures of one latent, where the mask lets anything be generated (above 0.5; other control
    stays), and all of these pictures are then kept. `first`: the chunk begins a stream; a Wan stream's first
    latent is one picture, so there the first key frame is one picture long. The inputs are left as they are.
    EngineError where the chunk has no room for them.
    """
    frames = video_BFCHW.shape[1]
    front = vae.frames_for(1, first) if at_start is not None else 0
    back = vae.frames_for(1, first=False) if at_end is not None else 0
    if front + back > frames:
        what = f"{frames} control pictures have no room for key frames that fill {front + back}."
        raise EngineError(what, "Use longer chunks, or one key frame.")
    video, mask = video_BFCHW.clone(), mask_BFHW.clone()
    for picture, where in ((at_start, slice(0, front)), (at_end, slice(frames - back, frames))):
        if picture is not None:
            generate = (mask[:, where] > 0.5).to(video.dtype)[:, :, None]
            kept = video[:, where] * (1 - generate)
            video[:, where] = kept + picture.to(video.device, video.dtype) * generate
            mask[:, where] = 0
    return video, mask

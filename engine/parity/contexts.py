"""Replays of the VACE context: control with masks, key frames, references, and the original's whole clips.

The product keeps one unbroken stream for what is kept and one for what is generated, each with a state of its
own, and puts references beside the control. The reference shares states, starts some anew, and lets
references displace the control. Its rules are re-created here from the product's parts, by handing states
around; what the product does instead is pinned in the tests.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from engine.model.context import CONTEXT_CHANNELS, ContextEncoder, assemble, fold_mask, split
from engine.model.key_frames import place_key_frames
from engine.model.latent_space import LATENT_CHANNELS, State
from engine.model.references import crop_to_fill, encode_references
from engine.model.tae import TAE
from engine.model.wan_vae import WanVAE
from engine.parity.codec import encode_clip, filled_tae, filled_wan_vae, pictures
from engine.parity.golden import Golden

EXTENSION_PICTURES = 12
"""Control pictures of a chunk with key frames, also of the first chunk."""


def replay_folding(golden: Golden) -> None:
    """Masks folded to latent size; with references, empty latents lie in front."""
    for key in golden.keys("mask"):
        folded = fold_mask(golden.take(key))[0]
        name = key.replace("mask", "folded").removesuffix("_u8")
        golden.compare(name, folded)
        for with_references in golden.keys(f"{name}_"):
            count = int(with_references.removeprefix(f"{name}_").removesuffix("refs"))
            golden.compare(with_references, pad(folded, (0, 0, 0, 0, count, 0)))


def replay_upstream_context(golden: Golden) -> None:
    """A whole clip as the original model encodes it: the product's own rules, references in front."""
    vae = filled_wan_vae(golden.meta("vae_salt"), golden.meta("wan_dim"))
    video = pictures(golden.take("control_u8"))
    mask = golden.take("mask_u8").float()
    context = ContextEncoder(vae).encode_tensors(video, mask)
    references = [pictures(golden.take(f"ref{k}_u8")[None])[0, 0] for k in range(golden.meta("n_refs"))]
    if references:
        context = torch.cat([encode_references(vae, references), context], 2)
    golden.expect("context_shape", golden.meta("context_shape"), list(context.shape[1:]))
    golden.compare("context", context[0])


def replay_context(golden: Golden) -> None:
    """Contexts of a stream as the reference makes them, chunk by chunk."""
    vae: TAE | WanVAE
    if golden.meta("vae") == "tae":
        vae = filled_tae(golden.meta("vae_salt"))
    else:
        vae = filled_wan_vae(golden.meta("vae_salt"), golden.meta("wan_dim"))
    streams = ReferenceStreams(vae)
    for chunk in golden.meta("chunks"):
        if "error" in chunk:
            _expect_ours(golden, chunk, vae)
            continue
        context = torch.cat([*_references(golden, vae), *_control(golden, chunk, streams)], 1)
        streams.first = False
        golden.expect("context_shape", chunk["context_shape"], list(context.shape))
        golden.compare(f"context.c{chunk['chunk']}", context)


def _expect_ours(golden: Golden, chunk: dict[str, Any], vae: TAE | WanVAE) -> None:
    """Where the reference fails nothing is recorded; the product gives one latent for each reference."""
    video = pictures(golden.take(f"control_u8.c{chunk['chunk']}"))
    everywhere = torch.ones(1, video.shape[1], *video.shape[3:])
    control = ContextEncoder(vae).encode_tensors(video, everywhere)
    references = encode_references(vae, _fitted(golden))
    golden.expect("references", golden.meta("n_refs"), references.shape[2])
    golden.expect("sound numbers", True, bool(control.isfinite().all() and references.isfinite().all()))


class ReferenceStreams:
    """Encoder states as the reference keeps them.

    TAE: one of its own for either stream, and a third for key frames without control. Wan: one that all use
    in turn, and in the first chunk of a show each begins anew. Whatever keeps any pixel, or has key frames,
    lets its reactive pictures begin anew, and forgets them.
    """

    def __init__(self, vae: TAE | WanVAE) -> None:
        self.vae = vae
        self.first = True
        self._states: dict[str, State | None] = {}

    def context(self, video: Tensor, mask: Tensor, inactive_stream: str) -> Tensor:
        """`[96, F, h, w]` of a chunk."""
        inactive, reactive = split(video, mask)
        kept = self._streamed(inactive, inactive_stream)
        if bool((mask > 0.5).all()):
            changed = self._streamed(reactive, "reactive")
        else:
            changed = encode_clip(self.vae, reactive)
        return assemble(kept, changed, fold_mask(mask))[0]

    def _streamed(self, video: Tensor, stream: str) -> Tensor:
        if isinstance(self.vae, TAE):
            latents, self._states[stream] = self.vae.encode(video, self._states.get(stream))
            return latents
        before = None if self.first else self._states["shared"]
        latents, self._states["shared"] = self.vae.encode_unaligned(video, before)
        return latents


def _control(golden: Golden, chunk: dict[str, Any], streams: ReferenceStreams) -> list[Tensor]:
    """The context of a chunk's control and key frames, if it has either."""
    keyed = bool(golden.meta("first") or golden.meta("last"))
    steered = golden.meta("control") is not None
    if not keyed and not steered:
        return []
    height, width = golden.meta("H"), golden.meta("W")
    video = torch.zeros(1, EXTENSION_PICTURES, 3, height, width)
    if steered:
        video = pictures(golden.take(f"control_u8.c{chunk['chunk']}"))
    mask = torch.ones(1, video.shape[1], height, width)
    if golden.meta("masks") is not None:
        mask = golden.take(f"mask_u8x10.c{chunk['chunk']}")[None] / 10
    if keyed:
        video, mask = _keyed(golden, streams.vae, video, mask)
    return [streams.context(video, mask, "inactive" if steered else "key frames")]


def _keyed(golden: Golden, vae: TAE | WanVAE, video: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """With the recorded key frames, as long as those of a running stream in the first chunk as well."""
    at_start, at_end = (
        pictures(golden.take(f"{name}_u8_hwc").permute(2, 0, 1)[None])[0, 0] if golden.meta(name) else None
        for name in ("first", "last")
    )
    video, mask = video[:, :EXTENSION_PICTURES], mask[:, :EXTENSION_PICTURES]
    return place_key_frames(vae, video, mask, first=False, at_start=at_start, at_end=at_end)


def _references(golden: Golden, vae: TAE | WanVAE) -> list[Tensor]:
    """The references as the reference encodes them: one clip, of which one latent comes out."""
    fitted = _fitted(golden)
    if len(fitted) < 2:
        return [encode_references(vae, fitted)[0]] if fitted else []
    latents = encode_clip(vae, torch.stack(fitted)[None])[0].transpose(0, 1)
    return [pad(latents, (0, 0, 0, 0, 0, 0, 0, CONTEXT_CHANNELS - LATENT_CHANNELS))]


def _fitted(golden: Golden) -> list[Tensor]:
    """The recorded reference pictures at the size of the control."""
    size = golden.meta("H"), golden.meta("W")
    names = [f"ref{k}_u8_hwc" for k in range(golden.meta("n_refs"))]
    return [crop_to_fill(golden.take(name).numpy(), *size, antialias=False) for name in names]

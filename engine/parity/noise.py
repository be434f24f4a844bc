"""Replays of video-to-video: noise strength by the reference's rules, and how it prepares pictures.

The product's own rules differ on purpose (engine/model/noise.py): there the performer's knob keeps its
effect, pictures are compared with their neighbours, and the first timestep is that of the latents' noise
level. Pictures and masks reach the product's session at its size and rate, so resizing and resampling of
chunks are re-created here alone.
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from engine.model.noise import NEW_SHARE, change, mixed
from engine.parity.golden import Golden

STILL, LOWERED_BY = 0.8, 0.2
"""The reference's strength for a still picture, and by how much full movement lowers it."""

FIRST_BEHIND = 100
"""By how many timesteps the reference's first step lies below the noise level of its latents."""


class ReferenceController:
    """The reference's motion-aware strength: nine parts its own constants, one part the strength before."""

    def __init__(self, strength: float, compared: int) -> None:
        """`compared`: pictures looked at per chunk, as many as the chunk has latents."""
        self.strength = strength
        self._compared = compared
        self._last: Tensor | None = None

    def next(self, video: Tensor) -> float:
        """Strength of the chunk of this video, [F, 3, H, W] in [-1, 1].

        In later chunks the picture before the looked-at ones is that of the previous chunk's end, not their
        neighbour.
        """
        after = video[-self._compared :]
        beside = video[-self._compared - 1 : -self._compared]
        before = torch.cat((beside if self._last is None else self._last, after[:-1]))
        self._last = video[-1:]
        wanted = STILL - LOWERED_BY * change(before, after)
        self.strength = NEW_SHARE * wanted + (1 - NEW_SHARE) * self.strength
        return self.strength


def reference_first_step(strength: float) -> int:
    """Timestep that replaces the first one of the reference's step list."""
    return int(1000 * strength) - FIRST_BEHIND


def replay_v2v(golden: Golden) -> None:
    """Strength, first timestep and mixed latents of chunks of a moving video."""
    chunks = golden.meta("chunks")
    controller: ReferenceController | None = None
    for recorded in chunks:
        number = recorded["chunk"]
        latents, noise = golden.take(f"enc_latents.c{number}"), golden.take(f"noise.c{number}")
        if controller is None:
            controller = ReferenceController(recorded["noise_scale_in"], latents.shape[1])
        golden.agree("noise_scale_in", recorded["noise_scale_in"], controller.strength)
        strength = controller.next(golden.take(f"video.c{number}")[0].transpose(0, 1))
        golden.agree("noise_scale_out", recorded["noise_scale_out"], strength)
        golden.expect("the first step", recorded["first_denoise_step"], reference_first_step(strength))
        golden.compare(f"noisy_latents.c{number}", mixed(latents, noise, strength))


def replay_preprocess(golden: Golden) -> None:
    """Pictures and masks stretched to a size, and picked or repeated to a number."""
    pictures = _prepared(golden, "frames_u8")
    golden.compare("video", pictures * 2 - 1)
    golden.compare("masks", _prepared(golden, "masks_u8"))


def _prepared(golden: Golden, key: str) -> Tensor:
    """u8 [T, H, W, C] -> [1, C, T', H', W'] in [0, 1]."""
    size = (golden.meta("target_h"), golden.meta("target_w"))
    stretched = interpolate(golden.take(key).permute(0, 3, 1, 2).float(), size, mode="bilinear") / 255
    picked = torch.linspace(0, len(stretched) - 1, golden.meta("target_frames")).round().long()
    return stretched[picked].transpose(0, 1)[None]

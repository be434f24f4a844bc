"""Key frames at the start and the end of a chunk, in the streams that run anyway."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from engine.core.errors import EngineError
from engine.model.context import ContextEncoder, split
from engine.model.key_frames import gray_control, place_key_frames
from engine.model.latent_space import State
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


def picture(value: float) -> Tensor:
    return torch.full((3, SIZE, SIZE), value)


def kept(mask: Tensor) -> list[int]:
    """Which pictures are kept, all of each."""
    return [frame for frame in range(mask.shape[1]) if (mask[0, frame] == 0).all()]


@pytest.mark.parametrize(
    ("make", "first", "at_start", "at_end"),
    [(tae, True, [0, 1, 2, 3], [8, 9, 10, 11]), (tae, False, [0, 1, 2, 3], [8, 9, 10, 11]),
     (wan, True, [0], [5, 6, 7, 8]), (wan, False, [0, 1, 2, 3], [8, 9, 10, 11])],
)  # fmt: skip
def test_a_key_frame_fills_the_pictures_of_one_latent(
    make: MakeVAE, first: bool, at_start: list[int], at_end: list[int]
) -> None:
    """The reference puts four pictures in front of a Wan stream whose first latent is one picture, and its
    end frame reaches only the first of the last latent's four."""
    vae = make()
    blank = gray_control(vae, 3, SIZE, SIZE, first=first)
    assert blank[0].shape[1] == vae.frames_for(3, first) and not blank[0].any() and (blank[1] == 1).all()
    for start, end in ((0.5, None), (None, -0.5), (0.5, -0.5)):
        video, mask = place_key_frames(
            vae, *blank, first=first,
            at_start=None if start is None else picture(start), at_end=None if end is None else picture(end),
        )  # fmt: skip
        shown = (at_start if start else []) + (at_end if end else [])
        assert kept(mask) == shown and mask.sum() == (video.shape[1] - len(shown)) * SIZE * SIZE
        for frame in range(video.shape[1]):
            expected = 0.0
            if frame in shown:
                expected = 0.5 if start and frame in at_start else -0.5
            assert (video[0, frame] == expected).all()
    assert not blank[0].any() and (blank[1] == 1).all(), "the inputs are left as they are"


def test_other_control_stays_where_it_is_kept_anyway() -> None:
    vae = tae()
    video = torch.full((1, 12, 3, SIZE, SIZE), 0.25)
    mask = torch.zeros(1, 12, SIZE, SIZE)
    mask[..., 8:] = 0.7
    keyed, kept_mask = place_key_frames(vae, video, mask, first=False, at_end=picture(-1))
    assert (keyed[:, 8:, :, :, 8:] == -1).all() and (keyed[:, 8:, :, :, :8] == 0.25).all()
    assert torch.equal(keyed[:, :8], video[:, :8])
    assert torch.equal(kept_mask[:, :8], mask[:, :8]) and not kept_mask[:, 8:].any()


@BOTH
def test_key_frames_go_through_the_streams_that_run(make: MakeVAE) -> None:
    """The reference encodes what is generated anew in such a chunk, and what is kept in a state that other
    pictures share; after either the control jumps."""
    vae = make()
    encoder = ContextEncoder(vae)
    states: list[State | None] = [None, None]
    for number, key in enumerate((None, picture(0.5), None)):
        first = number == 0
        video = torch.rand(
            1, vae.frames_for(3, first), 3, SIZE, SIZE, generator=torch.Generator().manual_seed(number)
        )
        mask = torch.ones(1, video.shape[1], SIZE, SIZE)
        if key is not None:
            video, mask = place_key_frames(vae, video, mask, first=first, at_start=key)
        context = encoder.encode_tensors(video, mask)
        for index, part in enumerate(split(video, mask)):
            latents, states[index] = vae.encode(part, states[index])
            ours = context[:, 16 * index : 16 * index + 16].transpose(1, 2)
            torch.testing.assert_close(ours, latents, atol=0, rtol=0)
    assert context.shape == (1, 96, 3, 2, 2)


def test_a_chunk_without_room_is_refused() -> None:
    vae = wan()
    short = gray_control(vae, 1, SIZE, SIZE, first=False)
    place_key_frames(vae, *short, first=False, at_start=picture(1))
    with pytest.raises(EngineError, match="4 control pictures have no room for key frames that fill 8"):
        place_key_frames(vae, *short, first=False, at_start=picture(1), at_end=picture(0))

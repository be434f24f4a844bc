"""The VACE context: two streams that never touch, folded masks, gray that is not encoded for ever."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.model.context import ContextEncoder, fold_mask, split
from engine.model.tae import TAE, State, TAEArch

SIZE = 16
# Three and nine memory blocks: the public files have nine.
SHORT = TAEArch(encoder=6, decoder=(4, 4, 4, 4), encoder_blocks=1)
LONG = replace(SHORT, encoder_blocks=3)
Pictures = NDArray[np.uint8]


def network(arch: TAEArch = SHORT) -> TAE:
    """Random weights that pass on what memory brings, however many blocks there are."""
    torch.manual_seed(2)
    made = TAE(arch).requires_grad_(False)
    for name, parameter in made.encoder.named_parameters():
        if name.endswith("weight"):
            parameter.mul_(2.0)
    return made


def pictures(count: int, frames: int = 12) -> list[Pictures]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (frames, SIZE, SIZE, 3), dtype=np.uint8) for _ in range(count)]


def masks(count: int, frames: int = 12) -> list[Pictures]:
    """Half kept, half generated, softly, differently in each."""
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (frames, SIZE, SIZE), dtype=np.uint8) for _ in range(count)]


def video(control: Pictures) -> Tensor:
    return torch.from_numpy(control).float().permute(0, 3, 1, 2)[None] / 255 * 2 - 1


def test_the_two_streams_have_states_of_their_own() -> None:
    tae = network()
    encoder = ContextEncoder(tae)
    states: list[State | None] = [None, None]
    for chunk, mask in zip(pictures(3), masks(3), strict=True):
        context = encoder.encode(chunk, mask)
        parts = split(video(chunk), torch.from_numpy(mask)[None] / 255)
        for index, part in enumerate(parts):
            latents, states[index] = tae.encode(part, states[index])
            ours = context[:, 16 * index : 16 * index + 16].transpose(1, 2)
            assert torch.equal(ours, latents)
    crossed, _ = tae.encode(parts[0], states[1])
    assert not torch.allclose(crossed, latents), "the state matters here"


def test_one_stream_says_nothing_to_the_other() -> None:
    """What is generated may change at will; the latents of what is kept stay, and the other way round."""
    mask = np.zeros((12, SIZE, SIZE), np.uint8)
    mask[:, :, SIZE // 2 :] = 255
    chunks = pictures(3)
    other = [np.where(mask[..., None] > 127, 255 - chunk, chunk) for chunk in chunks]
    streams = []
    for stream in (chunks, other):
        encoder = ContextEncoder(network())
        streams.append(torch.cat([encoder.encode(chunk, mask) for chunk in stream], 2))
    assert torch.equal(streams[0][:, :16], streams[1][:, :16])
    assert not torch.allclose(streams[0][:, 16:32], streams[1][:, 16:32])


def test_no_mask_is_a_mask_of_255_everywhere_and_may_change_mid_stream() -> None:
    everywhere = np.full((12, SIZE, SIZE), 255, np.uint8)
    kept = masks(1)[0]
    none, full = ContextEncoder(network()), ContextEncoder(network())
    asked = [None, None, kept, None, everywhere, kept, None, None, None, None, None, None, kept, None]
    for chunk, mask in zip(pictures(len(asked)), asked, strict=True):
        ours = none.encode(chunk, mask)
        assert torch.equal(ours, full.encode(chunk, everywhere if mask is None else mask))
    assert (ours[:, 32:] == 1).all()


def test_a_reset_forgets_both_streams() -> None:
    encoder = ContextEncoder(network())
    first, second = pictures(2)
    mask = masks(1)[0]
    fresh = encoder.encode(first, mask)
    encoder.encode(second, mask)
    later = encoder.encode(first, mask)
    encoder.reset()
    assert torch.equal(encoder.encode(first, mask), fresh)
    for channels in (slice(0, 16), slice(16, 32)):
        assert not torch.allclose(later[:, channels], fresh[:, channels])


def test_masks_fold_row_by_row_into_channels() -> None:
    for y, x in ((0, 0), (3, 5), (9, 2), (15, 15)):
        mask = torch.zeros(1, 4, SIZE, SIZE)
        mask[:, :, y, x] = 1
        folded = fold_mask(mask)
        assert folded.shape == (1, 64, 1, 2, 2)
        assert folded.nonzero().tolist() == [[0, 8 * (y % 8) + x % 8, 0, y // 8, x // 8]]


@pytest.mark.parametrize(("frames", "taken"), [(4, [2]), (12, [2, 6, 10]), (13, [1, 4, 8, 11]), (1, [0])])
def test_a_latents_mask_is_that_of_the_nearest_frame(frames: int, taken: list[int]) -> None:
    mask = torch.arange(frames, dtype=torch.float32)[None, :, None, None].expand(1, -1, 8, 8)
    assert fold_mask(mask)[0, 0, :, 0, 0].tolist() == taken


def test_soft_masks_split_at_half_and_are_folded_as_they_are() -> None:
    levels = torch.tensor([0.0, 0.3, 0.5, 0.51, 1.0])
    inactive, reactive = split(
        torch.full((1, 5, 3, 8, 8), 0.7), levels[None, :, None, None].expand(1, 5, 8, 8)
    )
    assert inactive[0, :, 0, 0, 0].tolist() == pytest.approx([0.7, 0.7, 0.7, 0, 0])
    assert reactive[0, :, 0, 0, 0].tolist() == pytest.approx([0, 0, 0, 0.7, 0.7])
    mask = np.full((4, SIZE, SIZE), 77, np.uint8)
    context = ContextEncoder(network()).encode(pictures(1, frames=4)[0], mask)
    assert torch.equal(context[:, 32:], torch.full_like(context[:, 32:], 77 / 255))


class Counting(TAE):
    """Counts the chunks that it encodes."""

    encoded = 0

    def encode(self, video_BFCHW: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        self.encoded += 1
        return super().encode(video_BFCHW, state)


@pytest.mark.parametrize("arch", [SHORT, LONG, replace(SHORT, encoder_blocks=0)])
def test_gray_is_encoded_until_it_repeats_and_never_again(arch: TAEArch) -> None:
    tae = Counting(arch).requires_grad_(False)
    tae.load_state_dict(network(arch).state_dict())
    reused, plain = ContextEncoder(tae), ContextEncoder(network(arch))
    blocks = 3 * arch.encoder_blocks
    work = []
    for chunk in pictures(blocks + 5):
        before = tae.encoded
        ours = reused.encode(chunk, None)
        work.append(tae.encoded - before)
        everywhere = torch.ones(1, 12, SIZE, SIZE)
        assert torch.equal(ours, plain.encode_tensors(video(chunk), everywhere)), "as if encoded, bit for bit"
    assert work == [2] * (blocks + 1) + [1] * 4


def test_gray_takes_several_chunks_to_settle() -> None:
    """Why the first gray chunk cannot stand for the others."""
    encoder = ContextEncoder(network(LONG))
    chunks = pictures(12)
    encoder.encode(chunks[0], masks(1)[0])
    gray = [encoder.encode(chunk, None)[:, :16] for chunk in chunks[1:]]
    repeats = [torch.equal(a, b) for a, b in itertools.pairwise(gray)]
    assert not any(repeats[:2]) and all(repeats[9:])


def test_gray_of_another_length_is_encoded_anew() -> None:
    tae = network()
    encoder, plain = ContextEncoder(tae), ContextEncoder(tae)
    for frames in [12] * 6 + [8] * 6 + [12] * 6:
        (chunk,) = pictures(1, frames)
        everywhere = torch.ones(1, frames, SIZE, SIZE)
        assert torch.equal(encoder.encode(chunk, None), plain.encode_tensors(video(chunk), everywhere))


def test_contexts_do_not_share_memory_with_what_is_kept() -> None:
    encoder, plain = ContextEncoder(network()), ContextEncoder(network())
    for chunk in pictures(8):
        ours = encoder.encode(chunk, None)
        assert torch.equal(ours, plain.encode(chunk, np.full((12, SIZE, SIZE), 255, np.uint8)))
        with torch.inference_mode():
            ours.zero_()

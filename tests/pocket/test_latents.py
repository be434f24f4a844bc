"""Shards: what training reads is what the live context encoder would make."""

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.model.context import ContextEncoder
from engine.model.tae import TAE
from engine.pocket.clips import Clip, draw_clip
from engine.pocket.latents import encode_clip, make_shard, read_shard, to_video
from tests.pocket.conftest import HEIGHT, WIDTH


def test_a_shard_comes_back_from_disk(tae: TAE, clips: list[Clip], tmp_path: Path) -> None:
    path = tmp_path / "shard_0000.safetensors"
    make_shard(tae, clips[:2], path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name], "nothing half-written is left"
    shard = read_shard(path)
    assert shard.target.shape == (2, 2, 16, HEIGHT // 8, WIDTH // 8)
    assert shard.context.shape == (2, 96, 2, HEIGHT // 8, WIDTH // 8)
    assert shard.target.dtype == shard.context.dtype == torch.float16
    assert shard.prompts == [clip.prompt for clip in clips[:2]]
    for index, clip in enumerate(clips[:2]):
        target, context = encode_clip(tae, clip)
        assert torch.equal(shard.target[index], target.half())
        assert torch.equal(shard.context[index], context.half())


@pytest.mark.parametrize("kind", ["scribble", "inpaint"])
def test_the_context_of_training_is_that_of_a_live_stream(tae: TAE, kind: str) -> None:
    clip = draw_clip(7, 8, HEIGHT, WIDTH, kind)
    _, context = encode_clip(tae, clip)
    live = ContextEncoder(tae)
    chunks = [
        live.encode(clip.control[part], None if clip.mask is None else clip.mask[part])
        for part in (slice(0, 4), slice(4, 8))
    ]
    torch.testing.assert_close(context, torch.cat(chunks, 2)[0], atol=1e-4, rtol=1e-4)
    assert (context[32:] == 1).all() == (kind == "scribble")


def test_pictures_become_numbers_from_minus_one_to_one() -> None:
    pictures = np.array([0, 255], np.uint8).repeat(3).reshape(1, 1, 2, 3)
    video = to_video(pictures)
    assert video.shape == (1, 1, 3, 1, 2)
    assert video[0, 0, :, 0].tolist() == [[-1, 1]] * 3

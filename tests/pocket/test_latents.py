"""Shards: what training reads is what the live context encoder would make."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.adherence.metrics import colour_distance
from engine.model.context import ContextEncoder
from engine.model.references import encode_references, fit_on_white
from engine.model.tae import TAE
from engine.pocket.clips import Clip, draw_clip
from engine.pocket.latents import (
    KEPT,
    SIZE,
    Example,
    draw_reference,
    encode_clip,
    encode_example,
    encode_extended,
    make_shard,
    read_shard,
    to_video,
)
from engine.pocket.styles import Look
from tests.pocket.conftest import HEIGHT, WIDTH


@pytest.fixture(scope="module")
def chunks() -> list[Clip]:
    """Two clips of one chunk."""
    return [draw_clip(seed, 12, HEIGHT, WIDTH) for seed in (0, 3)]


def test_a_shard_comes_back_from_disk(tae: TAE, chunks: list[Clip], tmp_path: Path) -> None:
    path = tmp_path / "shard_0000.safetensors"
    examples = [Example(clip, (clip.camera[0], clip.target[0]), (0,)) for clip in chunks]
    make_shard(tae, examples, path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name], "nothing half-written is left"
    shard = read_shard(path)
    assert shard.target.shape == (2, 3, 16, HEIGHT // 8, WIDTH // 8)
    assert shard.context.shape == (2, 96, 3, HEIGHT // 8, WIDTH // 8)
    assert shard.target.dtype == shard.context.dtype == torch.float16
    assert shard.prompts == [clip.prompt for clip in chunks]
    assert shard.plain == [example.plain for example in examples]
    assert shard.references.shape == (2, 2, 16, 16, 28) and shard.extended.shape == (2, 96, 3, 8, 14)
    for index, clip in enumerate(chunks):
        target, context = encode_clip(tae, clip)
        assert torch.equal(shard.target[index], target.half())
        assert torch.equal(shard.context[index], context.half())


def test_a_reference_is_encoded_as_a_session_encodes_it(tae: TAE, chunks: list[Clip]) -> None:
    example = Example(chunks[0], (chunks[1].target[0], chunks[1].camera[0][:, 10:60]), (0,))
    alone = [encode_references(tae, [fit_on_white(picture, *SIZE)]) for picture in example.references]
    made = encode_example(tae, example)["references"]
    torch.testing.assert_close(made, torch.cat(alone, 2)[0, :16].transpose(0, 1))


@pytest.mark.parametrize("kept", KEPT)
def test_key_frames_are_kept_and_the_rest_is_led_or_free(tae: TAE, kept: tuple[int, ...]) -> None:
    clip = draw_clip(6, 12, HEIGHT, WIDTH, "depth")
    pictures = [clip.target[0] if 0 in kept else None, clip.target[11] if 2 in kept else None]
    for led in (False, True):
        mask = np.full((12, HEIGHT, WIDTH), 255, np.uint8)
        shown = clip.control.copy() if led else np.full_like(clip.control, 127.5)
        for picture, frames in zip(pictures, (slice(0, 4), slice(8, 12)), strict=True):
            if picture is not None:
                shown[frames], mask[frames] = picture, 0
        live = ContextEncoder(tae).encode(shown, mask)[0]
        made = encode_extended(tae, clip, kept, led=led)
        torch.testing.assert_close(made, live, atol=0.02, rtol=0)  # gray is 127.5, which no byte is
        assert [float(part.mean()) for part in made[32:].transpose(0, 1)] == [i not in kept for i in range(3)]


def test_references_show_the_look_and_another_scene() -> None:
    gold, ice = ([draw_reference(seed, Look(word)) for seed in range(6)] for word in ("gold", "ice"))
    assert [picture.shape for picture in gold] == [picture.shape for picture in ice]
    alike = [colour_distance(a, b) for a, b in itertools.combinations(gold, 2)]
    apart = [colour_distance(a, b) for a in gold for b in ice]
    assert np.mean(apart) > 1.5 * np.mean(alike) > 0, "another scene, the same colours"
    widths = {draw_reference(seed, Look("gold")).shape[1] for seed in range(6)}
    assert len(widths) > 1 and max(widths) == SIZE[1], "some are cut"


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

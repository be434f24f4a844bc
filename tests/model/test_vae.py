"""What holds for every autoencoder: chunks are the whole clip, streams are apart, and files load strictly."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.core.errors import EngineError, WeightsError
from engine.model.checkpoint import open_checkpoint
from engine.model.latent_space import State, normalised, raw
from engine.model.tae import LIGHTTAEW2_1, POCKET_TAE, TAE, TAEW2_1, TAEArch, tae_arch
from engine.model.vae import VAE, load_vae
from engine.model.wan_vae import LIGHT_VAE, WAN_VAE, WanVAE, WanVAEArch
from engine.parity.golden import filled

TINY = TAEArch(encoder=6, decoder=(8, 6, 4, 4), blocks=2, encoder_blocks=1)
WAN = WanVAEArch(width=4)


def tae(arch: TAEArch = TINY) -> TAE:
    return filled(lambda: TAE(arch), salt=2).requires_grad_(False)


def light() -> TAE:
    return tae(replace(TINY, raw=True))


def pocket() -> TAE:
    return tae(POCKET_TAE)


def wan() -> WanVAE:
    return filled(lambda: WanVAE(WAN), salt=2).requires_grad_(False)


MakeVAE = Callable[[], VAE]
ALL = [pytest.param(make, id=make.__name__) for make in (tae, light, pocket, wan)]
CHUNKS = [[6], [1, 5], [3, 3], [1, 1, 1, 1, 1, 1], [2, 1, 3], [5, 1]]
LATENTS = 6


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).clamp(-1, 1)


def film(vae: VAE, seed: int, latents: int = LATENTS) -> Tensor:
    return draw(1, vae.frames_for(latents, first=True), 3, 16, 24, seed=seed)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("chunks", CHUNKS[1:], ids=str)
def test_pictures_encoded_in_chunks_are_the_clip_at_once(make: MakeVAE, chunks: list[int]) -> None:
    vae = make()
    video = film(vae, seed=1)
    whole, _ = vae.encode(video)
    assert whole.shape == (1, LATENTS, 16, 2, 3)
    state, parts = None, []
    for number, latents in enumerate(chunks):
        frames = vae.frames_for(latents, first=number == 0)
        latent, state = vae.encode(video[:, :frames], state)
        video = video[:, frames:]
        assert latent.shape[1] == latents
        parts.append(latent)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=2e-5, rtol=0)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("chunks", CHUNKS[1:], ids=str)
def test_latents_decoded_in_chunks_are_the_clip_at_once(make: MakeVAE, chunks: list[int]) -> None:
    vae = make()
    latents = draw(1, LATENTS, 16, 2, 3, seed=4)
    whole, _ = vae.decode(latents)
    assert whole.shape == (1, vae.pictures_of(LATENTS, first=True), 3, 16, 24)
    state, parts = None, []
    for number, chunk in enumerate(torch.split(latents, chunks, dim=1)):
        pictures, state = vae.decode(chunk, state)
        assert pictures.shape[1] == vae.pictures_of(chunk.shape[1], first=number == 0)
        parts.append(pictures)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=2e-5, rtol=0)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize(("one", "two"), [(CHUNKS[2], CHUNKS[4]), (CHUNKS[3], CHUNKS[1])], ids=str)
def test_interleaved_streams_do_not_touch(make: MakeVAE, one: list[int], two: list[int]) -> None:
    """Bit for bit: each is as if it ran alone, whatever runs in between."""
    vae = make()
    rhythms = (one, two)
    alone = [encoded(vae, film(vae, seed), chunks) for seed, chunks in enumerate(rhythms)]
    turns: list[tuple[int, int]] = sorted(
        ((number, stream) for stream, chunks in enumerate(rhythms) for number in range(len(chunks))),
    )
    videos = [film(vae, seed) for seed in range(2)]
    states: list[State | None] = [None, None]
    decoders: list[State | None] = [None, None]
    got: list[list[Tensor]] = [[], []]
    for number, stream in turns:
        frames = vae.frames_for(rhythms[stream][number], first=number == 0)
        latents, states[stream] = vae.encode(videos[stream][:, :frames], states[stream])
        _, decoders[stream] = vae.decode(latents, decoders[stream])
        videos[stream] = videos[stream][:, frames:]
        got[stream].append(latents)
    for ours, expected in zip(got, alone, strict=True):
        assert torch.equal(torch.cat(ours, 1), expected)


def encoded(vae: VAE, video: Tensor, chunks: list[int]) -> Tensor:
    state, parts = None, []
    for number, latents in enumerate(chunks):
        frames = vae.frames_for(latents, first=number == 0)
        latent, state = vae.encode(video[:, :frames], state)
        video = video[:, frames:]
        parts.append(latent)
    return torch.cat(parts, 1)


@pytest.mark.parametrize("make", ALL)
def test_a_stream_that_resumes_is_one_that_saw_a_still_picture_for_long(make: MakeVAE) -> None:
    vae = make()
    picture, later = draw(1, 3, 16, 24, seed=5), draw(1, 12, 3, 16, 24, seed=6)
    long = picture[:, None].expand(-1, vae.frames_for(60, first=True), -1, -1, -1)
    _, seen = vae.encode(long)
    resumed = vae.resume(picture)
    assert [part.shape for part in resumed] == [part.shape for part in seen]
    ours, theirs = vae.encode(later, resumed)[0], vae.encode(later, seen)[0]
    assert ours.shape[1] == 3 and vae.frames_for(3, first=False) == 12
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("make", "encodes", "decodes"),
    [(tae, (12, 12), (9, 12)), (pocket, (12, 12), (12, 12)), (wan, (9, 12), (9, 12))],
)
def test_the_rhythm_of_three_latents(
    make: MakeVAE, encodes: tuple[int, int], decodes: tuple[int, int]
) -> None:
    vae = make()
    assert (vae.frames_for(3, first=True), vae.frames_for(3, first=False)) == encodes
    assert (vae.pictures_of(3, first=True), vae.pictures_of(3, first=False)) == decodes


def test_latents_of_the_light_tae_are_normalised_on_the_way_out_and_back() -> None:
    """The reference leaves this out for one pipeline, and its VACE branch then sees latents it never saw."""
    plain, same = tae(), light()
    video = film(plain, seed=7, latents=2)
    latents, _ = plain.encode(video)
    assert torch.equal(same.encode(video)[0], normalised(latents))
    torch.testing.assert_close(same.decode(normalised(latents))[0], plain.decode(latents)[0])


def test_normalised_latents_have_the_published_mean_and_deviation() -> None:
    latents = draw(1, 3, 16, 2, 2, seed=8)
    torch.testing.assert_close(raw(normalised(latents)), latents)
    zero = raw(torch.zeros(1, 1, 16, 1, 1)).flatten()
    one = raw(torch.ones(1, 1, 16, 1, 1)).flatten() - zero
    assert zero[[0, 7, 15]].tolist() == pytest.approx([-0.7571, 1.5508, -0.2921])
    assert one[[0, 7, 15]].tolist() == pytest.approx([2.8184, 2.0743, 1.9160])


def test_normalisation_first_met_without_gradients_serves_training_later() -> None:
    with torch.inference_mode():
        normalised(torch.zeros(1, 1, 16, 1, 1, dtype=torch.float64))
    latents = torch.zeros(1, 1, 16, 1, 1, dtype=torch.float64, requires_grad=True)
    normalised(latents).sum().backward()
    assert latents.grad is not None and latents.grad[0, 0, 0].item() == pytest.approx(1 / 2.8184)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(("kind", "make"), [("tae", tae), ("lighttae", light), ("wan", wan)])
def test_a_file_loads_with_the_sizes_it_has(kind: str, make: MakeVAE, suffix: str, tmp_path: Path) -> None:
    original = make()
    path = tmp_path / f"vae{suffix}"
    if suffix == ".pth":
        torch.save(original.state_dict(), path)
    else:
        save_file(original.state_dict(), path)
    loaded = load_vae(kind, path)
    assert loaded.arch == original.arch
    assert not loaded.training and not any(weight.requires_grad for weight in loaded.parameters())
    video = film(original, seed=9, latents=2)
    assert torch.equal(loaded.encode(video)[0], original.encode(video)[0])
    with open_checkpoint(path) as checkpoint:
        assert load_vae(kind, checkpoint, dtype=torch.bfloat16).arch == original.arch


def test_rows_that_a_public_tae_file_has_too_many_are_cut_from_the_front(tmp_path: Path) -> None:
    original = tae()
    weights = dict(original.state_dict())
    key = next(key for key in weights if key.startswith("decoder.") and key.endswith(".conv.weight"))
    weights[key] = torch.cat([torch.full_like(weights[key], 7.0), weights[key]])
    save_file(weights, tmp_path / "tae.safetensors")
    loaded = load_vae("tae", tmp_path / "tae.safetensors")
    assert torch.equal(loaded.state_dict()[key], original.state_dict()[key])


@pytest.mark.parametrize(("kind", "make"), [("tae", wan), ("lighttae", wan), ("wan", tae), ("lightvae", tae)])
def test_a_file_of_another_kind_is_refused_by_what_it_lacks(kind: str, make: MakeVAE, tmp_path: Path) -> None:
    save_file(make().state_dict(), tmp_path / "vae.safetensors")
    with pytest.raises(WeightsError, match="The file holds no") as error:
        load_vae(kind, tmp_path / "vae.safetensors")
    assert "another kind of autoencoder" in error.value.fix


def test_a_file_that_lacks_one_tensor_is_refused(tmp_path: Path) -> None:
    weights = dict(wan().state_dict())
    del weights["decoder.upsamples.3.time_conv.bias"]
    save_file(weights, tmp_path / "vae.safetensors")
    with pytest.raises(WeightsError, match=r"missing decoder\.upsamples\.3\.time_conv\.bias"):
        load_vae("wan", tmp_path / "vae.safetensors")


def test_an_unknown_kind_is_refused_by_naming_the_known(tmp_path: Path) -> None:
    save_file(wan().state_dict(), tmp_path / "vae.safetensors")
    with pytest.raises(EngineError, match="no autoencoder 'best'") as error:
        load_vae("best", tmp_path / "vae.safetensors")  # type: ignore[arg-type]
    assert error.value.fix == "Choose one of: tae, lighttae, wan, lightvae."


def test_sizes_of_a_tae_come_from_its_shapes() -> None:
    for arch in (TINY, TAEW2_1, LIGHTTAEW2_1):
        shapes = {key: tuple(value.shape) for key, value in TAE(arch).state_dict().items()}
        assert tae_arch(shapes, raw=arch.raw) == arch


@pytest.mark.parametrize(
    ("key", "shape"),
    [("encoder.0.weight", (0, 3, 3, 3)), ("encoder.0.weight", ()), ("decoder.1.weight", (8, 0, 3, 3)),
     ("encoder.99.weight", (6, 6, 3, 3)), ("decoder.99.conv.0.weight", (6, 12, 3, 3))],
)  # fmt: skip
def test_a_tae_of_another_layout_is_refused(key: str, shape: tuple[int, ...]) -> None:
    shapes = {name: tuple(value.shape) for name, value in TAE(TINY).state_dict().items()}
    with pytest.raises(WeightsError, match="no tiny autoencoder"):
        tae_arch(shapes | {key: shape})


def test_public_sizes() -> None:
    assert LIGHT_VAE.width * 4 == WAN_VAE.width == 96
    assert LIGHTTAEW2_1.raw and not TAEW2_1.raw

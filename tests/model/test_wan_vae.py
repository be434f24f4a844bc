"""The Wan autoencoder: keys and sizes of the public files, its rhythm, what it remembers."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.core.errors import EngineError, WeightsError
from engine.model.wan_vae import LIGHT_VAE, WAN_VAE, WanVAE, WanVAEArch, wan_vae_arch
from engine.model.weights import on_meta
from engine.parity.golden import filled

MANIFESTS = Path(__file__).parents[1] / "golden" / "manifests"


def tiny() -> WanVAE:
    return filled(lambda: WanVAE(WanVAEArch(width=4)), salt=5).requires_grad_(False)


def film(frames: int, batch: int = 1) -> Tensor:
    return torch.rand(batch, frames, 3, 16, 24, generator=torch.Generator().manual_seed(frames)) * 2 - 1


@pytest.mark.parametrize(("name", "arch"), [("wan2.1_vae", WAN_VAE), ("lightvaew2_1", LIGHT_VAE)])
def test_keys_and_shapes_are_those_of_the_public_file(name: str, arch: WanVAEArch) -> None:
    manifest = json.loads((MANIFESTS / f"{name}.json").read_text())
    public = {key: tuple(shape) for key, (shape, _) in manifest.items()}
    network = on_meta(lambda: WanVAE(arch))
    assert {key: tuple(value.shape) for key, value in network.state_dict().items()} == public
    assert wan_vae_arch(public) == arch


@pytest.mark.parametrize("shape", [None, (), (96,), (0, 3, 3, 3, 3), (96, 3, 3, 3), (96, 0, 3, 3, 3)])
def test_a_file_without_its_first_layer_is_no_wan_autoencoder(shape: tuple[int, ...] | None) -> None:
    with pytest.raises(WeightsError, match=r"encoder\.conv1\.weight"):
        wan_vae_arch({} if shape is None else {"encoder.conv1.weight": shape})


@pytest.mark.parametrize("frames", [0, 2, 4, 12])
def test_a_stream_begins_with_one_picture_and_fours(frames: int) -> None:
    with pytest.raises(EngineError, match=f"^{frames} pictures .* at the start of a stream"):
        tiny().encode(film(frames))


@pytest.mark.parametrize("frames", [0, 1, 3, 9])
def test_a_stream_goes_on_in_fours(frames: int) -> None:
    vae = tiny()
    state = vae.encode(film(1))[1]
    with pytest.raises(EngineError, match=f"^{frames} pictures .* within a stream"):
        vae.encode(film(frames), state)


def test_no_latent_knows_what_comes_after_it() -> None:
    vae = tiny()
    video = film(13)
    other = video.clone()
    other[:, 9:] *= -1
    one, two = vae.encode(video)[0], vae.encode(other)[0]
    torch.testing.assert_close(one[:, :3], two[:, :3], atol=1e-6, rtol=0)
    assert not torch.allclose(one[:, 3], two[:, 3], atol=1e-2)


def test_no_picture_knows_what_comes_after_it() -> None:
    vae = tiny()
    latents = torch.randn(1, 3, 16, 2, 3, generator=torch.Generator().manual_seed(0))
    other = latents.clone()
    other[:, 2] *= -1
    one, two = vae.decode(latents)[0], vae.decode(other)[0]
    assert one.shape == (1, 9, 3, 16, 24)
    torch.testing.assert_close(one[:, :5], two[:, :5], atol=1e-6, rtol=0)
    assert not torch.allclose(one[:, 5:], two[:, 5:], atol=1e-2)


def test_each_of_a_batch_is_alone() -> None:
    vae = tiny()
    both = film(9, batch=2)
    together, state = vae.encode(both)
    more, _ = vae.encode(both[:, :4], state)
    for index in range(2):
        one = both[index : index + 1]
        latents, own = vae.encode(one)
        torch.testing.assert_close(together[index : index + 1], latents, atol=1e-5, rtol=0)
        torch.testing.assert_close(more[index : index + 1], vae.encode(one[:, :4], own)[0], atol=1e-5, rtol=0)


def test_what_is_remembered_is_small_and_of_constant_size() -> None:
    """A view into a chunk would keep the whole chunk alive."""
    vae = tiny()
    sizes = []
    state = None
    for frames in (1, 12, 4, 12):
        _, state = vae.encode(film(frames), state)
        assert all(part.untyped_storage().nbytes() == part.nbytes for part in state)
        sizes.append([part.shape for part in state])
    assert all(shapes == sizes[0] for shapes in sizes)
    assert len(sizes[0]) == 24


def test_it_runs_in_half_precision() -> None:
    vae = tiny().to(torch.bfloat16)
    latents, _ = vae.encode(film(5).to(torch.bfloat16))
    pictures, _ = vae.decode(latents)
    assert latents.dtype == pictures.dtype == torch.bfloat16
    exact = tiny().encode(film(5))[0]
    assert (latents.float() - exact).abs().mean() < 0.05 * exact.abs().mean() + 0.05

"""What every video autoencoder can do, and loading one of the public files.

Four kinds: the tiny TAE, LightTAE, the full Wan VAE and LightVAE. They share the latent space of the
transformer; a session works with any of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from engine.core.errors import EngineError
from engine.model.checkpoint import Checkpoint, open_checkpoint
from engine.model.latent_space import State
from engine.model.tae import TAE, TimeGrow, tae_arch
from engine.model.wan_vae import WanVAE, wan_vae_arch
from engine.model.weights import load_strict, on_meta

VAEKind = Literal["tae", "lighttae", "wan", "lightvae"]


class VAE(Protocol):
    """A streaming autoencoder: pictures `[B, F, 3, H, W]` in [-1, 1], normalised latents `[B, F, 16, h, w]`.

    It holds no stream: the state goes in and the next one comes out, so that any number of streams can share
    one network. A state belongs to one direction (encoding or decoding), one batch and one picture size.
    """

    def frames_for(self, latents: int, first: bool) -> int:
        """How many pictures encode to this many latents, at the start of a stream (`first`) or later."""
        ...

    def pictures_of(self, latents: int, first: bool) -> int:
        """How many pictures this many latents decode to, at the start of a stream (`first`) or later."""
        ...

    def encode(self, video_BFCHW: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Latents of the stream's next pictures; `state` None begins a stream."""
        ...

    def decode(self, latents_BFChw: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Pictures of the stream's next latents; `state` None begins a stream."""
        ...

    def resume(self, picture_B3HW: Tensor) -> State:
        """Encoder state of a stream that begins in the middle of a show.

        As if this still picture had been there for ever: `frames_for(n, first=False)` pictures come next.
        """
        ...

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """The network's weights, of which device and number type can be told."""
        ...


def load_vae(
    kind: VAEKind,
    *files: Path | Checkpoint,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    cache: bool = False,
) -> TAE | WanVAE:
    """Load a public autoencoder, its sizes taken from the file; ready to run, not to train.

    `cache` as for `load_strict`. Raises EngineError for an unknown kind, WeightsError for a file that is
    missing, damaged or of another kind.
    """
    network = _empty(kind, _shapes(files))
    grown = [f"{name}." for name, layer in network.named_modules() if isinstance(layer, TimeGrow)]
    # Some public TAE files keep more rows of a TimeGrow than it uses; the last ones are those in use.
    load_strict(network, *files, device=device, dtype=dtype, cut_last=grown, cache=cache)
    network.requires_grad_(False).eval()
    return network


def _empty(kind: VAEKind, shapes: dict[str, tuple[int, ...]]) -> TAE | WanVAE:
    if kind in ("wan", "lightvae"):
        wan = wan_vae_arch(shapes)
        return on_meta(lambda: WanVAE(wan))
    if kind in ("tae", "lighttae"):
        tiny = tae_arch(shapes, raw=kind == "lighttae")
        return on_meta(lambda: TAE(tiny))
    raise EngineError(f"There is no autoencoder {kind!r}.", f"Choose one of: {', '.join(get_args(VAEKind))}.")


def _shapes(files: tuple[Path | Checkpoint, ...]) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors of the files."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        if isinstance(file, Checkpoint):
            shapes |= file.shapes
        else:
            with open_checkpoint(file) as checkpoint:
                shapes |= checkpoint.shapes
    return shapes

"""Reference pictures of VACE: what a subject or a style looks like, one latent each.

They are not part of the control and take no place in its time: their contexts are returned on their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from engine.core.errors import EngineError
from engine.model.context import CONTEXT_CHANNELS
from engine.model.latent_space import LATENT_CHANNELS
from engine.model.vae import VAE

WHITE = 1.0
LONGEST_STRIP = 8
"""How much longer than what is asked for a picture may be in its proportions before its ends are cut off."""
Picture = NDArray[np.uint8]
Fit = Literal["white", "crop"]
"""How a reference comes to the size of the picture: whole on white, or filling it."""
FITS: tuple[Fit, ...] = get_args(Fit)


@dataclass(frozen=True, eq=False)
class Reference:
    """One reference picture, ready for every chunk: its context `[1, 96, 1, h, w]`."""

    context: Tensor

    @property
    def latent(self) -> Tensor:
        """The picture alone, `[1, 1, 16, h, w]`."""
        return self.context[:, :LATENT_CHANNELS].transpose(1, 2)


def fitted(picture: Picture, height: int, width: int, fit: Fit) -> Tensor:
    """A picture u8 `[H, W, 3]` as `[3, height, width]` in [-1, 1]."""
    return (fit_on_white if fit == "white" else crop_to_fill)(picture, height, width)


def fit_on_white(picture: Picture, height: int, width: int) -> Tensor:
    """The whole of a picture u8 `[H, W, 3]` on a white ground: `[3, height, width]` in [-1, 1].

    Proportions are kept, the picture is centred. VACE was trained with references prepared like this, so it
    is the way for subjects; cut out on white they work best.
    """
    scale = min(height / picture.shape[0], width / picture.shape[1])
    rows, columns = (max(1, round(side * scale)) for side in picture.shape[:2])
    fitted = _resized(picture, rows, columns, antialias=True)
    ground = torch.full((3, height, width), WHITE)
    top, left = (height - rows) // 2, (width - columns) // 2
    ground[:, top : top + rows, left : left + columns] = fitted
    return ground


def crop_to_fill(picture: Picture, height: int, width: int, *, antialias: bool = True) -> Tensor:
    """The middle of a picture u8 `[H, W, 3]` filling everything: `[3, height, width]` in [-1, 1].

    Proportions are kept; what is too high or too wide is cut off evenly. The way for key frames, for styles
    and for whole scenes. `antialias` False shrinks without averaging, which makes fine patterns flicker.
    """
    picture = _middle(picture, height, width)
    scale = max(height / picture.shape[0], width / picture.shape[1])
    # Truncated, but never below the size that is asked for: rounding errors would leave a gap.
    rows = max(height, int(picture.shape[0] * scale))
    columns = max(width, int(picture.shape[1] * scale))
    top, left = (rows - height) // 2, (columns - width) // 2
    return _resized(picture, rows, columns, antialias)[:, top : top + height, left : left + width]


def encode_references(vae: VAE, pictures: Sequence[Tensor]) -> Tensor:
    """Contexts `[1, 96, R, h, w]` of R reference pictures `[3, H, W]` in [-1, 1], all of one size.

    Each is encoded alone, as the first picture of a stream of its own: as one clip they would blend, or all
    but the first would be lost. Channels: 16 of the reference, then zeros: nothing reactive, mask 0 = keep.
    EngineError without pictures or with pictures of several sizes.
    """
    if len({tuple(picture.shape) for picture in pictures}) != 1:
        fix = "Fit every picture with fit_on_white or crop_to_fill."
        raise EngineError("References must be pictures of one size, at least one.", fix)
    like = next(vae.parameters())
    alone_R1CHW = torch.stack(list(pictures)).to(like.device, like.dtype)[:, None]
    latents_1CRhw = vae.encode(alone_R1CHW)[0].transpose(0, 1).transpose(1, 2)
    rest = CONTEXT_CHANNELS - LATENT_CHANNELS
    return functional.pad(latents_1CRhw, (0, 0, 0, 0, 0, 0, 0, rest))


def _middle(picture: Picture, height: int, width: int) -> Picture:
    """A picture without the far ends of a strip, which would become gigabytes when its narrow side fills."""
    rows, columns = picture.shape[:2]
    most_rows = max(1, LONGEST_STRIP * columns * height // width)
    most_columns = max(1, LONGEST_STRIP * rows * width // height)
    top, left = max(0, rows - most_rows) // 2, max(0, columns - most_columns) // 2
    return picture[top : top + most_rows, left : left + most_columns]


def _resized(picture: Picture, rows: int, columns: int, antialias: bool) -> Tensor:
    """A picture u8 `[H, W, 3]` of another size: `[3, rows, columns]` in [-1, 1]."""
    pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255 * 2 - 1
    if pixels.shape[2:] != (rows, columns):
        pixels = functional.interpolate(
            pixels, (rows, columns), mode="bilinear", align_corners=False, antialias=antialias
        )
    return pixels[0]

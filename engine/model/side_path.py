"""What a LoRA that is played adds beside a linear layer: a forward hook, so that the layer stays as it is.

Shape letters: R rank, C channels in, D channels out, N rows.
"""

from torch import Tensor, nn
from torch.nn import functional

from engine.model.regions import Places


class SidePath:
    """Forward hook of one linear layer: adds the low-rank paths, and whole matrices, of all slots beside it.

    The gains (fp32) are read at every call and never copied: writing a strength into them is all it takes
    to move a knob. Low-rank paths of several slots lie together as if they were one of a higher rank. Where
    one of them acts in a part of the picture, gains are [3, R]: everywhere, inside the mask, outside it.
    """

    def __init__(
        self,
        halves: tuple[Tensor, Tensor, Tensor] | None,
        whole: list[tuple[Tensor, Tensor]],
        places: Places,
        timed: bool,
    ) -> None:
        """`halves`: down [R, C], up [D, R] and gain [R]; `whole`: matrices [D, C] with their gains [1].

        `places`: where the layer's rows lie; `timed`: they are no tokens but timesteps.
        """
        self._halves, self._whole = halves, whole
        self._places, self._timed = places, timed

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        """Add to the layer's output in place; beside it, only the product with `down` takes memory."""
        del layer
        out_ND = output.view(-1, output.shape[-1])
        if self._halves is not None:
            down_RC, up_DR, gain = self._halves
            low_NR = functional.linear(inputs[0], down_RC).mul_(self._here(gain, inputs[0])).flatten(0, -2)
            out_ND.addmm_(low_NR, up_DR.t())
        for matrix_DC, gain in self._whole:
            here = self._here(gain, inputs[0]).to(output.dtype)
            out_ND.addmm_((inputs[0] * here).flatten(0, -2), matrix_DC.t())

    def _here(self, gain: Tensor, rows: Tensor) -> Tensor:
        """A gain as the rows of the layer's input get it: the same for all [R], or for each [N, R]."""
        return gain if gain.dim() == 1 else self._places.gain(gain, rows.shape[-2], self._timed)

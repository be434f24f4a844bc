"""Attention kernels that may serve on this machine: tried against torch's own, then chosen by their time.

A kernel that is installed is not thereby right: some give wrong numbers on some cards without a word. So
each is compared on random tensors of the model's own head size before it may play, and refused by name.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from engine.core.errors import EngineError
from engine.model.attention import Attend, attend

AUTO, TORCH = "auto", "sdpa"
PROBED = (384, 1152)
"""Queries and keys of the comparison: a chunk and its past, in small."""
TIMED = (2048, 8192)
"""Of the race between kernels that are right."""
TRIES = 5
MOST_ERROR = {torch.float32: 1e-4, torch.bfloat16: 0.03, torch.float16: 0.03}
"""Root mean square of the difference, in parts of the right result's own."""


@dataclass(frozen=True)
class Kernel:
    """A kernel by name: `module` it needs ("" for torch's own), types it takes, and how to make it.

    `backend`: of torch's own, which a trial must see at work; elsewhere torch may fall back on another.
    """

    name: str
    make: Callable[[], Attend]
    module: str = ""
    devices: tuple[str, ...] = ("cuda",)
    dtypes: tuple[torch.dtype, ...] = (torch.bfloat16, torch.float16)
    backend: SDPBackend | None = None

    def serves(self, device: torch.device, dtype: torch.dtype) -> bool:
        """Whether it is installed and made for this device and number type."""
        there = not self.module or importlib.util.find_spec(self.module) is not None
        return there and device.type in self.devices and dtype in self.dtypes


@dataclass(frozen=True)
class Trial:
    """What became of one kernel: error against torch's, milliseconds (None: not raced), and why not."""

    name: str
    error: float | None
    ms: float | None = None
    refused: str = ""

    @property
    def text(self) -> str:
        """In a line."""
        if self.refused:
            return f"{self.name} refused: {self.refused}"
        return f"{self.name} right" + ("" if self.ms is None else f", {self.ms:.2f} ms")


@dataclass(frozen=True)
class Chosen:
    """The kernel to use, its name, and what was tried."""

    name: str
    attend: Attend
    trials: tuple[Trial, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        """What an operator should know: kernels that are there and were refused."""
        return tuple(f"Attention kernel {trial.text}" for trial in self.trials if trial.refused)


USUAL = Chosen(TORCH, attend)
"""Nothing was tried."""


def _torch_kernel(backend: SDPBackend) -> Callable[[], Attend]:
    # What may be used is a setting of the whole process, not of a thread: a prompt or a picture that another
    # thread encodes meanwhile must always find a kernel that takes its masks and its head sizes.
    order = [backend, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]

    def make() -> Attend:
        def run(q: Tensor, k: Tensor, v: Tensor, bias_M: Tensor | None = None, /) -> Tensor:
            if bias_M is not None:  # not every kernel adds one: torch finds one that does
                return attend(q, k, v, bias_M)
            with sdpa_kernel(order, set_priority=True):
                return attend(q, k, v)

        return run

    return make


def _package_kernel(module: str, function: str, **options: object) -> Callable[[], Attend]:
    """A package's function of q, k and v `[B, N, H, D]`; where there is a bias, torch's own steps in."""

    def make() -> Attend:
        call = vars(importlib.import_module(module))[function]

        def run(q: Tensor, k: Tensor, v: Tensor, bias_M: Tensor | None = None, /) -> Tensor:
            if bias_M is not None:
                return attend(q, k, v, bias_M)
            out = call(q, k, v, **options)
            result: Tensor = out[0] if isinstance(out, tuple) else out
            return result

        return run

    return make


PLAIN = Kernel(TORCH, lambda: attend, devices=("cuda", "cpu", "mps"), dtypes=tuple(MOST_ERROR))
"""What everything is compared with, and what is used where nothing else is right."""

KERNELS: tuple[Kernel, ...] = (
    PLAIN,
    Kernel("cudnn", _torch_kernel(SDPBackend.CUDNN_ATTENTION), backend=SDPBackend.CUDNN_ATTENTION),
    Kernel("flash", _torch_kernel(SDPBackend.FLASH_ATTENTION), backend=SDPBackend.FLASH_ATTENTION),
    Kernel("flash2", _package_kernel("flash_attn", "flash_attn_func"), "flash_attn"),
    Kernel("flash3", _package_kernel("flash_attn_interface", "flash_attn_func"), "flash_attn_interface"),
    Kernel("sage", _package_kernel("sageattention", "sageattn", tensor_layout="NHD"), "sageattention"),
)
NAMES = (AUTO, *(kernel.name for kernel in KERNELS))
PACKAGED = frozenset(kernel.name for kernel in KERNELS if kernel.module)
"""Those that are none of torch's own."""


def choose(
    head_dim: int,
    device: torch.device,
    dtype: torch.dtype,
    *,
    name: str = AUTO,
    kernels: Sequence[Kernel] = KERNELS,
    race: Callable[[Attend, int, torch.device, torch.dtype], float] | None = None,
) -> Chosen:
    """The fastest kernel that is right for heads of this size, or the one called `name`.

    Torch's own is right by definition. EngineError where the named one is unknown, not here, or wrong.
    """
    there = [kernel for kernel in kernels if kernel.serves(device, dtype)]
    if name == AUTO:
        return _fastest(there, head_dim, device, dtype, race or seconds)
    named = [kernel for kernel in there if kernel.name == name]
    if not named:
        here = ", ".join(kernel.name for kernel in there)
        raise EngineError(f"The attention kernel {name} cannot run here.", f"Choose one of: {here}.")
    trial, made = try_out(named[0], head_dim, device, dtype)
    if made is None:
        raise EngineError(f"The attention kernel {trial.text}.", f"Choose {AUTO} or {TORCH}.")
    return Chosen(name, made, (trial,))


def try_out(
    kernel: Kernel, head_dim: int, device: torch.device, dtype: torch.dtype
) -> tuple[Trial, Attend | None]:
    """Compare a kernel with torch's own, of the same numbers in fp32; the kernel itself where it is right."""
    if kernel.name == TORCH:
        return Trial(TORCH, 0.0), attend
    q, k, v = _tensors(PROBED, head_dim, device, dtype)
    exact = attend(q.float(), k.float(), v.float())
    try:
        made = kernel.make()
        if kernel.backend is not None:
            with sdpa_kernel(kernel.backend):  # it alone: raises where it does not take these
                attend(q, k, v)
        given = made(q, k, v)
    except Exception as fault:  # whatever a package raises here, torch's own kernel plays without it
        return Trial(kernel.name, None, refused=f"does not run ({_first_line(fault)})"), None
    if given.shape != exact.shape:
        return Trial(kernel.name, None, refused=f"gives {tuple(given.shape)} for {tuple(exact.shape)}"), None
    error = float((given.float() - exact).square().mean().sqrt() / exact.square().mean().sqrt())
    if not error <= MOST_ERROR[dtype]:  # a NaN is refused as well
        return Trial(kernel.name, error, refused=f"wrong by {error:.1%} on {_called(device)}"), None
    return Trial(kernel.name, error), made


def seconds(run: Attend, head_dim: int, device: torch.device, dtype: torch.dtype) -> float:
    """The shortest of a few calls, after two that warm up."""
    q, k, v = _tensors(TIMED, head_dim, device, dtype)
    shortest = float("inf")
    for attempt in range(TRIES + 2):
        _wait(device)
        begin = time.perf_counter()
        run(q, k, v)
        _wait(device)
        if attempt >= 2:
            shortest = min(shortest, time.perf_counter() - begin)
    return shortest


def _fastest(
    there: Iterable[Kernel],
    head_dim: int,
    device: torch.device,
    dtype: torch.dtype,
    race: Callable[[Attend, int, torch.device, torch.dtype], float],
) -> Chosen:
    tried = [try_out(kernel, head_dim, device, dtype) for kernel in there]
    right = [(trial, made) for trial, made in tried if made is not None]
    if len(right) < 2:  # nothing to race against
        return Chosen(TORCH, attend, tuple(trial for trial, _ in tried))
    raced: dict[str, float] = {}
    fallen: dict[str, str] = {}
    for trial, made in right:
        try:
            raced[trial.name] = 1000 * race(made, head_dim, device, dtype)
        except Exception as fault:  # right in small, and not able to do it in large
            fallen[trial.name] = f"does not run at full size ({_first_line(fault)})"
    trials = tuple(Trial(t.name, t.error, raced.get(t.name), fallen.get(t.name, t.refused)) for t, _ in tried)
    if not raced:
        return Chosen(TORCH, attend, trials)
    best, winner = min(
        ((trial, made) for trial, made in right if trial.name in raced), key=lambda pair: raced[pair[0].name]
    )
    return Chosen(best.name, winner, trials)


def _first_line(fault: Exception) -> str:
    words = str(fault).splitlines()
    return (words[0] if words else type(fault).__name__)[:120]


def _tensors(size: tuple[int, int], head_dim: int, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """Queries, keys and values of two heads; keys with an offset, as real ones have: coarse kernels mind."""
    draw = torch.Generator(device).manual_seed(1)
    queries, keys = size
    made = [
        torch.randn(1, tokens, 2, head_dim, generator=draw, device=device) for tokens in (queries, keys, keys)
    ]
    made[1] += 2 * torch.randn(1, 1, 2, head_dim, generator=draw, device=device)
    return [part.to(dtype) for part in made]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _called(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type

"""Attention kernels are tried before they play: wrong ones are refused, the fastest right one is taken."""

from __future__ import annotations

from threading import Thread

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from engine.core.errors import EngineError
from engine.model.attention import Attend, attend
from engine.model.kernels import AUTO, KERNELS, PLAIN, TORCH, Kernel, choose, seconds, try_out

CPU = torch.device("cpu")
FP32 = (torch.float32,)


def right(q: Tensor, k: Tensor, v: Tensor, bias_M: Tensor | None = None, /) -> Tensor:
    weights = (torch.einsum("bnhd,bmhd->bhnm", q, k) / q.shape[-1] ** 0.5).softmax(-1)
    return torch.einsum("bhnm,bmhd->bnhd", weights, v)


def unscaled(q: Tensor, k: Tensor, v: Tensor, bias_M: Tensor | None = None, /) -> Tensor:
    return right(q * 1.1, k, v)


def broken(q: Tensor, k: Tensor, v: Tensor, bias_M: Tensor | None = None, /) -> Tensor:
    raise RuntimeError("no kernel image is available\nand much more")


def silent(q: Tensor, k: Tensor, v: Tensor, bias_M: Tensor | None = None, /) -> Tensor:
    return torch.full_like(q, float("nan"))


def short(q: Tensor, k: Tensor, v: Tensor, bias_M: Tensor | None = None, /) -> Tensor:
    return right(q, k, v)[:, 1:]


def kernel(name: str, run: Attend) -> Kernel:
    return Kernel(name, lambda: run, devices=("cpu",), dtypes=FP32)


def missing() -> Attend:
    raise ImportError("no module of that name")


def race(times: dict[Attend, float]):
    return lambda run, *given: times[run]


@pytest.mark.parametrize(
    ("run", "why"),
    [(unscaled, "wrong by"), (broken, "no kernel image"), (silent, "wrong by nan%"), (short, "383")],
)
def test_a_wrong_kernel_is_refused_and_the_operator_is_told(run: Attend, why: str) -> None:
    found = choose(32, CPU, torch.float32, kernels=(PLAIN, kernel("bad", run)))
    assert found.name == TORCH and found.attend is attend
    assert len(found.notices) == 1 and "bad refused" in found.notices[0] and why in found.notices[0]
    with pytest.raises(EngineError, match="bad refused"):
        choose(32, CPU, torch.float32, name="bad", kernels=(PLAIN, kernel("bad", run)))


def test_a_package_that_is_broken_is_refused_too() -> None:
    found = choose(32, CPU, torch.float32, kernels=(PLAIN, Kernel("half", missing, "", ("cpu",), FP32)))
    assert found.name == TORCH and "no module of that name" in found.notices[0]


def test_whatever_a_package_raises_torchs_own_plays() -> None:
    """A half-installed compiler raises what no list of errors has."""

    def half(q: Tensor, k: Tensor, v: Tensor, bias_M: Tensor | None = None, /) -> Tensor:
        raise AttributeError("module 'triton' has no attribute 'jit'")

    found = choose(32, CPU, torch.float32, kernels=(PLAIN, kernel("half", half)))
    assert found.name == TORCH and "no attribute 'jit'" in found.notices[0]


def test_a_kernel_that_fails_at_full_size_only_is_refused() -> None:
    def small(q: Tensor, k: Tensor, v: Tensor, bias_M: Tensor | None = None, /) -> Tensor:
        if q.shape[1] > 1000:
            raise RuntimeError("out of resources: shared memory")
        return right(q, k, v)

    kernels = (PLAIN, kernel("small", small))
    found = choose(8, CPU, torch.float32, kernels=kernels)
    assert found.name == TORCH and "at full size (out of resources" in found.notices[0]


@pytest.mark.parametrize("name", ["cudnn", "flash"])
def test_while_a_kernel_plays_every_other_thread_finds_one_too(name: str) -> None:
    """Which of torch's kernels may be used holds for the whole process: a prompt is encoded meanwhile."""
    row = next(each for each in KERNELS if each.name == name)
    assert row.backend is not None
    found: list[Tensor] = []
    q = torch.randn(1, 2, 6, 8)
    mask = torch.ones(6, 6, dtype=torch.bool).tril()

    class Watched(TorchFunctionMode):
        """Another thread's attention, in the middle of the kernel's own."""

        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function is torch.nn.functional.scaled_dot_product_attention:
                other = Thread(
                    target=lambda: found.append(
                        torch.nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=mask)
                    )
                )
                other.start()
                other.join()
            return function(*args, **(kwargs or {}))

    made = row.make()
    with Watched():
        made(*(torch.randn(1, 6, 2, 8) for _ in range(3)))
    assert len(found) == 1 and found[0].isfinite().all()


def test_the_fastest_of_the_right_ones_plays() -> None:
    kernels = (PLAIN, kernel("quick and wrong", unscaled), kernel("right", right))
    found = choose(32, CPU, torch.float32, kernels=kernels, race=race({attend: 0.002, right: 0.001}))
    assert (found.name, found.attend) == ("right", right)
    assert [trial.ms for trial in found.trials] == [2.0, None, 1.0]
    found = choose(32, CPU, torch.float32, kernels=kernels, race=race({attend: 0.001, right: 0.002}))
    assert found.name == TORCH
    assert len(found.notices) == 1


def test_a_kernel_asked_for_by_name_is_tried_as_well() -> None:
    found = choose(32, CPU, torch.float32, name="right", kernels=(PLAIN, kernel("right", right)))
    assert found.attend is right and found.trials[0].error < 1e-5
    with pytest.raises(EngineError, match="cannot run here") as caught:
        choose(32, CPU, torch.float32, name="sage")
    assert TORCH in caught.value.fix


def test_half_precision_is_compared_with_what_is_exact() -> None:
    def coarse(q: Tensor, k: Tensor, v: Tensor, bias_M: Tensor | None = None, /) -> Tensor:
        return right(q, k.to(torch.float8_e4m3fn).to(k.dtype), v)

    trial, made = try_out(
        Kernel("bf16", lambda: right, "", ("cpu",), (torch.bfloat16,)), 64, CPU, torch.bfloat16
    )
    assert made is right and 0 < trial.error < 0.02
    trial, made = try_out(
        Kernel("fp8", lambda: coarse, "", ("cpu",), (torch.bfloat16,)), 64, CPU, torch.bfloat16
    )
    assert made is None and trial.error > 0.03


def test_on_a_processor_torch_is_the_only_one_and_nothing_is_raced() -> None:
    found = choose(128, CPU, torch.float32, name=AUTO, kernels=KERNELS, race=race({}))
    assert found.name == TORCH and found.notices == ()
    assert [each.name for each in KERNELS if each.serves(CPU, torch.float32)] == [TORCH]
    assert not any(each.serves(torch.device("cuda"), torch.float32) for each in KERNELS if each is not PLAIN)


def test_a_race_takes_time() -> None:
    assert seconds(lambda q, k, v, bias_M=None: q, 8, CPU, torch.float32) >= 0


@pytest.mark.parametrize("name", ["cudnn", "flash"])
def test_a_bias_goes_to_torch_whatever_the_kernel(name: str) -> None:
    made = next(each for each in KERNELS if each.name == name).make()
    q, k, v = (torch.randn(1, tokens, 2, 16) for tokens in (6, 9, 9))
    bias = torch.linspace(-2, 0, 9)
    assert torch.equal(made(q, k, v, bias), attend(q, k, v, bias))

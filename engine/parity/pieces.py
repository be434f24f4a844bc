"""Replays of single formulas: the weight filler, RoPE, timestep features, norms, schedule."""

import torch
from torch import Tensor

from engine.model.attention import RMSNorm
from engine.model.block import Block
from engine.model.rope import rope_table, rotate, split_pairs
from engine.model.schedule import Schedule, advanced, denoised, flow_between, noised
from engine.model.spec import Arch
from engine.model.wan import sinusoid, unpatchify
from engine.parity.golden import Golden, fill


def replay_fill(golden: Golden) -> None:
    """The weight filler itself: tensors are named <parameter>|salt<number>."""
    for key in golden.keys(""):
        name, _, salt = key.rpartition("|salt")
        golden.compare(key, fill(name, tuple(golden.take(key).shape), int(salt)))


def replay_rope(golden: Golden) -> None:
    """Rotation of the same numbers at several starting positions."""
    latents, rows, columns = golden.meta("grid")
    for head_dim in golden.meta("head_dims"):
        golden.expect("the split of pairs", golden.meta(f"split.d{head_dim}"), list(split_pairs(head_dim)))
        x = golden.take(f"x.d{head_dim}")
        for start in golden.meta("starts"):
            table = rope_table(range(start, start + latents), rows, columns, head_dim, x.device)
            golden.compare(f"out.d{head_dim}.start{start}", rotate(x, table))


def replay_timestep(golden: Golden) -> None:
    """Sinusoid of the timestep; the reference's fp32 variant lies within the limit of ours."""
    features = sinusoid(golden.take("t"), golden.meta("freq_dim")).float()
    golden.compare("base_f64", features)
    golden.compare("vace_f32", features)


def replay_norms(golden: Golden) -> None:
    """The layer norms of a block, the norm of queries and keys, and the way back from tokens to pixels."""
    x = golden.take("x")
    arch = _small_arch(x.shape[-1], golden.meta("patch_size"), golden.meta("out_dim"))
    block = Block(arch)
    block.norm3.load_state_dict({"weight": golden.take("ln_weight"), "bias": golden.take("ln_bias")})
    norm = RMSNorm(arch.dim, arch.eps)
    norm.load_state_dict({"weight": golden.take("rms_weight")})
    golden.compare("ln_plain", block.norm1(x))
    golden.compare("ln_affine", block.norm3(x))
    golden.compare("rms", norm(x))
    latents, rows, columns = golden.meta("unpatchify_grid")
    patches = golden.take("tokens").view(1, latents, rows * columns, -1)
    golden.compare("unpatchified", unpatchify(patches, rows, columns, arch)[0].transpose(0, 1))


def _small_arch(dim: int, patch: list[int], out_dim: int) -> Arch:
    time, height, width = patch
    return Arch(
        dim=dim, ffn_dim=dim, heads=1, layers=1, vace_layers=(), out_dim=out_dim, patch=(time, height, width)
    )


def replay_sampler(golden: Golden) -> None:
    """Schedule tables and the sampler's arithmetic for every recorded shift."""
    x, flow, noise, t = (golden.take(key) for key in ("x", "flow", "noise", "t"))
    for shift in golden.meta("shifts"):
        schedule = Schedule(shift)
        sigma, following = (_column(s) for s in (schedule.sigma(t), schedule.following_sigma(t)))
        ours = {
            "sigmas": schedule.sigmas,
            "timesteps": schedule.timesteps,
            "index_of_t": schedule.index(t),
            "sigma_of_t": schedule.sigma(t),
            "train_weights": schedule.training_weights(),
            "add_noise": noised(x, noise, sigma),
            "flow_to_x0": denoised(x, flow, sigma),
            "x0_to_flow": flow_between(x, flow, sigma),
            "step": advanced(x, flow, sigma, following),
        }
        for name, values in ours.items():
            golden.compare(f"{name}.shift{shift}", values)
        for number, listed in enumerate(golden.meta("lists")):
            golden.compare(f"warped.shift{shift}.list{number}", torch.tensor(schedule.warp(listed)))


def _column(values: Tensor) -> Tensor:
    """[N] shaped to broadcast over [N, channels, rows, columns]."""
    return values[:, None, None, None]

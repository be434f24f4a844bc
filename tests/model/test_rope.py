"""Rotation depends on differences of positions only, at any distance from the start."""

import pytest
import torch

from engine.model.rope import rope_table, rotate, split_pairs

CPU = torch.device("cpu")


@pytest.mark.parametrize(("head_dim", "split"), [(128, (22, 21, 21)), (64, (12, 10, 10)), (32, (6, 5, 5))])
def test_pairs_are_split_over_latent_row_and_column(head_dim: int, split: tuple[int, int, int]) -> None:
    assert split_pairs(head_dim) == split


def test_tokens_lie_in_latent_row_column_order() -> None:
    table = rope_table((5, 9), 2, 3, 64, CPU).turn_N1P.view(2, 2, 3, 32)
    one = rope_table((9,), 2, 3, 64, CPU).turn_N1P.view(2, 3, 32)
    torch.testing.assert_close(table[1], one)
    assert torch.equal(table[0, 0, 1, :22], table[0, 0, 2, :22])  # the column turns the last pairs only
    assert not torch.equal(table[0, 0, 1, 22:], table[0, 0, 2, 22:])


@pytest.mark.parametrize("start", [1, 1021, 10_000_000])
def test_attention_logits_do_not_depend_on_where_a_window_starts(start: int) -> None:
    draw = torch.Generator().manual_seed(1)
    q, k = (torch.randn(1, 4, 1, 64, generator=draw) for _ in range(2))

    def logits(first: int) -> torch.Tensor:
        table = rope_table((first, first + 7), 1, 2, 64, CPU)
        return torch.einsum("bnhd,bmhd->bnm", rotate(q, table), rotate(k, table))

    torch.testing.assert_close(logits(start), logits(0), atol=2e-5, rtol=0)


def test_dtype_is_kept_and_length_too() -> None:
    x = torch.randn(1, 2, 3, 32, dtype=torch.bfloat16)
    turned = rotate(x, rope_table((4,), 1, 2, 32, CPU))
    assert turned.dtype == torch.bfloat16
    torch.testing.assert_close(turned.float().norm(dim=-1), x.float().norm(dim=-1), atol=0.05, rtol=0)

"""What is said chunk by chunk: at once, over some chunks, anew when the weights change."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.model.spec import Arch
from engine.model.speech import Speech
from engine.model.text import Conditioning
from engine.model.wan import CausalWan

ARCH = Arch(dim=32, ffn_dim=32, heads=2, layers=2, vace_layers=(0,), text_len=4, text_dim=8, freq_dim=16)


@pytest.fixture
def dit() -> CausalWan:
    torch.manual_seed(0)
    return CausalWan(ARCH).requires_grad_(False)


@pytest.fixture
def speech(dit: CausalWan) -> Speech:
    return Speech(dit, torch.device("cpu"), torch.float32)


def said(text: str, rows: int = 2) -> Conditioning:
    draw = torch.Generator().manual_seed(len(text))
    return Conditioning(text, torch.randn(1, rows, ARCH.text_dim, generator=draw), (text,), ())


def keys(dit: CausalWan, embeddings: Tensor) -> Tensor:
    return dit.cross_cache(embeddings).main[1][0]


def test_a_text_is_embedded_once_and_the_first_one_needs_no_recache(dit: CausalWan, speech: Speech) -> None:
    gold = said("gold")
    first, second = (speech.next(gold, 0, "linear") for _ in range(2))
    assert first.text is second.text and not first.arrived and not second.arrived
    assert torch.equal(first.text.main[1][0], keys(dit, gold.embeddings))


def test_a_new_text_arrives_at_once_or_over_chunks(dit: CausalWan, speech: Speech) -> None:
    gold, lava = said("gold"), said("hot lava", rows=3)
    speech.next(gold, 4, "linear")
    told = [speech.next(lava, 4, "linear") for _ in range(6)]
    assert [chunk.arrived for chunk in told] == [False, False, False, True, False, False]
    assert told[4].text is told[3].text
    assert torch.equal(told[3].text.main[1][0], keys(dit, lava.embeddings))
    reached = [float((chunk.text.main[1][0] - told[3].text.main[1][0]).norm()) for chunk in told[:4]]
    assert reached == sorted(reached, reverse=True) and reached[0] > 0
    assert speech.next(gold, 0, "linear").arrived


def test_a_third_text_in_mid_transition_starts_from_what_is_said(dit: CausalWan, speech: Speech) -> None:
    gold, lava, ice = said("gold"), said("hot lava"), said("ice")
    speech.next(gold, 0, "linear")
    middle = speech.next(lava, 2, "linear").text.main[0][1]
    after = speech.next(ice, 1000, "linear").text.main[0][1]
    assert torch.allclose(middle, after, atol=2e-2) and not torch.equal(middle, after)


def test_other_weights_mean_other_keys_but_no_new_text(dit: CausalWan, speech: Speech) -> None:
    gold = said("gold")
    speech.next(gold, 0, "linear", voice=0)
    dit.blocks[1].cross_attn.k.weight.mul_(2)
    told = speech.next(gold, 0, "linear", voice=1)
    assert torch.equal(told.text.main[1][0], keys(dit, gold.embeddings)) and not told.arrived

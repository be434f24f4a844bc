"""A transformer small enough for every test, with weights that let everything matter."""

import pytest
import torch

from engine.model.spec import Arch
from engine.model.wan import CausalWan
from engine.parity.golden import filled

TINY = Arch(dim=48, ffn_dim=64, heads=2, layers=3, vace_layers=(0, 2), text_len=6, text_dim=8, freq_dim=16)


@pytest.fixture
def tiny() -> CausalWan:
    return filled(lambda: CausalWan(TINY), salt=7)


@pytest.fixture
def draw() -> torch.Generator:
    return torch.Generator().manual_seed(0)

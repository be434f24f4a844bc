"""Names and shapes of our parameters are the public checkpoints' own."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from engine.model.spec import WAN_1_3B, WAN_14B
from engine.model.tae import TAE, TAEW2_1
from engine.model.wan import CausalWan
from engine.model.weights import on_meta

MANIFESTS = Path(__file__).parents[1] / "golden" / "manifests"

NETWORKS: list[tuple[Callable[[], nn.Module], list[str]]] = [
    (lambda: CausalWan(WAN_1_3B, vace=False), ["wan2.1_t2v_1.3B_dit"]),
    (lambda: CausalWan(WAN_14B, vace=False), ["wan2.1_t2v_14B_dit"]),
    (lambda: CausalWan(WAN_1_3B), ["wan2.1_t2v_1.3B_dit", "wan2.1_vace_1.3B_context_blocks"]),
    (lambda: CausalWan(WAN_14B), ["wan2.1_t2v_14B_dit", "wan2.1_vace_14B_context_blocks"]),
    (lambda: TAE(TAEW2_1), ["taew2_1"]),
]


@pytest.mark.parametrize(("make", "manifests"), NETWORKS, ids=["1.3B", "14B", "1.3B+VACE", "14B+VACE", "TAE"])
def test_keys_and_shapes_match(make: Callable[[], nn.Module], manifests: list[str]) -> None:
    public: dict[str, list[int]] = {}
    for name in manifests:
        entries = json.loads((MANIFESTS / f"{name}.json").read_text())
        public |= {key: shape for key, (shape, _) in entries.items()}
    ours = {key: list(value.shape) for key, value in on_meta(make).state_dict().items()}
    assert ours == public

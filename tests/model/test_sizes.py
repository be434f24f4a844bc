"""A transformer's sizes, read from the shapes in its files and the little that its config adds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.core.errors import WeightsError
from engine.model.sizes import arch_of, read_config
from engine.model.spec import POCKET, Arch
from engine.model.wan import CausalWan
from engine.model.weights import on_meta
from tests.model.conftest import TINY

Shapes = dict[str, tuple[int, ...]]
CONFIG: dict[str, object] = {"num_heads": 2, "text_len": 6, "vace_layers": [0, 2]}


def shapes(arch: Arch = TINY, vace: bool = False) -> Shapes:
    state = on_meta(lambda: CausalWan(arch)).state_dict()
    return {key: tuple(value.shape) for key, value in state.items() if key.startswith("vace_") == vace}


def test_shapes_and_config_give_the_arch() -> None:
    assert arch_of(shapes(), shapes(vace=True), CONFIG) == TINY
    assert arch_of(shapes(), config=CONFIG) == replace(TINY, vace_layers=())


def test_vace_blocks_are_spread_evenly() -> None:
    found = arch_of(shapes(POCKET), shapes(POCKET, vace=True), {"num_heads": 4, "text_len": 16})
    assert found == POCKET


def test_without_a_config_heads_have_128_channels() -> None:
    wide = replace(TINY, dim=384, heads=3, text_len=512)
    assert arch_of(shapes(wide)) == replace(wide, vace_layers=())
    with pytest.raises(WeightsError, match="48 channels are too few for heads of 128: config"):
        arch_of(shapes())


def without(key: str) -> Callable[[Shapes], object]:
    return lambda s: s.pop(key)


def changed(key: str, shape: tuple[int, ...]) -> Callable[[Shapes], object]:
    return lambda s: s.update({key: shape})


BROKEN: list[tuple[Callable[[Shapes], object], dict[str, object], str]] = [
    (without("patch_embedding.weight"), {}, r"The file has no patch_embedding\.weight"),
    (without("head.head.weight"), {}, r"The file has no head\.head\.weight"),
    (
        lambda s: [s.pop(key) for key in list(s) if key.startswith("blocks.1.")],
        {},
        "numbers of blocks .* gaps",
    ),
    (lambda s: [s.pop(key) for key in list(s) if key.startswith("blocks.")], {}, "gaps or are none"),
    (changed("patch_embedding.weight", (48, 16)), {}, r"patch_embedding\.weight has shape \[48, 16\]"),
    (changed("text_embedding.0.weight", (0, 8)), {}, r"text_embedding\.0\.weight has shape"),
    (changed("head.head.weight", (63, 48)), {}, r"gives 63 numbers, which fill no patch"),
    (changed("blocks.999999.x", (1,)), {}, "gaps"),
    (lambda s: None, {"num_heads": 5}, "48 channels cannot be shared by 5 heads"),
    (lambda s: None, {"num_heads": 16}, "48 channels cannot be shared by 16 heads"),
    (lambda s: None, {"num_heads": "2"}, "The config's num_heads is 2, expected a whole number"),
    (lambda s: None, {"num_heads": True}, "The config's num_heads is True"),
    (lambda s: None, {"text_len": -1}, "The config's text_len is -1"),
    (lambda s: None, {"eps": "small"}, "The config's eps is small"),
    (lambda s: None, {"dim": 1536}, "The config says dim 1536, the file has 48"),
    (lambda s: None, {"num_layers": 30}, "The config says num_layers 30, the file has 3"),
]


@pytest.mark.parametrize(("change", "config", "message"), BROKEN, ids=[row[2] for row in BROKEN])
def test_what_does_not_fit_is_named(
    change: Callable[[Shapes], object], config: dict[str, object], message: str
) -> None:
    found = shapes()
    change(found)
    with pytest.raises(WeightsError, match=message) as caught:
        arch_of(found, config=CONFIG | config)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("layers", "message"),
    [(None, "2 VACE blocks do not spread over 3 blocks"), ([0], "as the config's vace_layers"),
     ([0, 3], "vace_layers"), ([2, 0], "vace_layers"), (["0", "2"], "vace_layers"), ("02", "vace_layers")],
)  # fmt: skip
def test_vace_layers_that_do_not_fit(layers: object, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        arch_of(shapes(), shapes(vace=True), CONFIG | {"vace_layers": layers})


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "is damaged or no JSON"), (b"[1]", "holds no names"), (b"\xff\xfe\0", "is damaged or no JSON"),
     (b"[" * 100_000, "is damaged or no JSON"), (b" " * (2**20 + 1), "is too long")],
)  # fmt: skip
def test_broken_configs(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.json"
    with pytest.raises(WeightsError, match="does not exist"):
        read_config(path)
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_config(path)
    path.write_bytes(b'{"dim": 48}')
    assert read_config(path) == {"dim": 48}

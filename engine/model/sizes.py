"""Reading a transformer's sizes from the shapes in its files, so that one class serves every checkpoint.

Shapes say all but two things: how many heads share the channels, and how long a text may be. The public
models have heads of 128 channels and 512 text rows; a config.json may say otherwise. Where shapes and
config both speak they must agree.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

from engine.core.errors import WeightsError
from engine.model.spec import Arch

Shapes = Mapping[str, tuple[int, ...]]

HEAD_DIM = 128
TEXT_LEN = 512
EPS = 1e-6
MOST_LAYERS = 1000
LONGEST_CONFIG = 2**20
FIX = "Choose a file of a Wan2.1 transformer, and the config.json that goes with it."


def arch_of(dit: Shapes, vace: Shapes | None = None, config: Mapping[str, object] | None = None) -> Arch:
    """Sizes of a transformer from the shapes of its tensors, unwrapped names as in `Checkpoint.shapes`.

    vace: shapes of the VACE blocks; without them the arch has no `vace_layers`. config: the content of
    config.json (`num_heads`, `text_len`, `eps`, `vace_layers` are used; other sizes are compared).
    Raises WeightsError naming what does not fit.
    """
    config = config or {}
    patch = _shape(dit, "patch_embedding.weight", 5)
    dim = patch[0]
    layers = _blocks(dit, "blocks.")
    text_dim = _shape(dit, "text_embedding.0.weight", 2)[1]
    head = _shape(dit, "head.head.weight", 2)[0]
    if head % math.prod(patch[2:]):
        raise WeightsError(f"head.head.weight gives {head} numbers, which fill no patch.", FIX)
    arch = Arch(
        dim=dim,
        ffn_dim=_shape(dit, "blocks.0.ffn.0.weight", 2)[0],
        heads=_heads(config, dim),
        layers=layers,
        vace_layers=_vace_layers(vace, layers, dim, config) if vace else (),
        text_len=_number(config, "text_len", TEXT_LEN),
        text_dim=text_dim,
        freq_dim=_shape(dit, "time_embedding.0.weight", 2)[1],
        in_dim=patch[1],
        out_dim=head // math.prod(patch[2:]),
        vace_in_dim=_shape(vace, "vace_patch_embedding.weight", 5)[1] if vace else Arch.vace_in_dim,
        eps=_eps(config),
        patch=(patch[2], patch[3], patch[4]),
    )
    _compare(arch, config)
    return arch


def read_config(path: Path) -> dict[str, object]:
    """The content of a config.json. Raises WeightsError when it is missing or no JSON object."""
    try:
        if path.stat().st_size > LONGEST_CONFIG:
            raise WeightsError(f"{path.name} is too long for a config.", "Get the file again.")
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise WeightsError(f"Config file {path} does not exist.", "Get it with the weights.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path.name} is damaged or no JSON.", "Get the file again.") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path.name} is no config: it holds no names.", "Get the file again.")
    return content


def _vace_layers(vace: Shapes, layers: int, dim: int, config: Mapping[str, object]) -> tuple[int, ...]:
    """Main block of each VACE block: as the config says, else evenly spread from the first."""
    width = _shape(vace, "vace_patch_embedding.weight", 5)[0]
    if width != dim:
        what = f"The VACE file is {width} channels wide, the transformer {dim}."
        raise WeightsError(what, "Choose the VACE file of the same model size.")
    count = _blocks(vace, "vace_blocks.")
    named = config.get("vace_layers")
    if named is None and layers % count == 0:
        return tuple(range(0, layers, layers // count))
    if isinstance(named, list) and len(named) == count and _ascending(named, layers):
        return tuple(named)
    what = f"{count} VACE blocks do not spread over {layers} blocks"
    what += "." if named is None else f" as the config's vace_layers {str(named)[:80]} say."
    raise WeightsError(what, "Choose the VACE file of the same model size.")


def _ascending(numbers: list[object], below: int) -> bool:
    whole = [number for number in numbers if type(number) is int and 0 <= number < below]
    return len(whole) == len(numbers) and sorted(set(whole)) == whole


def _shape(shapes: Shapes, key: str, dimensions: int) -> tuple[int, ...]:
    if key not in shapes:
        raise WeightsError(f"The file has no {key}: it is no Wan2.1 transformer.", FIX)
    shape = shapes[key]
    if len(shape) != dimensions or 0 in shape:
        raise WeightsError(f"{key} has shape {list(shape)}, expected {dimensions} dimensions.", FIX)
    return shape


def _blocks(shapes: Shapes, prefix: str) -> int:
    """How many blocks are numbered from 0 without a gap."""
    pattern = re.compile(re.escape(prefix) + r"(\d{1,6})\.")
    numbers = {int(found[1]) for found in map(pattern.match, shapes) if found}
    if numbers != set(range(len(numbers))) or not 0 < len(numbers) <= MOST_LAYERS:
        raise WeightsError(f"The numbers of {prefix[:-1]} in the file have gaps or are none.", FIX)
    return len(numbers)


def _heads(config: Mapping[str, object], dim: int) -> int:
    if "num_heads" not in config and dim < HEAD_DIM:
        raise WeightsError(f"{dim} channels are too few for heads of {HEAD_DIM}: config.json is needed.", FIX)
    return _number(config, "num_heads", dim // HEAD_DIM)


def _number(config: Mapping[str, object], name: str, otherwise: int) -> int:
    value = config.get(name, otherwise)
    if type(value) is not int or not 0 < value < 2**24:
        raise WeightsError(f"The config's {name} is {str(value)[:40]}, expected a whole number.", FIX)
    return value


def _eps(config: Mapping[str, object]) -> float:
    value = config.get("eps", EPS)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1:
        raise WeightsError(f"The config's eps is {str(value)[:40]}, expected a small number.", FIX)
    return float(value)


def _compare(arch: Arch, config: Mapping[str, object]) -> None:
    """Refuse heads that do not divide the channels, and a config of another size than the file."""
    if arch.heads < 1 or arch.dim % arch.heads or arch.head_dim % 2:
        raise WeightsError(f"{arch.dim} channels cannot be shared by {arch.heads} heads.", FIX)
    sizes = {
        "dim": arch.dim,
        "ffn_dim": arch.ffn_dim,
        "num_layers": arch.layers,
        "freq_dim": arch.freq_dim,
        "in_dim": arch.in_dim,
        "out_dim": arch.out_dim,
        "text_dim": arch.text_dim,
    }
    for name, value in sizes.items():
        if _number(config, name, value) != value:
            raise WeightsError(f"The config says {name} {config[name]}, the file has {value}.", FIX)

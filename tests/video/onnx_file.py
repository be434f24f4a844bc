"""A tiny depth network as an ONNX file, written byte by byte: no ONNX package is needed to make one.

An ONNX file is a protocol-buffer message; only the few fields of its public schema (onnx.proto) that these
networks use are written here.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

FLOAT, INT64 = 1, 7  # TensorProto.DataType


def depth_onnx(path: Path, weights: Sequence[float], side: int | None = None) -> Path:
    """Write a network `pixel_values [1, 3, H, W]` -> `predicted_depth [1, H, W]`, a weighted sum of colours.

    `weights` are those of red, green and blue; `side` fixes H and W, as some published copies do.
    """
    kernel = _tensor("kernel", (1, 3, 1, 1), FLOAT, struct.pack("<3f", *weights))
    axes = _tensor("axes", (1,), INT64, struct.pack("<q", 1))
    nodes = [
        _node("Conv", ("pixel_values", "kernel"), "mixed"),
        _node("Squeeze", ("mixed", "axes"), "predicted_depth"),
    ]
    rows: int | str = side or "height"
    columns: int | str = side or "width"
    graph = b"".join(_field(1, node) for node in nodes)
    graph += _field(2, b"tiny depth") + _field(5, kernel) + _field(5, axes)
    graph += _field(11, _value("pixel_values", (1, 3, rows, columns)))
    graph += _field(12, _value("predicted_depth", (1, rows, columns)))
    model = _number(1, 8) + _field(7, graph) + _field(8, _field(1, b"") + _number(2, 13))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model)
    return path


def _node(operation: str, inputs: Sequence[str], output: str) -> bytes:
    return b"".join(
        [*(_field(1, name.encode()) for name in inputs), _field(2, output.encode()),
         _field(3, f"{operation} {output}".encode()), _field(4, operation.encode())]
    )  # fmt: skip


def _tensor(name: str, shape: Sequence[int], kind: int, data: bytes) -> bytes:
    dims = b"".join(_number(1, size) for size in shape)
    return dims + _number(2, kind) + _field(8, name.encode()) + _field(9, data)


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(
        _field(1, _number(1, size) if isinstance(size, int) else _field(2, size.encode())) for size in shape
    )
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, FLOAT) + _field(2, dims)))


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])

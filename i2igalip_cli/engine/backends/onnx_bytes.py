"""The parts of a serialised ONNX model that are written without the onnx package.

Protobuf joins messages by joining their bytes: what follows a model is added to its lists. So a
graph made once takes any checkpoint's weights, and a stamp at its end.
"""

import hashlib
from collections.abc import Mapping

import numpy as np

from i2igalip_cli.checkpoints import Tensors

_FLOAT = 1
# Numbers of fields, as onnx.proto has them.
_GRAPH, _METADATA = 7, 14  # of a model
_INITIALIZER = 5  # of a graph
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 1, 2, 8, 9  # of a tensor
_KEY, _VALUE = 1, 2  # of a row of metadata


def with_weights(model: bytes, tensors: Tensors) -> bytes:
    """A model with weights, in float32, under the names that its graph asks for."""
    weights = b"".join(_field(_INITIALIZER, _tensor(name, tensors[name])) for name in tensors)
    return b"".join((model, _field(_GRAPH, weights)))


def stamp(model: bytes, key: str) -> bytes:
    """The end of a model's metadata: what it was made for, and the hash of all that precedes."""
    rows = {"i2igalip.key": key, "i2igalip.sha256": hashlib.sha256(model).hexdigest()}
    return _metadata(rows)


def _metadata(rows: Mapping[str, str]) -> bytes:
    return b"".join(
        _field(_METADATA, _field(_KEY, key.encode()) + _field(_VALUE, value.encode()))
        for key, value in rows.items()
    )


def _tensor(name: str, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    sizes = b"".join(_number(_DIMS, size) for size in array.shape)
    values = np.ascontiguousarray(array, "<f4").tobytes()
    kind = _number(_DATA_TYPE, _FLOAT)
    return b"".join((sizes, kind, _field(_NAME, name.encode()), _field(_RAW_DATA, values)))


def _field(number: int, content: bytes) -> bytes:
    """A field that holds bytes: wire type 2."""
    return b"".join((_varint(number << 3 | 2), _varint(len(content)), content))


def _number(number: int, value: int) -> bytes:
    """A field that holds a whole number: wire type 0."""
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first, the eighth set where more follow."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)

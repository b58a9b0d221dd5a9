"""Arrays and plain values as bytes, without pickle.

A processor's snapshot crosses process boundaries and is kept across crashes, so it
is msgpack with arrays as (dtype, shape, bytes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

from scopeside.dtypes import dtype_of

_ARRAY = 1
_MAX = 2**31 - 1
_KINDS = "biufcSUmM"  # what its name describes in full: no fields, no objects


def pack(state: Mapping[str, Any]) -> bytes:
    """Return `state` (plain values and numpy arrays, nested at will) as bytes.

    Raises
    ------
    TypeError
        If it holds anything else, structured arrays and arrays of objects included.
    """
    packed: bytes = msgpack.packb(state, default=_encode, use_bin_type=True)
    return packed


def unpack(data: bytes | memoryview) -> dict[str, Any]:
    """Return what was packed; arrays are read-only views of `data`.

    Raises
    ------
    ValueError
        If `data` was not made by `pack`.
    """
    try:
        state = msgpack.unpackb(
            data, ext_hook=_decode, raw=False, strict_map_key=False, max_ext_len=_MAX
        )
    except (TypeError, OverflowError, msgpack.UnpackException) as error:
        raise ValueError(f"this is no packed state: {error}") from error
    if not isinstance(state, dict):
        raise ValueError(f"a packed state is a mapping, not {type(state).__name__}")
    return state


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _KINDS:
            raise TypeError(f"cannot pack an array of {value.dtype}")
        head = msgpack.packb([value.dtype.str, list(value.shape)])
        size = len(head).to_bytes(2, "little")
        flat = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        return msgpack.ExtType(_ARRAY, b"".join([size, head, flat.data]))
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot pack a {type(value).__name__}")


def _decode(code: int, data: bytes) -> Any:
    if code != _ARRAY:
        raise ValueError(f"unknown extension {code} in a packed state")
    size = int.from_bytes(data[:2], "little")
    dtype, shape = msgpack.unpackb(data[2 : 2 + size])
    found = dtype_of(dtype)
    if found.kind not in _KINDS:
        raise ValueError(f"a packed array cannot hold {found}")
    return np.frombuffer(data, found, offset=2 + size).reshape(shape)

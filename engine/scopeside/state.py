"""Arrays and plain values as bytes, without pickle.

A processor's snapshot crosses process boundaries and is kept across crashes, so it
is msgpack with arrays as (dtype, shape, bytes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

_ARRAY = 1
_MAX = 2**31 - 1


def pack(state: Mapping[str, Any]) -> bytes:
    """Return `state` (plain values and numpy arrays, nested at will) as bytes."""
    packed: bytes = msgpack.packb(state, default=_encode, use_bin_type=True)
    return packed


def unpack(data: bytes | memoryview) -> dict[str, Any]:
    """Return what was packed; arrays are read-only views of `data`.

    Raises
    ------
    ValueError
        If `data` was not made by `pack`.
    """
    state = msgpack.unpackb(
        data, ext_hook=_decode, raw=False, strict_map_key=False, max_ext_len=_MAX
    )
    if not isinstance(state, dict):
        raise ValueError(f"a packed state is a mapping, not {type(state).__name__}")
    return state


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
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
    found = np.dtype(dtype)
    if found.hasobject:
        raise ValueError(f"a packed array cannot hold {found}")
    return np.frombuffer(data, found, offset=2 + size).reshape(shape)

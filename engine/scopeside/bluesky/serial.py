"""bluesky's documents as bytes: msgpack, and arrays as plain maps. Never pickle.

An array is ``{"__array__": dtype, "shape": [...], "data": bytes}``, little endian and
in C order. (msgpack-numpy is no way out: it unpickles arrays of objects.)
"""

from __future__ import annotations

import math
from typing import Any

import msgpack
import numpy as np

from scopeside.dtypes import dtype_of

_MARK = "__array__"
_KINDS = "biufc"


def dumps(document: Any) -> bytes:
    """Return a document as bytes; a serializer for bluesky's Publisher as well."""
    packed: bytes = msgpack.packb(document, default=_plain)
    return packed


def loads(data: bytes) -> Any:
    """Return the document; for bluesky: ``RemoteDispatcher(…, deserializer=loads)``.

    Raises
    ------
    ValueError
        If the bytes are no document.
    """
    try:
        return msgpack.unpackb(data, object_hook=_array)
    except (KeyError, TypeError, msgpack.UnpackException) as error:
        raise ValueError(f"this is no document: {error!r:.200}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind in _KINDS:
        little = np.asarray(value, value.dtype.newbyteorder("<"), order="C")
        return {
            _MARK: little.dtype.str,
            "shape": list(value.shape),
            "data": little.tobytes(),
        }
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a document cannot hold {type(value).__name__}")


def _array(found: dict[Any, Any]) -> Any:
    if _MARK not in found:
        return found
    dtype, shape, data = dtype_of(found[_MARK]), tuple(found["shape"]), found["data"]
    if dtype.kind not in _KINDS:
        raise ValueError(f"an array holds numbers, not {dtype}")
    if dtype.itemsize * math.prod(shape) != len(data):
        raise ValueError(f"an array of {shape} and {dtype} has not {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape)

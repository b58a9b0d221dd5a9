"""The results wire: what a result looks like as a message (contract: docs/wire.md).

``[0]`` topic ``acquisition/processor/name``, ``[1]`` msgpack header, ``[2]`` array
bytes if there is an array, ``[3]`` mask, one bit a value, if not all of it stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgpack
import numpy as np
import xxhash

from scopeside.dtypes import dtype_of
from scopeside.errors import ProtocolError
from scopeside.result import Result
from scopeside.wire import Buffer

VERSION = 1


def to_header(result: Result) -> tuple[dict[str, Any], list[Buffer]]:
    """Return a result's own part of the header, and its payload parts.

    The array is not copied: send it, or copy it, before its holder writes into it.
    """
    header: dict[str, Any] = {
        "name": result.name,
        "kind": result.kind,
        "frames": [result.first, result.frame, result.used, result.expected],
        "valid": result.valid,
        "reason": result.reason,
        "units": result.units,
        "axes": list(result.axes),
        "meta": _plain(result.meta),
    }
    if not isinstance(result.data, np.ndarray):
        return {**header, "value": _plain(result.data)}, []
    data = np.asarray(result.data, order="C")  # ascontiguousarray makes 0-d 1-d
    little = data.astype(data.dtype.newbyteorder("<"), copy=False)
    header |= {"shape": list(data.shape), "dtype": little.dtype.str}
    payload: list[Buffer] = [little.reshape(-1).view(np.uint8).data]
    if result.mask is not None:
        payload.append(np.packbits(result.mask).tobytes())
    return header, payload


def from_header(header: Mapping[str, Any], payload: Sequence[Any]) -> Result:
    """Return the result that `to_header` was given; what else is there is ``meta``.

    Raises
    ------
    ProtocolError
        If header and payload do not belong together.
    """
    try:
        first, last, used, expected = header["frames"]
        data: Any = header.get("value")
        mask = None
        if header.get("dtype") is not None:
            shape = tuple(header["shape"])
            data = np.frombuffer(payload[0], dtype_of(header["dtype"])).reshape(shape)
            if len(payload) > 1:
                bits = np.unpackbits(np.frombuffer(payload[1], np.uint8))
                mask = bits[: data.size].reshape(shape).astype(bool)
        beside = {key: header[key] for key in _BESIDE if key in header}
        return Result(
            name=header["name"],
            data=data,
            kind=header["kind"],
            frame=last,
            first=first,
            used=used,
            expected=expected,
            valid=header["valid"],
            reason=header["reason"],
            mask=mask,
            units=header["units"],
            axes=tuple(header["axes"]),
            meta={**header["meta"], **beside},
        )
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise ProtocolError(
            f"this is no result: {type(error).__name__}: {error}", cause="wrong_header"
        ) from error


_BESIDE = (
    "acq",
    "chain",
    "processor",
    "seq",
    "run",
    "params",
    "params_from",
    "final",
    "t_frame_ns",
    "t_published_ns",
    "channels",
)


def digest(result: Result) -> str:
    """Return a short name of the result's contents: equal contents, equal name."""
    header, payload = to_header(result)
    hashed = xxhash.xxh3_64()
    hashed.update(
        msgpack.packb({key: header.get(key) for key in ("value", "shape", "dtype")})
    )
    for part in payload:
        hashed.update(part)
    return hashed.hexdigest()


def topic(acquisition: str, processor: str, name: str) -> bytes:
    """Return the topic under which a result is published."""
    return f"{acquisition}/{processor}/{name}".encode()


def _plain(value: Any) -> Any:
    """Return `value` with arrays and numpy numbers as plain values."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value

"""Packs an image as an IOC does: an NTNDArray of p4p, in any codec. For simulators."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scopeside.errors import MissingExtraError
from scopeside_adapters.epics.protocol import TYPES

Codec = Literal[
    "none", "jpeg", "zlib", "blosc", "lz4", "lz4hdf5", "bslz4", "bslz4-chunk"
]
"""As in `codec.name`; ``bslz4-chunk`` is bslz4 with the header of an HDF5 chunk."""
_BLOCK = 8192

_MEMBERS = {
    "i1": "byteValue",
    "i2": "shortValue",
    "i4": "intValue",
    "i8": "longValue",
    "u1": "ubyteValue",
    "u2": "ushortValue",
    "u4": "uintValue",
    "u8": "ulongValue",
    "f4": "floatValue",
    "f8": "doubleValue",
}


def ntndarray(
    frame: npt.NDArray[Any],
    *,
    unique_id: int,
    timestamp_ns: int = 0,
    codec: Codec = "none",
    attributes: Mapping[str, Any] | None = None,
    packed: npt.NDArray[np.uint8] | None = None,
) -> Any:
    """Return `frame`, any shape, as a p4p Value that a channel can be set to.

    `packed` is what `pack` gives for it, if that is known already.
    """
    from p4p import Value  # noqa: PLC0415 - only where EPICS is played

    if packed is None:
        packed = pack(frame, codec)
    seconds, nanoseconds = divmod(timestamp_ns, 1_000_000_000)
    stamp = {"secondsPastEpoch": seconds, "nanoseconds": nanoseconds}
    member, payload = "ubyteValue", packed
    if payload is None:
        member, payload = member_of(frame.dtype), frame.reshape(-1)
    said: dict[str, Any] = {
        "value": (member, payload),
        "codec": {} if codec == "none" else _codec(codec, frame.dtype),
        "compressedSize": payload.nbytes,
        "uncompressedSize": frame.nbytes,
        "uniqueId": unique_id,
        "dataTimeStamp": stamp,
        "timeStamp": stamp,
        "dimension": [
            {"size": n, "fullSize": n, "binning": 1} for n in frame.shape[::-1]
        ],
        "attribute": [
            {"name": name, "value": value}
            for name, value in {"ColorMode": 0, **(attributes or {})}.items()
        ],
    }
    return Value(array_type(), said)


def _codec(codec: Codec, dtype: np.dtype[Any]) -> dict[str, Any]:
    # The first type of one byte is boolean.
    code = max(k for k, kind in enumerate(TYPES) if kind == dtype)
    return {"name": codec.removesuffix("-chunk"), "parameters": code}


def member_of(dtype: np.dtype[Any]) -> str:
    """Return the name of the union's array of this type."""
    return _MEMBERS[dtype.str[1:]]


def array_type() -> Any:
    """Return the type of an NTNDArray, as p4p has it."""
    from p4p.nt import NTNDArray  # noqa: PLC0415 - as above

    return NTNDArray.buildType()


def empty() -> Any:
    """Return what a channel holds before its first frame."""
    from p4p import Value  # noqa: PLC0415 - as above

    return Value(array_type(), {})


def pack(frame: npt.NDArray[Any], codec: Codec) -> npt.NDArray[np.uint8] | None:
    """Return the bytes of `frame` packed; None for ``none``.

    Raises
    ------
    MissingExtraError
        If imagecodecs is not installed and needed.
    """
    if codec == "none":
        return None
    raw = frame.tobytes()
    if codec == "zlib":
        return np.frombuffer(zlib.compress(raw, 1), np.uint8)
    try:
        import imagecodecs as codecs  # noqa: PLC0415 - only for these
    except ImportError as error:
        raise MissingExtraError(f"codec {codec}", "imagecodecs", "epics") from error
    item = frame.dtype.itemsize
    match codec:
        case "jpeg":
            packed = codecs.jpeg8_encode(frame.view(np.uint8), level=95)
        case "blosc":
            packed = codecs.blosc_encode(
                raw, compressor="lz4", shuffle="bitshuffle", typesize=item
            )
        case "lz4":
            packed = codecs.lz4_encode(raw, header=False)
        case "lz4hdf5":
            packed = codecs.lz4h5_encode(raw)
        case _:
            packed = _bslz4(codecs, raw, item)
            if codec == "bslz4-chunk":
                packed = struct.pack(">QI", frame.nbytes, _BLOCK) + packed
    return np.frombuffer(packed, np.uint8)


def _bslz4(codecs: Any, raw: bytes, item: int) -> bytes:
    """Return blocks of shuffled bits, each packed; then the last few pixels plain."""
    whole = len(raw) // (8 * item) * (8 * item)
    out = []
    for at in range(0, whole, _BLOCK):
        block = raw[at : min(at + _BLOCK, whole)]
        shuffled = codecs.bitshuffle_encode(
            block, itemsize=item, blocksize=len(block) // item
        )
        packed = codecs.lz4_encode(bytes(shuffled), header=False)
        out += [struct.pack(">I", len(packed)), packed]
    return b"".join([*out, raw[whole:]])

"""Names of pixel types and encodings, and the times of both streams."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from scopeside.errors import ProtocolError
from scopeside_adapters.dectris.images import BSLZ4, LZ4_BARE, LZ4_FRAMED, RAW

V2_CODECS = {"bslz4": BSLZ4, "lz4": LZ4_FRAMED}
ITEMS = {"uint8": 1, "uint16": 2, "uint32": 4}
_V1 = re.compile(r"(?:bs(8|16|32))?-?(lz4)?([<>])")
_MOST_SECONDS = 4_000_000_000


def v1_encoding(text: Any, number: int) -> tuple[int, int, bool]:
    """Read an encoding of stream V1: ``[bs<BITS>][-][lz4]<endian>``.

    Returns
    -------
    codec, bytes of a shuffled element (0: none), whether pixels are big endian

    Raises
    ------
    ProtocolError
        If it is none that can be decoded.
    """
    found = _V1.fullmatch(text) if isinstance(text, str) else None
    if found is None or (found[1] and not found[2]):
        raise ProtocolError(
            f"image {number} has the encoding {text!r:.40}, which cannot be decoded; "
            "set the detector's compression to bslz4 or lz4",
            cause="unknown_codec",
        )
    swapped = found[3] == ">"
    if found[1]:
        return BSLZ4, int(found[1]) // 8, swapped
    return (LZ4_BARE if found[2] else RAW), 0, swapped


def v2_codec(name: Any, number: int) -> int:
    """Return the codec of that name in stream V2.

    Raises
    ------
    ProtocolError
        If it is none that can be decoded.
    """
    if not isinstance(name, str) or name not in V2_CODECS:
        raise ProtocolError(
            f"image {number} is compressed with {name!r:.40}, which cannot be decoded; "
            "set the detector's compression to bslz4 or lz4",
            cause="unknown_codec",
        )
    return V2_CODECS[name]


def dtype_named(name: Any) -> np.dtype[Any] | None:
    """Return the dtype of pixels by its name; None if it is not one of a detector."""
    if not isinstance(name, str) or name not in ITEMS:
        return None
    return np.dtype(name).newbyteorder("<")


def dtype_of(item: int) -> np.dtype[Any]:
    """Return the dtype of pixels of so many bytes (negative: big endian)."""
    return np.dtype(f"<u{abs(item)}")


def seconds_as_ns(value: Any) -> int:
    """Return a time (a Rational, or a number of seconds) in ns; -1 if it is none."""
    try:
        if isinstance(value, list | tuple):
            ticks, rate = value
            value = int(ticks) * 10**9 // int(rate)
        else:
            value = int(float(value) * 1e9)
    except (TypeError, ValueError, ArithmeticError):
        return -1
    return value if 0 <= value < _MOST_SECONDS * 10**9 else -1

"""A result as the bytes that a tab paints, encoded once for all tabs.

4 bytes little-endian: length of the header; the header, JSON in UTF-8, padded with
spaces so that the pixels begin at a multiple of 8; the pixels, row by row, plane by
plane. Whole numbers that span less than 2^16 travel exactly, as ``u1`` or ``u2`` above
`offset`; all others as ``f4``. What stands on no frame is NaN, and makes it ``f4``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.dashboard.shelf import Shown

Pixels = npt.NDArray[Any]


def is_picture(shown: Shown) -> bool:
    """Whether a result can be painted as an image."""
    result = shown.result
    return (
        result.kind == "image"
        and isinstance(result.data, np.ndarray)
        and result.data.ndim >= 2
    )


def encoded(shown: Shown, beside: Mapping[str, Any]) -> bytes:
    """Return a result as a message; `beside` goes into its header."""
    result, meta = shown.result, shown.result.meta
    pixels, offset = narrowed(np.atleast_2d(np.asarray(result.data)), result.mask)
    header = {
        "key": shown.key,
        "number": shown.number,
        "kind": result.kind,
        "shape": list(pixels.shape),
        "dtype": pixels.dtype.str[1:],
        "offset": offset,
        "units": result.units,
        "axes": list(result.axes),
        "first": result.first,
        "frame": result.frame,
        "used": result.used,
        "expected": result.expected,
        "valid": result.valid,
        "reason": result.reason,
        "acq": meta.get("acq"),
        "chain": meta.get("chain"),
        "processor": meta.get("processor"),
        "name": result.name,
        "params": meta.get("params"),
        "params_from": meta.get("params_from"),
        "final": bool(meta.get("final")),
        "t_frame_ms": meta.get("t_frame_ns", 0) / 1e6,
        "t_published_ms": meta.get("t_published_ns", 0) / 1e6,
        **beside,
    }
    return packed(header, pixels)


def packed(header: Mapping[str, Any], pixels: Pixels) -> bytes:
    """Return header and pixels as one message."""
    text = json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-(4 + len(text)) % 8)
    little = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
    return b"".join((len(text).to_bytes(4, "little"), text, little.tobytes()))


def addressed(ident: str, message: bytes) -> bytes:
    """Return a message for the image `ident` of a tab: 1 byte, the name, padding."""
    name = ident.encode()
    head = bytes([len(name)]) + name
    return head + b"\0" * (-len(head) % 8) + message


def narrowed(data: Pixels, mask: npt.NDArray[np.bool_] | None) -> tuple[Pixels, int]:
    """Return the values in few bytes, and what is to be added to them."""
    whole = data.dtype.kind in "iub" and (mask is None or bool(mask.all()))
    if whole and data.size:
        low, high = int(data.min()), int(data.max())
        if high - low < 1 << 16:
            small = np.uint8 if high - low < 1 << 8 else np.uint16
            return (data - low).astype(small), low
    values = data.astype(np.float32)
    if mask is not None:
        values[~mask] = np.nan
    return values, 0

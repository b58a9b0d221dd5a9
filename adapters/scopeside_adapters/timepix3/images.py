"""Frame mode: integrated images, as Serval's image channels send them over TCP.

Two formats, told apart by their first byte; one image follows another::

    jsonimage   {"width":512,"height":512,"pixelFormat":"uint16","frameNumber":0,
                 "timeAtFrame":0.1,"thresholdID":0,…} newline, pixels
    pgm         P5 width height maxval, each followed by white space (the last by one
                byte), pixels: of 8 bits up to a maxval of 255, else of 16

Pixels are unsigned, big endian, row by row. Serval manual, on image channels; Netpbm's
page on pgm. Timepix3 and Medipix3 detectors behind Serval send the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scopeside.errors import ProtocolError
from scopeside.strangers import from_json

LONGEST_JSON = 1 << 16
LONGEST_PGM = 1 << 10
_DTYPES = {"uint8": "<u1", "uint16": "<u2", "uint32": "<u4"}
_LARGEST_SIDE = 1 << 16
_MOST = 1 << 53
_KEPT = ("integrationSize", "integrationMode", "thresholdID")
_SPACE = rb"(?:\s|#[^\n]*\n)+"
_PGM = re.compile(
    rb"P5" + _SPACE + rb"(\d{1,9})" + _SPACE + rb"(\d{1,9})" + _SPACE + rb"(\d{1,9})\s"
)


@dataclass(frozen=True, slots=True)
class ImageFollows:
    """After `header_bytes`, `size` bytes with the pixels of an image follow.

    Attributes
    ----------
    number, time_s, threshold
        frameNumber, timeAtFrame and thresholdID; None where they are not said.
    """

    shape: tuple[int, int]
    dtype: np.dtype[np.unsignedinteger]
    header_bytes: int
    number: int | None = None
    time_s: float | None = None
    threshold: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of the pixels."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize


def read_header(
    data: bytes | bytearray, begin: int, end: int, largest: int
) -> ImageFollows | None:
    """Return what the header at the front of ``data[begin:end]`` says.

    Parameters
    ----------
    largest
        Bytes that the pixels of an image may have.

    Returns
    -------
    None if the header has not come as a whole; it has at most `LONGEST_JSON` bytes.

    Raises
    ------
    ProtocolError
        If it cannot be one, or announces an image that is too large.
    """
    if begin == end:
        return None
    first = data[begin : begin + 1]
    if first == b"{":
        found = _json_header(data, begin, end)
    elif first == b"P":
        found = _pgm_header(data, begin, end)
    else:
        raise _refused(
            f"it sends {bytes(data[begin : min(end, begin + 8)])!r} where an image "
            "begins with '{' (jsonimage) or 'P5' (pgm)",
            "wrong_magic",
        )
    if found is not None and found.size > largest:
        raise _refused(
            f"an image has {found.size >> 20} MiB; max_message_mib allows "
            f"{largest >> 20}",
            "oversized",
        )
    return found


def _json_header(data: bytes | bytearray, begin: int, end: int) -> ImageFollows | None:
    stop = data.find(b"\n", begin, min(end, begin + LONGEST_JSON))
    if stop < 0:
        if end - begin >= LONGEST_JSON:
            raise _refused(
                f"the header of an image does not end in {LONGEST_JSON} bytes",
                "oversized",
            )
        return None
    try:
        said = from_json(data[begin:stop])
    except ValueError as error:
        raise _refused(
            f"the header of an image is no JSON: {error}", "wrong_header"
        ) from error
    if "binSize" in said:
        raise _refused("it sends histograms; set the format jsonimage", "wrong_format")
    pixels = said.get("pixelFormat")
    if not isinstance(pixels, str) or pixels.lower() not in _DTYPES:
        raise _refused(
            f"an image has pixelFormat {pixels!r:.40}; uint8, uint16 and uint32 can be "
            "read",
            "wrong_dtype",
        )
    return ImageFollows(
        _shape(said.get("width"), said.get("height")),
        np.dtype(_DTYPES[pixels.lower()]),
        stop + 1 - begin,
        _whole(said, "frameNumber"),
        _seconds(said),
        _whole(said, "thresholdID"),
        _kept(said),
    )


def _pgm_header(data: bytes | bytearray, begin: int, end: int) -> ImageFollows | None:
    head = bytes(data[begin : min(end, begin + LONGEST_PGM)])
    found = _PGM.match(head)
    if found is None:
        if not b"P5".startswith(head[:2]):
            raise _refused(f"it begins with {head[:2]!r}, not with P5", "wrong_format")
        if len(head) == LONGEST_PGM:
            raise _refused(
                f"no pgm header of P5, width, height, maxval in {LONGEST_PGM} bytes",
                "wrong_header",
            )
        return None
    width, height, most = (int(number) for number in found.groups())
    if not 0 < most <= 0xFFFF:
        raise _refused(f"a pgm has maxval {most}; it is 1 to 65535", "wrong_dtype")
    dtype = np.dtype("<u1" if most <= 0xFF else "<u2")
    return ImageFollows(_shape(width, height), dtype, found.end())


def _shape(width: Any, height: Any) -> tuple[int, int]:
    if not all(type(n) is int and 0 < n <= _LARGEST_SIDE for n in (width, height)):
        raise _refused(
            f"width {width!r:.40} and height {height!r:.40} are those of no image",
            "wrong_header",
        )
    return height, width


def _whole(said: dict[str, Any], key: str) -> int | None:
    found = said.get(key)
    if found is None or (type(found) is int and 0 <= found < _MOST):
        return found
    raise _refused(f"{key} is a whole number, not {found!r:.40}", "wrong_header")


def _seconds(said: dict[str, Any]) -> float | None:
    found = said.get("timeAtFrame")
    if not isinstance(found, int | float) or not abs(found) < _MOST:  # NaN is not
        return None
    return float(found)


def _kept(said: dict[str, Any]) -> dict[str, int | str]:
    """Return what a person may want to know later."""
    found = {key: said.get(key) for key in _KEPT}
    texts = {k: v[:200] for k, v in found.items() if isinstance(v, str)}
    return texts | {k: v for k, v in found.items() if type(v) is int and v < _MOST}


def _refused(message: str, cause: str) -> ProtocolError:
    return ProtocolError(message, cause=cause)

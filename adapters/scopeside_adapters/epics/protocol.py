"""What one NTNDArray says: plain values in, a checked frame out. No I/O.

The structure ``epics:nt/NTNDArray:1.0`` (EPICS Normative Types) as areaDetector fills
it::

    value               union of typed arrays, flat; compressed: bytes
    codec.name          "" jpeg zlib blosc lz4 lz4hdf5 bslz4
    codec.parameters    type of the pixels where they are compressed, see `TYPES`
    compressedSize      bytes in value          uncompressedSize   bytes of pixels
    dimension[].size    the fastest first: width, height
    uniqueId            int32, the driver's count of frames
    dataTimeStamp       seconds since 1970, nanoseconds; 0: nobody has set it
    timeStamp           the same, of the update
    attribute[]         name, value; ColorMode 0 is mono
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.errors import ProtocolError

TYPE_ID = "epics:nt/NTNDArray:1."
TYPES = tuple(
    np.dtype(name)
    for name in (
        *("u1", "i1", "<i2", "<i4", "<i8"),  # a boolean takes a byte
        *("u1", "<u2", "<u4", "<u8", "<f4", "<f8"),
    )
)
"""pvData's scalar types in the order of their codes."""
CODECS = ("jpeg", "zlib", "blosc", "lz4", "lz4hdf5", "bslz4")
COLOUR_MODES = ("Mono", "Bayer", "RGB1", "RGB2", "RGB3", "YUV444", "YUV422", "YUV411")
LARGEST_FRAME = 1 << 31
"""Bytes; a frame of more cannot be: `uniqueId` and sizes are made for less."""
_LATEST_S = 1 << 33
"""Seconds since 1970; a time stamp beyond is none."""
_MOST_ATTRIBUTES = 256
_LONGEST_TEXT = 256

Stamp = tuple[int, int]
Plain = int | float | str | bool


@dataclass(frozen=True, slots=True)
class ArrayFields:
    """The fields of an NTNDArray as plain values; what is absent has its default.

    Attributes
    ----------
    value
        The selected array of the union, None: none is selected.
    dimension
        Sizes, the fastest first.
    stamps
        (seconds, nanoseconds) of ``dataTimeStamp`` and ``timeStamp``.
    attributes
        By name, as they came.
    """

    value: npt.NDArray[Any] | None
    dimension: tuple[int, ...] = ()
    unique_id: int = 0
    codec: str = ""
    parameters: Any = None
    compressed_size: int = 0
    uncompressed_size: int = 0
    stamps: tuple[Stamp, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Frame:
    """One image, still as it was sent.

    Attributes
    ----------
    shape
        (height, width), pixels.
    dtype
        Of a pixel, little endian.
    payload
        (bytes,) uint8, a view of what was received; packed as `codec` says.
    codec
        Empty for plain pixels, else one of `CODECS`.
    timestamp_ns
        Since 1970 UTC by the IOC's clock; None where it did not say.
    attributes
        Plain values by name.
    """

    unique_id: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    payload: npt.NDArray[np.uint8]
    codec: str = ""
    timestamp_ns: int | None = None
    attributes: Mapping[str, Plain] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of the pixels when they are unpacked."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize


def frame_of(fields: ArrayFields) -> Frame | None:
    """Return the frame that `fields` describe; None for a channel not yet filled.

    Raises
    ------
    ProtocolError
        If they contradict each other, or it is no image that we take.
    """
    if fields.value is None or not (fields.dimension or len(fields.value)):
        return None  # an IOC serves this until its first frame
    _refuse_colour(fields)
    shape = _shape(fields.dimension)
    codec = fields.codec.strip().lower()
    if codec in ("", "none"):
        codec = ""
    elif codec not in CODECS:
        raise ProtocolError(
            f"codec {fields.codec!r:.40} is not known; set Codec1:Compressor of the "
            f"IOC to None or one of {', '.join(CODECS)}",
            cause="unsupported_codec",
        )
    dtype = _packed_dtype(fields, codec) if codec else _plain_dtype(fields.value)
    size = shape[0] * shape[1] * dtype.itemsize
    _check_size(fields, shape, dtype, size)
    raw = fields.value.reshape(-1).view(np.uint8)
    payload = _packed(fields, raw) if codec else _whole(raw, size)
    return Frame(
        fields.unique_id,
        shape,
        dtype,
        payload,
        codec,
        timestamp_of(fields.stamps),
        plain_attributes(fields.attributes),
    )


def timestamp_of(stamps: tuple[Stamp, ...]) -> int | None:
    """Return the first that was set, ns since 1970; None if none was."""
    for seconds, nanoseconds in stamps:
        if 0 < seconds < _LATEST_S and 0 <= nanoseconds < 1_000_000_000:
            return seconds * 1_000_000_000 + nanoseconds
    return None


def plain_attributes(attributes: Mapping[str, Any]) -> dict[str, Plain]:
    """Return those that are finite numbers or texts; the first 256, cut short."""
    found: dict[str, Plain] = {}
    for name, value in attributes.items():
        if len(found) == _MOST_ATTRIBUTES:
            break
        if isinstance(value, float) and not math.isfinite(value):
            continue
        if isinstance(value, str):
            found[name[:_LONGEST_TEXT]] = value[:_LONGEST_TEXT]
        elif isinstance(value, bool | int | float):
            found[name[:_LONGEST_TEXT]] = value
    return found


def _refuse_colour(fields: ArrayFields) -> None:
    mode = fields.attributes.get("ColorMode", 0)
    if mode == 0:
        return
    known = isinstance(mode, int) and 0 < mode < len(COLOUR_MODES)
    name = COLOUR_MODES[mode] if known else repr(mode)[:40]
    raise ProtocolError(
        f"the frames are in colour ({name}); set ColorMode of the driver to Mono",
        cause="colour",
    )


def _shape(dimension: tuple[int, ...]) -> tuple[int, int]:
    """Return (height, width); a line detector has height 1."""
    if min(dimension, default=0) < 1:
        raise ProtocolError(
            f"an image of {_times(dimension) or 'no'} pixels is none",
            cause="wrong_shape",
        )
    sizes = [size for size in dimension if size > 1] or [1]
    if len(dimension) <= 2:
        sizes = list(dimension)
    if len(sizes) > 2:
        raise ProtocolError(
            f"an array of {_times(dimension)} is no single image; send frames one by "
            "one, in Mono",
            cause="wrong_shape",
        )
    width, height = sizes if len(sizes) == 2 else (sizes[0], 1)
    return height, width


def _plain_dtype(value: npt.NDArray[Any]) -> np.dtype[Any]:
    if value.dtype.kind == "b":
        return np.dtype(np.uint8)
    if value.dtype.kind not in "uif":
        raise ProtocolError(
            f"pixels of type {value.dtype} are no numbers", cause="wrong_dtype"
        )
    return value.dtype.newbyteorder("<")


def _packed_dtype(fields: ArrayFields, codec: str) -> np.dtype[Any]:
    code = fields.parameters
    if codec == "jpeg" and code is None:
        return np.dtype(np.uint8)
    if type(code) is not int or not 0 <= code < len(TYPES):
        raise ProtocolError(
            f"codec.parameters of {codec} names the type of the pixels, 0 to "
            f"{len(TYPES) - 1}, not {code!r:.40}",
            cause="wrong_dtype",
        )
    if codec == "jpeg" and TYPES[code].itemsize != 1:
        raise ProtocolError(
            f"JPEG holds 8 bits a pixel, not {TYPES[code]}", cause="wrong_dtype"
        )
    return TYPES[code]


def _check_size(
    fields: ArrayFields, shape: tuple[int, int], dtype: np.dtype[Any], size: int
) -> None:
    if size > LARGEST_FRAME:
        raise ProtocolError(
            f"a frame of {shape[0]}×{shape[1]} {dtype} would take {size} bytes",
            cause="oversized",
        )
    if fields.uncompressed_size not in (0, size):
        raise ProtocolError(
            f"{shape[0]}×{shape[1]} pixels of {dtype} are {size} bytes, and "
            f"uncompressedSize is {fields.uncompressed_size}",
            cause="wrong_size",
        )


def _whole(raw: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    if len(raw) < size:
        raise ProtocolError(
            f"the frame has {len(raw)} of {size} bytes", cause="truncated"
        )
    return raw[:size]


def _packed(fields: ArrayFields, raw: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Cut off what follows the compressed bytes; 0 means all of them."""
    size = fields.compressed_size or len(raw)
    if not 0 < size <= len(raw):
        raise ProtocolError(
            f"the frame has {len(raw)} bytes, and compressedSize is {size}",
            cause="truncated",
        )
    return raw[:size]


def _times(dimension: tuple[int, ...]) -> str:
    return "×".join(map(str, dimension[:8]))

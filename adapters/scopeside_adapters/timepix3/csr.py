"""ASI's sparse stream: frames that the acquisition software has made of events.

Messages begin with a header of 32 bytes, little endian, packed; the first is a tag::

    0 AcquisitionStart  u8 version | u8 format (0, 1: CSR) | u16 rows | u16 columns
                        | u8 indptr dtype | u16 height | u16 width | u8 index dtype
                        | u32 sequence
    1 ScanStart         u32 sequence | u64 bytes of JSON that follow
    2 ArrayChunk        u8 value dtype | u32 frames | u32 events
                        | u32 offset of the indices | u32 offset of the values
    3 ScanEnd           u32 sequence
    4 AcquisitionEnd    u32 sequence

An ArrayChunk is followed by `frames` + 1 bounds into the events, at its first byte;
by the flat pixel of each event, and by what it counts, at their offsets. Dtypes are 2
u8, 3 u16, 4 u32, 5 u64; 0 and 1 (1 and 4 bits) are reserved.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from scopeside.errors import ProtocolError
from scopeside_adapters.timepix3.tables import Array

HEADER = 32
VERSION = 7
_START = struct.Struct("<BBHHBHHBI")
_SCAN = struct.Struct("<IQ")
_CHUNK = struct.Struct("<BIIII")
_END = struct.Struct("<I")
_DTYPES = {2: "<u1", 3: "<u2", 4: "<u4", 5: "<u8"}
_RESERVED = {0: "1 bit", 1: "4 bits"}
_FORMATS = (0, 1)
_LARGEST_JSON = 1 << 20
_MOST_PIXELS = 1 << 24


@dataclass(frozen=True, slots=True)
class AcquisitionStarted:
    """An acquisition of one or more scans begins."""

    scan_shape: tuple[int, int]
    frame_shape: tuple[int, int]
    bounds_dtype: np.dtype[np.unsignedinteger]
    index_dtype: np.dtype[np.unsignedinteger]
    sequence: int


@dataclass(frozen=True, slots=True)
class ScanStarted:
    """A scan begins; `metadata_bytes` of JSON follow."""

    sequence: int
    metadata_bytes: int


@dataclass(frozen=True, slots=True)
class ChunkFollows:
    """`size` bytes with the events of `frames` frames follow."""

    frames: int
    events: int
    value_dtype: np.dtype[np.unsignedinteger]
    indices_at: int
    values_at: int
    size: int


@dataclass(frozen=True, slots=True)
class ScanEnded:
    """All frames of the scan have come."""

    sequence: int


@dataclass(frozen=True, slots=True)
class AcquisitionEnded:
    """The acquisition is over."""

    sequence: int


Event = AcquisitionStarted | ScanStarted | ChunkFollows | ScanEnded | AcquisitionEnded


class CsrParser:
    """Reads headers, in the order in which they may come, and what follows them.

    Parameters
    ----------
    largest
        Bytes that may follow a header; more is refused before it is stored.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._about: AcquisitionStarted | None = None
        self._in_scan = False
        self._frames = 0

    def header(self, raw: bytes) -> Event:
        """Return what a header of 32 bytes says.

        Raises
        ------
        ProtocolError
            If it cannot be one, or not here; the parser is of no use after that.
        """
        tag, rest = raw[0], raw[1:]
        if tag == 0:
            return self._acquisition(rest)
        if self._about is None:
            raise _refused(
                f"it begins with {bytes(raw[:8])!r}, not with an AcquisitionStart",
                "wrong_magic",
            )
        if tag == 1:
            return self._scan(*_SCAN.unpack_from(rest))
        if tag == 2:
            return self._chunk(*_CHUNK.unpack_from(rest))
        if tag == 3:
            return self._scan_end(*_END.unpack_from(rest))
        if tag == 4:
            self._about, self._in_scan = None, False
            return AcquisitionEnded(*_END.unpack_from(rest))
        raise _refused(f"a message has tag {tag}; 0 to 4 are known", "wrong_kind")

    def events(self, chunk: ChunkFollows, body: memoryview) -> tuple[Array, Array, int]:
        """Return (words, bounds, cut) of a chunk: its frames are the places.

        `cut` is what values above 65535 lost.

        Raises
        ------
        ProtocolError
            If bounds or pixels are not those of the frames announced.
        """
        from scopeside_adapters.timepix3.csr_kernels import pack  # noqa: PLC0415

        about = self._about
        assert about is not None  # a chunk was announced
        pixels = about.frame_shape[0] * about.frame_shape[1]
        bounds = np.frombuffer(body, about.bounds_dtype, chunk.frames + 1).astype(
            np.int64
        )
        index = np.frombuffer(body, about.index_dtype, chunk.events, chunk.indices_at)
        value = np.frombuffer(body, chunk.value_dtype, chunk.events, chunk.values_at)
        # Compared, not subtracted: a difference of two bounds of 64 bits wraps around.
        rising = bool((bounds[:-1] <= bounds[1:]).all())
        if bounds[0] != 0 or bounds[-1] != chunk.events or not rising:
            raise _refused(
                f"the bounds of a chunk of {chunk.events} events go from {bounds[0]} "
                f"to {bounds[-1]}, or back",
                "wrong_bounds",
            )
        words = np.empty(chunk.events, np.int64)
        cut = int(pack(index, value, bounds, pixels, words))
        if cut < 0:
            raise _refused(
                f"an event lies outside of frames of {about.frame_shape}",
                "wrong_pixel",
            )
        return words, bounds, cut

    # ---------------------------------------------------------------------------

    def _acquisition(self, rest: bytes) -> AcquisitionStarted:
        version, form, rows, columns, bounds, height, width, index, sequence = (
            _START.unpack_from(rest)
        )
        if self._about is not None:
            raise _refused("an acquisition began before the end of one", "wrong_order")
        if version != VERSION:
            raise _refused(
                f"it speaks version {version} of the sparse stream; this is for "
                f"version {VERSION}",
                "wrong_version",
            )
        if form not in _FORMATS:
            raise _refused(
                f"it sends format {form}; 0 and 1 (CSR) can be read", "wrong_format"
            )
        if not (rows and columns and height and width):
            raise _refused(
                f"a scan of {rows}×{columns} of frames of {height}×{width} is none",
                "wrong_header",
            )
        if height * width > _MOST_PIXELS:
            raise _refused(f"frames of {height}×{width} are too large", "oversized")
        self._about = AcquisitionStarted(
            (rows, columns),
            (height, width),
            _dtype(bounds, "bounds"),
            _dtype(index, "pixels"),
            sequence,
        )
        return self._about

    def _scan(self, sequence: int, size: int) -> ScanStarted:
        if self._in_scan:
            raise _refused("a scan began before the end of one", "wrong_order")
        if size > _LARGEST_JSON:
            raise _refused(f"{size} bytes of metadata are too many", "oversized")
        self._in_scan, self._frames = True, 0
        return ScanStarted(sequence, size)

    def _chunk(
        self, value: int, frames: int, events: int, indices_at: int, values_at: int
    ) -> ChunkFollows:
        about = self._about
        assert about is not None
        if not self._in_scan:
            raise _refused("frames came outside of a scan", "wrong_order")
        dtype = _dtype(value, "values")
        expected = about.scan_shape[0] * about.scan_shape[1]
        self._frames += frames
        if self._frames > expected:
            raise _refused(
                f"{self._frames} frames came for a scan of {expected}", "too_many"
            )
        ends = (frames + 1) * about.bounds_dtype.itemsize
        indices = indices_at + events * about.index_dtype.itemsize
        size = values_at + events * dtype.itemsize
        if indices_at < ends or values_at < indices:
            raise _refused(
                f"a chunk of {frames} frames and {events} events has its indices at "
                f"{indices_at} and its values at {values_at}, where others lie",
                "wrong_header",
            )
        if size > self._largest:
            raise _refused(
                f"a chunk has {size >> 20} MiB; max_message_mib allows "
                f"{self._largest >> 20}",
                "oversized",
            )
        return ChunkFollows(frames, events, dtype, indices_at, values_at, size)

    def _scan_end(self, sequence: int) -> ScanEnded:
        if not self._in_scan:
            raise _refused("the end of a scan came outside of one", "wrong_order")
        self._in_scan = False
        return ScanEnded(sequence)


def _dtype(code: int, what: str) -> np.dtype[np.unsignedinteger]:
    if code in _RESERVED:
        raise _refused(
            f"{what} of {_RESERVED[code]} (dtype {code}) are not supported; 8, 16, 32 "
            "and 64 bits are",
            "wrong_dtype",
        )
    if code not in _DTYPES:
        raise _refused(f"{what} have dtype {code}; 2 to 5 are known", "wrong_dtype")
    return np.dtype(_DTYPES[code])


def _refused(message: str, cause: str) -> ProtocolError:
    return ProtocolError(message, cause=cause)

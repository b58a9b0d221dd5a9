"""Norpix StreamPix sequences (.seq), as Direct Electron and CMOS cameras write them.

Little endian. 0: u32 0xFEED; 4: name, UTF-16, 24 bytes; 28: i32 version (from 5 on
the header has 8192 bytes, else 1024); 548: u32 width, height, bit depth, real bit
depth, bytes of an image, image format (100: grey), allocated frames, origin, distance
from one frame to the next; 584: f64 suggested frame rate; 620: u32 compression.
Each frame: pixels, then i32 seconds since 1970, u16 milliseconds, u16 microseconds
(older versions end with the milliseconds), then padding.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scopeside.errors import SourceError
from scopeside_adapters.file.frames import Array, Frames, IntArray
from scopeside_adapters.file.strided import Strided, begin, open_strided, record_of

HEADER = 1024
_LONG_HEADER = 8192  # since version 5
_MAGIC = 0xFEED
_GREY = 100
_STAMP = 8  # bytes of a full time stamp


@dataclass(frozen=True, slots=True)
class _Said:
    """What the header says."""

    version: int
    width: int
    height: int
    depth: int
    real_depth: int
    image_bytes: int
    image_format: int
    stride: int
    rate: float
    compression: int


def open_seq(path: Path) -> Frames:
    """Map the frames of a sequence."""
    return open_strided(path, seq_layout(begin(path, HEADER)))


def seq_layout(header: bytes) -> Strided:
    """Return how a sequence with this header is laid out.

    Raises
    ------
    SourceError
        If it is no sequence, compressed, in colour, or contradicts itself.
    """
    said = _parse(header)
    if said.compression:
        raise SourceError(
            f"it is compressed (format {said.compression}); record it uncompressed, "
            "or export it as TIFF"
        )
    if said.image_format != _GREY or said.depth not in (8, 16):
        raise SourceError(
            f"its images have format {said.image_format} and {said.depth} bits; "
            f"only grey ones (format {_GREY}) of 8 or 16 bits can be read"
        )
    pixel_bytes = said.width * said.height * said.depth // 8
    if not pixel_bytes or said.stride < pixel_bytes or said.image_bytes < pixel_bytes:
        raise SourceError(
            f"its header contradicts itself: {said.height} × {said.width} pixels of "
            f"{said.depth} bits, {said.image_bytes} bytes an image, one every "
            f"{said.stride} bytes"
        )
    return Strided(
        format="Norpix SEQ",
        offset=HEADER if said.version < 5 else _LONG_HEADER,
        record=_record(said),
        stamps=_stamps if said.stride >= said.image_bytes + _STAMP else None,
        calibration={"frame_time_s": 1 / said.rate} if 1e-9 < said.rate < 1e9 else {},
        metadata={"bits": said.real_depth},
    )


def _parse(header: bytes) -> _Said:
    if len(header) < HEADER:
        raise SourceError(f"its header has {len(header)} of {HEADER} bytes")
    (magic,) = struct.unpack_from("<I", header)
    if magic != _MAGIC:
        raise SourceError(f"it begins with {header[:4]!r}, expected {_MAGIC:#x}")
    width, height, depth, real, image, kind, _, _, stride = struct.unpack_from(
        "<9I", header, 548
    )
    return _Said(
        version=struct.unpack_from("<i", header, 28)[0],
        width=width,
        height=height,
        depth=depth,
        real_depth=real,
        image_bytes=image,
        image_format=kind,
        stride=stride,
        rate=struct.unpack_from("<d", header, 584)[0],
        compression=struct.unpack_from("<I", header, 620)[0],
    )


def _record(said: _Said) -> np.dtype[Any]:
    shape, end = (said.height, said.width), said.image_bytes
    stamp: dict[str, tuple[str, int]] = {}
    if said.stride >= end + _STAMP:
        stamp = {
            "seconds": ("<i4", end),
            "milliseconds": ("<u2", end + 4),
            "microseconds": ("<u2", end + 6),
        }
    return record_of(f"<u{said.depth // 8}", shape, size=said.stride, also=stamp)


def _stamps(records: Array) -> IntArray:
    seconds = records["seconds"].astype(np.int64)
    micro = records["milliseconds"].astype(np.int64) * 1000 + records["microseconds"]
    stamps: IntArray = (seconds * 1_000_000 + micro) * 1000
    return stamps

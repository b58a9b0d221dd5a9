"""TVIPS sequences (.tvips), all parts (_000, _001 …) of them, mapped into memory.

uint32 words: header size, version, width, height, bits per pixel, offsets,
binning, pixel size, high tension, magnification, bytes of a frame's header.
Every frame: number, seconds since 1970, milliseconds, …, then its pixels. Only
part 000 has the main header.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np

from scopeside.errors import SourceError
from scopeside_adapters.file.frames import (
    Array,
    Facts,
    Frames,
    IntArray,
    map_records,
    pixel_dtype,
)


def open_tvips(path: Path) -> Frames:
    """Map the frames of all parts, in order."""
    with path.open("rb") as file:
        raw = file.read(52)
    if len(raw) < 52:
        raise SourceError(f"its header has {len(raw)} of 52 bytes")
    size, version, width, height, bits = struct.unpack_from("<5I", raw)
    if version not in (1, 2) or bits not in (8, 16) or not width * height:
        raise SourceError(
            f"its header says version {version}, {height} × {width} pixels of "
            f"{bits} bits; expected version 1 or 2, and 8 or 16 bits"
        )
    head = 12 if version == 1 else struct.unpack_from("<I", raw, 48)[0]
    record = np.dtype(
        {
            "names": ["seconds", "milliseconds", "pixels"],
            "formats": ["<u4", "<u4", (f"<u{bits // 8}", (height, width))],
            "offsets": [4, 8, head],
            "itemsize": head + height * width * bits // 8,
        }
    )
    return TvipsFrames(path, size, record)


class TvipsFrames(Frames):
    """Frames that go on from one file to the next."""

    def __init__(self, path: Path, header: int, record: np.dtype[np.void]) -> None:
        parts = _parts(path)
        offsets = [header] + [0] * (len(parts) - 1)
        self._maps: list[Array] = []
        broken = ""
        for part, offset in zip(parts, offsets, strict=True):
            count, rest = divmod(part.stat().st_size - offset, record.itemsize)
            if count:
                self._maps.append(map_records(part, offset, record, count))
            if rest:
                broken = f"{part.name} ends in the middle of frame {self._count}"
                break
        if not self._maps:
            raise SourceError("it ends before its first frame is whole")
        pixels = record["pixels"]
        super().__init__(
            Facts(
                frame_shape=(pixels.shape[0], pixels.shape[1]),
                dtype=pixel_dtype(pixels.base),
                count=self._count,
                expected=None if broken else self._count,
                missing=broken,
                metadata={"format": "TVIPS"},
            )
        )

    def read_into(self, first: int, out: Array) -> None:
        """Copy from as many parts as the frames lie in."""
        np.concatenate(
            [part["pixels"] for part in self._between(first, len(out))], out=out
        )

    def timestamps_ns(self, first: int, n: int) -> IntArray:
        """Return the camera's own stamps, which count milliseconds."""
        parts = self._between(first, n)
        seconds = np.concatenate([part["seconds"] for part in parts], dtype=np.int64)
        ms = np.concatenate([part["milliseconds"] for part in parts], dtype=np.int64)
        return (seconds * 1000 + ms) * 1_000_000

    def close(self) -> None:
        """Drop the maps."""
        self._maps = []

    @property
    def _count(self) -> int:
        return sum(len(part) for part in self._maps)

    def _between(self, first: int, n: int) -> list[Array]:
        found, start = [], 0
        for part in self._maps:
            a, b = max(first - start, 0), min(first + n - start, len(part))
            if a < b:
                found.append(part[a:b])
            start += len(part)
        return found


def _parts(path: Path) -> list[Path]:
    stem = re.fullmatch(r"(.*_)(\d{3})", path.stem)
    if stem is None:
        return [path]
    if stem[2] != "000":
        raise SourceError("it is a later part of a sequence; give the one with _000")
    parts = [path]
    while True:
        following = path.with_name(f"{stem[1]}{len(parts):03d}{path.suffix}")
        if not following.exists():
            return parts
        parts.append(following)

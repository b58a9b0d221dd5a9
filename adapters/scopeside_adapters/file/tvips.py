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
from scopeside_adapters.file.frames import Array, Frames, IntArray, map_records
from scopeside_adapters.file.strided import Strided, begin, record_of

HEADER = 52
_PART = re.compile(r"(.*_)(\d{3})")


def open_tvips(path: Path) -> Frames:
    """Map the frames of all parts, in order."""
    return TvipsFrames(path, tvips_layout(begin(path, HEADER)))


def tvips_layout(header: bytes) -> Strided:
    """Return how part 000 of a sequence with this header is laid out."""
    if len(header) < HEADER:
        raise SourceError(f"its header has {len(header)} of {HEADER} bytes")
    size, version, width, height, bits = struct.unpack_from("<5I", header)
    if version not in (1, 2) or bits not in (8, 16) or not width * height:
        raise SourceError(
            f"its header says version {version}, {height} × {width} pixels of "
            f"{bits} bits; expected version 1 or 2, and 8 or 16 bits"
        )
    head = 12 if version == 1 else struct.unpack_from("<I", header, 48)[0]
    if head < 12 or size < HEADER:
        raise SourceError(
            f"its header says that it has {size} bytes and that of a frame {head}; "
            f"expected {HEADER} and 12 or more"
        )
    record = record_of(
        f"<u{bits // 8}",
        (height, width),
        before=head,
        also={"seconds": ("<u4", 4), "milliseconds": ("<u4", 8)},
    )
    return Strided(format="TVIPS", offset=size, record=record, stamps=_stamps)


def following_part(path: Path, number: int) -> Path | None:
    """Return what part `number` of the sequence that begins at `path` is called."""
    stem = _PART.fullmatch(path.stem)
    if stem is None or stem[2] != "000":
        return None
    return path.with_name(f"{stem[1]}{number:03d}{path.suffix}")


def is_later_part(path: Path) -> bool:
    """Whether a file goes on with a sequence that another begins."""
    stem = _PART.fullmatch(path.stem)
    return stem is not None and stem[2] != "000"


class TvipsFrames(Frames):
    """Frames that go on from one file to the next."""

    def __init__(self, path: Path, layout: Strided) -> None:
        record = layout.record
        parts = _parts(path)
        offsets = [layout.offset] + [0] * (len(parts) - 1)
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
        count = self._count
        super().__init__(layout.facts(count, None if broken else count, broken))

    def read_into(self, first: int, out: Array) -> None:
        """Copy from as many parts as the frames lie in."""
        np.concatenate(
            [part["pixels"] for part in self._between(first, len(out))], out=out
        )

    def timestamps_ns(self, first: int, n: int) -> IntArray:
        """Return the camera's own stamps, which count milliseconds."""
        return np.concatenate([_stamps(part) for part in self._between(first, n)])

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


def _stamps(records: Array) -> IntArray:
    seconds = records["seconds"].astype(np.int64)
    stamps: IntArray = (seconds * 1000 + records["milliseconds"]) * 1_000_000
    return stamps


def _parts(path: Path) -> list[Path]:
    if is_later_part(path):
        raise SourceError("it is a later part of a sequence; give the one with _000")
    parts = [path]
    while following := following_part(path, len(parts)):
        if not following.exists():
            break
        parts.append(following)
    return parts

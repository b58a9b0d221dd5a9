"""Quantum Detectors Merlin files (.mib, with .hdr if there is one), mapped.

Frames as `scopeside_adapters.medipix` describes them, one behind the other. The rows
are delivered top first, as RosettaSciIO and HyperSpy show them; the file has the
bottom row first.
"""

from __future__ import annotations

import logging
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scopeside.errors import ProtocolError, SourceError
from scopeside_adapters.file.frames import (
    Array,
    ArrayFrames,
    Facts,
    Frames,
    IntArray,
    map_records,
    shortfall,
)
from scopeside_adapters.file.strided import Strided
from scopeside_adapters.medipix import (
    LONGEST_HEADER,
    AcquisitionHeader,
    FrameHeader,
    PixelFormat,
)
from scopeside_adapters.medipix_pixels import unpack

log = logging.getLogger(__name__)

_LOOK_AT = 10_000  # frames whose time stamps are looked at for the scan


@dataclass(frozen=True, slots=True)
class _Layout:
    """How frames lie in the file, and where the time stands in their header."""

    header: FrameHeader
    pixels: PixelFormat
    time_at: int

    @property
    def record(self) -> np.dtype[np.void]:
        """A frame on disk: its header's time stamp, and its pixels."""
        pixels = self.pixels
        stored = (
            np.dtype((np.uint8, pixels.stored_bytes))
            if pixels.depth
            else np.dtype((pixels.dtype.newbyteorder(">"), pixels.frame_shape))
        )
        return np.dtype(
            {
                "names": ["time", "pixels"],
                "formats": [f"S{len(self.header.time)}", stored],
                "offsets": [self.time_at, self.header.offset],
                "itemsize": self.header.offset + pixels.stored_bytes,
            }
        )


class RawFrames(Frames):
    """Frames of raw counters (R64), decoded as they are asked for."""

    def __init__(
        self, records: Array, layout: _Layout, facts: Facts, *, timed: bool
    ) -> None:
        super().__init__(facts)
        self._records = records
        self._layout = layout
        self._timed = timed

    def read_into(self, first: int, out: Array) -> None:
        """Decode, upright."""
        size, offset = self._layout.record.itemsize, self._layout.header.offset
        part = self._records[first : first + len(out)].view(np.uint8)
        starts = np.arange(len(out)) * size + offset
        unpack(part, starts, self._layout.pixels, out, flip=True)

    def timestamps_ns(self, first: int, n: int) -> IntArray | None:
        """Return the stamps of the detector, if there are any."""
        return _times_ns(self._records[first : first + n]) if self._timed else None

    def close(self) -> None:
        """Drop the map."""
        self._records = self._records[:0].copy()


class PartedFrames(Frames):
    """Frames of a series that was split over several files."""

    def __init__(self, parts: Sequence[Frames], facts: Facts) -> None:
        super().__init__(facts)
        self._parts = parts
        self._ends = np.cumsum([part.facts.count for part in parts]).tolist()

    def read_into(self, first: int, out: Array) -> None:
        """Read from one part after the other."""
        for part, at, rows in self._pieces(first, len(out)):
            part.read_into(at, out[rows])

    def timestamps_ns(self, first: int, n: int) -> IntArray | None:
        """Return the stamps of all parts, if all have them."""
        stamps = []
        for part, at, rows in self._pieces(first, n):
            found = part.timestamps_ns(at, rows.stop - rows.start)
            if found is None:
                return None
            stamps.append(found)
        return np.concatenate(stamps)

    def close(self) -> None:
        """Let go of all files."""
        for part in self._parts:
            part.close()

    def _pieces(self, first: int, n: int) -> Iterator[tuple[Frames, int, slice]]:
        """Yield parts that hold `n` frames from `first` on: which, from, to where."""
        done = 0
        while done < n:
            k = bisect_right(self._ends, first + done)
            begin = self._ends[k - 1] if k else 0
            until = min(n, self._ends[k] - first)
            yield self._parts[k], first + done - begin, slice(done, until)
            done = until


def open_mib(path: Path) -> Frames:
    """Map the frames; the scan as the .hdr or the time stamps tell it."""
    described = _read_hdr(path.with_suffix(".hdr"))
    layout = _read_layout(path, described.depth)
    size = layout.record.itemsize
    there = path.stat().st_size // size
    if there < described.frames and not path.stat().st_size % size:
        parts = [path, *_further_parts(path, layout, there)]
        if len(parts) > 1:
            return _open_parts(parts, layout, described)
    return _open_one(path, layout, described)


def _open_parts(
    paths: Sequence[Path], layout: _Layout, described: AcquisitionHeader
) -> Frames:
    parts = [_open_one(path, layout, AcquisitionHeader()) for path in paths]
    there = sum(part.facts.count for part in parts)
    expected = described.frames
    count = min(there, expected)
    facts = replace(
        parts[0].facts,
        count=count,
        expected=expected,
        missing=shortfall(paths[-1], count, expected),
        scan_shape=_scan(described, None, expected),
        metadata={**parts[0].facts.metadata, "parts": len(parts)},
    )
    return PartedFrames(parts, facts)


def _further_parts(path: Path, layout: _Layout, there: int) -> Iterator[Path]:
    """Yield the files that go on where `path` ends, by the numbers of their frames."""
    stem = path.stem.rstrip("0123456789")
    begins = {}
    for other in sorted(path.parent.glob("*.mib")):
        if other == path or other.stem.rstrip("0123456789") != stem:
            continue
        try:
            found = _read_layout(other, layout.header.depth)
        except SourceError as error:
            log.warning("%s is no part of the series: %s", other.name, error)
            continue
        if found.record == layout.record:
            begins[found.header.sequence] = other
    following = layout.header.sequence + there
    while (part := begins.pop(following, None)) is not None:
        yield part
        following += part.stat().st_size // layout.record.itemsize


def _open_one(path: Path, layout: _Layout, described: AcquisitionHeader) -> Frames:
    """Map the frames of one file."""
    size = layout.record.itemsize
    there = path.stat().st_size // size
    expected = described.frames or there
    count = min(there, expected)
    missing = shortfall(path, count, expected)
    if count == 0:
        raise SourceError("it ends before its first frame is whole")
    if not missing and path.stat().st_size % size and there == count:
        missing = f"{path.name} ends in the middle of frame {count}"
    records = map_records(path, 0, layout.record, count)
    time = layout.header.time
    timed = bool(time) and _are_times(records[:_LOOK_AT])
    facts = Facts(
        frame_shape=layout.pixels.frame_shape,
        dtype=layout.pixels.dtype,
        count=count,
        expected=expected,
        missing=missing,
        scan_shape=_scan(described, records[:_LOOK_AT] if timed else None, expected),
        metadata={"format": "Merlin MIB"} | ({"recorded": time} if timed else {}),
    )
    if layout.pixels.depth:
        return RawFrames(records, layout, facts, timed=timed)

    def stamps(first: int, n: int) -> IntArray:
        return _times_ns(records[first : first + n])

    return ArrayFrames(records["pixels"][:, ::-1], facts, stamps if timed else None)


def mib_layout(path: Path) -> Strided:
    """Return how a file that is being written is laid out, by its first header."""
    described = _read_hdr(path.with_suffix(".hdr"))
    layout = _read_layout(path, described.depth)
    if layout.pixels.depth:
        raise SourceError(
            "raw counters (R64) cannot be followed while the file grows; read it with "
            "kind = 'file' when it is whole, or take them live with kind = 'merlin'"
        )
    return Strided(
        format="Merlin MIB",
        offset=0,
        record=layout.record,
        declared=described.frames or None,
        bottom_up=True,
        stamps=_times_ns if layout.header.time else None,
    )


def _read_layout(path: Path, depth: int | None) -> _Layout:
    with path.open("rb") as file:
        text = file.read(LONGEST_HEADER)
    if not text.startswith(b"MQ1,"):
        raise SourceError(f"it begins with {text[:3]!r}, expected b'MQ1'")
    try:
        header = FrameHeader.parse(text)
        pixels = PixelFormat.of(header, depth)
    except ProtocolError as error:
        raise SourceError(str(error)) from error
    # The older local time does not name its zone, so it is no time stamp.
    at = text.find(b"MQ1A,", 0, header.offset) + 5 if header.time else 0
    return _Layout(header, pixels, at)


def _read_hdr(path: Path) -> AcquisitionHeader:
    if not path.exists():
        return AcquisitionHeader()
    return AcquisitionHeader.parse(path.read_bytes())


def _scan(
    described: AcquisitionHeader, timed: Array | None, expected: int
) -> tuple[int, int] | None:
    shape = described.scan_shape
    if shape is not None and shape[0] * shape[1] == expected:
        return shape
    columns = described.frames_per_trigger
    if columns <= 1 and timed is not None:
        columns = _columns_by_time(_times_ns(timed))
    if columns <= 1 or expected % columns or expected == columns:
        return None
    return expected // columns, columns


def _columns_by_time(times_ns: IntArray) -> int:
    """Return how many frames make a row, where every row begins after a pause.

    0 unless the pauses are regular and each longer than any other interval.
    """
    steps = np.diff(times_ns)
    if len(steps) < 2:
        return 0
    columns = int(np.argmax(steps > steps.mean())) + 1
    pauses = np.zeros(len(steps), bool)
    pauses[columns - 1 :: columns] = True
    if pauses.all() or steps[pauses].min() <= steps[~pauses].max():
        return 0
    return columns


def _are_times(records: Array) -> bool:
    try:
        _times_ns(records)
    except SourceError as error:
        log.warning("%s; frames are numbered, but not timed, by the file", error)
        return False
    return True


def _times_ns(records: Array) -> IntArray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of what is taken for a time zone
            return records["time"].astype("datetime64[ns]").astype(np.int64)
    except (ValueError, UserWarning, DeprecationWarning) as error:
        raise SourceError(f"a time stamp cannot be read: {error}") from error

"""Quantum Detectors Merlin files (.mib, with .hdr if there is one), mapped.

Every frame has a header of text fields with commas: ``MQ1``, number, header size,
chips, width, height, pixel type, …, time, …; then the pixels, big endian. The
rows are delivered bottom up as RosettaSciIO and HyperSpy show them.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scopeside.errors import SourceError
from scopeside_adapters.file.frames import (
    Array,
    ArrayFrames,
    Facts,
    Frames,
    IntArray,
    map_records,
    pixel_dtype,
    shortfall,
)
from scopeside_adapters.file.strided import Strided

log = logging.getLogger(__name__)

_TYPES = {"U08": ">u1", "U16": ">u2", "U32": ">u4", "U64": ">u8"}
_FRAMES = "Frames in Acquisition (Number)"
_PER_TRIGGER = "Frames per Trigger (Number)"
_LOOK_AT = 10_000  # frames whose time stamps are looked at for the scan


@dataclass(frozen=True, slots=True)
class _Header:
    size: int
    frame_shape: tuple[int, int]
    dtype: str
    time: str
    time_at: int

    @property
    def record(self) -> np.dtype[np.void]:
        """A frame on disk: its header's time stamp, and its pixels."""
        pixels = np.dtype((self.dtype, self.frame_shape))
        return np.dtype(
            {
                "names": ["time", "pixels"],
                "formats": [f"S{len(self.time)}", pixels],
                "offsets": [self.time_at, self.size],
                "itemsize": self.size + pixels.itemsize,
            }
        )


def open_mib(path: Path) -> Frames:
    """Map the frames; the scan as the .hdr or the time stamps tell it."""
    header = _read_header(path)
    described = _read_hdr(path.with_suffix(".hdr"))
    there = path.stat().st_size // header.record.itemsize
    expected = int(described.get(_FRAMES, "0")) or there
    count = min(there, expected)
    missing = shortfall(path, count, expected)
    if count == 0:
        raise SourceError("it ends before its first frame is whole")
    if not missing and path.stat().st_size % header.record.itemsize and there == count:
        missing = f"{path.name} ends in the middle of frame {count}"
    records = map_records(path, 0, header.record, count)
    timed = bool(header.time) and _are_times(records[:_LOOK_AT])
    facts = Facts(
        frame_shape=header.frame_shape,
        dtype=pixel_dtype(header.dtype),
        count=count,
        expected=expected,
        missing=missing,
        scan_shape=_scan(described, records[:_LOOK_AT] if timed else None, expected),
        metadata={"format": "Merlin MIB"}
        | ({"recorded": header.time} if timed else {}),
    )

    def stamps(first: int, n: int) -> IntArray:
        return _times_ns(records[first : first + n])

    return ArrayFrames(records["pixels"][:, ::-1], facts, stamps if timed else None)


def mib_layout(path: Path) -> Strided:
    """Return how a file that is being written is laid out, by its first header."""
    header = _read_header(path)
    return Strided(
        format="Merlin MIB",
        offset=0,
        record=header.record,
        declared=int(_read_hdr(path.with_suffix(".hdr")).get(_FRAMES, "0")) or None,
        bottom_up=True,
        stamps=_times_ns if header.time else None,
    )


def _read_header(path: Path) -> _Header:
    with path.open("rb") as file:
        text = file.read(1 << 14).decode("latin1")
    fields = text[:384].split(",")
    if fields[0] != "MQ1" or len(fields) < 8:
        raise SourceError(f"it begins with {text[:3]!r}, expected 'MQ1'")
    size, width, height = int(fields[2]), int(fields[4]), int(fields[5])
    if fields[6] not in _TYPES:
        raise SourceError(
            f"its pixels are {fields[6]!r}; {', '.join(_TYPES)} can be read, raw "
            "counters (R64) cannot"
        )
    whole = text[:size].split(",")
    # Since MQ1A the exact time in UTC follows that mark; the older local time does
    # not name its zone, so it is no time stamp.
    time = whole[whole.index("MQ1A") + 1].rstrip("Z") if "MQ1A" in whole else ""
    return _Header(
        size, (height, width), _TYPES[fields[6]], time, text.find(time) if time else 0
    )


def _read_hdr(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    lines = path.read_text("latin1").splitlines()
    pairs = (line.split(":\t", 1) for line in lines if ":\t" in line)
    return {name: value.strip() for name, value in pairs}


def _scan(
    described: dict[str, str], timed: Array | None, expected: int
) -> tuple[int, int] | None:
    columns = int(described.get(_PER_TRIGGER, "0"))
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

"""Mends the segments of a run that was never closed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from scopeside.errors import RunError
from scopeside.runs.form import LINE, RecordHead, pack, segment_head, unpack
from scopeside.runs.message import CODECS
from scopeside.runs.scan import ODD, entry_from, segments_of
from scopeside.runs.walk import Segment, Stretch
from scopeside.wire import Kind

Patch = tuple[int, bytes]
"""Where something is written, and what."""


@dataclass(slots=True)
class Plan:
    """What the segments of a run hold, and what has to be done to them.

    Attributes
    ----------
    bad
        Records that are damaged, with good ones behind them.
    cut_bytes
        What lies behind the last good record.
    entries
        The index, an entry each.
    acquisition
        As the first record says, or as far as its frames tell; None: nobody knows.
    """

    records: int = 0
    bad: int = 0
    cut_bytes: int = 0
    entries: list[bytes] = field(default_factory=list)
    segments: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    acquisition: dict[str, Any] | None = None
    work: list[tuple[_Looked, list[Patch]]] = field(default_factory=list)
    empty: list[Path] = field(default_factory=list)

    def to_manifest(self) -> dict[str, Any]:
        """Return what the manifest says of the segments."""
        found: dict[str, Any] = {"records": self.records, "segments": self.segments}
        if self.bad:
            found["damaged"] = self.bad
        return found


@dataclass(frozen=True, slots=True)
class _Looked:
    """A segment and the stretches in it, up to the last good one."""

    segment: Segment
    stretches: list[Stretch]
    cut: int
    """Bytes behind them that are not zeros."""


def plan(folder: Path, known: npt.NDArray[np.void] | None = None) -> Plan:
    """Go through all segments and say how they are to be made; changes nothing.

    Parameters
    ----------
    known
        Good entries of the index: they say which frames a damaged record held.

    Raises
    ------
    RunError
        If there is no way to mend it.
    """
    looked = [_look(path) for path in segments_of(folder)]
    made = Plan()
    while looked and not looked[-1].stretches:
        made.empty.append(looked.pop().segment.path)  # begun, and nothing good in it
    for number, one in enumerate(looked):
        if int(one.segment.path.stem) != number:
            raise RunError(f"{folder}: segment {number:06d}.seg is missing")
        made.work.append((one, _patches(one, made, known)))
    made.cut_bytes = sum(one.cut for one in looked)
    return made


def carry_out(made: Plan) -> None:
    """Do what the plan says.

    Raises
    ------
    OSError
    """
    for looked, patches in made.work:
        _write(looked, patches, made)
    for path in made.empty:
        path.unlink()
        made.notes.append(f"{path.name} held no good record and was removed")


def _look(path: Path) -> _Looked:
    segment = Segment(path)
    stretches = list(segment.stretches())
    cut = 0
    while stretches and not stretches[-1].good:
        cut += stretches.pop().size
    return _Looked(segment, stretches, cut)


def _patches(
    looked: _Looked, made: Plan, known: npt.NDArray[np.void] | None
) -> list[Patch]:
    """Take a segment into the account; return what has to be written into it."""
    segment, number = looked.segment, int(looked.segment.path.stem)
    patches: list[Patch] = []
    head = segment_head(number, made.records)
    if segment.data[:LINE] != head:
        patches.append((0, head))
        made.notes.append(f"{segment.path.name}: its head was made anew")
    seal, first, end = xxhash.xxh3_128(head), made.records, LINE
    waiting: list[Stretch] = []
    for found in looked.stretches:
        end = found.offset + found.size
        if not found.good or found.head is None:
            waiting.append(found)
            continue
        if waiting or found.head.record != made.records:
            gap = (waiting[0].offset if waiting else found.offset, found.offset)
            room = _gaps(segment, gap, found.head.record, made, known)
            for at, data in room:
                seal.update(data[:LINE])
                patches.append((at, data))
            waiting = []
        seal.update(segment.data[found.offset : found.offset + LINE])
        _take(segment, found, number, made)
    made.segments.append(
        {
            "name": segment.path.name,
            "bytes": end,
            "records": made.records - first,
            "seal": seal.hexdigest(),
        }
    )
    return patches


def _take(segment: Segment, found: Stretch, number: int, made: Plan) -> None:
    """Count a good record."""
    assert found.head is not None
    try:
        entry = entry_from(found.head, segment.body(found), number, found.offset)
        if made.acquisition is None:
            header, _ = unpack(found.head, segment.body(found))
            made.acquisition = _acquisition_in(found.head.kind, header)
    except ODD as error:
        raise RunError(
            f"{segment.path}: record {found.head.record} is none of ours: {error}"
        ) from error
    made.entries.append(entry.tobytes())
    made.records += 1


def _acquisition_in(kind: Kind, header: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a record says of the acquisition."""
    if kind is Kind.START:
        return dict(header["acquisition"])
    if kind is not Kind.BATCH:
        return None
    return {
        "id": header["acq"],
        "shape": header["shape"],
        "dtype": header["dtype"],
        "encoding": CODECS[header["codec"]],
    }


def _gaps(
    segment: Segment,
    room: tuple[int, int],
    until: int,
    made: Plan,
    known: npt.NDArray[np.void] | None,
) -> list[Patch]:
    """Return gaps that take the place of the records before record `until`."""
    at, patches = room[0], []
    records = range(made.records, until)
    if not records:
        raise RunError(
            f"{segment.path}: record {until} at byte {room[1]} comes a second time"
        )
    for record in records:
        entry = _known(record, known)
        least = _least(record, entry)
        size = room[1] - at
        if record != records[-1]:
            size = least if entry is None else max(least, int(entry["size"]))
        if size < least or at + size > room[1]:
            raise RunError(
                f"{segment.path}: {room[1] - room[0]} damaged bytes at byte {room[0]} "
                f"cannot have been records {records[0]} to {records[-1]}"
            )
        data = _gap(record, entry, size)
        patches.append((at, data))
        _count_gap(segment.path, at, data, made)
        at += size
    return patches


def _count_gap(path: Path, at: int, data: bytes, made: Plan) -> None:
    head = RecordHead.from_bytes(data)
    entry = entry_from(head, data[LINE:], int(path.stem), at)
    made.entries.append(entry.tobytes())
    made.records += 1
    made.bad += 1
    frames = ""
    if head.first >= 0:
        frames = f" (frames {head.first} to {int(entry['last'][0])})"
    made.notes.append(
        f"{path.name}: record {head.record} at byte {at}{frames} was damaged and is a "
        "gap now"
    )


def _known(record: int, known: npt.NDArray[np.void] | None) -> Any:
    return None if known is None or record >= len(known) else known[record]


def _least(record: int, entry: Any) -> int:
    """Return the smallest size of a gap."""
    return pack(record, Kind.GAP, _gap_header(entry)).head.size


def _gap(record: int, entry: Any, size: int) -> bytes:
    """Return a GAP that fills exactly `size` bytes, with zeros as its payload."""
    header = _gap_header(entry)
    fill = size - _least(record, entry)
    # Saying how long the filling is may take the header another line.
    for parts in ([bytes(fill)] if fill else [], [bytes(max(0, fill - LINE))]):
        packed = pack(record, Kind.GAP, header, parts, first=header["first"])
        if packed.head.size == size:
            return b"".join(bytes(piece) for piece in packed.pieces)
    raise RunError(f"record {record}: {size} bytes have no room for a gap")


def _gap_header(entry: Any) -> dict[str, Any]:
    first = last = -1
    if entry is not None and entry["kind"] == Kind.BATCH:
        first, last = int(entry["first"]), int(entry["last"])
    return {"acq": "", "epoch": 0, "first": first, "last": last, "cause": "damaged"}


def _write(looked: _Looked, patches: list[Patch], made: Plan) -> None:
    """Write what is to be made in a segment, and cut off what lies behind."""
    path, last = looked.segment.path, looked.stretches[-1]
    end = last.offset + last.size
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        for at, data in patches:
            os.pwrite(fd, data, at)
        if os.fstat(fd).st_size != end:
            os.ftruncate(fd, end)
        os.fsync(fd)
    finally:
        os.close(fd)
    if looked.cut:
        made.notes.append(
            f"{path.name}: {looked.cut} bytes behind the last good record were cut off"
        )

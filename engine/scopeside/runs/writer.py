"""Writes the segments and the index of one run; append only.

One thread appends; another may call `sync` at the same time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xxhash

from scopeside.errors import RunError
from scopeside.runs import lock
from scopeside.runs.form import LINE, Packed, entry_of, pack, segment_head
from scopeside.runs.scan import INDEX, SegmentScan, entries_of, segments_of
from scopeside.runs.segment_file import SegmentFile, write_all
from scopeside.wire import Buffer, Kind

SEGMENT_BYTES = 1 << 30


@dataclass(slots=True, eq=False)
class _Segment:
    """A segment file that is open."""

    path: Path
    file: SegmentFile
    number: int
    end: int
    records: int
    seal: Any
    """XXH3-128 of the heads: of the segment, then of each record."""
    allocated: int = 0

    def cut(self) -> None:
        """Take away what lies behind the last record, and what was reserved."""
        self.allocated = 0
        self.file.truncate(self.end)

    def describe(self) -> dict[str, Any]:
        """Return what the manifest says of it."""
        return {
            "name": self.path.name,
            "bytes": self.end,
            "records": self.records,
            "seal": self.seal.hexdigest(),
        }


class RunWriter:
    """A folder of segments that grows.

    Attributes
    ----------
    record
        Number of the next record.
    written
        Bytes in all segments.
    preallocate
        Whether room for a whole segment is reserved when it is begun.
    """

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self.record = 0
        self.written = 0
        self.preallocate = True
        self._segment_bytes = segment_bytes
        self._described: list[dict[str, Any]] = []
        self._segment: _Segment | None = None
        self._to_finish: list[_Segment] = []
        self._lock = threading.Lock()
        self._syncing = threading.Lock()
        self._index = -1

    @classmethod
    def create(cls, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> Self:
        """Begin a run in a folder that is not there yet.

        Raises
        ------
        FileExistsError, OSError
        """
        folder.mkdir(parents=True)
        writer = cls(folder, segment_bytes)
        writer._open_index()
        _sync_folder(folder.parent)
        return writer

    @classmethod
    def resume(cls, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> Self:
        """Go on with a run whose writer was killed, behind its last good record.

        What lies behind that is cut off, and the index is made to fit.

        Raises
        ------
        RunError
            If its segments are not what was written, or another one writes it.
        """
        writer = cls(folder, segment_bytes)
        writer._open_index()
        entries = entries_of(folder)
        ends = _ends_in(entries)
        for path in segments_of(folder):
            if int(path.stem) not in ends:
                path.unlink()  # begun, and nothing good in it
            else:
                writer._reopen(path, ends[int(path.stem)])
        writer.record = len(entries)
        write_all(writer._index, [entries.tobytes()], 0)
        os.ftruncate(writer._index, entries.nbytes)
        return writer

    @property
    def ahead(self) -> int:
        """Bytes that are reserved on the disk and not written to yet."""
        segment = self._segment
        return 0 if segment is None else max(0, segment.allocated - segment.end)

    def append(
        self,
        kind: Kind,
        header: Mapping[str, Any],
        parts: Sequence[Buffer] = (),
        *,
        n: int = 0,
        first: int = -1,
        last: int = -1,
        t_ns: int = -1,
        t_last_ns: int = -1,
    ) -> int:
        """Write a record and return its number.

        Raises
        ------
        OSError
            If it could not be written as a whole: nothing of it is left, and the next
            one may be tried.
        """
        packed = pack(self.record, kind, header, parts, n=n, first=first, t_ns=t_ns)
        segment = self._with_room(packed.head.size)
        offset = segment.end
        self._write(segment, packed)
        entry = entry_of(
            packed.head,
            header,
            segment=segment.number,
            offset=offset,
            last=last,
            t_last_ns=t_last_ns,
        )
        try:
            self._extend_index(entry.tobytes())
        except OSError:
            segment.cut()
            raise
        segment.end += packed.head.size
        segment.records += 1
        segment.seal.update(packed.pieces[0])
        self.written += packed.head.size
        self.record += 1
        return self.record - 1

    def sync(self) -> None:
        """Bring all that was appended before this call to the disk.

        Raises
        ------
        OSError
        """
        # Whoever appends must not wait for the disk: it takes only the other lock.
        with self._syncing:
            with self._lock:
                finished, current = list(self._to_finish), self._segment
                index = self._index
            for segment in finished:
                segment.file.finish(segment.end)
                with self._lock:
                    self._to_finish.remove(segment)
            if current is not None:
                os.fdatasync(current.file.fd)
            if index >= 0:
                os.fdatasync(index)

    def close(self) -> list[dict[str, Any]]:
        """Finish the last segment and return what the manifest says of all.

        Raises
        ------
        OSError
        """
        self._finish_segment()
        self.sync()
        with self._syncing, self._lock:
            if self._index >= 0:
                os.close(self._index)
                self._index = -1
        _sync_folder(self.folder)
        return self._described

    def abandon(self) -> None:
        """Let go of the files as they are, as if this process were killed."""
        with self._lock:
            for segment in (*self._to_finish, self._segment):
                if segment is not None:
                    segment.file.close()
            self._to_finish.clear()
            self._segment = None
            if self._index >= 0:
                os.close(self._index)
                self._index = -1

    # ---------------------------------------------------------------------------

    def _with_room(self, size: int) -> _Segment:
        """Return the segment that takes a record of `size`; begins one if need be."""
        current = self._segment
        if current is not None and (
            current.end + size <= self._segment_bytes or current.records == 0
        ):
            return current
        self._finish_segment()
        number = len(self._described)
        path = self.folder / f"{number:06d}.seg"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        head = segment_head(number, self.record)
        try:
            allocated = _allocate(fd, self._segment_bytes) if self.preallocate else 0
            write_all(fd, [head], 0)
        except OSError:
            os.close(fd)
            path.unlink()
            raise
        seal = xxhash.xxh3_128(head)
        file = SegmentFile(fd)
        segment = _Segment(path, file, number, LINE, 0, seal, allocated)
        with self._lock:
            self._segment = segment
        _sync_folder(self.folder)
        return segment

    def _finish_segment(self) -> None:
        with self._lock:
            if self._segment is not None:
                self._described.append(self._segment.describe())
                self._to_finish.append(self._segment)
                self._segment = None

    def _write(self, segment: _Segment, packed: Packed) -> None:
        try:
            segment.file.write(packed.pieces, segment.end)
        except OSError:
            # What is left of it is no record; the next one goes in its place.
            segment.cut()
            raise

    def _extend_index(self, data: bytes) -> None:
        try:
            write_all(self._index, [data], self.record * len(data))
        except OSError:
            os.ftruncate(self._index, self.record * len(data))
            raise

    def _open_index(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._index = os.open(self.folder / INDEX, flags, 0o644)
        lock.take(self._index, self.folder)

    def _reopen(self, path: Path, end: int) -> None:
        """Take up a segment, cut off at `end`, as the current one."""
        self._finish_segment()
        scan = SegmentScan(path)
        with path.open("rb") as file:
            seal = xxhash.xxh3_128(file.read(LINE))
        records = 0
        for found in scan.records(verify=False):
            if found.offset >= end:
                break
            seal.update(found.head.to_bytes())
            records += 1
        if scan.number != len(self._described):
            raise RunError(f"{path.name} says that it is segment {scan.number}")
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        os.ftruncate(fd, end)
        segment = SegmentFile(fd)
        self._segment = _Segment(path, segment, scan.number, end, records, seal)
        self.written += end - LINE


def _ends_in(entries: npt.NDArray[np.void]) -> dict[int, int]:
    """Return where the last record of each segment ends."""
    lasts = np.searchsorted(entries["segment"], np.unique(entries["segment"]), "right")
    return {
        int(entry["segment"]): int(entry["offset"] + entry["size"])
        for entry in entries[lasts - 1]
    }


def _allocate(fd: int, size: int) -> int:
    """Reserve room ahead where there is some; without, each write finds its own.

    Returns how many bytes are reserved.
    """
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError:
        os.ftruncate(fd, 0)
        return 0
    return size


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

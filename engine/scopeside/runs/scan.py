"""Finds the good records of segment files, whatever has happened behind them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scopeside.errors import RunError
from scopeside.runs.form import (
    ENTRY,
    LINE,
    RecordHead,
    check_body,
    entry_of,
    good_entries,
    read_segment_head,
    unpack,
)
from scopeside.wire import Kind

INDEX = "index.bin"


@dataclass(frozen=True, slots=True)
class Found:
    """A record in its segment."""

    head: RecordHead
    offset: int


@dataclass(slots=True)
class SegmentScan:
    """A look through one segment.

    Attributes
    ----------
    end
        Where the last good record ends; what lies behind is of no use.
    why
        Why the scan ended there; empty at the end of the file or where only what was
        allocated ahead (zeros) follows.
    """

    path: Path
    number: int = -1
    first_record: int = -1
    end: int = 0
    why: str = ""

    def records(self, *, verify: bool, start: int = LINE) -> Iterator[Found]:
        """Yield the good records from `start` on; `verify` reads their bodies, too.

        Raises
        ------
        RunError
            If the file is no segment at all.
        """
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self.number, self.first_record = read_segment_head(file.read(LINE))
            self.end = start
            while self.end + LINE <= size:
                file.seek(self.end)
                raw = file.read(LINE)
                if not any(raw):
                    return
                try:
                    head = RecordHead.from_bytes(raw)
                    if self.end + head.size > size:
                        raise RunError(f"record {head.record} is cut off")
                    if verify:
                        check_body(head, file.read(head.body_bytes))
                except (RunError, ValueError) as error:
                    self.why = str(error)
                    return
                yield Found(head, self.end)
                self.end += head.size


def segments_of(folder: Path) -> list[Path]:
    """Return the segment files of a run in order."""
    return sorted(path for path in folder.glob("*.seg") if path.stem.isdigit())


def entries_of(folder: Path, *, known: int = 0) -> npt.NDArray[np.void]:
    """Return the index of a run from entry `known` on, made good from the segments.

    What the index lacks, because it was written after the segment, is looked up there.

    Raises
    ------
    RunError
        If a segment file is none.
    """
    try:
        with (folder / INDEX).open("rb") as file:
            entries = good_entries(file.read())
    except FileNotFoundError:
        entries = np.empty(0, ENTRY)
    beyond = list(_beyond(folder, entries))
    return np.concatenate([entries[known:], *beyond]) if beyond else entries[known:]


def _beyond(
    folder: Path, entries: npt.NDArray[np.void]
) -> Iterator[npt.NDArray[np.void]]:
    """Yield entries of records that lie behind those of the index."""
    last = entries[-1] if len(entries) else None
    for path in segments_of(folder):
        number = int(path.stem)
        if last is not None and number < last["segment"]:
            continue
        same = last is not None and number == last["segment"]
        start = (
            int(last["offset"] + last["size"]) if same and last is not None else LINE
        )
        if path.stat().st_size < LINE:
            return  # just made, or all that is left of it
        # What the index does not vouch for is read as a whole.
        scan = SegmentScan(path)
        for found in scan.records(verify=True, start=start):
            yield entry_from_file(path, found, number)


def entry_from_file(path: Path, found: Found, segment: int) -> npt.NDArray[np.void]:
    """Return the entry of a record that lies in a file.

    Raises
    ------
    RunError
        If its contents are not those of its kind.
    """
    try:
        return _entry(path, found, segment)
    except (ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
        raise RunError(
            f"record {found.head.record} is no {found.head.kind.name}: "
            f"{type(error).__name__}: {error!s:.80}"
        ) from error


def _entry(path: Path, found: Found, segment: int) -> npt.NDArray[np.void]:
    head = found.head
    with path.open("rb") as file:
        file.seek(found.offset + LINE)
        header, parts = unpack(head, file.read(head.body_bytes))
    last, t_last_ns = -1, -1
    if head.kind is Kind.BATCH:
        last = int(np.frombuffer(parts[1], "<i8").max())
        t_last_ns = int(np.frombuffer(parts[2], "<i8")[-1])
    elif head.kind is Kind.GAP:
        last = int(header["last"])
    return entry_of(
        head,
        header,
        segment=segment,
        offset=found.offset,
        last=last,
        t_last_ns=t_last_ns,
    )

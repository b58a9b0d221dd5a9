"""Walks through a segment file, whatever has happened to it.

What is not a good record is a stretch of its own, and the walk goes on behind it: one
page that a disk has lost costs the record that it lay in, not all that came after.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scopeside.errors import RunError
from scopeside.runs.form import (
    LINE,
    RECORD_MAGIC,
    RecordHead,
    check_body,
    read_segment_head,
)
from scopeside.wire import Buffer

_MAGIC = np.frombuffer(RECORD_MAGIC, "<u4")[0]
_AT_ONCE = 1 << 20
"""Lines that are looked through at a time."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A record, or bytes that are none.

    Attributes
    ----------
    head
        None: it cannot be read.
    why
        What is wrong; empty: it is a good record.
    """

    offset: int
    size: int
    head: RecordHead | None
    why: str = ""

    @property
    def good(self) -> bool:
        """Whether it is a record, as it was written."""
        return not self.why


class Segment:
    """A segment file in memory.

    Attributes
    ----------
    number, first_record
        As its head says; -1 if it cannot be read.
    why
        What is wrong with the head.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = self.first_record = -1
        self.why = ""
        self.size = path.stat().st_size
        self.data: Buffer = b""
        if self.size:
            with path.open("rb") as file:
                self.data = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        try:
            self.number, self.first_record = read_segment_head(self.data)
        except RunError as error:
            self.why = str(error)

    def body(self, found: Stretch) -> Buffer:
        """Return the body of a record."""
        return self.data[found.offset + LINE : found.offset + found.size]

    def stretches(self, stop: int | None = None) -> Iterator[Stretch]:
        """Yield all that lies between the head of the segment and zeros to its end.

        `stop`: look only so far, bytes.
        """
        at, end = LINE, self.size if stop is None else min(stop, self.size)
        after = -1
        while at < end:
            found = self._at(at, end, after)
            if found is None:
                return
            yield found
            at += found.size
            after = found.head.record if found.head is not None else after

    def _at(self, at: int, end: int, after: int) -> Stretch | None:
        """Return what begins there; None if only zeros do."""
        try:
            head = RecordHead.from_bytes(self.data[at : at + LINE])
        except (RunError, ValueError) as error:
            return self._no_record(at, end, after, str(error))
        if at + head.size > end:
            return self._no_record(at, end, after, f"record {head.record} is cut off")
        try:
            check_body(head, self.data[at + LINE : at + head.size])
        except RunError as error:
            return Stretch(at, head.size, head, str(error))
        return Stretch(at, head.size, head)

    def _no_record(self, at: int, end: int, after: int, why: str) -> Stretch | None:
        behind = self._next(at + LINE, end, after)
        if behind < 0:
            if not _anything(self.data[at:end]):
                return None
            behind = end
        return Stretch(at, behind - at, None, why)

    def _next(self, at: int, end: int, after: int) -> int:
        """Return where the next good record begins, -1 if there is none."""
        lines = np.frombuffer(self.data[at : end - (end - at) % LINE], "<u4")
        lines = lines.reshape(-1, LINE // 4)
        for begin in range(0, len(lines), _AT_ONCE):
            block = lines[begin : begin + _AT_ONCE, 0]
            for line in np.flatnonzero(block == _MAGIC):
                found = at + (begin + int(line)) * LINE
                if self._good_at(found, end, after):
                    return found
        return -1

    def _good_at(self, at: int, end: int, after: int) -> bool:
        try:
            head = RecordHead.from_bytes(self.data[at : at + LINE])
            if head.record <= after or at + head.size > end:
                return False
            check_body(head, self.data[at + LINE : at + head.size])
        except (RunError, ValueError):
            return False
        return True


def _anything(data: Buffer) -> bool:
    """Whether there is anything but zeros."""
    return any(
        np.frombuffer(data[at : at + (_AT_ONCE << 4)], np.uint8).any()
        for at in range(0, len(data), _AT_ONCE << 4)
    )

"""What the collector has accepted, kept where its crash cannot reach.

Two anonymous files (memfd) of the supervisor hold a log of messages. A record counts
once the length at the head of its file covers it, so a collector that is killed in
mid-write leaves no half record. When the log has grown, the state is written to the
other file, which then has the higher generation and takes over.

    0   u64 generation, u64 length of what follows that counts
    16  records: u32 number of parts, u32 length of each, the parts
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence

from scopeside.wire import Buffer

_HEAD = struct.Struct("<QQ")
_U32 = struct.Struct("<I")
_AT = _HEAD.size


class Journal:
    """A log of messages in one of two files."""

    def __init__(self, fds: Sequence[int]) -> None:
        self._fds = tuple(fds)
        heads = [self._head(fd) for fd in self._fds]
        self._current = max(range(len(heads)), key=lambda k: heads[k][0])
        self._generation, self.length = heads[self._current]

    @staticmethod
    def allocate() -> tuple[int, int]:
        """Return the descriptors of an empty journal."""
        return (
            os.memfd_create("scopeside-journal-a"),
            os.memfd_create("scopeside-journal-b"),
        )

    def append(self, parts: Sequence[Buffer]) -> None:
        """Add a record; it counts when this returns."""
        fd = self._fds[self._current]
        self.length += self._write(fd, _AT + self.length, parts)
        os.pwrite(fd, _HEAD.pack(self._generation, self.length), 0)

    def replace(self, records: Iterable[Sequence[Buffer]]) -> None:
        """Put `records` in place of all there is, in one step."""
        other = 1 - self._current
        fd = self._fds[other]
        os.ftruncate(fd, 0)
        length = 0
        for parts in records:
            length += self._write(fd, _AT + length, parts)
        os.pwrite(fd, _HEAD.pack(self._generation + 1, length), 0)
        os.ftruncate(self._fds[self._current], _AT)
        self._current, self._generation, self.length = (
            other,
            self._generation + 1,
            length,
        )

    def records(self) -> Iterator[list[bytes]]:
        """Yield every record that counts, in order."""
        fd = self._fds[self._current]
        at, end = _AT, _AT + self.length
        while at < end:
            (n,) = _U32.unpack(os.pread(fd, 4, at))
            sizes = struct.unpack(f"<{n}I", os.pread(fd, 4 * n, at + 4))
            at += 4 + 4 * n
            parts = []
            for size in sizes:
                parts.append(os.pread(fd, size, at) if size else b"")
                at += size
            yield parts

    @staticmethod
    def _head(fd: int) -> tuple[int, int]:
        data = os.pread(fd, _HEAD.size, 0)
        if len(data) < _HEAD.size:
            os.pwrite(fd, _HEAD.pack(0, 0), 0)
            return 0, 0
        generation, length = _HEAD.unpack(data)
        return generation, length

    @staticmethod
    def _write(fd: int, at: int, parts: Sequence[Buffer]) -> int:
        sizes = [memoryview(part).nbytes for part in parts]
        lead = _U32.pack(len(parts)) + struct.pack(f"<{len(parts)}I", *sizes)
        total = len(lead) + sum(sizes)
        # As one buffer: a vector has at most 1024 entries, a part may have more.
        written = os.pwrite(fd, b"".join([lead, *parts]), at)
        if written != total:
            # Short only beyond 2 GiB in one call, or when memory is out.
            raise OSError(f"the journal took {written} of {total} bytes")
        return total

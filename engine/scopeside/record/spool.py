"""What waits for the disk, kept where the recorder's crash cannot reach.

An anonymous file (memfd) of the supervisor holds a ring of entries, each a header and
parts. An entry counts once the number of bytes put in covers it, and is gone once the
number of bytes taken out does; a recorder that is killed in between leaves no half
entry. Before the ring lies a `Board` for the little that must be remembered besides
(`scopeside.record.notebook`)::

    0      the board
    PAGE   u64 bytes put in, u64 bytes taken out, since the beginning
    RING   entries: 64 bytes (size, of the header, of each part), header, parts;
           each begins at a multiple of 64 bytes, none goes round the end
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgpack
import numpy as np

from scopeside import board
from scopeside.errors import SlabError
from scopeside.runs.form import LINE, up
from scopeside.slab import available_memory
from scopeside.wire import Buffer

_PAGE = -(-board.SIZE // 4096) * 4096
_RING = _PAGE + 4096
_LEAD = struct.Struct("<QIIQQQQQ")  # size, header, number of parts, size of each part
_MOST_PARTS = 5
_SKIP = 0xFFFFFFFF
"""As the size of a header: what follows is not used, the next entry is at the start."""


class Entry(NamedTuple):
    """Where an entry lies."""

    at: int
    """Bytes put in before it, since the beginning."""
    size: int


class Spool:
    """A ring of entries in shared memory. One process writes it.

    Attributes
    ----------
    fd
        Of the shared memory; the board lies at its beginning.
    capacity
        Bytes of the ring.
    """

    def __init__(self, fd: int, capacity: int) -> None:
        self.fd = fd
        self.capacity = capacity
        # Populated now, so that no page fault falls into the stream.
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        self._map = mmap.mmap(fd, _RING + capacity, flags=flags)
        # One store of 8 bytes each, as on a board: a death falls before or after it.
        self._counts = memoryview(self._map)[_PAGE : _PAGE + 16].cast("Q")
        self._ring = memoryview(self._map)[_RING : _RING + capacity]
        self._array = np.frombuffer(self._ring, np.uint8)

    @staticmethod
    def allocate(capacity: int) -> int:
        """Return the descriptor of an empty spool, all of it reserved.

        Raises
        ------
        SlabError
            If the machine does not have the memory.
        """
        free = available_memory()
        if free is not None and capacity > free * 0.9:
            raise SlabError(
                f"the recorder's spool needs {capacity >> 20} MiB of memory, of which "
                f"{free >> 20} MiB are free; set a smaller [record] spool_mib"
            )
        fd = os.memfd_create("scopeside-spool")
        try:
            os.posix_fallocate(fd, 0, _RING + capacity)
        except OSError as error:
            os.close(fd)
            raise SlabError(
                f"cannot reserve {capacity >> 20} MiB for the recorder's spool: "
                f"{error.strerror}; set a smaller [record] spool_mib"
            ) from error
        return fd

    @property
    def used(self) -> int:
        """Bytes that wait."""
        return self._counts[0] - self._counts[1]

    @property
    def share(self) -> float:
        """What part of it is full, 0 to 1."""
        return self.used / self.capacity

    def append(
        self, header: Mapping[str, Any], parts: Sequence[Buffer], *, spare: int = 0
    ) -> Entry | None:
        """Put an entry in; None if it would not leave `spare` bytes free."""
        packed = msgpack.packb(header)
        raw = [np.frombuffer(part, np.uint8) for part in parts]
        assert len(raw) <= _MOST_PARTS
        size = LINE + up(len(packed)) + sum(up(part.nbytes) for part in raw)
        at = self._counts[0]
        place = at % self.capacity
        skip = self.capacity - place if place + size > self.capacity else 0
        if self.used + skip + size + spare > self.capacity:
            return None
        if skip:
            _LEAD.pack_into(self._ring, place, skip, _SKIP, 0, 0, 0, 0, 0, 0)
            at, place = at + skip, 0
        sizes = [part.nbytes for part in raw] + [0] * (_MOST_PARTS - len(raw))
        _LEAD.pack_into(self._ring, place, size, len(packed), len(raw), *sizes)
        place += LINE
        for piece in (np.frombuffer(packed, np.uint8), *raw):
            self._array[place : place + piece.nbytes] = piece
            place += up(piece.nbytes)
        self._counts[0] = at + size
        return Entry(at, size)

    def read(self, entry: Entry) -> tuple[dict[str, Any], list[memoryview]]:
        """Return header and parts; the parts lie in the ring until it is popped."""
        place = entry.at % self.capacity
        _, length, n, *sizes = _LEAD.unpack_from(self._ring, place)
        place += LINE
        header = msgpack.unpackb(self._ring[place : place + length])
        place += up(length)
        parts = []
        for size in sizes[:n]:
            parts.append(self._ring[place : place + size])
            place += up(size)
        return header, parts

    def pop(self, entry: Entry) -> None:
        """Take the oldest entry out; its room may be written to from now on."""
        assert entry == next(self.entries()), "only the oldest goes out"
        self._counts[1] = entry.at + entry.size

    def entries(self) -> Iterator[Entry]:
        """Yield all entries, oldest first."""
        at, end = self._counts[1], self._counts[0]
        while at < end:
            size, length = _LEAD.unpack_from(self._ring, at % self.capacity)[:2]
            if length != _SKIP:
                yield Entry(at, size)
            at += size

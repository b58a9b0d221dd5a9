"""A file that is written to at its end, past the kernel's page cache where that works.

Frames that are recorded are not read again soon. Through the page cache, each byte is
copied once more, and its page found and later given back: a core is busy with that
before a fast disk is. Written directly (O_DIRECT), memory, place and length have to be
whole pages: so what is written goes through a buffer of a few MiB, and the last,
unfinished page is written with zeros behind it, and again with what comes next. When
`write` returns, all of it has left this process.

Where a file system knows no direct writing (tmpfs, some network shares), the same is
written through the cache.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections.abc import Sequence

import numpy as np

from scopeside.wire import Buffer

PAGE = 4096
STAGE = 4 << 20
_AT_ONCE = 512
"""Pieces in one call; the kernel takes 1024."""


class SegmentFile:
    """The end of an open file. It takes the descriptor over.

    Attributes
    ----------
    direct
        Whether it is written past the page cache.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.direct = _make_direct(fd)
        self._memory = mmap.mmap(-1, STAGE)  # begins at a page
        self._stage = np.frombuffer(self._memory, np.uint8)
        self._tail_at = 0
        self._tail = b""

    def write(self, pieces: Sequence[Buffer], offset: int) -> None:
        """Write `pieces` one behind the other from `offset` on, where the file ends.

        Raises
        ------
        OSError
            If not all of it could be written. `truncate` to `offset`, and another
            write may be tried there.
        """
        if not self.direct:
            write_all(self.fd, pieces, offset)
            return
        start = offset - offset % PAGE
        filled = self._begin_with_tail(start, offset - start)
        for piece in pieces:
            raw = np.frombuffer(piece, np.uint8)
            at = 0
            while at < raw.nbytes:
                n = min(raw.nbytes - at, STAGE - filled)
                self._stage[filled : filled + n] = raw[at : at + n]
                filled, at = filled + n, at + n
                if filled == STAGE:
                    self._put(start, STAGE)
                    start, filled = start + STAGE, 0
        whole = filled - filled % PAGE
        if filled > whole:
            self._stage[filled : whole + PAGE] = 0
            self._put(start, whole + PAGE)
        elif filled:
            self._put(start, filled)
        self._tail_at, self._tail = start + whole, bytes(self._stage[whole:filled])

    def truncate(self, end: int) -> None:
        """Cut off what lies behind `end`."""
        os.ftruncate(self.fd, end)

    def finish(self, end: int) -> None:
        """Cut the file to its length, bring it to the disk, and close it."""
        self.truncate(end)
        os.fsync(self.fd)
        self.close()

    def close(self) -> None:
        """Let go of the file as it is."""
        os.close(self.fd)

    def _begin_with_tail(self, start: int, n: int) -> int:
        """Put the `n` bytes of the unfinished page at `start` first; return `n`."""
        if n and (self._tail_at, len(self._tail)) == (start, n):
            self._stage[:n] = np.frombuffer(self._tail, np.uint8)
        elif n:
            found = os.preadv(self.fd, [memoryview(self._memory)[:PAGE]], start)
            if found < n:
                raise OSError(errno.EIO, f"the file ends at {start + found}")
        return n

    def _put(self, start: int, size: int) -> None:
        """Write the first `size` bytes of the buffer to `start`, whole pages."""
        done = 0
        with memoryview(self._memory) as memory:
            while done < size:
                try:
                    written = os.pwritev(self.fd, [memory[done:size]], start + done)
                except OSError as error:
                    if error.errno != errno.EINVAL or not self.direct:
                        raise
                    _make_indirect(self.fd)  # it said that it could, and cannot
                    self.direct = False
                    continue
                if written < size - done:
                    written -= written % PAGE
                    if not written:
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                done += written


def write_all(fd: int, pieces: Sequence[Buffer], offset: int) -> None:
    """Write `pieces` one behind the other at `offset`, however often it takes."""
    rest = [memoryview(piece).cast("B") for piece in pieces if len(piece)]
    while rest:
        written = os.pwritev(fd, rest[:_AT_ONCE], offset)
        offset += written
        while rest and written >= rest[0].nbytes:
            written -= rest[0].nbytes
            rest.pop(0)
        if written:
            rest[0] = rest[0][written:]


def _make_direct(fd: int) -> bool:
    """Have a file written past the page cache; return whether that works here."""
    try:
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_DIRECT)
    except (OSError, AttributeError):
        return False
    return True


def _make_indirect(fd: int) -> None:
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)

"""A file that is being written: how many of its frames are whole, and why it ended."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

import numpy as np

from scopeside.errors import SourceLostError
from scopeside_adapters.file.frames import Array, Facts, IntArray
from scopeside_adapters.file.strided import Strided
from scopeside_adapters.file.tvips import following_part

_SCRATCH = 1 << 20  # bytes of records that are read at once where pixels are not bare


class NotYetError(Exception):
    """The file cannot be read yet; it may be when more of it is written."""


class Growing(ABC):
    """An open file that grows. Close it, or use it as a context manager.

    Attributes
    ----------
    facts
        What the file says of itself; `count` is 0, `expected` is what it promises.
    """

    def __init__(self, path: Path, facts: Facts) -> None:
        self.path = path
        self.facts = facts
        self._fd = os.open(path, os.O_RDONLY)
        self._last_seen: tuple[int, int] = (-1, -1)
        self._changed = time.monotonic()

    @abstractmethod
    def count(self, *, ended: bool = False) -> int:
        """Return how many frames are whole; `ended`: nothing more will be written."""

    @abstractmethod
    def read_into(self, first: int, out: Array) -> None:
        """Fill `out` (n, height, width) with whole frames, from `first` on.

        Raises
        ------
        SourceLostError
            If they cannot be read after all.
        """

    def timestamps_ns(self, first: int, n: int) -> IntArray | None:  # noqa: ARG002 - a default
        """Return when `n` frames were taken, ns since 1970 UTC; None if not said."""
        return None

    def leftover(self) -> str:
        """Say what stands behind the last whole frame; empty if nothing does."""
        return ""

    def rested_s(self) -> float:
        """Return for how long the file has not changed, as seen from here, s."""
        seen = self._extent()
        if seen != self._last_seen:
            self._last_seen = seen
            self._changed = time.monotonic()
        return time.monotonic() - self._changed

    def needed(self, frames: int) -> int:  # noqa: ARG002 - a default
        """Return the size, bytes, that a file with so many frames has at least."""
        return 0

    def lost(self, read: int) -> str:
        """Say why nothing more can come after `read` frames; empty if it can."""
        try:
            mine = os.fstat(self._fd)
            now = self.path.stat()
        except FileNotFoundError:
            return f"{self.path.name} was deleted after frame {read - 1}"
        except OSError as error:
            return f"{self.path.name} cannot be reached any more: {error.strerror}"
        if (now.st_ino, now.st_dev) != (mine.st_ino, mine.st_dev):
            return f"{self.path.name} was replaced by another file"
        if mine.st_size < self.needed(read):
            return (
                f"{self.path.name} was truncated to {mine.st_size} bytes, though "
                f"{read} frames had been read from it"
            )
        return ""

    def _extent(self) -> tuple[int, int]:
        status = os.fstat(self._fd)
        return status.st_size, status.st_mtime_ns

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class StridedFile(Growing):
    """A file, or one in parts, whose frames lie at equal distances.

    It is read, not mapped: a mapped file that is cut short ends the process.
    """

    def __init__(self, path: Path, layout: Strided) -> None:
        super().__init__(path, layout.facts(0, layout.declared))
        self._layout = layout
        self._fds = [self._fd]
        self._final: list[int] = []  # frames of the parts that are followed by another
        rows = max(1, _SCRATCH // layout.record.itemsize)
        self._scratch = np.empty(0 if layout.bare else rows, layout.record)
        self._stamps: IntArray | None = None
        self._stamped = 0

    def count(self, *, ended: bool = False) -> int:  # noqa: ARG002 - no frame is held back
        """Return how many records fit into the size of the file."""
        self._open_following_part()
        return sum(self._final) + self._whole_in(len(self._fds) - 1)

    def read_into(self, first: int, out: Array) -> None:
        """Read straight into `out`, or by way of a cache where there are headers."""
        done = 0
        stamps = []
        while done < len(out):
            part, at = self._locate(first + done)
            room = out[done:]
            if part < len(self._final):
                room = room[: self._final[part] - at]
            if self._layout.bare:
                self._read(part, at, room)
            else:
                room = room[: len(self._scratch)]
                records = self._scratch[: len(room)]
                self._read(part, at, records)
                pixels = records["pixels"]
                room[...] = pixels[:, ::-1] if self._layout.bottom_up else pixels
                if self._layout.stamps is not None:
                    stamps.append(self._layout.stamps(records))
            done += len(room)
        self._stamps = np.concatenate(stamps) if stamps else None
        self._stamped = first

    def timestamps_ns(self, first: int, n: int) -> IntArray | None:
        """Return the stamps of frames that were the last to be read."""
        assert self._stamps is None or (first, n) == (self._stamped, len(self._stamps))
        return self._stamps

    def leftover(self) -> str:
        """Say that the last frame is not whole."""
        size = os.fstat(self._fds[-1]).st_size - self._offset(len(self._fds) - 1)
        if size <= 0 or size % self._layout.record.itemsize == 0:
            return ""
        return f"{self.path.name} ends in the middle of frame {self.count()}"

    def needed(self, frames: int) -> int:
        """Return the size that the first part needs for so many frames."""
        if self._final:
            frames = min(frames, self._final[0])
        return self._offset(0) + frames * self._layout.record.itemsize

    def close(self) -> None:
        """Close all parts."""
        for fd in self._fds[1:]:
            os.close(fd)
        self._fds = []
        super().close()

    def _extent(self) -> tuple[int, int]:
        status = os.fstat(self._fds[-1])
        return len(self._fds), hash((status.st_size, status.st_mtime_ns))

    def _open_following_part(self) -> None:
        if self._layout.format != "TVIPS":
            return
        following = following_part(self.path, len(self._fds))
        if following is not None and following.exists():
            self._fds.append(os.open(following, os.O_RDONLY))
            self._final.append(self._whole_in(len(self._final)))

    def _offset(self, part: int) -> int:
        return self._layout.offset if part == 0 else 0

    def _whole_in(self, part: int) -> int:
        size = os.fstat(self._fds[part]).st_size - self._offset(part)
        return max(0, size // self._layout.record.itemsize)

    def _locate(self, frame: int) -> tuple[int, int]:
        """Return the part that holds a frame, and its number there."""
        for part, n in enumerate(self._final):
            if frame < n:
                return part, frame
            frame -= n
        return len(self._final), frame

    def _read(self, part: int, first: int, out: Array) -> None:
        room = out.reshape(-1).view(np.uint8).data
        at = self._offset(part) + first * self._layout.record.itemsize
        while room:
            try:
                got = os.preadv(self._fds[part], [room], at)
            except OSError as error:
                raise SourceLostError(
                    f"{self.path.name} cannot be read: {error.strerror}"
                ) from error
            if not got:
                raise SourceLostError(
                    f"{self.path.name} was truncated while it was read"
                )
            room, at = room[got:], at + got

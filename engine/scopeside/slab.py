"""Shared memory for frames: one writer, many readers.

The slab is an anonymous file (memfd) of the supervisor, handed to its children as a
file descriptor. It has no name, so nothing is left behind however a process ends:
the kernel frees it with the last process that maps it.

At the start of an acquisition the writer lays slots over it::

    slot k:  index (capacity,) int64 | timestamp_ns (capacity,) int64 | pixels
             the pixels aligned to 64 bytes, the slot to 4096
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.errors import SlabError

_LINE = 64
_PAGE = 4096
MIN_SLOTS = 4


class Slab:
    """A mapping of the shared memory; `fd` stays with whoever opened it."""

    def __init__(self, fd: int, size: int, *, writable: bool) -> None:
        self.fd = fd
        self.size = size
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        # Populated now, so that no page fault falls into the stream.
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        self._map = mmap.mmap(fd, size, flags=flags, prot=protection)
        self._bytes = np.frombuffer(self._map, np.uint8)

    @staticmethod
    def allocate(size: int) -> int:
        """Return the descriptor of `size` bytes of shared memory, all of it reserved.

        Raises
        ------
        SlabError
            If the machine does not have them; better now than a bus error later.
        """
        free = available_memory()
        if free is not None and size > free * 0.9:
            raise SlabError(
                f"the slab needs {size >> 20} MiB of shared memory, of which "
                f"{free >> 20} MiB are free; set a smaller [slab] mib"
            )
        fd = os.memfd_create("scopeside-slab")
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError as error:
            os.close(fd)
            raise SlabError(
                f"cannot reserve {size >> 20} MiB of shared memory: {error.strerror}; "
                "set a smaller [slab] mib"
            ) from error
        return fd

    def view(
        self, offset: int, shape: tuple[int, ...], dtype: npt.DTypeLike
    ) -> npt.NDArray[Any]:
        """Return an array over the memory at `offset`; no copy is made.

        Raises
        ------
        SlabError
            If it would reach beyond the slab.
        """
        kind = np.dtype(dtype)
        count = int(np.prod(shape))
        if offset < 0 or offset + count * kind.itemsize > self.size:
            raise SlabError(f"{shape} of {kind} at {offset} lies outside the slab")
        return np.frombuffer(self._map, kind, count, offset).reshape(shape)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the slots lie; the same numbers on every side."""

    slots: int
    capacity: int
    stride: int
    pixels_at: int

    @classmethod
    def of(
        cls,
        slab_bytes: int,
        acquisition: Acquisition,
        batch_bytes: int,
        batch_frames: int | None = None,
    ) -> Layout:
        """Divide the slab for the frames of `acquisition`.

        Raises
        ------
        SlabError
            If fewer than four slots of one frame would fit.
        """
        frame = acquisition.frame_bytes
        # Smaller batches rather than no room for four of them.
        room = slab_bytes // MIN_SLOTS // _PAGE * _PAGE - _LINE
        capacity = max(1, min(batch_bytes // frame, room // (frame + 2 * 8)))
        if batch_frames is not None:
            capacity = max(1, min(capacity, batch_frames))
        pixels_at = _up(2 * 8 * capacity, _LINE)
        stride = _up(pixels_at + capacity * frame, _PAGE)
        slots = slab_bytes // stride
        if slots < MIN_SLOTS:
            needed = -(-MIN_SLOTS * stride >> 20)
            height, width = acquisition.frame_shape
            raise SlabError(
                f"a frame of {height}×{width} {acquisition.dtype} needs [slab] mib of "
                f"at least {needed}; it is {slab_bytes >> 20}"
            )
        return cls(slots, capacity, stride, pixels_at)


def available_memory() -> int | None:
    """Return the memory that can be used without swapping, bytes; None if unknown."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123 - no path
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def _up(number: int, step: int) -> int:
    return -(-number // step) * step

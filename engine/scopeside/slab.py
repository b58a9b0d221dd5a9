"""Shared memory for frames: one writer, many readers.

The slab is an anonymous file (memfd) of the supervisor, handed to its children as a
file descriptor. It has no name, so nothing is left behind however a process ends:
the kernel frees it with the last process that maps it.

At the start of an acquisition the writer lays slots over it::

    slot k:  index (capacity,) int64 | timestamp_ns (capacity,) int64 | pixels
             the pixels aligned to 64 bytes, the slot to 4096

Where frames come as events or packed, their words lie in place of the pixels.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import SlabError
from scopeside.events import EventBatch
from scopeside.packed import AnyBatch, PackedBatch

_LINE = 64
_PAGE = 4096
MIN_SLOTS = 4
EVENT_FRAMES = 4096
"""Frames in a slot for events, unless the detector asks for another number."""
PACKED = 16
"""A slot has room for so many times the packed frames that it could hold unpacked."""
MARGIN = 2
"""A frame that cannot be made smaller needs less than so much room."""
_FEWEST_WORDS = 4096


class Slab:
    """A mapping of the shared memory; `fd` stays with whoever opened it.

    `lockable`: mapped so that a GPU's driver can lock it, which it does only with what
    may be written to. The arrays are as `writable` says nevertheless.
    """

    def __init__(
        self, fd: int, size: int, *, writable: bool, lockable: bool = False
    ) -> None:
        self.fd = fd
        self.size = size
        write = writable or lockable
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
        # Populated now, so that no page fault falls into the stream.
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        self._map = mmap.mmap(fd, size, flags=flags, prot=protection)
        memory = memoryview(self._map)
        self._memory = memory if writable else memory.toreadonly()
        self._bytes = np.frombuffer(self._memory, np.uint8)

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

    @property
    def address(self) -> int:
        """Where it lies in this process."""
        return self._bytes.ctypes.data

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
        return np.frombuffer(self._memory, kind, count, offset).reshape(shape)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the slots lie; the same numbers on every side."""

    slots: int
    capacity: int
    stride: int
    pixels_at: int
    words: int = 0

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
        if acquisition.encoding == "events":
            return cls._of_words(slab_bytes, batch_bytes, batch_frames or EVENT_FRAMES)
        frame = acquisition.frame_bytes
        if acquisition.encoding == "packed":
            most = max(1, PACKED * batch_bytes // frame)
            frames = min(batch_frames or EVENT_FRAMES, most)
            # One frame fits, even if it could not be made smaller.
            least = frames + MARGIN * frame // 8 + 64
            return cls._of_words(slab_bytes, batch_bytes, frames, least, frame)
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

    @classmethod
    def _of_words(
        cls,
        slab_bytes: int,
        batch_bytes: int,
        frames: int,
        least: int = _FEWEST_WORDS,
        frame_bytes: int = 0,
    ) -> Layout:
        """Divide the slab for `batch_bytes` of words, of at most so many frames."""
        room = slab_bytes // MIN_SLOTS // _PAGE * _PAGE - _LINE
        # Index and time stamp take a quarter of it at most.
        capacity = max(1, min(frames, room // 4 // (2 * 8)))
        words_at = _up(2 * 8 * capacity, _LINE)
        words = min(max(batch_bytes // 8, least), (room - words_at) // 8)
        if words < least and frame_bytes:
            needed = -(-MIN_SLOTS * (8 * least + words_at + 2 * _PAGE) >> 20)
            raise SlabError(
                f"packed frames of {frame_bytes} bytes need [slab] mib of at least "
                f"{needed}; it is {slab_bytes >> 20}"
            )
        stride = _up(words_at + 8 * words, _PAGE)
        return cls(slab_bytes // stride, capacity, stride, words_at, words)


def batch_at(slab: Slab, header: Mapping[str, Any]) -> AnyBatch:
    """Return the batch of a BATCH header of our own; its arrays lie in the slab."""
    n, epoch, dtype = header["n"], header["epoch"], np.dtype(header["dtype"])
    index_at, timestamp_at, payload_at = header["slab"]
    index = slab.view(index_at, (n,), "<i8")
    timestamp_ns = slab.view(timestamp_at, (n,), "<i8")
    height, width = header["shape"]
    if header["events"] is None:
        pixels = slab.view(payload_at, (n, height, width), dtype)
        return Batch(pixels, index, timestamp_ns, epoch)
    words = slab.view(payload_at, (header["events"],), "<u8")
    kind = PackedBatch if header["encoding"] == "packed" else EventBatch
    return kind(words, index, timestamp_ns, (height, width), dtype, epoch)


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

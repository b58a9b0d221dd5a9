"""Frames that travel as the detector has packed them, and are unpacked where needed.

A detector that compresses in hardware sends a fifth of its pixels or less. Frames that
stay packed cost its adapter nearly nothing; each worker unpacks what it gets, or sums
it as it is. The words of a batch of n frames are::

    n words      for each frame: where it begins, in words; bit 63: it is not packed
    frame 0 …    a packed frame (`scopeside.bitshuffle`), or its pixels; filled up to
                 a whole number of words
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.batch import Array, Batch, IntArray
from scopeside.errors import ShapeError
from scopeside.events import EventBatch, warm

Words = npt.NDArray[np.uint64]

PLAIN = np.uint64(1 << 63)
"""Marks the place of a frame that is there pixel by pixel."""
PORTION_BYTES = 1 << 20
"""Frames are unpacked in portions of this size, or of one frame."""


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Packed frames that are consecutive in arrival.

    Attributes
    ----------
    words
        (m,) uint64, see the module. In a live chain a read-only view of shared memory.
    index, timestamp_ns
        (n,) int64, as in a `Batch`.
    frame_shape, dtype
        (height, width) and pixels of the frames, integers of 1, 2 or 4 bytes.
    epoch
        How often the adapter has been started before this batch.
    shared
        As in a `Batch`.
    """

    words: Words
    index: IntArray
    timestamp_ns: IntArray
    frame_shape: tuple[int, int]
    dtype: np.dtype[Any]
    epoch: int = 0
    shared: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        n = len(self.index)
        if self.words.ndim != 1 or self.words.dtype != np.uint64:
            raise ShapeError(
                f"packed frames are (m,) uint64, not {self.words.shape} "
                f"{self.words.dtype}"
            )
        if self.index.shape != (n,) or self.timestamp_ns.shape != (n,):
            raise ShapeError(
                f"frames need as many indices as time stamps, not {self.index.shape} "
                f"and {self.timestamp_ns.shape}"
            )
        if not in_order(self.words, n):
            raise ShapeError(f"the table of {n} packed frames is not in order")

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.index)

    @property
    def starts(self) -> IntArray:
        """Where each frame begins, (n,) int64, words."""
        return (self.words[: len(self)] & ~PLAIN).astype(np.int64)

    @property
    def plain(self) -> npt.NDArray[np.bool_]:
        """Whether each frame is there pixel by pixel, (n,)."""
        marks: npt.NDArray[np.bool_] = (self.words[: len(self)] & PLAIN) != 0
        return marks

    @property
    def data(self) -> npt.NDArray[np.uint8]:
        """All bytes, (8 m,)."""
        return self.words.view(np.uint8)

    @property
    def bounds(self) -> IntArray:
        """Where in `data` frames begin, and where the last ends, (n + 1,) int64."""
        return 8 * np.append(self.starts, len(self.words))

    def dense(self, first: int = 0, stop: int | None = None) -> Batch:
        """Return frames `first` up to but not including `stop`, unpacked.

        Raises
        ------
        ShapeError
            If one is not what it is said to be; the message names it.
        """
        start, stop, _ = slice(first, stop).indices(len(self))
        room = np.empty((max(0, stop - start), *self.frame_shape), self.dtype)
        return _unpacked(self, start, room)

    def portions(self, at_most: int = PORTION_BYTES) -> Iterator[tuple[Self, Batch]]:
        """Yield a few frames at a time, packed and unpacked.

        They are as many as fit `at_most` bytes, or one. Each portion takes the memory
        of the frames before: copy what must outlive it.
        """
        height, width = self.frame_shape
        n = max(1, at_most // (height * width * self.dtype.itemsize))
        room = np.empty((min(n, len(self)), height, width), self.dtype)
        for piece in self.cut(n):
            yield piece, _unpacked(piece, 0, room[: len(piece)])

    def cut(self, frames: int) -> Iterator[Self]:
        """Yield the batch in pieces of so many frames."""
        if len(self) <= frames:
            yield self
            return
        for first in range(0, len(self), frames):
            yield self._piece(first, min(first + frames, len(self)))

    def _piece(self, first: int, stop: int) -> Self:
        n, bounds = stop - first, self.bounds // 8
        words = np.empty(n + bounds[stop] - bounds[first], np.uint64)
        words[:n] = self.words[first:stop] - np.uint64(bounds[first]) + np.uint64(n)
        words[n:] = self.words[bounds[first] : bounds[stop]]
        return replace(
            self,
            words=words,
            index=self.index[first:stop],
            timestamp_ns=self.timestamp_ns[first:stop],
            shared={},
        )


def _unpacked(packed: PackedBatch, first: int, room: Array) -> Batch:
    """Return the frames from `first` on as a batch, made in all of `room`."""
    from scopeside import unpacking as kernels  # noqa: PLC0415 - numba takes a second

    wrong = kernels.unpack(packed, first, room)
    if wrong >= 0:
        raise ShapeError(
            f"frame {packed.index[wrong]} is no packed frame of "
            f"{packed.frame_shape} {packed.dtype}"
        )
    pixels = room.view()
    pixels.flags.writeable = False
    part = slice(first, first + len(room))
    return Batch(pixels, packed.index[part], packed.timestamp_ns[part], packed.epoch)


def pack_frames(
    frames: Array, index: IntArray | None = None, timestamp_ns: IntArray | None = None
) -> PackedBatch:
    """Return ``frames (n, height, width)`` packed; for tests and simulators.

    They become no smaller: nothing that repeats is sought (`bitshuffle.pack_frame`).
    """
    from scopeside.bitshuffle import pack_frame  # noqa: PLC0415 - numba takes a second

    n = len(frames)
    count = np.arange(n, dtype=np.int64)
    table, chunks, at = np.zeros(n, np.uint64), [np.empty(0, np.uint64)], n
    for k, frame in enumerate(frames):
        blob = pack_frame(frame)
        chunks.append(np.frombuffer(blob + bytes(-len(blob) % 8), np.uint64))
        table[k] = at
        at += len(chunks[-1])
    return PackedBatch(
        np.concatenate([table, *chunks]),
        count if index is None else index,
        count if timestamp_ns is None else timestamp_ns,
        (frames.shape[1], frames.shape[2]),
        frames.dtype,
    )


AnyBatch = Batch | EventBatch | PackedBatch
SparseBatch = EventBatch | PackedBatch
"""Frames that are not there pixel by pixel."""


def warm_sparse(acquisition: Acquisition) -> None:
    """Compile (or load from the cache) what makes frames of events or packed ones."""
    from scopeside import unpacking  # noqa: PLC0415 - numba takes a second

    if acquisition.encoding == "events":
        warm(acquisition.dtype)
    else:
        unpacking.warm()


def in_order(words: Words, frames: int) -> bool:
    """Return whether the table of so many frames leads into `words` and onwards."""
    starts = (words[:frames] & ~PLAIN).astype(np.int64)
    if len(starts) < frames or not frames:
        return len(starts) == frames
    ascending = bool((np.diff(starts) >= 0).all())
    return ascending and starts[0] >= frames and starts[-1] <= len(words)

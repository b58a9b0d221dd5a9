"""Events that travel together: frames of a detector that sends only what it counted.

One event is one word of 64 bits::

    63..40  place    which of the n frames of its batch, below n
    39..24  value    1 for a hit, or its time over threshold, or a count
    23..0   address  flat index of the pixel, row * width + column

Where every probe position is a frame, virtual images are summed straight from the
words, and no frame is ever made. For a processor that wants frames, the chain makes
them, a few at a time (`EventBatch.portions`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scopeside.batch import Array, Batch, IntArray
from scopeside.errors import ShapeError

Words = npt.NDArray[np.uint64]

MAX_PLACE = (1 << 24) - 1
MAX_VALUE = (1 << 16) - 1
MAX_ADDRESS = (1 << 24) - 1
PORTION_BYTES = 1 << 20
"""Frames are made from events in portions of this size, or of one frame."""

_PLACE, _VALUE = np.uint64(40), np.uint64(24)


def pack_events(
    place: npt.ArrayLike, value: npt.ArrayLike, address: npt.ArrayLike
) -> Words:
    """Return one word for each event; the three are broadcast against each other.

    Raises
    ------
    ShapeError
        If a number does not fit: place and address have 24 bits, value has 16.
    """
    parts = []
    for name, given, most in (
        ("place", place, MAX_PLACE),
        ("value", value, MAX_VALUE),
        ("address", address, MAX_ADDRESS),
    ):
        numbers = np.asarray(given)
        if numbers.size and (numbers.min() < 0 or numbers.max() > most):
            raise ShapeError(
                f"the {name} of an event is 0 to {most}, not {numbers.min()} to "
                f"{numbers.max()}"
            )
        parts.append(numbers.astype(np.uint64))
    words: Words = (parts[0] << _PLACE) | (parts[1] << _VALUE) | parts[2]
    return words


@dataclass(frozen=True, slots=True)
class EventBatch:
    """The events of frames that are consecutive in arrival.

    Attributes
    ----------
    words
        (m,) uint64, one for each event (see the module), in no particular order. In a
        live chain a read-only view of shared memory: copy what must outlive
        `TakesEvents.process_events`.
    index
        (n,) int64, ascending: the detector's own count of the frame, from 0; in a
        scan that of the probe position. A frame without events is a frame all the
        same.
    timestamp_ns
        (n,) int64, nanoseconds since 1970 UTC.
    frame_shape, dtype
        (height, width) and the pixels, integers, that frames made of it have.
    epoch
        How often the adapter has been started before this batch.
    """

    words: Words
    index: IntArray
    timestamp_ns: IntArray
    frame_shape: tuple[int, int]
    dtype: np.dtype[Any]
    epoch: int = 0

    def __post_init__(self) -> None:
        if self.words.ndim != 1 or self.words.dtype != np.uint64:
            raise ShapeError(
                f"events are (m,) uint64, not {self.words.shape} {self.words.dtype}"
            )
        n = len(self.index)
        if self.index.shape != (n,) or self.timestamp_ns.shape != (n,):
            raise ShapeError(
                f"frames need as many indices as time stamps, not {self.index.shape} "
                f"and {self.timestamp_ns.shape}"
            )

    def __len__(self) -> int:
        """Return the number of frames, not of events."""
        return len(self.index)

    @property
    def place(self) -> IntArray:
        """Which frame of the batch each event is of, (m,) int64."""
        return (self.words >> _PLACE).astype(np.int64)

    @property
    def value(self) -> IntArray:
        """What each event counts, (m,) int64."""
        return ((self.words >> _VALUE) & np.uint64(MAX_VALUE)).astype(np.int64)

    @property
    def address(self) -> IntArray:
        """The flat pixel index of each event, (m,) int64."""
        return (self.words & np.uint64(MAX_ADDRESS)).astype(np.int64)

    def with_words(self, words: Words) -> Self:
        """Return the same frames with other events, as a filter does."""
        return replace(self, words=words)

    def cut(self, frames: int) -> Iterator[Self]:
        """Yield the batch in pieces of so many frames.

        The events of a frame stay in the order in which they are here.
        """
        from scopeside import words as kernels  # noqa: PLC0415 - numba takes a second

        n = len(self)
        if n <= frames:
            yield self
            return
        starts, ordered = np.empty(n + 1, np.int64), np.empty_like(self.words)
        kernels.sort(kernels.as_read(self.words), starts, ordered)
        for first in range(0, n, frames):
            stop = min(first + frames, n)
            events = ordered[starts[first] : starts[stop]]
            yield replace(
                self,
                words=events - (np.uint64(first) << _PLACE),
                index=self.index[first:stop],
                timestamp_ns=self.timestamp_ns[first:stop],
            )

    def dense(self, first: int = 0, stop: int | None = None) -> Batch:
        """Return frames `first` up to but not including `stop`, counted in this batch.

        Each pixel is the sum of its events, and at most what `dtype` can hold.
        """
        start, stop, _ = slice(first, stop).indices(len(self))
        room = np.empty((max(0, stop - start), *self.frame_shape), self.dtype)
        return _frames_of(self, start, room)

    def portions(self, at_most: int = PORTION_BYTES) -> Iterator[tuple[Self, Batch]]:
        """Yield a few frames at a time, as events and made of them.

        They are as many as fit `at_most` bytes, or one. Each portion takes the memory
        of the frames before: copy what must outlive it.
        """
        height, width = self.frame_shape
        n = max(1, at_most // (height * width * self.dtype.itemsize))
        room = np.empty((min(n, len(self)), height, width), self.dtype)
        for piece in self.cut(n):
            yield piece, _frames_of(piece, 0, room[: len(piece)])


def _frames_of(events: EventBatch, first: int, room: Array) -> Batch:
    """Return the frames from `first` on as a batch, made in all of `room`."""
    from scopeside import words as kernels  # noqa: PLC0415 - numba takes a second

    room[...] = 0
    flat = room.reshape(len(room), events.frame_shape[0] * events.frame_shape[1])
    most = min(int(np.iinfo(events.dtype).max), (1 << 63) - 1)
    kernels.fill(kernels.as_read(events.words), first, flat, most)
    pixels = room.view()
    pixels.flags.writeable = False
    part = slice(first, first + len(room))
    return Batch(pixels, events.index[part], events.timestamp_ns[part], events.epoch)


def keep_good(words: Words, frames: int, pixels: int) -> int:
    """Move the events of so many frames of so many pixels to the front of `words`.

    Returns how many they are; what lies behind them is of no use any more. Where none
    lies outside, as nearly always, nothing is written and a word takes 0.3 ns.
    """
    from scopeside import words as kernels  # noqa: PLC0415 - numba takes a second

    if not kernels.bad(kernels.as_read(words), frames, pixels):
        return len(words)
    return int(kernels.keep_good(words, frames, pixels))


def renumber(words: Words, place: IntArray) -> int:
    """Give the events of each frame k the place ``place[k]``; leave out those below 0.

    Those that stay are moved to the front of `words`; returns how many they are.
    """
    from scopeside import words as kernels  # noqa: PLC0415 - numba takes a second

    return int(kernels.renumber(words, place))


def warm(dtype: npt.DTypeLike) -> None:
    """Compile what events of `dtype` need; for the `prepare` of a detector."""
    from scopeside import words as kernels  # noqa: PLC0415 - numba takes a second

    kernels.warm(np.dtype(dtype))

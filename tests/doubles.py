"""Doubles that stand in for parts of the engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.detector import EndState, Slot, StopRequested
from scopeside.events import EventBatch, pack_events
from scopeside.packed import AnyBatch, PackedBatch

_STALE = 0xA5  # what a slot holds before it is filled: never a plausible frame


class MemorySlot:
    """Room for a batch in plain memory, filled with rubbish before use."""

    def __init__(self, capacity: int, acquisition: Acquisition, words: int) -> None:
        height, width = acquisition.frame_shape
        dtype = acquisition.dtype
        self.acquisition = acquisition
        frames = capacity if acquisition.encoding == "frames" else 0
        words = words if acquisition.encoding != "frames" else 0
        stale = np.full(frames * height * width * dtype.itemsize, _STALE, np.uint8)
        self.pixels: npt.NDArray[Any] = stale.view(dtype).reshape(-1, height, width)
        self.words: npt.NDArray[np.uint64] = np.full(8 * words, _STALE, np.uint8).view(
            np.uint64
        )
        self.index: npt.NDArray[Any] = np.full(capacity, -1, np.int64)
        self.timestamp_ns: npt.NDArray[Any] = np.full(capacity, -1, np.int64)
        self.committed: int | None = None
        self.batch: AnyBatch | None = None

    @property
    def capacity(self) -> int:
        """Number of frames that fit."""
        return len(self.index)

    def commit(self, n: int, *, words: int = 0) -> None:
        """Keep a copy of the first `n` frames; a slot is committed only once."""
        assert self.committed is None, "a slot was committed twice"
        assert 1 <= n <= self.capacity, f"commit({n}) of {self.capacity} frames"
        assert 0 <= words <= len(self.words), f"{words} of {len(self.words)} words"
        self.committed = n
        index, timestamp_ns = self.index[:n].copy(), self.timestamp_ns[:n].copy()
        about = self.acquisition
        if about.encoding == "frames":
            self.batch = Batch(self.pixels[:n].copy(), index, timestamp_ns)
            return
        if about.encoding == "packed":
            self.batch = PackedBatch(
                self.words[:words].copy(),
                index,
                timestamp_ns,
                about.frame_shape,
                about.dtype,
            )
            return
        events = EventBatch(
            self.words[:words].copy(),
            index,
            timestamp_ns,
            about.frame_shape,
            about.dtype,
        )
        height, width = about.frame_shape
        assert (events.place < n).all(), "an event lies outside of the frames"
        assert (events.address < height * width).all(), "an event lies outside of them"
        self.batch = events


class MemorySink:
    """A `Sink` that keeps everything, for tests of detectors without an engine.

    Parameters
    ----------
    capacity
        Frames in a slot, unless the detector asks for fewer.
    words
        Events in a slot.
    stop_after_batches
        Once so many batches have come, `stopping` is true and the next request
        for room, or the next acquisition, raises `StopRequested`.
    full
        `try_slot` always answers None, as a full slab does.

    Attributes
    ----------
    acquisitions, batches, gaps, rejects, ends, notes
        What the detector said, in order: `Acquisition`, `Batch` or `EventBatch`
        (copies), (first, last, cause), (n, cause, message), (state, reason, total),
        text.
    batches_of
        The batches of each acquisition, one list for each `start`.
    stopping
        May be set by a test to ask the detector to end.
    """

    def __init__(
        self,
        *,
        capacity: int = 8,
        words: int = 4096,
        stop_after_batches: int | None = None,
        full: bool = False,
    ) -> None:
        self.acquisitions: list[Acquisition] = []
        self.batches: list[AnyBatch] = []
        self.batches_of: list[list[AnyBatch]] = []
        self.gaps: list[tuple[int, int, str]] = []
        self.rejects: list[tuple[int, str, str]] = []
        self.ends: list[tuple[EndState, str, int | None]] = []
        self.notes: list[str] = []
        self.changes: list[tuple[int, dict[str, Any]]] = []
        self.stopping = stop_after_batches == 0
        self.max_latency_s = 0.002
        self.slots_lent = 0
        self.slots_unused = 0
        self._capacity = capacity
        self._words = words
        self._stop_after = stop_after_batches
        self._full = full
        self._open: Acquisition | None = None
        self._batch_frames: int | None = None
        self._batch_bytes = 0
        self._slot_is_out = False

    def start(
        self,
        acquisition: Acquisition,
        *,
        batch_frames: int | None = None,
        batch_bytes: int = 0,
    ) -> None:
        """Begin an acquisition; the one before must have ended."""
        self._raise_if_stopping()
        assert self._open is None, "an acquisition began before the last one ended"
        assert batch_frames is None or batch_frames >= 1
        self._open = acquisition
        self._batch_frames = batch_frames
        self._batch_bytes = batch_bytes
        self.acquisitions.append(acquisition)
        self.batches_of.append([])

    def slot(self) -> AbstractContextManager[Slot]:
        """Lend fresh room for a batch."""
        self._raise_if_stopping()
        assert self._open is not None, "a slot was asked for outside an acquisition"
        return self._lend(self._open)

    def try_slot(self) -> AbstractContextManager[Slot] | None:
        """Lend fresh room for a batch, or None if the sink is `full`."""
        return None if self._full else self.slot()

    def gap(self, first: int, last: int, cause: str) -> None:
        """Keep a gap."""
        assert first <= last, f"a gap from {first} to {last}"
        self.gaps.append((first, last, cause))

    def reject(self, n: int, cause: str, message: str) -> None:
        """Keep a reject."""
        self.rejects.append((n, cause, message))

    def end(
        self,
        state: EndState = "complete",
        reason: str = "",
        total: int | None = None,
    ) -> None:
        """Keep how the acquisition ended."""
        assert self._open is not None, "what has not begun cannot end"
        assert not self._slot_is_out, "an acquisition ended while a slot was lent"
        self._open = None
        self.ends.append((state, reason, total))

    def new_id(self) -> str:
        """Return acquisition-0, acquisition-1 …"""
        return f"acquisition-{len(self.acquisitions)}"

    def note(self, message: str) -> None:
        """Keep a note."""
        self.notes.append(message)

    def change(self, values: Mapping[str, Any]) -> None:
        """Keep a change of parameters, and how many batches came before it."""
        self.changes.append((len(self.batches), dict(values)))

    def frames(self, acquisition: int = 0) -> Batch:
        """Return all frames of one acquisition as one batch."""
        batches = self.batches_of[acquisition]
        return Batch(
            np.concatenate([batch.pixels for batch in batches]),
            np.concatenate([batch.index for batch in batches]),
            np.concatenate([batch.timestamp_ns for batch in batches]),
        )

    def events(self, acquisition: int = 0) -> EventBatch:
        """Return all events of one acquisition as one batch."""
        batches = self.batches_of[acquisition]
        first = np.cumsum([0, *map(len, batches)])
        words = [
            pack_events(batch.place + before, batch.value, batch.address)
            for before, batch in zip(first, batches, strict=False)
        ]
        about = self.acquisitions[acquisition]
        return EventBatch(
            np.concatenate([np.empty(0, np.uint64), *words]),
            np.concatenate([np.empty(0, np.int64), *(b.index for b in batches)]),
            np.concatenate([np.empty(0, np.int64), *(b.timestamp_ns for b in batches)]),
            about.frame_shape,
            about.dtype,
        )

    def _raise_if_stopping(self) -> None:
        if self.stopping:
            raise StopRequested

    @contextmanager
    def _lend(self, acquisition: Acquisition) -> Iterator[MemorySlot]:
        assert not self._slot_is_out, "a second slot was asked for while one was lent"
        room = max(self._capacity, self._batch_bytes // acquisition.frame_bytes)
        capacity = min(room, self._batch_frames or self._capacity)
        words = max(self._words, self._batch_bytes // 8)
        slot = MemorySlot(capacity, acquisition, words)
        self._slot_is_out = True
        self.slots_lent += 1
        try:
            yield slot
        finally:
            self._slot_is_out = False
            self._keep(slot)

    def _keep(self, slot: MemorySlot) -> None:
        if slot.batch is None:
            self.slots_unused += 1
            return
        self.batches.append(slot.batch)
        self.batches_of[-1].append(slot.batch)
        if self._stop_after is not None and len(self.batches) >= self._stop_after:
            self.stopping = True

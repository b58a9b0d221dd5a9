"""The frames of a run as one dense array, read piece by piece in order of place.

Nothing of the pixels is kept: a batch lies in its file, and events or packed frames are
made dense as far as they are asked for. An export needs about 100 bytes of memory for
each frame, for its number, its time and where it lies.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.batch import Array, Batch
from scopeside.errors import ConfigError, RunError, ShapeError
from scopeside.export.places import IntArray, Places, list_of, places_of
from scopeside.packed import AnyBatch
from scopeside.runs.run import Run
from scopeside.wire import Kind

_OPEN_BATCHES = 256
"""So many batches that were checked are held open; they lie in the file."""


class RunFrames:
    """Frames of a run in order of place.

    Attributes
    ----------
    run, acquisition
        What is read.
    places
        Navigation shape, and the frame of each place.
    index, times_ns
        (n,) int64: frame and time stamp (ns since 1970 UTC) of each place; -1 where the
        frame is absent.
    present
        (n,) bool: whether the frame of each place is there. It is final when all
        frames have been read: one that is found damaged is absent.
    whole
        Whether no part was asked for.
    unplaced
        Recorded frames that have no place, such as those of fly-back.
    repeated
        Frames that were recorded again; the first record counts.
    damaged
        Why records cannot be used.
    """

    def __init__(
        self,
        run: Run,
        *,
        frames: tuple[int | None, int | None] | None = None,
        skip_absent: bool = False,
    ) -> None:
        self.run = run
        self.acquisition: Acquisition = run.acquisition
        self.whole = frames is None
        self.damaged: list[str] = []
        self._entries = run.batch_entries
        found = _Index(run, self._entries)
        self.repeated = found.repeated
        self.damaged += found.damaged
        if not len(found.index):
            raise ConfigError(f"{run.folder} holds no frames yet")
        self._gaps: list[tuple[int, int, str]] = []
        self.places = _places(
            run.acquisition,
            found.index,
            max(self._told(), int(found.index[-1]) + 1),
            frames,
            skip_absent=skip_absent,
        )
        at = np.searchsorted(found.index, self.places.frame)
        at = np.minimum(at, len(found.index) - 1)
        self.present: npt.NDArray[np.bool_] = found.index[at] == self.places.frame
        self._entry = np.where(self.present, found.entry[at], -1)
        self._offset = found.offset[at]
        self.index = np.where(self.present, self.places.frame, -1)
        self.times_ns = np.where(self.present, found.times_ns[at], -1)
        self.unplaced = len(found.index) - int(self.present.sum())
        self._open: OrderedDict[int, AnyBatch] = OrderedDict()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole: navigation axes, then (height, width)."""
        return (*self.places.shape, *self.acquisition.frame_shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels, little endian."""
        return self.acquisition.dtype

    @property
    def nbytes(self) -> int:
        """Size of all pixels, not compressed."""
        return len(self.places) * self.acquisition.frame_bytes

    @property
    def fill(self) -> float | int:
        """What stands in for a frame that is absent: NaN, or 0 in whole numbers."""
        return float("nan") if self.dtype.kind == "f" else 0

    @property
    def absent(self) -> IntArray:
        """Runs [first, last] of flat places whose frame is absent, (m, 2)."""
        return runs_of(np.flatnonzero(~self.present))

    @property
    def absent_by_cause(self) -> dict[str, int]:
        """How many frames are absent, by the cause that the run has declared.

        ``not_recorded``: it has declared none, as where the detector was stopped.
        """
        frame = np.sort(self.places.frame[~self.present])
        counts: dict[str, int] = {}
        for first, last, cause in self._gaps:
            low, high = np.searchsorted(frame, [first, last + 1])
            if high > low:
                counts[cause] = counts.get(cause, 0) + int(high - low)
        rest = len(frame) - sum(counts.values())
        return {**counts, **({"not_recorded": rest} if rest > 0 else {})}

    def blocks(self, frames: int) -> Iterator[tuple[int, Array]]:
        """Yield all frames: (first flat place, (n, height, width)).

        A block has at most so many frames and lies in one row of the last navigation
        axis. Each takes the memory of the block before.
        """
        row = self.places.shape[-1]
        room = np.empty((min(frames, row), *self.acquisition.frame_shape), self.dtype)
        for first in range(0, len(self.places), row):
            for at in range(first, first + row, frames):
                part = room[: min(frames, first + row - at)]
                self.read(at, part)
                yield at, part

    def read(self, first: int, out: Array) -> None:
        """Fill `out` (n, height, width) with the frames of the places from `first`."""
        stop = first + len(out)
        for begin, end in self._pieces(first, stop):
            part = out[begin - first : end - first]
            if self._entry[begin] < 0 or not self._copy(begin, end, part):
                part[...] = self.fill

    def _pieces(self, first: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield [begin, end) of places that one stretch of one batch serves."""
        entry, offset = self._entry[first:stop], self._offset[first:stop]
        absent = entry < 0
        cut = np.diff(entry) != 0
        cut |= ~absent[1:] & (np.abs(np.diff(offset)) != 1)
        edges = [first, *(np.flatnonzero(cut) + first + 1).tolist(), stop]
        yield from pairwise(edges)

    def _copy(self, begin: int, end: int, out: Array) -> bool:
        """Copy the frames of places that one batch serves; False if it is damaged."""
        offset = self._offset[begin:end]
        low, high = int(offset.min()), int(offset.max()) + 1
        try:
            batch = self._batch(int(self._entry[begin]))
            if isinstance(batch, Batch):
                out[...] = batch.pixels[offset]
            else:
                out[...] = batch.dense(low, high).pixels[offset - low]
        except (RunError, ShapeError) as error:
            self._mark(int(self._entry[begin]), error)
            return False
        return True

    def _batch(self, number: int) -> AnyBatch:
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        batch = self.run.batch(self._entries[number])
        self._check(batch, number)
        self._open[number] = batch
        if len(self._open) > _OPEN_BATCHES:
            self._open.popitem(last=False)
        return batch

    def _check(self, batch: AnyBatch, number: int) -> None:
        """Refuse frames of another kind than those that the run is said to have."""
        if isinstance(batch, Batch):
            found = batch.pixels.shape[1:], batch.pixels.dtype
        else:
            found = batch.frame_shape, batch.dtype
        expected = self.acquisition.frame_shape, self.acquisition.dtype
        if found != expected:
            raise RunError(
                f"record {self._entries[number]['record']} has frames of {found[0]} "
                f"{found[1]}, and the run has {expected[0]} {expected[1]}"
            )

    def _told(self) -> int:
        """Return how many frames the detector is known to have had; take in the gaps.

        What is damaged says nothing.
        """
        total = 0
        entries = self.run.entries
        for entry in entries[np.isin(entries["kind"], (Kind.END, Kind.GAP))]:
            try:
                message = self.run.message(entry)
            except RunError as error:
                self.damaged.append(str(error))
                continue
            if message.kind is Kind.END:
                said = message.header.get("total")
                total = max(total, said) if type(said) is int else total
            else:
                first, last = int(entry["first"]), int(entry["last"])
                cause = str(message.header.get("cause", "unknown"))
                self._gaps.append((first, last, cause))
                total = max(total, last + 1)
        return total

    def _mark(self, number: int, error: Exception) -> None:
        """Count all frames of a batch that cannot be read as absent."""
        lost = self._entry == number
        self.present[lost] = False
        self.index[lost] = self.times_ns[lost] = self._entry[lost] = -1
        self.damaged.append(f"{error} ({int(lost.sum())} frames)")


class _Index:
    """Where each frame lies; ascending by frame, the first record of each."""

    def __init__(self, run: Run, entries: npt.NDArray[np.void]) -> None:
        self.damaged: list[str] = []
        # Pixels are checked when they are read; here only numbers and times are.
        with Run(run.folder, verify=False) as quick:
            parts = [self._of(quick, k, entry) for k, entry in enumerate(entries)]
        empty = np.empty(0, np.int64)
        columns = [
            np.concatenate([empty, *(part[k] for part in parts)]) for k in range(4)
        ]
        self.index, first = np.unique(columns[0], return_index=True)
        self.times_ns, self.entry, self.offset = (one[first] for one in columns[1:])
        self.repeated = len(columns[0]) - len(first)

    def _of(self, run: Run, number: int, entry: Any) -> tuple[IntArray, ...]:
        try:
            batch = run.batch(entry)
        except (RunError, ShapeError) as error:
            self.damaged.append(f"{error} ({int(entry['n'])} frames)")
            none = np.empty(0, np.int64)
            return none, none, none, none
        n = len(batch)
        # Copies: what lies in the file would hold it open.
        return (
            batch.index.astype(np.int64),
            batch.timestamp_ns.astype(np.int64),
            np.full(n, number, np.int64),
            np.arange(n),
        )


def runs_of(ascending: IntArray) -> IntArray:
    """Return whole numbers in ascending order as runs [first, last], (m, 2)."""
    if not len(ascending):
        return np.empty((0, 2), np.int64)
    cut = np.flatnonzero(np.diff(ascending) != 1)
    first = np.concatenate([[0], cut + 1])
    last = np.concatenate([cut, [len(ascending) - 1]])
    return np.stack([ascending[first], ascending[last]], axis=1)


def _places(
    acquisition: Acquisition,
    recorded: IntArray,
    total: int,
    frames: tuple[int | None, int | None] | None,
    *,
    skip_absent: bool,
) -> Places:
    """Return the places of all `total` frames, or of those that were recorded."""
    if not skip_absent:
        return places_of(acquisition, total, frames)
    start, stop, _ = slice(*(frames or (None, None))).indices(total)
    kept = recorded[(recorded >= start) & (recorded < stop)]
    if not len(kept):
        raise ConfigError(f"--frames leaves none of the {len(recorded)} frames")
    return list_of(acquisition, kept)

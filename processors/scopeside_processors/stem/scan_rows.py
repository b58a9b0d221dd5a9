"""Frames put together to whole rows of a scan, for what is computed row by row.

A row is closed when all its frames are there, when a later one is, when a third one
begins, or with the last frame of the scan. What is missing then counts as missing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside_processors.kernels import ssb as kernels
from scopeside_processors.stem.overlaps import Cells
from scopeside_processors.stem.values import NOT_SEEN

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

REASONS = (
    "the frame is missing",
    "no counts in the bright field",
    "a pixel of the bright field is saturated",
    "a pixel of the bright field is no number",
)
MISSING, EMPTY, SATURATED, NAN = 1, 2, 3, 4
"""What stands for each of `REASONS`."""
SURELY_LIT = 20.0
"""Counts of the mean frame of a row from which on one without any is a failure: by
chance it would be one of e^20 frames."""
_MOST_OPEN = 2


@dataclass(slots=True, eq=False)
class Row:
    """A row of the scan.

    Attributes
    ----------
    number
        Of all rows of all scans.
    pixels
        (columns, 1 + cells) float32; column 0 is 0.
    totals
        (columns,) float64, counts in all cells.
    flags
        (columns,) uint8: 0, one of `REASONS` from 1 on, or `NOT_SEEN`.
    first, last
        The frames it stands on; -1 before there is one.
    final
        Whether the scan ends with it.
    """

    number: int
    pixels: npt.NDArray[np.float32]
    totals: FloatArray
    flags: npt.NDArray[np.uint8]
    first: int = -1
    last: int = -1
    final: bool = False


class ScanRows:
    """The rows that are open, and what fell beside them.

    Attributes
    ----------
    outside, late
        Number of frames without a position; of those whose row was closed.
    """

    def __init__(self, acquisition: Acquisition, cells: Cells) -> None:
        assert acquisition.scan is not None
        self._scan = acquisition.scan
        self._cells = cells
        # numba has no floats of 2 bytes.
        self._halves = acquisition.dtype == np.float16
        dtype = np.dtype(np.float32) if self._halves else acquisition.dtype
        full: Any = np.inf if dtype.kind == "f" else np.iinfo(str(dtype)).max
        self._most = dtype.type(full)
        self._open: dict[int, Row] = {}
        self._spare: list[Row] = []
        self._closed = -1
        self.outside = self.late = 0
        rows, columns = self._scan.shape
        last = self._scan.offset + (rows - 1) * self._scan.line_frames + columns - 1
        self._end = int(self._scan.position_of(np.array([last]))[0])

    def take(self, batch: Batch) -> Iterator[Row]:
        """Yield the rows that `batch` closes, in order; each is valid until the next.

        Which frames came before a row is closed depends on their order alone.
        """
        _, columns = self._scan.shape
        places = self._scan.position_of(batch.index)
        number = np.where(places < 0, -1, places // columns)
        ends = places % self._scan.positions == self._end
        breaks = (np.diff(number) != 0) | ends[:-1]
        edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(places)]
        for first, stop in itertools.pairwise(edges):
            if first < stop:
                part = slice(first, stop)
                yield from self._segment(
                    int(number[first]),
                    batch.pixels[part],
                    batch.index[part],
                    places[part] % columns,
                    end=bool(ends[stop - 1] and places[stop - 1] >= 0),
                )

    def _segment(
        self,
        number: int,
        frames: npt.NDArray[Any],
        index: IntArray,
        columns: IntArray,
        *,
        end: bool,
    ) -> Iterator[Row]:
        """Take frames of one row; `end`: the last of them is the scan's last."""
        if number < 0:
            self.outside += len(frames)
            return
        if number <= self._closed:
            self.late += len(frames)
            return
        row = self._open.get(number) or self._begin(number)
        self._fill(row, frames, index, columns)
        if end or not (row.flags == NOT_SEEN).any():
            row.final = end
            yield from self._close(number)
        elif len(self._open) > _MOST_OPEN:
            yield from self._close(min(self._open))

    def _begin(self, number: int) -> Row:
        if self._spare:
            row = self._spare.pop()
            row.number, row.first, row.last, row.final = number, -1, -1, False
        else:
            columns = self._scan.shape[1]
            row = Row(
                number,
                np.zeros((columns, 1 + self._cells.count), np.float32),
                np.zeros(columns),
                np.empty(columns, np.uint8),
            )
        row.flags[:] = NOT_SEEN
        row.totals[:] = 0
        self._open[number] = row
        return row

    def _fill(
        self, row: Row, frames: npt.NDArray[Any], index: IntArray, columns: IntArray
    ) -> None:
        cells = self._cells
        if self._halves:
            frames = frames.astype(np.float32)
        kernels.gather(
            frames,
            columns,
            cells.rows,
            cells.origin,
            cells.side,
            self._most,
            row.pixels,
            row.totals,
            row.flags,
        )
        found = row.flags[columns]
        row.flags[columns] = np.where(found > 0, found + SATURATED - 1, 0)
        row.first = int(min(index.min(), row.first if row.first >= 0 else index[0]))
        row.last = int(max(index.max(), row.last))

    def _close(self, number: int) -> Iterator[Row]:
        """Yield the open rows up to `number`."""
        for each in sorted(n for n in self._open if n <= number):
            row = self._open.pop(each)
            good = row.flags == 0
            mean = row.totals[good].mean() if good.any() else 0.0
            if mean >= SURELY_LIT:
                row.flags[good & (row.totals <= 0)] = EMPTY
            row.flags[row.flags == NOT_SEEN] = MISSING
            self._closed = each
            yield row
            self._spare.append(row)

    def snapshot(self) -> dict[str, Any]:
        """Return all that is known, for `scopeside.state.pack`: only what was seen."""
        rows = []
        for row in self._open.values():
            seen = np.flatnonzero(row.flags != NOT_SEEN)
            rows.append(
                {
                    "number": row.number,
                    "seen": seen,
                    "pixels": row.pixels[seen],
                    "totals": row.totals[seen],
                    "flags": row.flags[seen],
                    "frames": [row.first, row.last],
                }
            )
        return {"rows": rows, "counts": [self._closed, self.outside, self.late]}

    def restore(self, found: dict[str, Any]) -> None:
        """Take over what `snapshot` gave; only on a new object."""
        self._closed, self.outside, self.late = found["counts"]
        for each in found["rows"]:
            row = self._begin(each["number"])
            seen = each["seen"]
            row.pixels[seen] = each["pixels"]
            row.totals[seen] = each["totals"]
            row.flags[seen] = each["flags"]
            row.first, row.last = each["frames"]

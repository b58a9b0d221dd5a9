"""Values of single frames, which an image of the scan or a series is made of.

They are handed over sparse, so that a worker's share is small, and looked at dense:
whoever merges looks after every few frames, and draws only what is new.

A frame that was seen may still have no value: it holds no counts, or too few disks. It
is *flagged* with the reason. Results are then invalid at exactly its position.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.result import Result

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

LONGEST_SERIES = 1 << 27
"""A frame index beyond it is no frame of a movie whose length nobody has said."""
NOT_SEEN = 255
"""Stands in ``validity`` where there is no frame; 1 to 254 are reasons, 0 is none."""
_FLAG = "flag"


class Table:
    """Rows that came one after another; memory grows by doubling."""

    def __init__(self, columns: int, dtype: npt.DTypeLike) -> None:
        self._rows = np.empty((0, columns), dtype)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def append(self, rows: Array) -> None:
        """Add ``rows (n, columns)`` at the end."""
        used = self._used + len(rows)
        if used > len(self._rows):
            room = (max(used, 2 * len(self._rows)), self._rows.shape[1])
            grown = np.empty(room, self._rows.dtype)
            grown[: self._used] = self.rows
            self._rows = grown
        self._rows[self._used : used] = rows
        self._used = used

    @property
    def rows(self) -> Array:
        """All rows, (n, columns); a view."""
        return self._rows[: self._used]


class Canvas:
    """Images that rows are drawn into, one for each column; they grow if need be.

    Where nothing was drawn they hold 0, or NaN if they are of floats.
    """

    def __init__(self, columns: int, dtype: npt.DTypeLike) -> None:
        self._empty = np.nan if np.dtype(dtype).kind == "f" else 0
        self._images = np.empty((columns, 0), dtype)
        self._drawn = 0

    def draw(self, places: IntArray, rows: Array, size: int) -> Array:
        """Draw what is new of ``rows (n, columns)``; return (columns, size), a view."""
        have = self._images.shape[1]
        if size > have:
            # Of a scan the size is known at once; a series grows with each frame.
            room = size if have == 0 else max(size, 2 * have)
            grown = np.full((len(self._images), room), self._empty, self._images.dtype)
            grown[:, :have] = self._images
            self._images = grown
        fresh = slice(self._drawn, len(rows))
        self._images[:, places[fresh]] = rows[fresh].T
        self._drawn = len(rows)
        return self._images[:, :size]


class FrameValues:
    """Tables with one row for each frame that was seen and has a position.

    Parameters
    ----------
    acquisition
        Its scan, or its length, says where a frame belongs.
    tables
        Number of columns and dtype of each table, by name.
    reasons
        Why a frame may have no value, in words; flag k stands for ``reasons[k - 1]``.
    """

    def __init__(
        self,
        acquisition: Acquisition,
        tables: Mapping[str, tuple[int, npt.DTypeLike]],
        reasons: Sequence[str] = (),
    ) -> None:
        self._acquisition = acquisition
        self._reasons = tuple(reasons)
        if reasons:
            tables = {**tables, _FLAG: (1, np.uint8)}
        self._places = Table(1, np.int64)
        self._tables = {name: Table(*form) for name, form in tables.items()}
        self._canvases = {name: Canvas(*form) for name, form in tables.items()}
        self._seen = Canvas(1, np.bool_)
        self._first, self._last = -1, -1
        self._outside = 0

    def __len__(self) -> int:
        return len(self._places)

    def add(
        self,
        index: IntArray,
        flag: npt.NDArray[np.uint8] | None = None,
        **rows: Array,
    ) -> None:
        """Add the rows, (n, columns) each, of the frames ``index (n,)``.

        Frames without a position, as during fly-back, are only counted. Where
        ``flag (n,)`` is k > 0, the frame has no value because of ``reasons[k - 1]``.
        """
        if self._reasons:
            flags = np.zeros(len(index), np.uint8) if flag is None else flag
            rows[_FLAG] = flags[:, None]
        places = self._place_of(index)
        inside = places >= 0
        self._outside += int(np.count_nonzero(~inside))
        if inside.any():
            self._take(places[inside], {k: rows[k][inside] for k in rows})
            self._stands_on(int(index[inside].min()), int(index[inside].max()))

    def merge(self, other: Self) -> None:
        """Take over the frames that `other` has seen."""
        self._outside += other._outside
        if len(other):
            tables = {name: table.rows for name, table in other._tables.items()}
            self._take(other._places.rows[:, 0], tables)
            self._stands_on(other._first, other._last)

    def account(self) -> dict[str, Any]:
        """Return what a `Result` is to say about the frames it stands on.

        ``meta["invalid"]``, where a frame is flagged, counts them by reason.
        """
        scan = self._acquisition.scan
        meta: dict[str, Any] = {"outside": self._outside}
        if self._reasons:
            count = np.bincount(self._tables[_FLAG].rows[:, 0], minlength=1)[1:]
            found = {self._reasons[k]: int(count[k]) for k in np.flatnonzero(count)}
            meta |= {"invalid": found} if found else {}
        return {
            "frame": self._last,
            "first": self._first,
            "used": len(self),
            "expected": self._acquisition.frames if scan is None else scan.expected,
            "meta": meta,
        }

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an image of the scan, or of the series so far."""
        scan = self._acquisition.scan
        if scan is not None:
            return scan.result_shape
        return (self._acquisition.frames or self._last + 1,)

    def images(self, table: str) -> Array:
        """Return the columns of a table as images, (columns, …shape); a view."""
        rows, places = self._tables[table].rows, self._places.rows[:, 0]
        drawn = self._canvases[table].draw(places, rows, math.prod(self.shape))
        return drawn.reshape(-1, *self.shape)

    @property
    def mask(self) -> BoolArray | None:
        """Where there is a frame, (…shape); None: everywhere. A view."""
        rows, places = np.ones((len(self), 1), np.bool_), self._places.rows[:, 0]
        seen = self._seen.draw(places, rows, math.prod(self.shape))[0]
        return None if seen.all() else seen.reshape(self.shape)

    @property
    def flagged(self) -> BoolArray | None:
        """Where a frame was seen that has no value, (…shape); None: nowhere."""
        if not self._reasons:
            return None
        flagged = self.images(_FLAG)[0] > 0
        return flagged if flagged.any() else None

    def validity(self) -> Result:
        """Return why each position has no value, as the result ``validity``.

        (…shape) uint8: 0 where it has one, `NOT_SEEN` where there is no frame, else
        k, for the reason k in ``meta["reasons"]``.
        """
        mask = self.mask
        flags = self.images(_FLAG)[0] if self._reasons else np.zeros(self.shape, "u1")
        found = self.result(
            "validity",
            flags if mask is None else np.where(mask, flags, np.uint8(NOT_SEEN)),
            "",
        )
        reasons = {str(k): reason for k, reason in enumerate(self._reasons, 1)}
        return replace(found, mask=None, meta={**found.meta, "reasons": reasons})

    def result(
        self, name: str, data: Array, units: str, axes: tuple[str, ...] = ()
    ) -> Result:
        """Return an image of the scan, or a series, as a result of its own.

        Parameters
        ----------
        data : (…shape, …), copied
        axes : of the values, beyond those of the scan

        Floats are NaN where a frame is flagged; there the mask is False.
        """
        scan, mask, flagged = self._acquisition.scan, self.mask, self.flagged
        data = data.copy()
        if flagged is not None:
            mask = ~flagged if mask is None else mask & ~flagged
            if data.dtype.kind in "fc":
                data[flagged] = np.nan
        if mask is not None:
            beyond = mask.reshape(*mask.shape, *[1] * (data.ndim - mask.ndim))
            mask = np.broadcast_to(beyond, data.shape).copy()
        return Result(
            name,
            data,
            "series" if scan is None else "image",
            mask=mask,
            units=units,
            axes=(("frame",) if scan is None else scan.axes) + axes,
            **self.account(),
        )

    def snapshot(self) -> dict[str, Any]:
        """Return all that is known, for `scopeside.state.pack`."""
        tables = {name: table.rows for name, table in self._tables.items()}
        tables["places"] = self._places.rows
        return {
            # A table may have no columns; what is empty need not travel.
            "tables": {name: rows for name, rows in tables.items() if rows.size},
            "frames": [self._first, self._last, self._outside],
        }

    def restore(self, found: Mapping[str, Any]) -> None:
        """Take over what `snapshot` gave; only on a new object."""
        if tables := found["tables"]:
            places = tables["places"][:, 0]
            nothing = np.empty((len(places), 0))
            self._take(places, {k: tables.get(k, nothing) for k in self._tables})
        self._first, self._last, self._outside = found["frames"]

    def _place_of(self, index: IntArray) -> IntArray:
        """Return the place of each frame in the flat result, -1 where none."""
        if self._acquisition.scan is not None:
            return self._acquisition.scan.position_of(index)
        frames = self._acquisition.frames
        length = LONGEST_SERIES if frames is None else frames
        return np.where((index < 0) | (index >= length), -1, index)

    def _take(self, places: IntArray, rows: Mapping[str, Array]) -> None:
        self._places.append(places[:, None])
        for name, table in self._tables.items():
            table.append(rows[name])

    def _stands_on(self, first: int, last: int) -> None:
        self._first = first if self._first < 0 else min(self._first, first)
        self._last = max(self._last, last)

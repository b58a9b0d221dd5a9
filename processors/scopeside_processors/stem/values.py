"""Values of single frames, which an image of the scan or a series is made of.

What is kept is sparse (the positions seen and their values), so that a worker's
share is small.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.result import Result
from scopeside_processors.stem.virtual import LONGEST_SERIES, Table

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]


class FrameValues:
    """Tables with one row for each frame that was seen and has a position.

    Parameters
    ----------
    acquisition
        Its scan, or its length, says where a frame belongs.
    tables
        Number of columns and dtype of each table, by name.
    """

    def __init__(
        self, acquisition: Acquisition, tables: Mapping[str, tuple[int, npt.DTypeLike]]
    ) -> None:
        self._acquisition = acquisition
        self._positions = Table(1, np.int64)
        self._tables = {name: Table(*form) for name, form in tables.items()}
        self._first, self._last = -1, -1
        self._outside = 0

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, table: str) -> Array:
        """Return the rows of a table, (frames, columns); a view."""
        return self._tables[table].rows

    def add(self, index: IntArray, **rows: Array) -> None:
        """Add the rows, (n, columns) each, of the frames ``index (n,)``.

        Frames without a position, as during fly-back, are only counted.
        """
        positions = self._position_of(index)
        inside = positions >= 0
        self._outside += int(np.count_nonzero(~inside))
        if inside.any():
            self._take(positions[inside], {k: rows[k][inside] for k in rows})
            self._stands_on(int(index[inside].min()), int(index[inside].max()))

    def merge(self, other: Self) -> None:
        """Take over the frames that `other` has seen."""
        self._outside += other._outside
        if len(other):
            self._take(
                other._positions.rows[:, 0],
                {name: table.rows for name, table in other._tables.items()},
            )
            self._stands_on(other._first, other._last)

    def account(self) -> dict[str, Any]:
        """Return what a `Result` is to say about the frames it stands on."""
        scan = self._acquisition.scan
        return {
            "frame": self._last,
            "first": self._first,
            "used": len(self),
            "expected": self._acquisition.frames if scan is None else scan.positions,
            "meta": {"outside": self._outside},
        }

    def result(
        self, name: str, values: Array, units: str, axes: tuple[str, ...] = ()
    ) -> Result:
        """Return the image of the scan, or the series, that `values` make.

        Parameters
        ----------
        values : (frames, …), a value for each frame that was seen, in their order
        axes : of the values, beyond those of the scan
        """
        scan = self._acquisition.scan
        shape: tuple[int, ...] = (self._acquisition.frames or self._last + 1,)
        if scan is not None:
            shape = scan.shape
        shape += values.shape[1:]
        positions = self._positions.rows[:, 0]
        nothing = np.nan if values.dtype.kind == "f" else 0
        data = np.full(shape, nothing, values.dtype)
        data.reshape(-1, *values.shape[1:])[positions] = values
        seen = np.zeros(shape, np.bool_)
        seen.reshape(-1, *values.shape[1:])[positions] = True
        return Result(
            name,
            data,
            "series" if scan is None else "image",
            mask=None if seen.all() else seen,
            units=units,
            axes=(("frame",) if scan is None else ("scan_y", "scan_x")) + axes,
            **self.account(),
        )

    def snapshot(self) -> dict[str, Any]:
        """Return all that is known, for `scopeside.state.pack`."""
        tables = {name: table.rows for name, table in self._tables.items()}
        tables["positions"] = self._positions.rows
        return {
            # A table may have no columns; what is empty need not travel.
            "tables": {name: rows for name, rows in tables.items() if rows.size},
            "frames": [self._first, self._last, self._outside],
        }

    def restore(self, found: Mapping[str, Any]) -> None:
        """Take over what `snapshot` gave; only on a new object."""
        if tables := found["tables"]:
            positions = tables["positions"][:, 0]
            nothing = np.empty((len(positions), 0))
            self._take(positions, {k: tables.get(k, nothing) for k in self._tables})
        self._first, self._last, self._outside = found["frames"]

    def _position_of(self, index: IntArray) -> IntArray:
        """Return the place of each frame in the flat result, -1 where none."""
        if self._acquisition.scan is not None:
            return self._acquisition.scan.position_of(index)
        frames = self._acquisition.frames
        length = LONGEST_SERIES if frames is None else frames
        return np.where((index < 0) | (index >= length), -1, index)

    def _take(self, positions: IntArray, rows: Mapping[str, Array]) -> None:
        self._positions.append(positions[:, None])
        for name, table in self._tables.items():
            table.append(rows[name])

    def _stands_on(self, first: int, last: int) -> None:
        self._first = first if self._first < 0 else min(self._first, first)
        self._last = max(self._last, last)

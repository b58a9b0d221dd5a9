"""Values by place (of a scan, of a series): handed over sparse, looked at dense.

A worker hands over what it has found since the last time, which is little; whoever
merges looks at the whole after every few frames, and must not draw it anew each time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


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


class Keyed:
    """A row of values for each place, each place once.

    Parameters
    ----------
    columns
        Number of values of a place.
    dtype
        Of the values. Places without any hold 0, or NaN if it is a float.
    """

    def __init__(self, columns: int, dtype: npt.DTypeLike) -> None:
        self._places = Table(1, np.int64)
        self._values = Table(columns, dtype)
        self._empty = np.nan if np.dtype(dtype).kind == "f" else 0
        self._drawn = 0
        self._dense = np.empty((columns, 0), dtype)
        self._seen = np.zeros(0, np.bool_)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def places(self) -> IntArray:
        """Places in the order of arrival, (n,); a view."""
        return self._places.rows[:, 0]

    @property
    def values(self) -> Array:
        """Their values, (n, columns); a view."""
        return self._values.rows

    def append(self, places: IntArray, values: Array) -> None:
        """Add ``values (n, columns)`` at ``places (n,)``."""
        self._places.append(places[:, None])
        self._values.append(values)

    def dense(self, size: int) -> tuple[Array, BoolArray]:
        """Return the values (columns, size) and where there are any (size,); views.

        Only what came since the last call is drawn.
        """
        self._grow(size)
        fresh = slice(self._drawn, len(self))
        places = self.places[fresh]
        self._dense[:, places] = self.values[fresh].T
        self._seen[places] = True
        self._drawn = len(self)
        return self._dense[:, :size], self._seen[:size]

    def _grow(self, size: int) -> None:
        have = len(self._seen)
        if size <= have:
            return
        # Of a scan the size is known at once; a series grows with each frame.
        room = size if have == 0 else max(size, 2 * have)
        grown = np.full((len(self._dense), room), self._empty, self._dense.dtype)
        grown[:, :have] = self._dense
        self._dense = grown
        self._seen = np.concatenate([self._seen, np.zeros(room - have, np.bool_)])

"""Gives each particle a row of its own in arrays that never grow past a bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


class Roster:
    """Which row belongs to which particle; who was not seen for longest gives way."""

    def __init__(self, most: int) -> None:
        self.ids = np.full(most, -1, np.int64)
        """(most,) who has the row; -1 if nobody has."""
        self.last = np.full(most, -1, np.int64)
        """(most,) index of the frame in which it was seen last."""
        self._row_of: dict[int, int] = {}

    @property
    def taken(self) -> IntArray:
        """Rows that belong to somebody, by id."""
        rows = np.flatnonzero(self.ids >= 0)
        found: IntArray = rows[np.argsort(self.ids[rows])]
        return found

    def rows(self, ids: IntArray, frame: int) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Return the rows of particles seen in a frame, and which of them are new.

        A row of -1 says that there is none left.
        """
        rows = np.full(len(ids), -1, np.int64)
        new = np.zeros(len(ids), np.bool_)
        for k, id_ in enumerate(ids.tolist()):
            row = self._row_of.get(id_, -1)
            if row >= 0:
                self.last[row] = frame
            rows[k] = row
        for k in np.flatnonzero(rows < 0).tolist():
            row = self._free(frame)
            if row < 0:
                break
            self._row_of.pop(int(self.ids[row]), None)
            self._row_of[int(ids[k])] = row
            self.ids[row], self.last[row] = ids[k], frame
            rows[k], new[k] = row, True
        return rows, new

    def state(self) -> dict[str, Any]:
        """Return plain values, for a snapshot."""
        return {"ids": self.ids, "last": self.last}

    def take_over(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.ids[:], self.last[:] = state["ids"], state["last"]
        self._row_of = {int(self.ids[row]): int(row) for row in self.taken}

    def _free(self, frame: int) -> int:
        """Return a row that nobody needs now, -1 if there is none."""
        row = int(np.argmin(self.last))
        return row if self.last[row] < frame else -1

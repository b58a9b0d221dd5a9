"""Radii against time of many particles, in as many points however long it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.roster import Roster

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

POINTS = 96
"""Of a series: when they are there, each two become one."""


class RadiusSeries:
    """Keeps for each particle means of its radius over spans of equal length.

    Attributes
    ----------
    roster
        Whose row is whose.
    first : (most,) int64
        Index of the frame in which a particle was seen first.
    fresh : (most,) int64
        Points since the series was `seen` last.
    """

    def __init__(self, most: int) -> None:
        self.roster = Roster(most)
        self.first = np.full(most, -1, np.int64)
        self.fresh = np.zeros(most, np.int64)
        self._points = np.zeros((most, POINTS, 3), np.float32)  # time, radius, frames
        self._count = np.zeros(most, np.int64)
        self._span = np.ones(most, np.int64)
        self._sums = np.zeros((most, 3))  # of the point that is not finished

    def add(
        self, ids: IntArray, radius: FloatArray, frame: int
    ) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Take in the radii of a frame, NaN where unknown; return rows, and who is new.

        A row of -1 says that there is none left.
        """
        rows, new = self.roster.rows(ids, frame)
        self._clear(rows[new], frame)
        known = (rows >= 0) & np.isfinite(radius)
        at = rows[known]
        self._sums[at, 0] += frame
        self._sums[at, 1] += radius[known]
        self._sums[at, 2] += 1
        full = at[self._sums[at, 2] >= self._span[at]]
        self._finish(full)
        return rows, new

    def of(self, row: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the frames, radii and relative errors of a particle, (n,) each."""
        points = self._points[row, : self._count[row]].astype(np.float64)
        return points[:, 0], points[:, 1], points[:, 2] ** -0.5

    def seen(self, row: int) -> None:
        """Note that all points of a particle have been looked at."""
        self.fresh[row] = 0

    def length(self, rows: IntArray) -> IntArray:
        """Return how many points there are."""
        found: IntArray = self._count[rows]
        return found

    def state(self) -> dict[str, Any]:
        """Return plain values, for a snapshot; of rows that are taken alone."""
        rows = self.roster.taken
        return {
            "roster": self.roster.state(),
            "rows": rows,
            **{name: getattr(self, name)[rows] for name in _ARRAYS},
        }

    def take_over(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.roster.take_over(state["roster"])
        for name in _ARRAYS:
            getattr(self, name)[state["rows"]] = state[name]

    def _clear(self, rows: IntArray, frame: int) -> None:
        self.first[rows] = frame
        self.fresh[rows] = self._count[rows] = 0
        self._span[rows] = 1
        self._sums[rows] = 0

    def _finish(self, rows: IntArray) -> None:
        """Make points of the sums."""
        full = rows[self._count[rows] == POINTS]
        if len(full):
            self._halve(full)
            rows = rows[~np.isin(rows, full)]  # their points are half finished now
        mean = self._sums[rows, :2] / self._sums[rows, 2:]
        at = self._count[rows]
        self._points[rows, at, :2] = mean
        self._points[rows, at, 2] = self._sums[rows, 2]
        self._count[rows] += 1
        self.fresh[rows] += 1
        self._sums[rows] = 0

    def _halve(self, rows: IntArray) -> None:
        pairs = self._points[rows].reshape(len(rows), POINTS // 2, 2, 3)
        weight = pairs[..., 2:]
        whole = weight.sum(axis=2)
        self._points[rows, : POINTS // 2, :2] = (pairs[..., :2] * weight).sum(2) / whole
        self._points[rows, : POINTS // 2, 2] = whole[..., 0]
        self._count[rows] = POINTS // 2
        self._span[rows] *= 2


_ARRAYS = ("first", "fresh", "_points", "_count", "_span", "_sums")

"""All particles of a movie together: their mean radius, area, and births, over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.nucleation_rate import (
    NucleationRate,
    induction_time,
    nucleation_rate,
)

FloatArray = npt.NDArray[np.float64]

COLUMNS = (
    "frame", "particles", "mean_radius_px", "mean_square_radius_px2",
    "mean_cubed_radius_px3", "area_fraction", "births",
)  # fmt: skip
ROWS = 256
"""Of the history: when they are there, every second one is dropped."""
BINS = 64
"""Intervals of time in which births are counted: then each two become one."""
_FIRST = 256
"""Births whose frames are kept one by one."""


class Ensemble:
    """Keeps a history that grows no longer than its bounds.

    Parameters
    ----------
    interval
        Frames of an interval in which births are counted, to begin with.
    """

    def __init__(self, interval: int) -> None:
        self.births = 0
        self._interval = interval
        self._counts = np.zeros(BINS, np.int64)
        self._first_births = np.zeros(0)
        self._rows = np.zeros((0, len(COLUMNS)))
        self._every, self._waited = 1, 0

    def born(self, frames: FloatArray) -> None:
        """Take in the frames in which particles were born."""
        for frame in frames:
            at = int(frame) // self._interval
            while at >= BINS:
                self._counts = np.append(
                    self._counts.reshape(-1, 2).sum(axis=1),
                    np.zeros(BINS // 2, np.int64),
                )
                self._interval *= 2
                at = int(frame) // self._interval
            self._counts[at] += 1
        self.births += len(frames)
        kept = np.append(self._first_births, frames)
        self._first_births = kept[:_FIRST]

    def note(self, frame: int, radius: FloatArray, area: float) -> None:
        """Take in the radii (n,) px that are seen in a frame of `area` px²."""
        self._waited += 1
        if self._waited < self._every:
            return
        self._waited = 0
        known = radius[np.isfinite(radius)]
        powers = [np.nan] * 3
        if len(known):
            powers = [float((known**power).mean()) for power in (1, 2, 3)]
        covered = float((np.pi * known**2).sum()) / area
        row = [frame, len(radius), *powers, covered, self.births]
        self._rows = np.vstack([self._rows, row])
        if len(self._rows) == ROWS:
            self._rows = self._rows[1::2].copy()
            self._every *= 2

    @property
    def history(self) -> FloatArray:
        """(n, 7) float64, with the columns of `COLUMNS`."""
        return self._rows.copy()

    @property
    def induction(self) -> float:
        """The frame in which nucleation set in, NaN if too few were born."""
        return induction_time(self._first_births)

    def rate(self, frame: int, first: int, area: float) -> NucleationRate:
        """Return births per frame and area, from frame `first` to `frame`."""
        edges = np.arange(BINS + 1.0) * self._interval
        last = int(np.searchsorted(edges, frame + 1))
        begin = first // self._interval
        borders = edges[begin : last + 1].copy()
        borders[0], borders[-1] = first, frame + 1
        counts = self._counts[begin:last]
        middles = np.repeat((borders[1:] + borders[:-1]) / 2, counts)
        return nucleation_rate(middles, borders, area)

    def state(self) -> dict[str, Any]:
        """Return plain values, for a snapshot."""
        return {
            "births": self.births,
            "interval": self._interval,
            "counts": self._counts,
            "first": self._first_births,
            "rows": self._rows,
            "every": [self._every, self._waited],
        }

    def take_over(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.births = state["births"]
        self._interval = state["interval"]
        self._counts = state["counts"].copy()
        self._first_births = state["first"].copy()
        self._rows = state["rows"].copy()
        self._every, self._waited = state["every"]

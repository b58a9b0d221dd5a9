"""The law of growth of each particle, kept up to date a few particles at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu import growth_laws
from scopeside_processors.insitu.change_points import ChangePoint, change_points
from scopeside_processors.insitu.growth_laws import LAWS, growth_law
from scopeside_processors.insitu.radius_series import RadiusSeries

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

COLUMNS = (
    "id", "birth_frame", "law", "exponent", "exponent_sigma", "rate", "rate_low",
    "rate_high", "probability", "speed", "radius_px", "start_frame",
    "speed_low", "speed_high", "state",
)  # fmt: skip
"""Of the table; rates are in px^(1/n) per frame, speed in px per frame.
Intervals are 95 %."""
STATES = ("gone", "growing", "resting", "dissolving", "too short")
"""What the numbers in the column `state` stand for."""
_FITTED = slice(2, 14)
_CHANGES = 4
"""Changes of a particle that are remembered, so that none is reported twice."""
_AGAIN = 0.1
"""A change is the same as an earlier one within this part of the particle's life."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the law by which a particle grows.

    Attributes
    ----------
    id
        Of the particle.
    at
        When, and how fast it grew before and after, px per frame.
    """

    id: int
    at: ChangePoint


class GrowthTable:
    """Fits the particles whose radii have most that is new.

    Parameters
    ----------
    most
        Particles that are kept.
    caution
        Of `change_points`.
    gone_after
        Frames after which a particle that is not seen is gone.
    """

    def __init__(self, most: int, caution: float, gone_after: int) -> None:
        self.series = RadiusSeries(most)
        self._caution = caution
        self._gone_after = gone_after
        self._birth = np.full(most, np.nan)
        self._fits = np.full((most, _FITTED.stop - _FITTED.start), np.nan)
        self._changes = np.full((most, _CHANGES), np.nan)

    def add(
        self, ids: IntArray, radius: FloatArray, birth: FloatArray, frame: int
    ) -> npt.NDArray[np.bool_]:
        """Take in the particles of a frame; return which of them are new."""
        rows, new = self.series.add(ids, radius, frame)
        fresh = rows[new]
        self._birth[fresh] = birth[new]
        self._fits[fresh] = np.nan
        self._changes[fresh] = np.nan
        return new

    def update(self, fits: int | None = None) -> list[Change]:
        """Fit so many particles, all if None; return the changes that are new."""
        rows = self.series.roster.taken
        rows = rows[
            (self.series.fresh[rows] > 0)
            & (self.series.length(rows) >= growth_laws.FEWEST)
        ]
        order = np.argsort(-self.series.fresh[rows], kind="stable")
        found = []
        for row in rows[order[:fits]]:
            found += self._fit(int(row))
            self.series.seen(int(row))
        return found

    def table(self, frame: int) -> FloatArray:
        """Return a row for each particle, with the columns of `COLUMNS`, by id."""
        rows = self.series.roster.taken
        found = np.full((len(rows), len(COLUMNS)), np.nan)
        found[:, 0] = self.series.roster.ids[rows]
        found[:, 1] = self._birth[rows]
        found[:, _FITTED] = self._fits[rows]
        law, speed = found[:, 2], found[:, 9]
        state = np.where(speed < 0, 3, 1)
        state[law == LAWS.index("plateau")] = 2
        state[np.isnan(law)] = 4
        state[frame - self.series.roster.last[rows] > self._gone_after] = 0
        found[:, -1] = state
        return found

    def state(self) -> dict[str, Any]:
        """Return plain values, for a snapshot."""
        rows = self.series.roster.taken
        own = {name: getattr(self, name)[rows] for name in _ARRAYS}
        return {"series": self.series.state(), **own}

    def take_over(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.series.take_over(state["series"])
        rows = self.series.roster.taken
        for name in _ARRAYS:
            getattr(self, name)[rows] = state[name]

    def _fit(self, row: int) -> list[Change]:
        """Fit the law since the last change; return the changes that are new."""
        t, radius, error = self.series.of(row)
        changes = change_points(t, radius, error, caution=self._caution, exact=False)
        since = t >= changes[-1].time if changes else np.ones(len(t), np.bool_)
        best = growth_law(t[since], radius[since], error[since]).best
        if best is not None:
            self._fits[row] = [
                LAWS.index(best.law), best.exponent, best.exponent_sigma, best.rate,
                best.rate_low, best.rate_high, best.probability, best.speed,
                best.radius, best.start, best.speed_low, best.speed_high,
            ]  # fmt: skip
        near = max(_AGAIN * (t[-1] - t[0]), 4.0)
        found = []
        for change in changes:
            known = self._changes[row]
            if not (np.abs(known - change.time) <= near).any():
                known[int(np.isnan(known).argmax())] = change.time
                found.append(Change(int(self.series.roster.ids[row]), change))
        return found


_ARRAYS = ("_birth", "_fits", "_changes")

"""The last positions of many particles, and how they move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.diffusion import Diffusion, diffusion
from scopeside_processors.insitu.motion import FEWEST, KINDS, motion
from scopeside_processors.insitu.roster import Roster

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

COLUMNS = (
    "id", "first_frame", "last_frame", "positions", "d", "d_low", "d_high",
    "localisation_px", "d_earlier", "d_later", "change", "alpha", "alpha_sigma",
    "radius_px", "velocity", *KINDS,
)  # fmt: skip
"""Of the table: D in px²/frame, velocity in px/frame, change in standard errors."""
_D = slice(0, COLUMNS.index("alpha") - 1)
_MOTION = slice(COLUMNS.index("alpha") - 1, len(COLUMNS) - 1)
_MORE = 4
"""Particles whose D is found for one whose kind of motion is."""
_HALF = 12
"""Positions that a half of the window needs for a D of its own."""


class Trails:
    """Keeps the positions of particles over a window of frames.

    Parameters
    ----------
    most
        Particles that are kept.
    window
        Frames.
    exposure
        Part of a frame's time for which the shutter is open.
    """

    def __init__(self, most: int, window: int, exposure: float) -> None:
        self.roster = Roster(most)
        self._window, self._exposure = window, exposure
        self._places = np.zeros((most, window, 2), np.float32)
        self._frames = np.full((most, window), -1, np.int64)
        self._next = np.zeros(most, np.int64)
        self._fresh = np.zeros((most, 2), np.int64)  # positions since either fit
        self._found = np.full((most, len(COLUMNS) - 1), np.nan)

    def add(self, ids: IntArray, places: FloatArray, frame: int) -> None:
        """Take in the places (n, 2) of the particles of a frame, px."""
        rows, new = self.roster.rows(ids, frame)
        fresh = rows[new]
        self._frames[fresh] = -1
        self._next[fresh] = 0
        self._fresh[fresh] = 0
        self._found[fresh] = np.nan
        known = (rows >= 0) & np.isfinite(places).all(axis=1)
        at = rows[known]
        slot = self._next[at] % self._window
        self._places[at, slot] = places[known]
        self._frames[at, slot] = frame
        self._next[at] += 1
        self._fresh[at] += 1

    def update(self, frame: int, fits: int | None = None) -> None:
        """Say how so many particles move, all if None; most news first.

        D takes less time than the kind of motion, so more particles have it.
        """
        rows = self.roster.taken
        for k, (fit, share) in enumerate(((self._fit_d, _MORE), (self._fit_motion, 1))):
            news = self._fresh[rows, k]
            due = rows[(news > 0) & (self._next[rows] > FEWEST)]
            due = due[np.argsort(-self._fresh[due, k], kind="stable")]
            for row in due[: None if fits is None else share * fits].tolist():
                fit(row, *self._trail(row, frame))
                self._fresh[row, k] = 0

    def table(self) -> FloatArray:
        """Return a row for each particle that has a D, with the columns of `COLUMNS`.

        NaN where there are too few positions.
        """
        rows = self.roster.taken
        rows = rows[np.isfinite(self._found[rows, 0])]
        return np.column_stack([self.roster.ids[rows], self._found[rows]])

    def state(self) -> dict[str, Any]:
        """Return plain values, for a snapshot; of rows that are taken alone."""
        rows = self.roster.taken
        own = {name: getattr(self, name)[rows] for name in _ARRAYS}
        return {"roster": self.roster.state(), **own}

    def take_over(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.roster.take_over(state["roster"])
        rows = self.roster.taken
        for name in _ARRAYS:
            getattr(self, name)[rows] = state[name]

    def _trail(self, row: int, frame: int) -> tuple[FloatArray, IntArray]:
        """Return the places and frames of a particle within the window, in order."""
        slots = np.arange(self._next[row] - self._window, self._next[row])
        slots = slots[slots >= 0] % self._window
        slots = slots[self._frames[row, slots] > frame - self._window]
        return self._places[row, slots].astype(np.float64), self._frames[row, slots]

    def _fit_d(self, row: int, places: FloatArray, frames: IntArray) -> None:
        if len(frames) < 2:
            return
        whole = self._d(places, frames)
        middle = frames[-1] - (frames[-1] - frames[0]) // 2
        earlier, later = frames < middle, frames >= middle
        halves = [self._d(places[k], frames[k], _HALF) for k in (earlier, later)]
        self._found[row, _D] = [
            frames[0], frames[-1], len(frames), whole, *whole.interval,
            whole.localisation, *halves, _change(*halves),
        ]  # fmt: skip

    def _fit_motion(self, row: int, places: FloatArray, frames: IntArray) -> None:
        found = motion(places, frames=frames, exposure=self._exposure)
        chances = (found.probabilities[kind] for kind in KINDS)
        self._found[row, _MOTION] = [
            found.alpha, found.alpha_sigma, found.radius, found.velocity, *chances,
        ]  # fmt: skip

    def _d(self, places: FloatArray, frames: IntArray, fewest: int = 0) -> Diffusion:
        if len(frames) < fewest:
            places, frames = places[:0], frames[:0]
        return diffusion(places, frames=frames, exposure=self._exposure)


def _change(earlier: Diffusion, later: Diffusion) -> float:
    """Return by how many standard errors log D has changed; NaN where unknown."""
    if not (earlier > 0 and later > 0):
        return np.nan
    error = np.hypot(earlier.sigma / earlier, later.sigma / later)
    return float(np.log(later / earlier) / error) if error > 0 else np.nan


_ARRAYS = ("_places", "_frames", "_next", "_fresh", "_found")

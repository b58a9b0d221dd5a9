"""The radii of followed particles, measured in each frame by their rims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.following import Followed
from scopeside_processors.insitu.roster import Roster
from scopeside_processors.kernels.rim import DISK, SPHERE, measure_radii

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

_FIRST = (0.6, 2.0)
_LATER = (0.7, 1.4)
"""Between which parts of what is expected a radius is looked for, the first time and
later."""
_MEMORY = 0.25
"""Weight of a new radius in what is expected."""
_LEAST = 1.0
"""Radius below which nothing can be measured, px."""


class Rims:
    """Expects of each particle the radius that it had before.

    Parameters
    ----------
    most
        Particles that are kept.
    profile
        How the loss goes with the distance from the centre.
    sign
        1 for particles that are darker than what is around, -1 for brighter ones.
    offset, gain
        Counts without a beam, and counts of an electron.
    """

    def __init__(
        self,
        most: int,
        profile: Literal["sphere", "disk"],
        *,
        sign: float,
        offset: float,
        gain: float,
    ) -> None:
        self._model = SPHERE if profile == "sphere" else DISK
        self._sign, self._offset, self._gain = sign, offset, gain
        self._roster = Roster(most)
        self._expected = np.full(most, np.nan)

    def of(self, frame: Array, found: Followed) -> FloatArray:
        """Return the radii of the particles of a frame (height, width), px.

        NaN where there is no rim between what is allowed.
        """
        rows, new = self._roster.rows(found.ids, found.frame)
        self._expected[rows[new]] = np.nan
        known = np.where(rows >= 0, self._expected[rows], np.nan)
        first = np.isnan(known)
        expected = np.where(first, found.radius, known)
        usable = np.isfinite(expected) & np.isfinite(found.in_frame).all(axis=1)
        expected = np.maximum(np.where(usable, expected, _LEAST), _LEAST)
        low = np.maximum(expected * np.where(first, _FIRST[0], _LATER[0]), _LEAST)
        high = np.maximum(expected * np.where(first, _FIRST[1], _LATER[1]), 2 * low)
        radius = np.full(len(rows), np.nan)
        locked = frame.view()
        locked.flags.writeable = False  # as it is compiled for
        radius[usable], _ = measure_radii(
            locked, found.in_frame[usable], low[usable], high[usable],
            expected[usable], self._model, self._sign, self._offset, self._gain,
        )  # fmt: skip
        seen = np.isfinite(radius) & (rows >= 0)
        part = np.where(first, 1.0, _MEMORY)
        moved = expected + part * (radius - expected)
        self._expected[rows[seen]] = moved[seen]
        return radius

    def state(self) -> dict[str, Any]:
        """Return plain values, for a snapshot; of rows that are taken alone."""
        rows = self._roster.taken
        return {"roster": self._roster.state(), "expected": self._expected[rows]}

    def take_over(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._roster.take_over(state["roster"])
        self._expected[self._roster.taken] = state["expected"]

"""Keeps how a movie has drifted: all of it in few rows, and how fast it goes now."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

COLUMNS = ("frame", "dy", "dx", "sigma", "confidence")
"""Of the trace: the frame's index, px, px, px, 0 to 1."""
UNITS = ("", "px", "px", "px", "")
MOST_ROWS = 4096
RATE_FRAMES = 20
"""Frames that a rate is taken from at most."""


class Trace:
    """A table of drift that never grows past `most` rows.

    When it is full every second row goes, and from there on every second frame that
    was kept before is; so rows stay evenly spaced for as long as a movie takes.

    Parameters
    ----------
    most : rows, even
    """

    def __init__(self, most: int = MOST_ROWS) -> None:
        self._rows = np.empty((most, len(COLUMNS)))
        self._filled = 0
        self._offered = 0
        self.every = 1

    def take(self, row: tuple[float, float, float, float, float]) -> None:
        """Offer the values of `COLUMNS` of the next frame."""
        wanted = self._offered % self.every == 0
        self._offered += 1
        if not wanted:
            return
        if self._filled == len(self._rows):
            self._filled //= 2
            self._rows[: self._filled] = self._rows[::2].copy()
            self.every *= 2
        self._rows[self._filled] = row
        self._filled += 1

    def table(self) -> FloatArray:
        """Return the rows (n, 5) float64, a copy."""
        return self._rows[: self._filled].copy()

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {"rows": self.table(), "offered": self._offered, "every": self.every}

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._filled = len(state["rows"])
        self._rows[: self._filled] = state["rows"]
        self._offered, self.every = state["offered"], state["every"]


class Rate:
    """How fast content drifts: the slope of a line through the last frames."""

    def __init__(self) -> None:
        self._rows = np.empty((0, 3))

    def forget(self) -> None:
        """Begin anew, as after a jump."""
        self._rows = np.empty((0, 3))

    def take(self, index: int, dy: float, dx: float) -> FloatArray | None:
        """Return (dy, dx) px per frame with the next frame; None while unknown."""
        if len(self._rows) and index <= self._rows[-1, 0]:
            self.forget()  # the detector counts anew
        kept = self._rows[1 - RATE_FRAMES :]
        self._rows = np.concatenate([kept, [(index, dy, dx)]])
        if len(self._rows) < 2:
            return None
        away = self._rows - self._rows.mean(axis=0)
        slope: FloatArray = (away[:, 0] @ away[:, 1:]) / (away[:, 0] @ away[:, 0])
        return slope

    def state(self) -> FloatArray:
        """Return what it goes on from, for a snapshot."""
        return self._rows

    def take_over(self, state: FloatArray) -> None:
        """Go on from what `state` gave."""
        self._rows = np.array(state)

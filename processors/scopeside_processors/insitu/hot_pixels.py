"""Pixels of a camera that stand out again and again, whatever the specimen does.

One that is a little hot stands out in some frames only; in the others it would hold a
template of many frames back just as well. Who has stood out thrice is out for good, or
until it has not done so for long.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]

_OFTEN = 3.0
"""So many times, each counted for less the longer it is ago, make a pixel hot."""
_HALF = 64
"""Frames after which a time counts for half."""


class HotPixels:
    """Remembers which pixels stood out."""

    def __init__(self) -> None:
        self._pixels: IntArray = np.zeros(0, np.int64)
        self._times = np.zeros(0)
        self._frames = 0
        self.known: IntArray = np.zeros(0, np.int64)
        """Flat indices of those that are hot, in order."""

    def take(self, standing: IntArray) -> IntArray:
        """Return which pixels of a frame are to be left out: `standing` and the known.

        Parameters
        ----------
        standing : flat indices of pixels that stand out in this frame, in order
        """
        out = np.union1d(self.known, standing)
        self._frames += 1
        if self._frames % _HALF == 0:
            self._times /= 2
            kept = self._times >= 1 / _OFTEN
            self._pixels, self._times = self._pixels[kept], self._times[kept]
            self._know()
        if len(standing):
            again = np.isin(standing, self._pixels, assume_unique=True)
            self._times[np.searchsorted(self._pixels, standing[again])] += 1
            places = np.searchsorted(self._pixels, standing[~again])
            self._pixels = np.insert(self._pixels, places, standing[~again])
            self._times = np.insert(self._times, places, 1.0)
            self._know()
        return out

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {"pixels": self._pixels, "times": self._times, "frames": self._frames}

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._pixels = np.array(state["pixels"])
        self._times = np.array(state["times"])
        self._frames = state["frames"]
        self._know()

    def _know(self) -> None:
        self.known = self._pixels[self._times >= _OFTEN]

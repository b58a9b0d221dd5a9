"""The last frames of a movie in specimen coordinates, one byte a cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.profiles import cut
from scopeside_processors.kernels.residual import INVALID, as_levels

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]

_LEVELS = 12.0
"""Steps in one standard deviation of the noise, as long as all of the range is held."""
_DARKEST = 1.0 / 120.0
"""A step is never less than this share of the mean: black must be in the range."""


class History:
    """A ring of registered frames, free of flicker, in units of their noise.

    Values are absolute: the mean of the movie less the frame, over the standard
    deviation of a cell's noise at that mean. Where contrast is "bright" the sign is
    turned round, so that what is looked for is positive in either case.
    """

    def __init__(self, shape: tuple[int, int], size: int, depth: int) -> None:
        """Make room for `depth` frames of `shape` cells, `size` px wide each."""
        self.bin = size
        self._frames = np.full((depth, *shape), INVALID, np.int8)
        self._numbers = np.full(depth, -1, np.int64)
        self._origins = np.zeros((depth, 2), np.int64)
        self._steps = np.ones(depth)
        self._taken = 0

    def __len__(self) -> int:
        return min(self._taken, len(self._frames))

    def add(
        self,
        frame: Array,
        number: int,
        origin: tuple[int, int],
        *,
        mean: float,
        noise: float,
        sign: float,
    ) -> None:
        """Keep ``frame (rows, columns)`` float32, NaN where it was not seen.

        Parameters
        ----------
        number : of the frame in the movie
        origin : the specimen's cell that the frame's first cell is
        mean, noise : of a cell of the movie, electrons
        sign : 1 if dark is looked for, -1 if bright is
        """
        at = self._taken % len(self._frames)
        step = max(noise / _LEVELS, mean * _DARKEST, 1e-9)
        as_levels(frame, mean, sign * step, self._frames[at])
        self._numbers[at], self._origins[at] = number, origin
        self._steps[at] = step / max(noise, 1e-9)
        self._taken += 1

    def numbers(self, n: int) -> IntArray:
        """Return the numbers of the last `n` frames, or of those there are."""
        return self._numbers[self._order(n)]

    def patch(self, y: float, x: float, half: int, n: int) -> npt.NDArray[np.float32]:
        """Return what the last `n` frames, or those there are, show around a place.

        Parameters
        ----------
        y, x : place on the specimen, unbinned px of frame 0
        half : cells on each side of the middle one
        n : frames

        Returns
        -------
        (n, 2 half + 1, 2 half + 1) float32, standard deviations of the noise
            NaN where nothing was seen. The middle cell is the one that holds the place.
        """
        order, side = self._order(n), 2 * half + 1
        out = np.empty((len(order), side, side), np.float32)
        row, column = self.cell(y), self.cell(x)
        corners = np.array([row - half, column - half]) - self._origins[order]
        cut(self._frames, order, corners, self._steps, INVALID, out)
        return out

    def cell(self, place: float) -> int:
        """Return the specimen's cell that holds a place, px of frame 0."""
        return int(np.floor((place + 0.5) / self.bin))

    def clear(self) -> None:
        """Forget all: what comes is unrelated to what was."""
        self._taken = 0
        self._frames[:] = INVALID
        self._numbers[:] = -1

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "frames": self._frames,
            "numbers": self._numbers,
            "origins": self._origins,
            "steps": self._steps,
            "taken": self._taken,
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._frames[:] = state["frames"]
        self._numbers[:] = state["numbers"]
        self._origins[:] = state["origins"]
        self._steps[:] = state["steps"]
        self._taken = state["taken"]

    def _order(self, n: int) -> IntArray:
        held = min(n, len(self))
        return np.arange(self._taken - held, self._taken) % len(self._frames)

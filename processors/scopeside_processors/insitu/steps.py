"""Turns a trajectory, which may have gaps, into its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.errors import ShapeError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Differences of the positions of a track that follow each other.

    Attributes
    ----------
    positions : (n + 1, 2) float64, px
    frames : (n + 1,) int64
        When they were seen, growing.
    """

    positions: FloatArray
    frames: IntArray

    def __len__(self) -> int:
        return max(0, len(self.frames) - 1)

    @property
    def all(self) -> FloatArray:
        """(n, 2) px, over gaps too."""
        found: FloatArray = np.diff(self.positions, axis=0)
        return found

    @property
    def lengths(self) -> IntArray:
        """(n,) how many frames each step takes."""
        return np.diff(self.frames)

    def runs(self) -> tuple[FloatArray, IntArray]:
        """Return the steps of one frame, with a column of ones, and where runs begin.

        Returns
        -------
        columns : (m, 3) float64
        runs : int64, first step of each run, and m
        """
        single = np.flatnonzero(self.lengths == 1)
        columns = np.ones((len(single), 3))
        columns[:, :2] = self.all[single]
        begins = np.flatnonzero(np.diff(single, prepend=-2) > 1)
        return columns, np.append(begins, len(single)).astype(np.int64)


def steps_of(trajectory: Any, frames: Any = None) -> Steps:
    """Return the steps of a trajectory.

    Parameters
    ----------
    trajectory : (n, 2), px
        A row of NaN is a frame in which the particle was not seen.
    frames : (n,) integers, optional
        Numbers of the frames, growing; 0, 1, 2 … without them.

    Raises
    ------
    ShapeError
        If it is no trajectory, or frames are not as many or do not grow.
    """
    positions = np.asarray(trajectory, np.float64)
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise ShapeError(f"a trajectory is (n, 2), not {positions.shape}")
    n = len(positions)
    numbers = np.arange(n) if frames is None else np.asarray(frames)
    if numbers.shape != (n,) or (np.diff(numbers) <= 0).any():
        raise ShapeError(f"{n} positions need as many numbers of frames that grow")
    seen = np.isfinite(positions).all(axis=1)
    return Steps(positions[seen], numbers[seen].astype(np.int64))

"""Moves frames back by their drift, and says what is left of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.incoming import Condition
from scopeside_processors.insitu.stabilise import Drift
from scopeside_processors.kernels import shift
from scopeside_processors.kernels.virtual import as_stored

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
Vector = tuple[float, float]
How = Literal["integer", "linear", "cubic", "fourier"]
Correction = Literal["none", "integer", "linear", "cubic", "fourier"]


def dtype_of(correct: Correction, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return what frames of `dtype` become."""
    return dtype if correct in ("none", "integer") else np.dtype(np.float32)


class MovedBack:
    """Knows where content was seen last, for frames that do not show it.

    Parameters
    ----------
    offset : counts of a pixel without a beam
    """

    def __init__(self, offset: float) -> None:
        self._offset = offset
        self.last: Vector = (0.0, 0.0)

    def vectors(self, drifts: Sequence[Drift]) -> list[Vector]:
        """Return by how much each of the next frames lies away, (dy, dx) px.

        Of those whose content is not found it is the vector of the last that was.
        """
        found = []
        for drift in drifts:
            if drift.locked:
                self.last = drift.dy, drift.dx
            found.append(self.last)
        return found

    def frames(
        self,
        frames: Array,
        conditions: Sequence[Condition],
        vectors: Sequence[Vector],
        how: How,
    ) -> tuple[Array, IntArray]:
        """Return frames (n, height, width) moved back, and where they have content.

        Whole pixels keep the dtype, all else makes float32. Pixels without content get
        the frame's mean, so that steps that know nothing of it see no edge there.

        Returns
        -------
        (n, height, width), and (n, 4) int64
            The frames, and the first row with content, one past the last, and the same
            of the columns.
        """
        frames = as_stored(frames)
        moved = np.empty(frames.shape, dtype_of(how, frames.dtype))
        valid = np.empty((len(frames), 4), np.int64)
        for k, frame in enumerate(frames):
            fill = self._fill(conditions[k], moved.dtype)
            valid[k] = shift.to_specimen(frame, vectors[k], moved[k], how, fill)
        return moved, valid

    def _fill(self, condition: Condition, dtype: np.dtype[Any]) -> float:
        level = condition.mean + self._offset
        if not np.isfinite(level):
            return 0.0
        return level if dtype.kind == "f" else round(level)


def left_over(drift: Drift, vector: Vector, how: How) -> Drift:
    """Return the drift of a frame that was moved back by `vector`."""
    dy, dx = vector
    if how == "integer":
        dy, dx = (float(shift.taps_of(d, how)[0]) for d in vector)
    return replace(drift, dy=drift.dy - dy, dx=drift.dx - dx)

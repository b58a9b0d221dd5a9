"""The mean of the last frames of a drifting specimen, pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.shift import average_in, to_frame

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
Drift = tuple[float, float]

_SETTLED = 8
"""After so many times its memory, a mean is as good as it gets."""
_STRAY = 2
"""Pixels by which the field may leave the stored one before that is moved."""


def effective_frames(memory: int) -> FloatArray:
    """Return what a mean of n frames is worth, at index n, in frames.

    The n-th frame of a recursive mean has the weight g = 1 / min(n, memory), so that
    its variance becomes (1 - g)² v + g² of that of one frame; its inverse is n up to
    `memory` and then rises to 2 · memory - 1, where it stays.

    Returns
    -------
    (m,) float64
        0 for no frame; the last holds for all that follow.
    """
    found = np.zeros(_SETTLED * memory + 1)
    variance = 0.0
    for n in range(1, len(found)):
        g = 1 / min(n, memory)
        variance = (1 - g) ** 2 * variance + g * g
        found[n] = 1 / variance
    return found


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A mean as it is seen from somewhere.

    Attributes
    ----------
    mean : (height, width) float32, NaN where nothing was seen
    worth : (height, width) float32, effective number of frames of each pixel
    """

    mean: Float32Array
    worth: Float32Array


class RunningMean:
    """Follows the field: what leaves it is forgotten, what enters it begins anew.

    What is stored lies a whole number of pixels from frame 0, so that following costs
    no interpolation.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        memory: int,
        how: Literal["integer", "linear", "cubic"] = "linear",
    ) -> None:
        self._memory, self._how = memory, how
        self._worth = effective_frames(memory).astype(np.float32)
        self._mean = np.zeros(shape, np.float32)
        self._seen = np.zeros(shape, np.uint16)
        self._origin = (0, 0)

    def forget(self) -> None:
        """Begin anew."""
        self._mean[:] = 0
        self._seen[:] = 0
        self._origin = (0, 0)

    def scale(self, ratio: float, offset: float) -> None:
        """Take the movie to have become `ratio` times brighter, above `offset`."""
        self._mean -= np.float32(offset)
        self._mean *= np.float32(ratio)
        self._mean += np.float32(offset)

    def take(self, frame: Array, drift: Drift) -> None:
        """Take in ``frame (height, width)``, whose content has moved by `drift`, px."""
        self._follow(drift)
        rest = drift[0] - self._origin[0], drift[1] - self._origin[1]
        average_in(frame, rest, self._mean, self._seen, self._memory, self._how)

    def seen_from(self, drift: Drift, frame: Array | None = None) -> View:
        """Return the mean as a frame at `drift` has it, to the nearest pixel.

        What was not seen yet is taken from `frame`, the one that lies there, if given.
        """
        rest = drift[0] - self._origin[0], drift[1] - self._origin[1]
        mean, seen = np.empty_like(self._mean), np.empty_like(self._seen)
        to_frame(self._mean, rest, mean, "integer", np.nan)
        to_frame(self._seen, rest, seen, "integer", 0)
        unseen = seen == 0
        mean[unseen] = np.nan if frame is None else frame[unseen]
        seen[unseen] = 0 if frame is None else 1
        return View(mean, self._worth[np.minimum(seen, len(self._worth) - 1)])

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {"mean": self._mean, "seen": self._seen, "origin": list(self._origin)}

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._mean = np.array(state["mean"])
        self._seen = np.array(state["seen"])
        self._origin = state["origin"][0], state["origin"][1]

    def _follow(self, drift: Drift) -> None:
        """Move what is stored if the field has left it."""
        away = drift[0] - self._origin[0], drift[1] - self._origin[1]
        if max(abs(away[0]), abs(away[1])) <= _STRAY:
            return
        step = round(away[0]), round(away[1])
        mean, seen = np.empty_like(self._mean), np.empty_like(self._seen)
        to_frame(self._mean, step, mean, "integer", 0)
        to_frame(self._seen, step, seen, "integer", 0)
        self._mean, self._seen = mean, seen
        self._origin = self._origin[0] + step[0], self._origin[1] + step[1]

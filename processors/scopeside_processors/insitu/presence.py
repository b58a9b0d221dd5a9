"""Finds particles that single frames do not show, by what they do over time.

A map says for every place how many particles are expected there that nobody follows
yet, for each of a few speeds of a random walk. From frame to frame it is blurred, as
particles move, and then multiplied by how much likelier the frame is with a particle
there than without: Bayes' rule, on the pixels rather than on detections (track before
detect [1]_; the map is the intensity of undetected targets of [2]_). Where the map has
a heap that holds about one particle, a track begins.

References
----------
.. [1] Y. Barniv, IEEE Trans. Aerosp. Electron. Syst. 21, 144 (1985),
   doi:10.1109/TAES.1985.310548
.. [2] J. L. Williams, IEEE Trans. Aerosp. Electron. Syst. 51, 1664 (2015),
   doi:10.1109/TAES.2015.130550
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.motion_bank import news
from scopeside_processors.insitu.spots import turn
from scopeside_processors.kernels import presence as kernels
from scopeside_processors.kernels import spots

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

_SPEEDS = 3
_HEIGHTS = (1.5, 12.0)
"""Range of heights over the noise that particles are expected to have."""
_LOW, _HIGH = -6.0, 14.0
"""Range of heights in the table of likelihood ratios."""
_STAYS = 0.98
_MOST = 512


@dataclass(frozen=True, slots=True, eq=False)
class Births:
    """Particles to be followed from now on.

    Attributes
    ----------
    places : (n, 2) px in the map
    sigma : (n,) px
    odds : (n,) logarithm of the odds that it is a particle
    step : (n,) px per frame, its most likely random walk
    """

    places: FloatArray
    sigma: FloatArray
    odds: FloatArray
    step: FloatArray


class Presence:
    """The map of particles that nobody follows.

    Parameters
    ----------
    shape : of the map, that of the matched filters
    step : px of the frame between places of the map
    largest_step : px per frame, of the fastest random walk
    crowd : particles per px² at the beginning
    births : particles per px² and frame that appear later
    """

    def __init__(
        self,
        shape: tuple[int, int],
        step: int,
        largest_step: float,
        crowd: float,
        births: float,
    ) -> None:
        self._step = step
        self._area = step * step / _SPEEDS
        self._births = births * self._area
        self._logarithms = _logarithms()
        self._crowd = crowd * self._area
        rows, columns = shape
        self.density = np.full((_SPEEDS, rows, columns), self._crowd, np.float32)
        self.speeds = np.geomspace(largest_step / 12, largest_step, _SPEEDS)
        self._taps = [_walk(float(s) / step) for s in self.speeds]
        self._line = np.empty(columns + 2 * max(map(len, self._taps)), np.float32)
        self._ratio = np.empty((rows, columns), np.float32)
        self._moved = np.empty((rows, columns), np.float32)
        self._found = np.empty((_MOST, 5 + _SPEEDS))

    def step(
        self, responses: Array, scale: Array, independent: float, frames: int
    ) -> None:
        """Take in the matched filters of a frame.

        Parameters
        ----------
        responses, scale : as `scopeside_processors.kernels.spots.peaks` has them
        independent : share of the noise that is new in each frame, 0 … 1
        frames : that passed since the last
        """
        for k, half in enumerate(self._taps):
            new = news(independent, self.speeds[k : k + 1])[0]
            table = np.exp(new * self._logarithms).astype(np.float32)
            kernels.likelihood(responses, scale, table, _LOW, self._ratio)
            for _ in range(min(frames, 8)):
                spots.blur(self.density[k], half, self._line, self._moved)
                np.multiply(self._moved, np.float32(_STAYS), out=self._moved)
                np.add(self._moved, np.float32(self._births), out=self.density[k])
            np.multiply(self.density[k], self._ratio, out=self.density[k])
        np.minimum(self.density, np.float32(50), out=self.density)

    def born(self, least: float = 0.3) -> Births:
        """Return the heaps whose probability is `least` or more."""
        floor = 0.02 * least
        reach = max(1, round(4 / self._step))
        n = kernels.heaps(self.density, floor, reach, self._found)
        found = self._found[:n]
        found = found[found[:, 4] > least / (1 - least)]
        found = found[np.argsort(-found[:, 4], kind="stable")]
        place = (found[:, :2] + 0.5) * self._step - 0.5
        free = np.ones(len(found), np.bool_)
        for k in range(1, len(found)):
            away = np.hypot(*(place[:k][free[:k]] - place[k]).T)
            free[k] = not (away < 6).any()
        found, place = found[free], place[free]
        sigma = np.sqrt(np.maximum(found[:, 2], 0.02)) * self._step
        return Births(
            place, sigma, np.log(found[:, 4]), self.speeds[found[:, 5:].argmax(axis=1)]
        )

    def forget(self) -> None:
        """Begin anew."""
        self.density[:] = self._crowd

    def turn(self, by: tuple[int, int]) -> None:
        """Move on with the specimen, by whole places of the map."""
        if by != (0, 0):
            for one in self.density:
                turn(one, by, self._crowd)

    def clear(self, places: FloatArray, radius: FloatArray) -> None:
        """Expect no other particle around those that are followed."""
        at, far = (places + 0.5) / self._step - 0.5, radius / self._step
        for one in self.density:
            spots.cover(at, far, self._births, one)


def _walk(sigma: float) -> Array:
    """Return half the kernel of a random walk with step `sigma`, in places of a map."""
    if sigma < 0.7:
        side = 0.5 * sigma * sigma
        return np.array([1 - 2 * side, side], np.float32)
    return spots.taps(sigma)


def _logarithms() -> FloatArray:
    """Return the logarithm of the likelihood ratio by height, for all particles."""
    seen = np.arange(_LOW, _HIGH, 1 / 16) + 1 / 32
    height = np.geomspace(*_HEIGHTS, 64)
    ratio = np.exp(np.outer(seen, height) - 0.5 * height**2).mean(axis=1)
    found: FloatArray = np.minimum(np.log(ratio), 69.0)
    return found

"""Where the specimen is, frame by frame, and where it will be in a few frames.

A line is fitted to the last places by least squares; it foresees the next ones as long
as the places lie on it. It is never trusted further ahead than where its error by noise
is that of a single frame: a lead does not make noise worse.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

FEWEST = 3
"""Places that a line is fitted to."""
BELIEVED = 3
"""Places far from where they should be, but near to each other, that are a jump."""
_BENT = 4.0
"""Mean square deviation from the line, in variances of a place, from which on the
places do not lie on a line."""
_PRECISION_M = 1e-12
"""Deviations below this are none, whatever the variance."""


@dataclass(frozen=True, slots=True)
class Place:
    """Of the specimen in a frame, m (y, x); `sigma_m` along one axis."""

    frame: int
    yx: FloatArray
    sigma_m: float


@dataclass(frozen=True, slots=True)
class Line:
    """A least-squares line through places.

    Attributes
    ----------
    middle, centre
        Mean frame and mean place.
    slope
        m per frame (y, x).
    spread
        Sum of the squared distances of the frames from `middle`.
    count
        Of places.
    """

    middle: float
    centre: FloatArray
    slope: FloatArray
    spread: float
    count: int

    @classmethod
    def through(cls, places: list[Place]) -> Self | None:
        """Return the line, None if the places do not lie on one."""
        frames = np.array([place.frame for place in places], float)
        found = np.array([place.yx for place in places])
        middle, centre = float(frames.mean()), found.mean(axis=0)
        away = frames - middle
        spread = float(away @ away)
        slope = away @ (found - centre) / spread
        left = found - centre - away[:, None] * slope
        freedom = 2 * len(places) - 4
        variance = float((left**2).sum()) / freedom
        expected = float(np.mean([place.sigma_m**2 for place in places]))
        if variance > max(_BENT * expected, _PRECISION_M**2):
            return None
        return cls(middle, centre, slope, spread, len(places))

    def at(self, frame: float) -> FloatArray:
        """Return the place in a frame."""
        place: FloatArray = self.centre + (frame - self.middle) * self.slope
        return place

    @property
    def furthest(self) -> float:
        """Last frame for which noise is no more than that of a single place.

        The variance of a line at x is σ² (1/n + (x - mean)² / spread).
        """
        return self.middle + math.sqrt((1 - 1 / self.count) * self.spread)


class Motion:
    """The last places of the specimen.

    Parameters
    ----------
    frames
        Places that a line goes through at most.
    """

    def __init__(self, frames: int) -> None:
        self._places: deque[Place] = deque(maxlen=frames)
        self._doubted: list[Place] = []
        self._line: Line | None = None
        self._heard = 0

    @property
    def rate(self) -> FloatArray | None:
        """How fast it goes, m per frame (y, x); None while that is not known."""
        return None if self._line is None else self._line.slope

    def forget(self) -> None:
        """Begin anew: the places to come cannot be compared with those so far."""
        self._places.clear()
        self._doubted.clear()
        self._line = None

    def take(self, place: Place, max_step_m: float) -> bool:
        """Take in the next place; return whether it is believed.

        It is not if it lies further than `max_step_m` a frame from where it should be,
        until `BELIEVED` such places in a row lie near to each other: a true jump.
        """
        if self._places and place.frame <= self._heard:
            self.forget()  # the detector counts anew
        expected = self._expected(place.frame) if self._places else place
        self._heard = place.frame
        if _near(expected, place, max_step_m):
            self._doubted.clear()
            self._places.append(place)
        elif not self._jumped(place, max_step_m):
            return False
        self._line = self._fitted()
        return True

    def ahead(self, frames: float) -> FloatArray:
        """Return the place so many frames after the last, as far as that can be told.

        0: the last place itself.
        """
        last = self._places[-1]
        if self._line is None or frames <= 0:
            return last.yx
        reach = max(self._line.furthest, float(last.frame))
        return self._line.at(min(last.frame + frames, reach))

    def _expected(self, frame: int) -> Place:
        """Return where the specimen should be, and since when that is a guess.

        A place that was not believed was seen: the specimen had no time to go far.
        """
        last = self._places[-1]
        yx = last.yx if self._line is None else self._line.at(frame)
        return Place(self._heard, yx, last.sigma_m)

    def _jumped(self, place: Place, max_step_m: float) -> bool:
        """Whether this is the last of enough places that agree with each other."""
        if self._doubted and not _near(self._doubted[-1], place, max_step_m):
            self._doubted.clear()
        self._doubted.append(place)
        if len(self._doubted) < BELIEVED:
            return False
        self._places.clear()
        self._places.extend(self._doubted)
        self._doubted.clear()
        return True

    def _fitted(self) -> Line | None:
        """Return the line through as many of the last places as lie on one."""
        places = list(self._places)
        count = len(places)
        while count >= FEWEST:
            line = Line.through(places[-count:])
            if line is not None:
                return line
            count //= 2
        return None


def _near(expected: Place, place: Place, max_step_m: float) -> bool:
    frames = max(1, place.frame - expected.frame)
    away = float(np.hypot(*(place.yx - expected.yx)))
    return away <= frames * max_step_m

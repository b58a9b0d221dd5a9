"""Where the law by which a particle grows changes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.growth_laws import known_radii
from scopeside_processors.kernels.growth import breaks

FloatArray = npt.NDArray[np.float64]

FEWEST = 12
"""Radii below which no change is looked for."""
_LEAST = 0.01
"""Part of a radius below which no error is believed: radii may come in steps."""
_POWERS = np.array([0.6, 1.0, 1.4, 1.7, 2.0, 2.4, 3.0, 4.0])
"""1/n of the laws between which no change is seen."""
_UNKNOWNS = 4
"""Of one more segment: slope, height, where it begins, and which of the laws."""


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A change of the law of growth.

    Attributes
    ----------
    time
        Of the first radius of the new law.
    speed_before, speed_after
        dr/dt just before and after, radius per time.
    """

    time: float
    speed_before: float
    speed_after: float


def change_points(
    t: Any,
    radius: Any,
    sigma: Any = None,
    *,
    caution: float = 2.0,
    exact: bool = True,
) -> list[ChangePoint]:
    """Return the changes of the law of growth, first one first.

    Parameters
    ----------
    t, radius, sigma
        As of `growth_law`. A radius scatters by `sigma`, or by what radii that follow
        each other say, whichever is larger.
    caution
        Times log of the number of radii and the four unknowns of a law, it is the χ²
        that a change has to explain: 1 is Schwarz's criterion. It leaves room for
        errors that are not independent.
    exact
        Whether `sigma` is the error itself; else only how errors compare.

    Raises
    ------
    ShapeError
        If the arrays differ in length or times do not grow.
    """
    times, radii, weights = known_radii(t, radius, sigma)
    if len(times) < FEWEST:
        return []
    noise = _scatter(radii, weights)
    if sigma is not None and exact:
        noise = max(noise, 1.0)
    smooth = np.maximum(_smooth(radii), noise / np.sqrt(weights))
    if not smooth.min() > 0:
        return []
    since = times - times[0]
    penalty = caution * _UNKNOWNS * float(np.log(len(times)))
    found = breaks(since, radii, smooth, weights / noise**2, _POWERS, penalty)
    edges = [0, *found.tolist(), len(times)]
    speeds = [_speeds(times[a:b], radii[a:b], weights[a:b]) for a, b in pairwise(edges)]
    return [
        ChangePoint(float(times[at]), speeds[k][1], speeds[k + 1][0])
        for k, at in enumerate(found)
    ]


def _scatter(radii: FloatArray, weights: FloatArray) -> float:
    """Return how far radii scatter about a smooth curve, in units of their errors."""
    bend = radii[2:] - 2 * radii[1:-1] + radii[:-2]
    spread = 1 / weights[2:] + 4 / weights[1:-1] + 1 / weights[:-2]
    # The median of the absolute value of a normal deviate is 0.6745.
    found = float(np.median(np.abs(bend) / np.sqrt(spread))) / 0.6745
    return max(found, _LEAST * float(np.median(radii * np.sqrt(weights))), 1e-9)


def _smooth(radii: FloatArray) -> FloatArray:
    around = np.lib.stride_tricks.sliding_window_view(np.pad(radii, 2, mode="edge"), 5)
    found: FloatArray = np.median(around, axis=1)
    return found


def _speeds(t: FloatArray, r: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Return dr/dt at the beginning and the end of a segment, by a parabola."""
    middle, span = t.mean(), float(np.ptp(t))
    degree = 2 if len(t) >= FEWEST else 1
    line = np.polyfit((t - middle) / span, r, degree, w=np.sqrt(weights))
    slope = np.polyder(line)
    ends = (t[[0, -1]] - middle) / span
    first, last = (np.polyval(slope, ends) / span).tolist()
    return first, last

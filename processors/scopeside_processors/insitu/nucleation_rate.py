"""How many particles are born in a time and an area."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class NucleationRate:
    """Births per time and area, interval by interval.

    Attributes
    ----------
    edges : (n + 1,) float64
        Of the intervals.
    counts : (n,) int64
        Births in each.
    rate, low, high : (n,) float64
        Births per time and area, with their confidence interval.
    """

    edges: FloatArray
    counts: npt.NDArray[np.int64]
    rate: FloatArray
    low: FloatArray
    high: FloatArray


def poisson_interval(counts: Any, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Return the exact interval of the mean of which `counts` were seen.

    References
    ----------
    .. [1] F. Garwood, Biometrika 28, 437 (1936), doi:10.1093/biomet/28.3-4.437
    """
    k = np.asarray(counts, np.float64)
    tail = (1 - level) / 2
    low = np.where(k > 0, gammaincinv(np.maximum(k, 1), tail), 0.0)
    return low, gammaincinv(k + 1, 1 - tail)


def nucleation_rate(
    births: Any, edges: Any, area: float, *, level: float = 0.95
) -> NucleationRate:
    """Return the rate of nucleation in each interval of time.

    Parameters
    ----------
    births : (m,)
        When each particle was born.
    edges : (n + 1,), growing
        Of the intervals.
    area
        Of the specimen that was watched.
    """
    borders = np.asarray(edges, np.float64)
    counts = np.histogram(np.asarray(births, np.float64), borders)[0].astype(np.int64)
    exposure = np.diff(borders) * area
    low, high = poisson_interval(counts, level)
    rate = counts / exposure
    return NucleationRate(borders, counts, rate, low / exposure, high / exposure)


def induction_time(births: Any) -> float:
    """Return when nucleation sets in: where the line of the count begins.

    The line leads through a quarter and a half of all births, as later ones are slowed
    by what is there; it never begins after the first birth. NaN where fewer than 4
    were born.
    """
    when = np.sort(np.asarray(births, np.float64))
    if len(when) < 4:
        return np.nan
    count = np.arange(1, len(when) + 1)
    early, late = len(when) // 4 - 1, len(when) // 2 - 1
    if when[late] <= when[early]:
        return float(when[0])
    slope = (count[late] - count[early]) / (when[late] - when[early])
    return float(min(when[early] - count[early] / slope, when[0]))

"""How high a score must be for false alarms to be as rare as they should be."""

from __future__ import annotations

import math
from statistics import NormalDist

_NORMAL = NormalDist()


def false_alarms(level: float, cells: float, share: float) -> float:
    """Return how often noise alone crosses `level`, in alarms per frame.

    Parameters
    ----------
    level
        In standard deviations of the averaged, filtered noise.
    cells
        Independent places: area over ``4 π σ²`` for a Gaussian filter of width σ.
    share
        Weight of the new frame in the average over time, 0 to 1.

    Notes
    -----
    The filtered noise is smooth in two dimensions and a first-order autoregression in
    time. Its upcrossings come in clumps, the rate of which is the product over
    dimensions in [1]_, with Siegmund's correction ν for discrete time [2]_.

    References
    ----------
    .. [1] D. O. Siegmund and K. J. Worsley, Annals of Statistics 23, 608 (1995),
       doi:10.1214/aos/1176324539
    .. [2] D. Siegmund, Sequential Analysis, Springer (1985), chapter X
    """
    tail = _NORMAL.pdf(level) / level
    in_space = max(1.0, level**2)
    step = level * math.sqrt(-2.0 * math.log1p(-min(share, 0.999)))
    in_time = 0.5 * step**2 * overshoot(step)
    return cells * tail * in_space * in_time


def overshoot(step: float) -> float:
    """Return Siegmund's ν: what a walk's overshoot takes off the rate of alarms."""
    half = 0.5 * step
    upper = (_NORMAL.cdf(half) - 0.5) / half
    return upper / (half * _NORMAL.cdf(half) + _NORMAL.pdf(half))


def level_for(rate: float, cells: float, share: float) -> float:
    """Return the level, 1.5 to 12 standard deviations, that gives `rate` per frame."""
    low, high = 1.5, 12.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        if false_alarms(middle, cells, share) > rate:
            low = middle
        else:
            high = middle
    return high

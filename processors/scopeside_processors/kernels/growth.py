"""Fits a power of the time since a beginning that is not known, and finds breaks."""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LEAST, MOST = 0.05, 3.0
"""Between which an exponent lies that is fitted."""
_SHORTEST = 4
"""Points of a segment."""


@numba.njit(nogil=True, cache=True)
def misfit(
    t: Array, r: Array, weight: Array, before: float, n: float
) -> tuple[float, float]:
    """Return χ² of r = A ((t + before) / (t[-1] + before))^n, and the best A.

    Parameters
    ----------
    t : (m,) float64, growing from 0
    r, weight : (m,) float64
        What is fitted, and 1/σ².
    before
        From the beginning to t = 0.
    n
        The exponent.
    """
    top = cross = square = 0.0
    whole = t[-1] + before
    for k in range(len(t)):
        shape = ((t[k] + before) / whole) ** n
        top += weight[k] * shape * shape
        cross += weight[k] * shape * r[k]
        square += weight[k] * r[k] * r[k]
    return max(square - cross * cross / top, 0.0), cross / top


@numba.njit(nogil=True, cache=True)
def fit_power(
    t: Array, r: Array, weight: Array, n: float, free: bool
) -> tuple[float, Array, Array]:
    """Fit r = A ((t + e^u) / (t[-1] + e^u))^n by Levenberg and Marquardt.

    Parameters
    ----------
    t, r, weight
        As of `misfit`, 3 or more.
    n, free
        The exponent, and whether it is fitted too.

    Returns
    -------
    chi_square, values, covariance
        (3,) A, u, n and their covariance (3, 3) where the weights are 1/σ²; without
        the exponent, where it is fixed.
    """
    span = t[-1]
    count = 3 if free else 2
    at = np.zeros(3)
    best = np.inf
    for k in range(14):
        u = np.log(span * 0.01) + k * np.log(1e4) / 13
        for start in (1 / 3, 0.5, 1.0):
            if not free and start != 0.5:
                continue
            power = start if free else n
            chi, top = misfit(t, r, weight, np.exp(u), power)
            if chi < best:
                best = chi
                at[0], at[1], at[2] = top, u, power
    damping = 1e-3
    normal = np.zeros((count, count))
    slope = np.zeros(count)
    for _ in range(60):
        _normal_equations(t, r, weight, at, normal, slope)
        damped = normal.copy()
        for i in range(count):
            damped[i, i] *= 1 + damping
            damped[i, i] += 1e-12
        step = np.linalg.solve(damped, slope)
        tried = at.copy()
        for i in range(count):
            tried[i] += step[i]
        tried[1] = min(max(tried[1], np.log(span * 1e-3)), np.log(span * 1e3))
        tried[2] = min(max(tried[2], LEAST), MOST)
        chi, tried[0] = misfit(t, r, weight, np.exp(tried[1]), tried[2])
        if chi <= best:
            gain = best - chi
            best, at = chi, tried
            damping = max(damping / 5, 1e-9)
            if gain < 1e-9 * best + 1e-12:
                break
        else:
            damping *= 5
            if damping > 1e9:
                break
    _normal_equations(t, r, weight, at, normal, slope)
    for i in range(count):
        normal[i, i] *= 1 + 1e-9
        normal[i, i] += 1e-12
    covariance = np.zeros((3, 3))
    covariance[:count, :count] = np.linalg.inv(normal)
    return best, at, covariance


@numba.njit(nogil=True, cache=True)
def _normal_equations(
    t: Array, r: Array, weight: Array, at: Array, normal: Array, slope: Array
) -> None:
    """Fill in J'WJ and J'W(r - model)."""
    count = len(slope)
    before = np.exp(at[1])
    whole = t[-1] + before
    row = np.zeros(3)
    normal[:] = 0
    slope[:] = 0
    for k in range(len(t)):
        since = t[k] + before
        row[0] = (since / whole) ** at[2]
        model = at[0] * row[0]
        row[1] = model * at[2] * before * (1 / since - 1 / whole)
        row[2] = model * np.log(since / whole)
        for i in range(count):
            slope[i] += weight[k] * row[i] * (r[k] - model)
            for j in range(count):
                normal[i, j] += weight[k] * row[i] * row[j]


@numba.njit(nogil=True, cache=True)
def breaks(
    t: Array, r: Array, smooth: Array, weight: Array, powers: Array, penalty: float
) -> Array:
    """Return where one law ends and the next begins: the optimal partition.

    In each segment one of the powers of r grows along a line; that is worked out from
    running sums.

    Parameters
    ----------
    t, r : (m,) float64
    smooth : (m,) float64, > 0
        r without its noise, for the weights of its powers.
    weight : (m,) float64
        1/σ² of r.
    powers : (p,) float64
    penalty
        χ² that a further segment has to explain.

    Returns
    -------
    First point of each segment but the first, int64.

    References
    ----------
    .. [1] R. Killick, P. Fearnhead, I. A. Eckley, J. Am. Stat. Assoc. 107, 1590
       (2012), doi:10.1080/01621459.2012.737745
    """
    m = len(t)
    sums = _running_sums(t, r, smooth, weight, powers)
    cost = np.full(m + 1, np.inf)
    cost[0] = -penalty
    came = np.zeros(m + 1, np.int64)
    kept = np.zeros(m + 1, np.bool_)
    kept[0] = True
    without = np.zeros(m + 1)
    for end in range(_SHORTEST, m + 1):
        for begin in range(end - _SHORTEST + 1):
            if not kept[begin] or np.isinf(cost[begin]):
                continue
            without[begin] = cost[begin] + _segment(sums, begin, end)
            if without[begin] + penalty < cost[end]:
                cost[end], came[end] = without[begin] + penalty, begin
        for begin in range(end - _SHORTEST + 1):
            if kept[begin] and without[begin] > cost[end]:
                kept[begin] = False  # what it misses now it will never make up for
        kept[end] = True
    found = np.zeros(m, np.int64)
    count, end = 0, m
    while end > 0:
        end = came[end]
        if end > 0:
            found[count] = end
            count += 1
    return found[:count][::-1].copy()


@numba.njit(nogil=True, cache=True)
def _running_sums(
    t: Array, r: Array, smooth: Array, weight: Array, powers: Array
) -> Array:
    """Return (powers, m + 1, 6) of w, wt, wt², wy, wty and wy² with y = r^power."""
    m = len(t)
    sums = np.zeros((len(powers), m + 1, 6))
    for k in range(len(powers)):
        power = powers[k]
        for i in range(m):
            y = max(r[i], 0.0) ** power
            w = weight[i] / (power * smooth[i] ** (power - 1)) ** 2
            row = sums[k, i + 1]
            row[:] = sums[k, i]
            row[0] += w
            row[1] += w * t[i]
            row[2] += w * t[i] * t[i]
            row[3] += w * y
            row[4] += w * t[i] * y
            row[5] += w * y * y
    return sums


@numba.njit(nogil=True, cache=True)
def _segment(sums: Array, begin: int, end: int) -> float:
    """Return the least χ² of the laws in points `begin` to `end`."""
    least = np.inf
    for k in range(sums.shape[0]):
        w = sums[k, end, 0] - sums[k, begin, 0]
        wt = sums[k, end, 1] - sums[k, begin, 1]
        wy = sums[k, end, 3] - sums[k, begin, 3]
        spread = sums[k, end, 2] - sums[k, begin, 2] - wt * wt / w
        cross = sums[k, end, 4] - sums[k, begin, 4] - wt * wy / w
        left = sums[k, end, 5] - sums[k, begin, 5] - wy * wy / w
        if spread > 0:
            left -= cross * cross / spread
        least = min(least, left)
    return max(least, 0.0)

"""Covariances of the steps of a track, and what is left of the steps without them.

Steps are differences of positions that were seen one after another. Times are in
frames; `exposure` is the part of a frame's time for which its shutter is open, and all
positions are means over it.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

POWER = 0
"""Mean squares that grow with a power of time: fractional Brownian motion."""
SPRING = 1
"""Mean squares that level off: a particle in a harmonic well."""


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def toeplitz(columns: Array, covariance: Array, products: Array) -> float:
    """Weigh steps with a covariance that depends on their distance alone.

    Parameters
    ----------
    columns : (n, c) float64
    covariance : (n or more,) float64, of a step and the one k later
    products : (c, c) float64; columns' C⁻¹ columns is added

    Returns
    -------
    The log of the determinant; infinite where C is not positive.

    References
    ----------
    .. [1] J. Durbin, Rev. Inst. Int. Stat. 28, 233 (1960), doi:10.2307/1401322
    """
    n, c = columns.shape
    weights = np.zeros(n)  # of the steps before, the last one first
    turned = np.zeros(n)
    miss = np.zeros(c)
    error = covariance[0]
    determinant = 0.0
    for k in range(n):
        if k:
            reflection = covariance[k]
            for j in range(k - 1):
                reflection -= weights[j] * covariance[k - 1 - j]
            reflection /= error
            for j in range(k - 1):
                turned[j] = weights[k - 2 - j]
            for j in range(k - 1):
                weights[j] -= reflection * turned[j]
            weights[k - 1] = reflection
            error *= 1 - reflection * reflection
        if not error > 0:
            return np.inf
        determinant += np.log(error)
        for i in range(c):
            guess = 0.0
            for j in range(k):
                guess += weights[j] * columns[k - 1 - j, i]
            miss[i] = columns[k, i] - guess
        for i in range(c):
            for j in range(c):
                products[i, j] += miss[i] * miss[j] / error
    return determinant


@numba.njit(nogil=True, cache=True)
def step_covariance(
    model: int, shape: float, noise: float, exposure: float, n: int
) -> Array:
    """Return the covariance of a step and the one k later, of D = 1 px²/frame.

    Parameters
    ----------
    model, shape
        `POWER` and the exponent α, or `SPRING` and the relaxation rate, 1/frame.
    noise
        Variance of the localisation error, in units of D times a frame.
    n
        How many to return.

    Notes
    -----
    With the mean square M(k) of a displacement over k frames, M(0) = 0, it is
    (M(k+1) + M(k-1)) / 2 - M(k). For powers M is that of [1]_; of a well it follows
    from the same two integrals over the exposure.

    References
    ----------
    .. [1] M. P. Backlund, R. Joyner, W. E. Moerner, Phys. Rev. E 91, 062716 (2015),
       doi:10.1103/PhysRevE.91.062716
    """
    square = np.zeros(n + 1)
    for k in range(1, n + 1):
        if model == POWER:
            square[k] = _power(k, shape, exposure)
        else:
            square[k] = _spring(k, shape, exposure)
        square[k] += 2 * noise
    found = np.zeros(n)
    for k in range(n):
        found[k] = 0.5 * (square[k + 1] + square[abs(k - 1)]) - square[k]
    return found


@numba.njit(nogil=True, cache=True)
def _power(k: int, alpha: float, exposure: float) -> float:
    """Return the mean square of a displacement over k frames, a coordinate's."""
    if exposure < 1e-3:
        return float(2.0 * k**alpha)
    p = alpha + 2
    scale = 2 / (exposure * exposure * (alpha + 1) * p)
    around = (k + exposure) ** p + abs(k - exposure) ** p - 2.0 * k**p
    return float(scale * (around - 2 * exposure**p))


@numba.njit(nogil=True, cache=True)
def _spring(k: int, rate: float, exposure: float) -> float:
    """Return the same in a well that a particle returns in at `rate`."""
    width = rate * exposure
    away = -np.expm1(-rate * k)
    if width < 1e-3:  # a series, as the terms below all but cancel
        return float(2 * (away * (1 + width**2 / 12) - width / 3) / rate)
    same = 2 * (width + np.expm1(-width)) / width**2
    other = np.exp(-rate * k) * (np.sinh(width / 2) / (width / 2)) ** 2
    return float(2 * (same - other) / rate)


@numba.njit(nogil=True, cache=True)
def profile(
    columns: Array,
    runs: Array,
    model: int,
    shape: float,
    noise: float,
    exposure: float,
    directed: bool,
) -> tuple[float, float]:
    """Return the likelihood of steps, at the D (and velocity) that make it largest.

    Parameters
    ----------
    columns : (n, 3) float64
        Steps along both coordinates, and the mean that a velocity gives them, 1.
    runs : (m + 1,) int64
        Where runs without a gap begin, and n; runs count as independent.
    model, shape, noise, exposure
        As of `step_covariance`.

    Returns
    -------
    log-likelihood, D (px²/frame)
    """
    n = len(columns)
    longest = 0
    for k in range(len(runs) - 1):
        longest = max(longest, runs[k + 1] - runs[k])
    covariance = step_covariance(model, shape, noise, exposure, longest)
    products = np.zeros((3, 3))
    determinant = 0.0
    for k in range(len(runs) - 1):
        run = columns[runs[k] : runs[k + 1]]
        determinant += toeplitz(run, covariance, products)
    square = products[0, 0] + products[1, 1]
    if directed:
        square -= (products[0, 2] ** 2 + products[1, 2] ** 2) / products[2, 2]
    if not np.isfinite(determinant) or not square > 0:
        return -np.inf, 0.0
    scale = square / (2 * n)
    return -determinant - n * np.log(scale) - n * (1 + np.log(2 * np.pi)), scale


@numba.njit(nogil=True, cache=True)
def search(
    columns: Array,
    runs: Array,
    model: int,
    exposure: float,
    directed: bool,
    grid: Array,
    low: float,
    high: float,
) -> tuple[float, float, float, float]:
    """Return the largest likelihood over shape and noise.

    Parameters
    ----------
    grid : (g,) float64
        Shapes to begin from.
    low, high
        Between which the shape lies; equal if it is fixed.

    Returns
    -------
    log-likelihood, shape, noise (in units of D times a frame), D (px²/frame)
    """
    # The noise is searched as (e^v - 1)²: even near none, and soon at a lot of it.
    best, shape, v, scale = -np.inf, grid[0], 0.0, 0.0
    for candidate in grid:
        for start in (0.0, 0.4, 0.9):
            noise = np.expm1(start) ** 2
            found, d = profile(
                columns, runs, model, candidate, noise, exposure, directed
            )
            if found > best:
                best, shape, v, scale = found, candidate, start, d
    reach, width = 0.25 * (high - low), 0.5
    while width > 2e-3:
        moved = False
        for axis in range(2):
            for sign in (-1.0, 1.0):
                a = min(max(shape + (sign * reach if axis == 0 else 0.0), low), high)
                b = min(max(v + (sign * width if axis == 1 else 0.0), 0.0), 4.5)
                if a == shape and b == v:
                    continue
                noise = np.expm1(b) ** 2
                found, d = profile(columns, runs, model, a, noise, exposure, directed)
                if found > best:
                    best, shape, v, scale, moved = found, a, b, d, True
                    break
        if not moved:
            reach, width = reach / 2, width / 2
    return best, shape, np.expm1(v) ** 2, scale
